//! The kinds of modules in a file, from a few of its bytes.
//!
//! A module's summary follows its last function. The table of the module's functions says where
//! that one begins, a record near the start of the module where the table is.

use std::io;
use std::ops::Range;

use super::{LtoKind, find_record, outer_blocks};
use crate::fs::buffer_for;
use crate::thinlto::bitcode::{MAGIC, WRAPPER_MAGIC, block};
use crate::thinlto::bitstream::{
    BitReader, BitstreamEntry, BlockHeader, BlockInfo, BlockReader, id, width,
};

/// Code of a module's record of the place of its table of functions.
const TABLE_AT: u64 = 13;
/// Code of an entry of that table.
const FUNCTION: u64 = 3;
/// Enough for what comes before the place of the table, as a rule.
const START: u64 = 16 * 1024;
const WORD: u64 = 4;
const WORD_BITS: u64 = 32;

impl LtoKind {
    /// The same for a file of `size` bytes; `read` fills a buffer with the bytes at an offset.
    /// `None` where only a whole look can tell, or a module is damaged.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn of_headers(
        size: u64,
        read: &dyn Fn(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Option<Self>> {
        let Some(stream) = Stream::find(size, read)? else {
            return Ok(None);
        };
        let header = |at| {
            let mut header = [0; 8];
            stream.fill(&mut header, at)?;
            Ok(header)
        };
        let Some(blocks) = outer_blocks(stream.size, header)? else {
            return Ok(None);
        };
        let mut kind = Self::default();
        let mut base = MAGIC.len() as u64;
        for (id, range) in blocks {
            match id {
                // What a module says of places counts from there.
                block::IDENTIFICATION => base = range.start,
                block::MODULE => match (Module {
                    stream: &stream,
                    base,
                    range,
                })
                .has_summary()?
                {
                    Some(true) => kind.thin = true,
                    Some(false) => kind.regular = true,
                    None => return Ok(None),
                },
                _ => {}
            }
        }
        Ok(Some(kind).filter(|kind| *kind != Self::default()))
    }
}

/// The part of a file that is bitcode.
struct Stream<'a> {
    start: u64,
    size: u64,
    read: &'a dyn Fn(&mut [u8], u64) -> io::Result<()>,
}

impl<'a> Stream<'a> {
    fn find(
        size: u64,
        read: &'a dyn Fn(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Option<Self>> {
        let mut head = [0; 16];
        if size < head.len() as u64 {
            return Ok(None);
        }
        read(&mut head, 0)?;
        let mut whole = Self {
            start: 0,
            size,
            read,
        };
        if head.starts_with(&WRAPPER_MAGIC) {
            let [.., o0, o1, o2, o3, s0, s1, s2, s3] = head;
            whole.start = u32::from_le_bytes([o0, o1, o2, o3]).into();
            whole.size = u32::from_le_bytes([s0, s1, s2, s3]).into();
        }
        Ok(Some(whole).filter(|it| it.start + it.size <= size))
    }

    fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        (self.read)(buffer, self.start + at)
    }

    /// The bytes of `range`, as far as they exist.
    fn bytes(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = range.end.min(self.size).saturating_sub(range.start);
        let mut bytes = buffer_for(length)?;
        bytes.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        self.fill(&mut bytes, range.start)?;
        Ok(bytes)
    }
}

/// What the start of a module says.
struct ModuleStart {
    /// In bits of the stream.
    table_at: u64,
    /// After the record of the table's place.
    end: u64,
    info: BlockInfo,
}

/// A module in a stream. Places in it count from `base`.
struct Module<'a> {
    stream: &'a Stream<'a>,
    base: u64,
    range: Range<u64>,
}

impl Module<'_> {
    fn has_summary(&self) -> io::Result<Option<bool>> {
        let Some(start) = self.start()? else {
            return Ok(None);
        };
        let Some(mut at) = self.last_function(&start)? else {
            return Ok(None);
        };
        let width = self.width()?;
        // From the last function to the table there are only blocks.
        while at < start.table_at {
            match self.block(at, width)? {
                Some(found) if found.id == block::GLOBALVAL_SUMMARY => return Ok(Some(true)),
                Some(found) => at = found.end * 8,
                None => return Ok(None),
            }
        }
        Ok((at == start.table_at).then_some(false))
    }

    /// The width of abbreviation ids in the module.
    fn width(&self) -> io::Result<u32> {
        let header = self
            .stream
            .bytes(self.range.start..self.range.start + 2 * WORD)?;
        // After two bits that begin a block and eight for its number.
        Ok(u32::from(
            header.get(1).map_or(0, |byte| byte >> 2 & 0b1111),
        ))
    }

    fn start(&self) -> io::Result<Option<ModuleStart>> {
        let size = self.range.end - self.range.start;
        let mut length = START.min(size);
        loop {
            let bytes = self
                .stream
                .bytes(self.range.start..self.range.start + length)?;
            let found = read_start(&bytes, self.width()?);
            if let Some((table, end, info)) = found {
                return Ok(self.bit_of(table).map(|table_at| ModuleStart {
                    table_at,
                    end: self.range.start * 8 + end,
                    info,
                }));
            }
            if length == size {
                return Ok(None);
            }
            length = (length * 4).min(size);
        }
    }

    /// Where the last function begins, in bits, or the end of `start` if there is no function.
    fn last_function(&self, start: &ModuleStart) -> io::Result<Option<u64>> {
        let Some(table) = self.block(start.table_at, self.width()?)? else {
            return Ok(None);
        };
        if table.id != block::VALUE_SYMTAB {
            return Ok(None);
        }
        let bytes = self.stream.bytes(table.body..table.end)?;
        let header = BlockHeader {
            id: table.id,
            width: table.width,
            length_at: 0,
            body: 0..bytes.len(),
        };
        let inherited = start.info.abbrevs_of(block::VALUE_SYMTAB);
        let mut entries = BlockReader::enter(&bytes, &header, inherited);
        let mut values = Vec::new();
        let mut last = None;
        loop {
            values.clear();
            match entries.next(&mut values) {
                Ok(BitstreamEntry::End) => break,
                Ok(BitstreamEntry::Record(_)) => {
                    if let [FUNCTION, _, place, ..] = values[..] {
                        last = last.max(Some(place));
                    }
                }
                Ok(_) => {}
                Err(_) => return Ok(None),
            }
        }
        let Some(last) = last else {
            return Ok(Some(start.end));
        };
        Ok(self.bit_of(last))
    }

    /// A place in words, as the module's records say it, in bits of the stream. `None` if no file
    /// is so large.
    fn bit_of(&self, place: u64) -> Option<u64> {
        let at = place.saturating_sub(1).checked_mul(WORD)?;
        at.checked_add(self.base)?.checked_mul(8)
    }

    /// The block that begins at bit `at` of the stream.
    fn block(&self, at: u64, width: u32) -> io::Result<Option<FoundBlock>> {
        let word = at / WORD_BITS * WORD;
        if !(2..=width::MAX).contains(&width) || !self.range.contains(&word) {
            return Ok(None);
        }
        // Three words hold every header.
        let end = (word + 3 * WORD).min(self.range.end);
        let bytes = self.stream.bytes(word..end)?;
        let skipped = usize::try_from(at % WORD_BITS).unwrap_or_default();
        let mut bits = BitReader::new(&bytes, skipped);
        let mut header = || {
            if bits.fixed(width)? != id::ENTER_SUBBLOCK {
                return bits.malformed("not a block");
            }
            let number = bits.vbr(width::BLOCK_ID)?;
            let inner = bits.vbr(width::NEW_ABBREV_LEN)?;
            bits.align()?;
            Ok((number, inner, bits.fixed(width::MAX)?, bits.position()))
        };
        let Ok((id, inner, words, position)) = header() else {
            return Ok(None);
        };
        let body = word + position as u64 / 8;
        let found = FoundBlock {
            id,
            width: u32::try_from(inner).unwrap_or_default(),
            body,
            end: body + words * WORD,
        };
        let sound = found.end <= self.range.end && (2..=width::MAX).contains(&found.width);
        Ok(sound.then_some(found))
    }
}

/// The header of a block, in bytes of the stream.
struct FoundBlock {
    id: u64,
    width: u32,
    body: u64,
    end: u64,
}

/// The place of the table of functions, in words, and where its record ends, in bits of `module`,
/// the first bytes of a module; and the abbreviations so far. `None` if there is no such record in
/// them.
fn read_start(module: &[u8], width: u32) -> Option<(u64, u64, BlockInfo)> {
    const BODY: usize = 8;
    if module.len() < BODY || !(2..=width::MAX).contains(&width) {
        return None;
    }
    let header = BlockHeader {
        id: block::MODULE,
        width,
        length_at: 4,
        body: BODY..module.len(),
    };
    let mut info = BlockInfo::default();
    let mut entries = BlockReader::enter(module, &header, Vec::new());
    let record = find_record(module, &mut entries, &mut info, TABLE_AT)?;
    let place = *record.get(1)?;
    Some((place, entries.position() as u64, info))
}
