//! The symbols of a bitcode file, in the order in which linkers read them.
//!
//! LLVM keeps a table of them beside the modules (`llvm/Object/IRSymtab.h`), so that a linker need
//! not read the modules themselves.

use std::io;
use std::ops::Range;

use super::bitcode::{self, MAGIC, MAGIC_BITS, block};
use super::bitstream::{BitstreamEntry, BitstreamError, BlockHeader, BlockReader, text};
use super::lto_kind::outer_blocks;
use crate::fs::buffer_for;

/// A symbol that a linker sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub name: Vec<u8>,
    pub undefined: bool,
    pub weak: bool,
    /// As the module has it; files of other kinds have it elsewhere.
    pub visibility: Visibility,
}

/// Who sees a symbol, from the narrowest that counts among files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    Hidden,
    Protected,
    #[default]
    Default,
}

/// The code of the record that holds the content of both blocks.
const BLOB: u64 = 1;

mod flag {
    pub(super) const VISIBILITY: u32 = 3;
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

/// A bitcode file of `size` bytes without its modules, enough for [`symbols`]; `read` fills a buffer
/// with the bytes at an offset. `None` where only a whole look can tell what is in the file.
///
/// # Errors
/// Those of `read`; the file does not fit into memory.
pub fn without_modules(
    size: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Option<Vec<u8>>> {
    let blocks = outer_blocks(size, |at| {
        let mut header = [0; 8];
        read(&mut header, at)?;
        Ok(header)
    })?;
    let Some(blocks) = blocks else {
        return Ok(None);
    };
    let kept = blocks
        .into_iter()
        .filter(|(id, _)| matches!(*id, block::SYMTAB | block::STRTAB));
    let mut ranges: Vec<Range<u64>> = kept.map(|(_, range)| range).collect();
    // Neighbours are read at once.
    ranges.dedup_by(|next, before| {
        let adjoins = before.end == next.start;
        if adjoins {
            before.end = next.end;
        }
        adjoins
    });
    let length = ranges.iter().map(|range| range.end - range.start).sum();
    let mut bytes = buffer_for(length)?;
    bytes.extend(MAGIC);
    for range in ranges {
        let start = bytes.len();
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        bytes.resize(start + length, 0);
        read(&mut bytes[start..], range.start)?;
    }
    Ok(Some(bytes))
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
            visibility: match flags & flag::VISIBILITY {
                1 => Visibility::Hidden,
                2 => Visibility::Protected,
                _ => Visibility::Default,
            },
        });
    }
    Some(SymbolTable { symbols, groups })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::thinlto::testing::wrapped;

    const MODULE: &[u8] = include_bytes!("testdata/module.bc");

    fn parts(file: &[u8], read: &Cell<usize>) -> io::Result<Option<Vec<u8>>> {
        without_modules(file.len() as u64, |bytes, at| {
            let at = usize::try_from(at).map_err(io::Error::other)?;
            let part = file
                .get(at..at + bytes.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(part);
            read.set(read.get() + bytes.len());
            Ok(())
        })
    }

    #[test]
    fn the_symbols_are_the_same_without_the_modules() {
        let read = Cell::new(0);
        let light = parts(MODULE, &read).expect("read").expect("plain bitcode");
        let whole = symbols(MODULE).expect("a symbol table");
        assert!(!whole.symbols.is_empty());
        assert_eq!(symbols(&light), Some(whole));
        assert!(read.get() < MODULE.len());
    }

    #[test]
    fn a_file_that_is_not_plain_bitcode_is_left_to_a_whole_look() {
        let read = Cell::new(0);
        let cut = &MODULE[..MODULE.len() / 2];
        for file in [
            &wrapped(MODULE)[..],
            cut,
            b"",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(parts(file, &read).expect("read"), None);
        }
    }
}
