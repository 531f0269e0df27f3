//! The symbols of a bitcode file, in the order in which linkers read them.
//!
//! LLVM keeps a table of them beside the modules (`llvm/Object/IRSymtab.h`), so that a linker need
//! not read the modules themselves.

use super::bitcode::{self, MAGIC_BITS, block};
use super::bitstream::{BitstreamEntry, BitstreamError, BlockHeader, BlockReader, text};

/// A symbol that a linker sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub name: Vec<u8>,
    pub undefined: bool,
    pub weak: bool,
}

/// The code of the record that holds the content of both blocks.
const BLOB: u64 = 1;

mod flag {
    pub(super) const UNDEFINED: u32 = 1 << 3;
    pub(super) const WEAK: u32 = 1 << 4;
    pub(super) const GLOBAL: u32 = 1 << 10;
    pub(super) const FORMAT_SPECIFIC: u32 = 1 << 11;
}

/// What a linker sees of a bitcode file before LTO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SymbolTable {
    pub symbols: Vec<Symbol>,
    /// The names of its groups (`comdat`), of which the first one read wins.
    pub groups: Vec<Vec<u8>>,
}

/// Reads the table of the bitcode file `bytes`; `None` if it has none, or one that is damaged.
pub fn symbols(bytes: &[u8]) -> Option<SymbolTable> {
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

/// The content of a block that holds one blob.
pub(super) fn blob(stream: &[u8], header: &BlockHeader) -> Result<Option<Vec<u8>>, BitstreamError> {
    let mut entries = BlockReader::enter(stream, header, Vec::new());
    let mut values = Vec::new();
    loop {
        values.clear();
        match entries.next(&mut values)? {
            BitstreamEntry::End => return Ok(None),
            BitstreamEntry::Record(_) if values.first() == Some(&BLOB) => {
                return Ok(Some(text(&values[1..])));
            }
            BitstreamEntry::Record(_) | BitstreamEntry::Definition | BitstreamEntry::Block(_) => {}
        }
    }
}

fn read(table: &[u8], names: &[u8]) -> Option<SymbolTable> {
    /// Version, producer and modules stand before the range of groups, which comes first.
    const GROUPS: usize = 20;
    const SYMBOLS: usize = 28;
    /// A name and how it is selected.
    const GROUP: usize = 12;
    /// Two names, a group, flags.
    const SYMBOL: usize = 24;
    let word = |at: usize| {
        let bytes = table.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let offset = |at: usize| usize::try_from(word(at)?).ok();
    let name = |at: usize| {
        let (start, length) = (offset(at)?, offset(at.checked_add(4)?)?);
        let name = names.get(start..start.checked_add(length)?)?;
        Some(name.to_vec())
    };
    let entries = |range: usize, size: usize| {
        let (start, count) = (offset(range)?, offset(range + 4)?);
        let end = start.checked_add(count.checked_mul(size)?)?;
        (end <= table.len()).then(|| (start..end).step_by(size))
    };
    let groups = entries(GROUPS, GROUP)?.map(name).collect::<Option<_>>()?;
    let mut symbols = Vec::new();
    for at in entries(SYMBOLS, SYMBOL)? {
        let flags = word(at + 20)?;
        if flags & flag::GLOBAL == 0 || flags & flag::FORMAT_SPECIFIC != 0 {
            continue;
        }
        symbols.push(Symbol {
            name: name(at)?,
            undefined: flags & flag::UNDEFINED != 0,
            weak: flags & flag::WEAK != 0,
        });
    }
    Some(SymbolTable { symbols, groups })
}
