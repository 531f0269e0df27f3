//! Groups and symbols of ELF objects.

use std::collections::{HashMap, HashSet};

use object::elf;
use object::read::SectionIndex;
use object::read::elf::{FileHeader, SectionHeader as _, Sym as _};
use object::{Endianness, SymbolIndex};

use super::{Definitions, ZEROS};

/// The type of thread-local variables.
pub(super) const TLS: u8 = elf::STT_TLS.0;

pub(in crate::wrapper) fn definitions(object: &[u8]) -> Option<Definitions<'_>> {
    if is_wide(object)? {
        read::<elf::FileHeader64<Endianness>>(object)
    } else {
        read::<elf::FileHeader32<Endianness>>(object)
    }
}

fn is_wide(object: &[u8]) -> Option<bool> {
    match object.get(4)? {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

fn read<Elf: FileHeader<Endian = Endianness>>(object: &[u8]) -> Option<Definitions<'_>> {
    let header = Elf::parse(object).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, object).ok()?;
    let symbols = sections.symbols(endian, object, elf::SHT_SYMTAB).ok()?;
    let mut found = Definitions::default();
    let mut group_of: HashMap<usize, &[u8]> = HashMap::new();
    for section in sections.iter() {
        let Some((flags, members)) = section.group(endian, object).ok()? else {
            continue;
        };
        if flags != elf::GRP_COMDAT {
            continue;
        }
        let signature = usize::try_from(section.sh_info(endian)).ok()?;
        let signature = symbols.symbol(SymbolIndex(signature)).ok()?;
        let name = symbols.symbol_name(endian, signature).ok()?;
        found.groups.push(name);
        for member in members {
            group_of.insert(usize::try_from(member.get(endian)).ok()?, name);
        }
    }
    for (index, section) in sections.enumerate() {
        let name = sections.section_name(endian, section).ok()?;
        // One of a group may not be in the program.
        if is_identifier(name) && !group_of.contains_key(&index.0) {
            found.sections.push(name);
        }
    }
    for (index, symbol) in symbols.enumerate() {
        if symbol.is_local() || index.0 == 0 {
            continue;
        }
        let name = symbols.symbol_name(endian, symbol).ok()?;
        if symbol.st_visibility() != elf::STV_DEFAULT {
            found.hidden.push(name);
        }
        if symbol.st_type() != elf::STT_NOTYPE {
            found.types.insert(name, symbol.st_type().0);
        }
        if symbol.is_undefined(endian) {
            found.undefined.push(name);
            continue;
        }
        let section: Option<SectionIndex> = symbols.symbol_section(endian, symbol, index).ok()?;
        let group = section.and_then(|section| group_of.get(&section.0));
        match group {
            Some(group) => found.grouped.push((name, group)),
            None if symbol.is_common(endian) => found.common.push(name),
            None if symbol.is_weak() => found.weak.push(name),
            None => found.strong.push(name),
        }
    }
    Some(found)
}

/// Whether C has such names.
fn is_identifier(name: &[u8]) -> bool {
    let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    name.first().is_some_and(|byte| !byte.is_ascii_digit()) && name.iter().all(of_word)
}

/// Where the object names a system that the program must not get from it.
pub(super) fn system(object: &[u8]) -> Option<usize> {
    /// Its modules have one, too.
    const AMD_GPU: u8 = 224;
    (*object.get(ABI)? != 0 && *object.get(18)? != AMD_GPU).then_some(ABI)
}

/// Where the object says of each of its groups that it is one of several copies: words that are
/// zero if it is not.
pub(super) fn claims(object: &[u8]) -> Option<Vec<usize>> {
    let places = if is_wide(object)? {
        flags::<elf::FileHeader64<Endianness>>(object)
    } else {
        flags::<elf::FileHeader32<Endianness>>(object)
    }?;
    let last = object.len().checked_sub(ZEROS.len())?;
    places.iter().all(|place| *place <= last).then_some(places)
}

/// The object with the definitions of `names` taken out of its symbol table. The code stays: other
/// names may be in the same section.
pub(super) fn without_symbols(object: &[u8], names: &HashSet<Vec<u8>>) -> Option<Vec<u8>> {
    let (wide, places) = if is_wide(object)? {
        (
            true,
            places::<elf::FileHeader64<Endianness>>(object, names)?,
        )
    } else {
        (
            false,
            places::<elf::FileHeader32<Endianness>>(object, names)?,
        )
    };
    let mut out = object.to_vec();
    for place in places {
        // Section, value and size; name, type and visibility stay.
        let parts = if wide {
            [6..24, 6..24]
        } else {
            [4..12, 14..16]
        };
        for part in parts {
            out.get_mut(place + part.start..place + part.end)?.fill(0);
        }
    }
    Some(out)
}

/// Where the entries of `names` are in the symbol table.
fn places<Elf: FileHeader<Endian = Endianness>>(
    object: &[u8],
    names: &HashSet<Vec<u8>>,
) -> Option<Vec<usize>> {
    let header = Elf::parse(object).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, object).ok()?;
    let symbols = sections.symbols(endian, object, elf::SHT_SYMTAB).ok()?;
    let (_, table) = sections
        .enumerate()
        .find(|(_, section)| section.sh_type(endian) == elf::SHT_SYMTAB)?;
    let start = usize::try_from(table.sh_offset(endian).into()).ok()?;
    let mut found = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        let name = symbols.symbol_name(endian, symbol).ok()?;
        if !symbol.is_local() && names.contains(name) {
            found.push(start + index.0 * size_of::<Elf::Sym>());
        }
    }
    Some(found)
}

/// Where the flags of groups are.
fn flags<Elf: FileHeader<Endian = Endianness>>(object: &[u8]) -> Option<Vec<usize>> {
    let header = Elf::parse(object).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, object).ok()?;
    let groups = sections
        .iter()
        .filter(|section| section.sh_type(endian) == elf::SHT_GROUP);
    groups
        .map(|section| usize::try_from(section.sh_offset(endian).into()).ok())
        .collect()
}

/// An object like `model` that holds nothing but empty groups of the names `claimed`, and refers
/// weakly to the symbols `named`. If sections are `kept`, the output has all that it has. It is for
/// the system `abi`.
pub(super) fn stub(
    model: &[u8],
    abi: u8,
    claimed: &[&[u8]],
    named: &[(&[u8], u8)],
    kept: bool,
) -> Option<Vec<u8>> {
    let writer = ElfWriter {
        wide: is_wide(model)?,
        little: model.get(5) == Some(&1),
        kept,
    };
    let mut stub = writer.stub(model, claimed, named);
    if system(model).is_some() {
        stub[ABI] = 0;
    }
    if stub[ABI] == 0 {
        stub[ABI] = abi;
    }
    Some(stub)
}

#[derive(Debug, Clone, Copy)]
struct ElfWriter {
    wide: bool,
    little: bool,
    kept: bool,
}

/// A section that is to be written: type, flags, offset, size, link, info, alignment, entry size.
type OutputSection = [usize; 8];

const NULL: OutputSection = [0; 8];
const STRTAB: usize = 3;
const SYMTAB: usize = 2;
const GROUP: usize = 17;
const NOTE: usize = 7;
const ADDRSIG: usize = 0x6fff_4c03;
/// Not for the program.
const EXCLUDE: usize = 0x8000_0000;

/// Where the header names the system that an object is for; what follows is zero. Modules are for
/// none, and neither are the objects of the linker's own LTO.
pub(in crate::wrapper) const ABI: usize = 7;

/// The one section whose name matters; it stands at the beginning of the names, after an empty one.
const PROPERTY_NAME: &[u8] = b"\0.note.gnu.property\0";

impl ElfWriter {
    fn push(self, out: &mut Vec<u8>, value: usize, bytes: usize) {
        let value = value as u64;
        let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
        if self.little {
            out.extend_from_slice(&little[..bytes]);
        } else {
            out.extend_from_slice(&big[8 - bytes..]);
        }
    }

    /// The size of an address.
    fn word(self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    fn stub(self, model: &[u8], claimed: &[&[u8]], named: &[(&[u8], u8)]) -> Vec<u8> {
        let header = if self.wide { 64 } else { 52 };
        let mut out = model[..header].to_vec();
        let mut strings = PROPERTY_NAME.to_vec();
        let texts = claimed.iter().chain(named.iter().map(|(name, _)| name));
        let offsets = texts.map(|name| {
            let at = strings.len();
            strings.extend_from_slice(name);
            strings.push(0);
            at
        });
        let offsets: Vec<usize> = offsets.collect();
        let strtab = [STRTAB, 0, out.len(), strings.len(), 0, 0, 1, 0];
        out.extend_from_slice(&strings);
        let symtab = self.symbols(&mut out, &offsets, named);
        let mut sections = vec![NULL, strtab, symtab];
        if !self.kept {
            // Without this, the linker takes the addresses of all its symbols for compared.
            sections.push([ADDRSIG, EXCLUDE, out.len(), 0, 2, 0, 1, 0]);
        }
        sections.extend(self.property(&mut out, model));
        for number in 0..claimed.len() {
            out.resize(out.len().next_multiple_of(4), 0);
            sections.push([GROUP, 0, out.len(), 4, 2, number + 1, 4, 4]);
            self.push(&mut out, 1, 4);
        }
        out.resize(out.len().next_multiple_of(8), 0);
        let table = out.len();
        for section in &sections {
            self.section(&mut out, section);
        }
        self.finish(out, table, sections.len(), header)
    }

    /// Symbols without a section, whose names are at `offsets`. The last are weak references to
    /// what is `named`, the others nothing but names.
    fn symbols(self, out: &mut Vec<u8>, offsets: &[usize], named: &[(&[u8], u8)]) -> OutputSection {
        const WEAK: u8 = 2 << 4;
        out.resize(out.len().next_multiple_of(8), 0);
        let start = out.len();
        let local = offsets.len() - named.len();
        let (size, info) = if self.wide { (24, 4) } else { (16, 12) };
        for (number, name) in [0].iter().chain(offsets).enumerate() {
            let symbol = out.len();
            self.push(out, *name, 4);
            out.resize(symbol + size, 0);
            if let Some((_, kind)) = number.checked_sub(local + 1).map(|at| named[at]) {
                out[symbol + info] = WEAK | kind;
            }
        }
        let count = offsets.len() + 1;
        [SYMTAB, 0, start, count * size, 1, local + 1, 8, size]
    }

    /// The linker keeps a feature of the processor only if every object has it: this one has all.
    fn property(self, out: &mut Vec<u8>, model: &[u8]) -> Option<OutputSection> {
        const X86: usize = 0xc000_0002;
        const AARCH64: usize = 0xc000_0000;
        let machine = [model[18], model[19]];
        let machine = if self.little {
            u16::from_le_bytes(machine)
        } else {
            u16::from_be_bytes(machine)
        };
        let kind = match elf::Machine(machine) {
            elf::EM_X86_64 | elf::EM_386 => X86,
            elf::EM_AARCH64 => AARCH64,
            _ => return None,
        };
        out.resize(out.len().next_multiple_of(8), 0);
        let start = out.len();
        let described = (3 * 4_usize).next_multiple_of(self.word());
        for value in [4, described, 5] {
            self.push(out, value, 4);
        }
        out.extend_from_slice(b"GNU\0");
        for value in [kind, 4, 0xffff_ffff] {
            self.push(out, value, 4);
        }
        out.resize(start + 16 + described, 0);
        Some([NOTE, 2, start, 16 + described, 0, 0, self.word(), 0])
    }

    fn section(self, out: &mut Vec<u8>, section: &OutputSection) {
        let [kind, flags, offset, size, link, info, align, entry] = *section;
        let word = self.word();
        let name = usize::from(kind == NOTE);
        for (value, bytes) in [
            (name, 4),
            (kind, 4),
            (flags, word),
            (0, word),
            (offset, word),
            (size, word),
            (link, 4),
            (info, 4),
            (align, word),
            (entry, word),
        ] {
            self.push(out, value, bytes);
        }
    }

    /// Puts the place of the section table into the header.
    fn finish(self, mut out: Vec<u8>, table: usize, count: usize, header: usize) -> Vec<u8> {
        let word = self.word();
        let section_size = if self.wide { 64 } else { 40 };
        let mut fields = Vec::new();
        // Entry point, program headers, section headers.
        for value in [0, 0, table] {
            self.push(&mut fields, value, word);
        }
        out[24..24 + fields.len()].copy_from_slice(&fields);
        // The flags stay those of the model.
        let sizes = 24 + 3 * word + 4;
        let mut fields = Vec::new();
        for value in [header, 0, 0, section_size, count, 1] {
            self.push(&mut fields, value, 2);
        }
        out[sizes..sizes + fields.len()].copy_from_slice(&fields);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrapper::comdat::ObjectChange;

    #[test]
    fn a_stub_claims_its_groups_and_defines_nothing() {
        for wide in [true, false] {
            let class = if wide { 2 } else { 1 };
            let mut model = vec![0; 64];
            model[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
            model[16..20].copy_from_slice(&[1, 0, 62, 0]);
            model[20] = 1;
            let stub =
                stub(&model, 3, &[b"f", b"_ZN1AC5Ev"], &[(b"g", 6)], false).expect("written");
            assert_eq!(stub[ABI], 3);
            let found = definitions(&stub).expect("an object");
            assert_eq!(found.groups, [&b"f"[..], b"_ZN1AC5Ev"]);
            assert_eq!(found.symbols().count(), 0);
            assert_eq!(found.undefined, [b"g"]);
            let claims = claims(&stub).expect("an object");
            let loose = ObjectChange::Zeros(claims).applied(stub);
            assert!(definitions(&loose).expect("an object").groups.is_empty());
        }
    }
}
