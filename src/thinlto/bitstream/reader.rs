//! Reads bits, and walks the entries of a block.
//!
//! [`records`](super::records) stores the records.

use std::ops::Range;

use super::abbrev::Abbrev;
use super::{BitstreamError, FIRST_APPLICATION, Result, UNABBREVIATED, id, width};

/// Bits of an aligned word, the unit of lengths.
const WORD_BITS: usize = 32;
const WORD_BYTES: usize = 4;
/// Bits that eight bytes yield at least, wherever in the first byte the position is.
const PEEK_BITS: usize = 57;

/// A position in a stream; bit `i` is bit `i % 8` of byte `i / 8`.
#[derive(Debug, Clone)]
pub(in crate::thinlto) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Reads `bytes` from bit `at` on.
    pub(in crate::thinlto) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(in crate::thinlto) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn bits_left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    pub(in crate::thinlto) fn malformed<T>(&self, what: &'static str) -> Result<T> {
        Err(BitstreamError::Malformed { at: self.at, what })
    }

    /// At least [`PEEK_BITS`] bits from here on; zeros after the end.
    #[inline]
    fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => rest
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        word >> (self.at % 8)
    }

    /// Reads the next `width` bits; at most 32.
    #[inline]
    pub(in crate::thinlto) fn fixed(&mut self, width: u32) -> Result<u64> {
        debug_assert!(width <= width::MAX);
        if self.bits_left() < width as usize {
            return Err(BitstreamError::Truncated { at: self.at });
        }
        let value = self.peek() & ((1 << width) - 1);
        self.at += width as usize;
        Ok(value)
    }

    /// Reads a number in chunks of `width` bits, lowest first; the top bit of a chunk says whether
    /// another follows. With width 0 the number is 0.
    #[inline]
    pub(in crate::thinlto) fn vbr(&mut self, width: u32) -> Result<u64> {
        if width == 0 {
            return Ok(0);
        }
        let more = 1 << (width - 1);
        let first = self.fixed(width)?;
        if first & more == 0 {
            return Ok(first);
        }
        self.vbr_rest(first ^ more, width)
    }

    /// Appends `count` numbers in chunks of `width` bits, decoding several from each peek.
    #[inline]
    pub(super) fn vbr_array(&mut self, width: u32, count: usize, out: &mut Vec<u64>) -> Result<()> {
        let more = 1 << width.saturating_sub(1);
        let mut left = count;
        while left > 0 {
            let mut window = self.peek();
            let pieces = PEEK_BITS.min(self.bits_left()) / width.max(1) as usize;
            let mut taken = 0;
            while taken < pieces.min(left) && window & more == 0 {
                out.push(window & (more - 1));
                window >>= width;
                taken += 1;
            }
            self.at += taken * width as usize;
            left -= taken;
            if taken == 0 {
                out.push(self.vbr(width)?);
                left -= 1;
            }
        }
        Ok(())
    }

    fn vbr_rest(&mut self, first: u64, width: u32) -> Result<u64> {
        let more = 1 << (width - 1);
        let (mut value, mut shift) = (first, width - 1);
        loop {
            let piece = self.fixed(width)?;
            let bits = piece & (more - 1);
            if shift >= u64::BITS || bits << shift >> shift != bits {
                return self.malformed("a number has more than 64 bits");
            }
            value |= bits << shift;
            if piece & more == 0 {
                return Ok(value);
            }
            shift += width - 1;
        }
    }

    /// Reads the next `count` bytes; the position is that of a byte.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        debug_assert!(self.at.is_multiple_of(8));
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let Some(bytes) = rest.get(..count) else {
            return Err(BitstreamError::Truncated { at: self.at });
        };
        self.at += count * 8;
        Ok(bytes)
    }

    /// Skips to the next multiple of 32 bits.
    pub(in crate::thinlto) fn align(&mut self) -> Result<()> {
        let aligned = self.at.next_multiple_of(WORD_BITS);
        if aligned > self.bytes.len() * 8 {
            return Err(BitstreamError::Truncated { at: self.at });
        }
        self.at = aligned;
        Ok(())
    }
}

/// The position of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::thinlto) struct BlockHeader {
    pub(in crate::thinlto) id: u64,
    /// Width of an abbreviation id inside the block.
    pub(in crate::thinlto) width: u32,
    /// Byte offset of the word that holds the length.
    pub(in crate::thinlto) length_at: usize,
    /// Byte range that the length counts; it ends with `END_BLOCK`.
    pub(in crate::thinlto) body: Range<usize>,
}

/// One entry of a block.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::thinlto) enum BitstreamEntry {
    /// The end of the block.
    End,
    /// A nested block; the reader has skipped it.
    Block(BlockHeader),
    /// An abbreviation definition: the last of [`BlockReader::abbrevs`].
    Definition,
    /// A record, whose values (code first) were appended, and the id of its abbreviation.
    Record(u32),
}

/// Abbreviations that BLOCKINFO defines for other blocks.
#[derive(Debug, Default)]
pub(in crate::thinlto) struct BlockInfo(Vec<(u64, Abbrev)>);

impl BlockInfo {
    /// Those for blocks with this id, in order.
    pub(in crate::thinlto) fn abbrevs_of(&self, block: u64) -> Vec<Abbrev> {
        let of_block = self.0.iter().filter(|(id, _)| *id == block);
        of_block.map(|(_, abbrev)| abbrev.clone()).collect()
    }

    /// Reads the body of a BLOCKINFO block.
    pub(in crate::thinlto) fn read(&mut self, stream: &[u8], header: &BlockHeader) -> Result<()> {
        const SETBID: u64 = 1;
        let mut block = BlockReader::enter(stream, header, Vec::new());
        let mut values = Vec::new();
        let mut current = None;
        loop {
            values.clear();
            match block.next(&mut values)? {
                BitstreamEntry::End => return Ok(()),
                BitstreamEntry::Block(_) => {}
                BitstreamEntry::Definition => match (current, block.abbrevs.pop()) {
                    (Some(id), Some(abbrev)) => self.0.push((id, abbrev)),
                    _ => {
                        return block
                            .bits
                            .malformed("BLOCKINFO defines an abbreviation for no block");
                    }
                },
                BitstreamEntry::Record(_) => {
                    if let [SETBID, id, ..] = values[..] {
                        current = Some(id);
                    }
                }
            }
        }
    }
}

/// Iterates over the entries of a block or of the top level.
#[derive(Debug)]
pub(in crate::thinlto) struct BlockReader<'a> {
    bits: BitReader<'a>,
    width: u32,
    abbrevs: Vec<Abbrev>,
}

impl<'a> BlockReader<'a> {
    /// Width of an abbreviation id outside all blocks.
    const TOP_LEVEL_WIDTH: u32 = 2;
    /// Bytes at the end of a stream that LLVM treats as padding.
    const PADDING: usize = 8;

    /// The top level of `stream`, which begins at bit `at`.
    pub(in crate::thinlto) fn top_level(stream: &'a [u8], at: usize) -> Self {
        Self {
            bits: BitReader::new(stream, at),
            width: Self::TOP_LEVEL_WIDTH,
            abbrevs: Vec::new(),
        }
    }

    /// The inside of the block at `header`. `inherited` are the abbreviations that BLOCKINFO
    /// defines for it.
    pub(in crate::thinlto) fn enter(
        stream: &'a [u8],
        header: &BlockHeader,
        inherited: Vec<Abbrev>,
    ) -> Self {
        Self {
            bits: BitReader::new(&stream[..header.body.end], header.body.start * 8),
            width: header.width,
            abbrevs: inherited,
        }
    }

    /// The next block of the top level, or `None` at the end of the stream.
    pub(in crate::thinlto) fn next_block(&mut self) -> Result<Option<BlockHeader>> {
        if self.bits.bits_left() < Self::PADDING * 8 {
            return Ok(None);
        }
        match self.bits.fixed(self.width)? {
            id::ENTER_SUBBLOCK => self.block().map(Some),
            _ => self
                .bits
                .malformed("the top level has an entry that is not a block"),
        }
    }

    /// The abbreviations defined so far; the id of the first is 4.
    pub(super) fn abbrevs(&self) -> &[Abbrev] {
        &self.abbrevs
    }

    pub(in crate::thinlto) fn position(&self) -> usize {
        self.bits.position()
    }

    /// Reads the next entry. The values of a record are appended to `values`, its code first.
    #[inline]
    pub(in crate::thinlto) fn next(&mut self, values: &mut Vec<u64>) -> Result<BitstreamEntry> {
        let abbrev_id = self.bits.fixed(self.width)?;
        match abbrev_id {
            id::END_BLOCK => self.end(),
            id::ENTER_SUBBLOCK => self.block().map(BitstreamEntry::Block),
            id::DEFINE_ABBREV => {
                let abbrev = Abbrev::read(&mut self.bits)?;
                self.abbrevs.push(abbrev);
                Ok(BitstreamEntry::Definition)
            }
            id::UNABBREV_RECORD => {
                self.unabbreviated(values)?;
                Ok(BitstreamEntry::Record(UNABBREVIATED))
            }
            application => {
                let number = u32::try_from(application).unwrap_or(u32::MAX);
                match self.abbrevs.get((number - FIRST_APPLICATION) as usize) {
                    Some(abbrev) => abbrev.read_record(&mut self.bits, values)?,
                    None => return self.bits.malformed("an abbreviation that was not defined"),
                }
                Ok(BitstreamEntry::Record(number))
            }
        }
    }

    fn end(&mut self) -> Result<BitstreamEntry> {
        self.bits.align()?;
        if self.bits.bits_left() != 0 {
            return self.bits.malformed("a block ends before its length says");
        }
        Ok(BitstreamEntry::End)
    }

    fn block(&mut self) -> Result<BlockHeader> {
        let bits = &mut self.bits;
        let id = bits.vbr(width::BLOCK_ID)?;
        let width = bits.vbr(width::NEW_ABBREV_LEN)?;
        bits.align()?;
        let length_at = bits.position() / 8;
        let words = bits.fixed(width::MAX)?;
        let start = length_at + WORD_BYTES;
        let length = usize::try_from(words).ok().map(|words| words * WORD_BYTES);
        let Ok(width @ 2..=width::MAX) = u32::try_from(width) else {
            return bits.malformed("a block with abbreviation ids of an impossible width");
        };
        match length.and_then(|length| start.checked_add(length)) {
            Some(end) if end <= bits.bytes.len() => {
                bits.at = end * 8;
                Ok(BlockHeader {
                    id,
                    width,
                    length_at,
                    body: start..end,
                })
            }
            _ => Err(BitstreamError::Truncated { at: bits.at }),
        }
    }

    fn unabbreviated(&mut self, values: &mut Vec<u64>) -> Result<()> {
        let code = self.bits.vbr(width::OPERAND)?;
        let count = self.bits.vbr(width::LENGTH)?;
        if count > (self.bits.bits_left() / width::OPERAND as usize) as u64 {
            return Err(BitstreamError::Truncated {
                at: self.bits.position(),
            });
        }
        values.push(code);
        for _ in 0..count {
            values.push(self.bits.vbr(width::OPERAND)?);
        }
        Ok(())
    }
}
