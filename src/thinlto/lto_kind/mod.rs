//! Whether bitcode is for ThinLTO or for regular LTO.
//!
//! The linkers tell by the summary: a module with an index of its own is ThinLTO's, any other one
//! is merged with the rest. A file may hold one of each (`-fsplit-lto-unit`).

mod headers;

use std::io;
use std::ops::Range;

use super::ModuleError;
use super::bitcode::{self, MAGIC, MAGIC_BITS, block};
use super::bitstream::{BitstreamEntry, BitstreamError, BlockHeader, BlockInfo, BlockReader, text};

/// An outermost block of a file: its id, and its bytes with the header.
pub(super) type OuterBlock = (u64, Range<u64>);

/// Finds the outermost blocks of a file of `size` bytes by their headers, eight bytes each, which
/// `read` fetches. `None` where only a whole look can tell.
///
/// # Errors
/// Those of `read`.
pub(super) fn outer_blocks(
    size: u64,
    mut read: impl FnMut(u64) -> io::Result<[u8; 8]>,
) -> io::Result<Option<Vec<OuterBlock>>> {
    let mut at = MAGIC.len() as u64;
    if size < at + 8 || read(0)?[..4] != MAGIC {
        return Ok(None);
    }
    let mut blocks = Vec::new();
    while at + 8 <= size {
        let header = u64::from_le_bytes(read(at)?);
        // Two bits that begin a block, eight for its number, four for the width inside.
        let (begins, id) = (header & 0b11 == 1, header >> 2 & 0xFF);
        if !begins || id >= 0x80 {
            return Ok(None);
        }
        let end = at + 8 + 4 * (header >> 32);
        blocks.push((id, at..end));
        at = end;
    }
    Ok((at <= size).then_some(blocks))
}

/// Counts the modules in a file of `size` bytes by the headers of its outermost blocks, eight bytes
/// each, which `read` fetches. `None` where only a whole look can tell.
///
/// # Errors
/// Those of `read`.
pub fn count_modules(
    size: u64,
    read: impl FnMut(u64) -> io::Result<[u8; 8]>,
) -> io::Result<Option<usize>> {
    let blocks = outer_blocks(size, read)?;
    Ok(blocks.map(|blocks| {
        let modules = blocks.iter().filter(|(id, _)| *id == block::MODULE);
        modules.count()
    }))
}

/// The target triple of the first module in `start`, the first bytes of a file. `None` if it is not
/// in them.
pub fn triple(start: &[u8]) -> Option<String> {
    let mut top = BlockReader::top_level(start, MAGIC_BITS);
    let header = loop {
        let header = top.next_block().ok()??;
        if header.id == block::MODULE {
            break header;
        }
    };
    let mut entries = BlockReader::enter(start, &header, Vec::new());
    let record = find_record(start, &mut entries, &mut BlockInfo::default(), TRIPLE)?;
    String::from_utf8(text(&record[1..])).ok()
}

/// Reads the module in `bytes` on to its first record with this `code`, and returns its values,
/// the code first; `info` has the abbreviations up to there.
fn find_record<'a>(
    bytes: &'a [u8],
    entries: &mut BlockReader<'a>,
    info: &mut BlockInfo,
    code: u64,
) -> Option<Vec<u64>> {
    let mut values = Vec::new();
    loop {
        values.clear();
        match entries.next(&mut values).ok()? {
            BitstreamEntry::End => return None,
            BitstreamEntry::Block(inner) if inner.id == block::BLOCKINFO => {
                info.read(bytes, &inner).ok()?;
            }
            BitstreamEntry::Record(_) if values.first() == Some(&code) => return Some(values),
            BitstreamEntry::Block(_) | BitstreamEntry::Definition | BitstreamEntry::Record(_) => {}
        }
    }
}

/// Code of a module's record of its target triple.
const TRIPLE: u64 = 2;

/// The kinds of modules in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LtoKind {
    pub thin: bool,
    pub regular: bool,
}

impl LtoKind {
    /// Reads the headers of the blocks in `bytes`.
    ///
    /// # Errors
    /// It is not bitcode, or damaged, or holds no module.
    pub fn of(bytes: &[u8]) -> Result<Self, ModuleError> {
        let stream = bitcode::stream(bytes)?;
        let mut kind = Self::default();
        let mut info = BlockInfo::default();
        let mut top = BlockReader::top_level(stream, MAGIC_BITS);
        while let Some(header) = top.next_block()? {
            match header.id {
                block::MODULE if has_summary(stream, &header, &mut info)? => kind.thin = true,
                block::MODULE => kind.regular = true,
                block::BLOCKINFO => info.read(stream, &header)?,
                _ => {}
            }
        }
        if kind == Self::default() {
            return Err(ModuleError::NoModule);
        }
        Ok(kind)
    }
}

fn has_summary(
    stream: &[u8],
    header: &BlockHeader,
    info: &mut BlockInfo,
) -> Result<bool, BitstreamError> {
    let mut entries = BlockReader::enter(stream, header, info.abbrevs_of(block::MODULE));
    let mut values = Vec::new();
    loop {
        values.clear();
        match entries.next(&mut values)? {
            BitstreamEntry::End => return Ok(false),
            BitstreamEntry::Block(inner) if inner.id == block::BLOCKINFO => {
                info.read(stream, &inner)?;
            }
            BitstreamEntry::Block(inner) if inner.id == block::GLOBALVAL_SUMMARY => {
                return Ok(true);
            }
            BitstreamEntry::Block(_) | BitstreamEntry::Definition | BitstreamEntry::Record(_) => {}
        }
    }
}
