//! The symbols of a bitcode file, in the order in which linkers read them.
//!
//! LLVM keeps a table of them beside the modules (`llvm/Object/IRSymtab.h`), so that a linker need
//! not read the modules themselves.

use super::bitcode::{self, MAGIC_BITS, block};
use super::bitstream::{BitstreamError, BlockHeader, BlockReader, Entry};

/// A symbol that a linker sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub name: Vec<u8>,
    pub undefined: bool,
    pub weak: bool,
}

/// Of the record in both blocks that holds their content.
const BLOB: u64 = 1;

mod flag {
    pub(super) const UNDEFINED: u32 = 1 << 3;
    pub(super) const WEAK: u32 = 1 << 4;
    pub(super) const GLOBAL: u32 = 1 << 10;
    pub(super) const FORMAT_SPECIFIC: u32 = 1 << 11;
}

/// Reads the table of the bitcode file `bytes`; `None` if it has none, or one that is damaged.
pub fn symbols(bytes: &[u8]) -> Option<Vec<Symbol>> {
    let stream = bitcode::stream(bytes).ok()?;
    let (mut table, mut names) = (None, None);
    let mut top = BlockReader::top_level(stream, MAGIC_BITS);
    while let Some(header) = top.next_block().ok()? {
        match header.id {
            block::SYMTAB => table = blob(stream, &header).ok()?,
            // A symbol table's names are in the string table that follows it.
            block::STRTAB if table.is_some() && names.is_none() => {
                names = blob(stream, &header).ok()?;
            }
            _ => {}
        }
    }
    read(&table?, &names?)
}

fn blob(stream: &[u8], header: &BlockHeader) -> Result<Option<Vec<u8>>, BitstreamError> {
    let mut entries = BlockReader::enter(stream, header, Vec::new());
    let mut values = Vec::new();
    loop {
        values.clear();
        match entries.next(&mut values)? {
            Entry::End => return Ok(None),
            Entry::Record(_) if values.first() == Some(&BLOB) => {
                let bytes = values[1..].iter().map(|value| value.to_le_bytes()[0]);
                return Ok(Some(bytes.collect()));
            }
            Entry::Record(_) | Entry::Definition | Entry::Block(_) => {}
        }
    }
}

fn read(table: &[u8], names: &[u8]) -> Option<Vec<Symbol>> {
    /// Version, producer, modules and groups stand before the range of symbols.
    const RANGE: usize = 28;
    /// Two names, a group, flags.
    const SIZE: usize = 24;
    let word = |at: usize| {
        let bytes = table.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let offset = |at: usize| usize::try_from(word(at)?).ok();
    let (start, count) = (offset(RANGE)?, offset(RANGE + 4)?);
    let mut found = Vec::new();
    for number in 0..count {
        let at = start.checked_add(number.checked_mul(SIZE)?)?;
        let flags = word(at.checked_add(20)?)?;
        if flags & flag::GLOBAL == 0 || flags & flag::FORMAT_SPECIFIC != 0 {
            continue;
        }
        let (name, length) = (offset(at)?, offset(at + 4)?);
        found.push(Symbol {
            name: names.get(name..name.checked_add(length)?)?.to_vec(),
            undefined: flags & flag::UNDEFINED != 0,
            weak: flags & flag::WEAK != 0,
        });
    }
    Some(found)
}
