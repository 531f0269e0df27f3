//! Symbols of Mach-O objects with 64 bits, which Apple's platforms use.

use object::macho::{
    CpuType, FileType, MH_MAGIC_64, MachHeader64, N_EXT, N_PEXT, N_UNDF, N_WEAK_DEF, N_WEAK_REF,
    Nlist64, SymtabCommand,
};
use object::read::macho::{MachHeader as _, Nlist as _};
use object::{Endianness, LittleEndian};

use super::{Definitions, Objects};
use crate::thinlto::{Symbol, SymbolTable, Visibility};
use crate::wrapper::Refusal;
use crate::wrapper::resolution::Resolution;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExternalKind {
    Undefined,
    Common,
    Defined,
}

/// A symbol that other files see.
struct External<'a> {
    name: &'a [u8],
    section: u8,
    value: u64,
    kind: ExternalKind,
    /// Another definition may replace it, or it may stay undefined.
    weak: bool,
    /// Other programs do not see it, unless another file defines it for them.
    hidden: bool,
}

impl External<'_> {
    fn is_undefined(&self) -> bool {
        self.kind == ExternalKind::Undefined
    }

    fn symbol(&self) -> Symbol {
        Symbol {
            name: self.name.to_vec(),
            undefined: self.is_undefined(),
            weak: self.weak,
            visibility: Visibility::Default,
        }
    }
}

fn externals(object: &[u8]) -> Option<Vec<External<'_>>> {
    let header = MachHeader64::<Endianness>::parse(object, 0).ok()?;
    let endian = header.endian().ok()?;
    let mut commands = header.load_commands(endian, object, 0).ok()?;
    let mut found = Vec::new();
    while let Some(command) = commands.next().ok()? {
        let Some(table) = command.symtab().ok()? else {
            continue;
        };
        let symbols = table.symbols::<MachHeader64<Endianness>, _>(endian, object);
        let symbols = symbols.ok()?;
        for symbol in symbols.iter() {
            if symbol.is_stab() || !symbol.n_type().is_ext() {
                continue;
            }
            let kind = match symbol.is_undefined() {
                true => ExternalKind::Undefined,
                false if symbol.is_common() => ExternalKind::Common,
                false => ExternalKind::Defined,
            };
            let undefined = kind == ExternalKind::Undefined;
            let flags = symbol.n_desc(endian);
            let weak = if undefined { N_WEAK_REF } else { N_WEAK_DEF };
            // With both, it is a definition that nothing takes the address of.
            let hidden = symbol.n_type().contains(N_PEXT) || flags.contains(N_WEAK_REF);
            found.push(External {
                name: symbols.symbol_name(endian, symbol).ok()?,
                section: symbol.n_sect(),
                value: symbol.n_value(endian),
                kind,
                weak: flags.contains(weak),
                hidden: hidden && !undefined,
            });
        }
    }
    Some(found)
}

pub(in crate::wrapper) fn definitions(object: &[u8]) -> Option<Definitions<'_>> {
    let mut found = Definitions::default();
    for symbol in externals(object)? {
        let list = match symbol.kind {
            ExternalKind::Undefined => &mut found.undefined,
            ExternalKind::Common => &mut found.common,
            ExternalKind::Defined if symbol.weak => &mut found.weak,
            ExternalKind::Defined => &mut found.strong,
        };
        list.push(symbol.name);
        if symbol.weak && symbol.hidden {
            found.hidden.push(symbol.name);
        }
    }
    Some(found)
}

/// The symbols in the order in which the linker takes them: those of no section, then by section and
/// address, then those that are needed.
pub(in crate::wrapper) fn symbols(object: &[u8]) -> Option<SymbolTable> {
    let mut all = externals(object)?;
    all.sort_by_key(|symbol| {
        // The value of a common symbol is its size.
        let address = (symbol.section != 0).then_some((symbol.value, symbol.weak));
        (symbol.is_undefined(), symbol.section, address)
    });
    Some(SymbolTable {
        symbols: all.iter().map(External::symbol).collect(),
        groups: Vec::new(),
    })
}

/// The symbols that it defines, in the order in which the index of an archive has them, and in which
/// the linker takes those of an object that it may not need.
pub(in crate::wrapper) fn indexed(object: &[u8]) -> Option<Vec<Symbol>> {
    let all = externals(object)?;
    let defined = all.iter().filter(|symbol| !symbol.is_undefined());
    Some(defined.map(External::symbol).collect())
}

impl Objects<'_> {
    /// The linker's own LTO has other programs see a native file's inline function if they should
    /// see the one of a module.
    ///
    /// # Errors
    /// There is such a function, as far as is known.
    pub(in crate::wrapper) fn check_hidden(
        &self,
        resolution: Option<&Resolution>,
    ) -> Result<(), Refusal> {
        let mut hidden = self.natives.named.hidden();
        let both = match resolution {
            None => hidden.next(),
            Some(resolution) => hidden.find(|name| resolution.of_modules.contains(*name)),
        };
        match both {
            None => Ok(()),
            Some(name) => Err(Refusal::new(format!(
                "the weak symbol `{}` is in a native file and in a module",
                String::from_utf8_lossy(name)
            ))),
        }
    }

    /// Files that name the symbols of the program in the order of its own symbol table: one that comes
    /// before each library, because the linker numbers all symbols of a library when it reads it, and
    /// one that comes before everything else. `header` is the symbol that the linker defines when it
    /// has read all inputs.
    pub(in crate::wrapper) fn stubs(
        &self,
        resolution: &Resolution,
        header: Option<&[u8]>,
    ) -> Vec<Option<Vec<u8>>> {
        let Some(model) = &self.first else {
            return Vec::new();
        };
        let is_needed = |name: &[u8]| {
            let files = [&self.named, &self.natives.named];
            let kept = files.iter().any(|it| it.get(name).kind.is_some());
            // A library's; it counts as used though optimization may have removed the use.
            let elsewhere = !resolution.of_modules.contains(name);
            (kept || elsewhere) && !resolution.is_left_out(name)
        };
        let mut parts: Vec<Vec<(&[u8], bool)>> = Vec::new();
        for part in resolution.parts() {
            let needed = part.filter(|name| is_needed(name));
            let needed = needed.map(|name| (name, resolution.optional.contains(name)));
            parts.push(needed.collect());
        }
        let of_objects = parts.pop().unwrap_or_default();
        if let Some(last) = parts.last_mut() {
            last.extend(header.map(|name| (name, false)));
            last.extend(of_objects);
        }
        let stubs = parts.into_iter();
        stubs
            .map(|needed| stub(model, &needed).filter(|_| !needed.is_empty()))
            .collect()
    }
}

/// An object for the processor of `model` that holds nothing and needs the symbols `needed`; with
/// each, whether it may stay undefined.
fn stub(model: &[u8], needed: &[(&[u8], bool)]) -> Option<Vec<u8>> {
    let endian = LittleEndian;
    let model = MachHeader64::<LittleEndian>::parse(model, 0).ok()?;
    let header = size_of::<MachHeader64<LittleEndian>>();
    let command = size_of::<SymtabCommand<LittleEndian>>();
    let start = header + command;
    let names = start + needed.len() * size_of::<Nlist64<LittleEndian>>();
    let mut strings = vec![0];
    let mut out = Vec::with_capacity(names);
    let number = |value: usize| u32::try_from(value).ok();
    let CpuType(cpu) = model.cputype.get(endian);
    let subtype = model.cpusubtype.get(endian).0;
    let FileType(object) = object::macho::MH_OBJECT;
    let size = number(command)?;
    for word in [MH_MAGIC_64, cpu, subtype, object, 1, size, 0, 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    let total = 1 + needed.iter().map(|(name, _)| name.len() + 1).sum::<usize>();
    let symtab = object::macho::LC_SYMTAB.0;
    for word in [
        symtab,
        size,
        number(start)?,
        number(needed.len())?,
        number(names)?,
        number(total)?,
    ] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for (name, optional) in needed {
        let flags = if *optional { N_WEAK_REF.0 } else { 0 };
        out.extend_from_slice(&number(strings.len())?.to_le_bytes());
        // No section, no address.
        out.extend_from_slice(&[N_UNDF.0 | N_EXT.0, 0]);
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        strings.extend_from_slice(name);
        strings.push(0);
    }
    out.extend_from_slice(&strings);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_needs_its_symbols_and_defines_nothing() {
        let mut model = MH_MAGIC_64.to_le_bytes().to_vec();
        model.extend_from_slice(&0x0100_0007_u32.to_le_bytes());
        model.resize(size_of::<MachHeader64<LittleEndian>>(), 0);
        let stub = stub(&model, &[(b"_f", false), (b"_puts", true)]).expect("written");
        let found = definitions(&stub).expect("an object");
        assert_eq!(found.symbols().count(), 0);
        assert_eq!(found.undefined, [&b"_f"[..], b"_puts"]);
        assert_eq!(stub[4..8], model[4..8]);
        let order = symbols(&stub).expect("an object").symbols;
        assert!(order.iter().all(|symbol| symbol.undefined));
        let optional: Vec<bool> = order.iter().map(|symbol| symbol.weak).collect();
        assert_eq!(optional, [false, true]);
    }

    #[test]
    fn what_is_cut_off_is_no_object() {
        let mut model = MH_MAGIC_64.to_le_bytes().to_vec();
        model.resize(size_of::<MachHeader64<LittleEndian>>(), 0);
        let stub = stub(&model, &[(b"_f", false)]).expect("written");
        for end in 0..stub.len() - 1 {
            let whole = definitions(&stub[..end]).is_some_and(|it| it.undefined == [b"_f"]);
            assert!(!whole, "{end}");
        }
    }
}
