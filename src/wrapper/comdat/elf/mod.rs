//! Groups and symbols of ELF objects.

use std::collections::{HashMap, HashSet};

use object::elf;
use object::read::SectionIndex;
use object::read::elf::{FileHeader, SectionHeader as _, Sym as _};
use object::{Endianness, SymbolIndex};

use super::{Definitions, ZEROS};

mod stub;

pub(super) use self::stub::{definition, stub};

/// Where the header names the system that an object is for; what follows is zero. Modules are for
/// none, and neither are the objects of the linker's own LTO.
pub(in crate::wrapper) const ABI: usize = 7;

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
