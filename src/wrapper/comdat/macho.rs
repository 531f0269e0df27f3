//! Symbols of Mach-O objects with 64 bits, which Apple's platforms use.

use object::macho::{
    CpuType, FileType, MH_MAGIC_64, MachHeader64, N_EXT, N_UNDF, N_WEAK_DEF, N_WEAK_REF, Nlist64,
    SymtabCommand,
};
use object::read::macho::{MachHeader as _, Nlist as _};
use object::{Endianness, LittleEndian};

use super::Definitions;
use crate::thinlto::{Symbol, SymbolTable};

/// A symbol that other files see.
struct External<'a> {
    name: &'a [u8],
    section: u8,
    value: u64,
    undefined: bool,
    common: bool,
    /// Another definition may replace it, or it may stay undefined.
    weak: bool,
}

impl External<'_> {
    fn symbol(&self) -> Symbol {
        Symbol {
            name: self.name.to_vec(),
            undefined: self.undefined,
            weak: self.weak,
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
            let undefined = symbol.is_undefined();
            let weak = if undefined { N_WEAK_REF } else { N_WEAK_DEF };
            found.push(External {
                name: symbols.symbol_name(endian, symbol).ok()?,
                section: symbol.n_sect(),
                value: symbol.n_value(endian),
                undefined,
                common: symbol.is_common(),
                weak: symbol.n_desc(endian).contains(weak),
            });
        }
    }
    Some(found)
}

pub(in crate::wrapper) fn definitions(object: &[u8]) -> Option<Definitions<'_>> {
    let mut found = Definitions::default();
    for symbol in externals(object)? {
        let list = match symbol {
            External {
                undefined: true, ..
            } => &mut found.undefined,
            External { common: true, .. } => &mut found.common,
            External { weak: true, .. } => &mut found.weak,
            _ => &mut found.strong,
        };
        list.push(symbol.name);
    }
    Some(found)
}

/// The symbols in the order in which the linker takes them: by section and address, then those that
/// are needed.
pub(in crate::wrapper) fn symbols(object: &[u8]) -> Option<SymbolTable> {
    let mut all = externals(object)?;
    all.sort_by_key(|symbol| {
        // What is needed has no section.
        let place = (!symbol.undefined).then_some((symbol.section, symbol.value));
        (symbol.undefined, place)
    });
    Some(SymbolTable {
        symbols: all.iter().map(External::symbol).collect(),
        groups: Vec::new(),
    })
}

/// The symbols that it defines, in the order in which the index of an archive has them.
pub(in crate::wrapper) fn indexed(object: &[u8]) -> Option<Vec<Symbol>> {
    let all = externals(object)?;
    let defined = all.iter().filter(|symbol| !symbol.undefined);
    Some(defined.map(External::symbol).collect())
}

/// An object for the processor of `model` that holds nothing and needs the symbols `needed`; with
/// each, whether it may stay undefined.
pub(super) fn stub(model: &[u8], needed: &[(&[u8], bool)]) -> Option<Vec<u8>> {
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
