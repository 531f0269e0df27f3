//! Writes bits.

use super::width;

/// Packs bits into bytes, lowest first.
#[derive(Debug, Default)]
pub(in crate::thinlto) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that do not yet make up a word of `bytes`.
    pending: u64,
    /// Number of pending bits; fewer than 64 between calls.
    count: u32,
}

impl BitWriter {
    pub(in crate::thinlto) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Writes the low `width` bits of `value`, at most 32; the others must be zero.
    #[inline]
    pub(super) fn fixed(&mut self, value: u64, width: u32) {
        debug_assert!(width <= width::MAX && value >> width == 0);
        self.pending |= value << self.count;
        self.count += width;
        if self.count >= u64::BITS {
            self.bytes.extend_from_slice(&self.pending.to_le_bytes());
            self.count -= u64::BITS;
            // The bits that did not fit: fewer than 32, so the shift is less than 64.
            self.pending = value >> (width - self.count);
        }
    }

    /// Writes `value` in as few chunks of `width` bits as possible, lowest first. `width` is at
    /// least 2.
    #[inline]
    pub(super) fn vbr(&mut self, mut value: u64, width: u32) {
        debug_assert!((2..=width::MAX).contains(&width));
        let more = 1 << (width - 1);
        while value >= more {
            self.fixed(value & (more - 1) | more, width);
            value >>= width - 1;
        }
        self.fixed(value, width);
    }

    /// Writes zeros up to the next multiple of 32 bits.
    pub(super) fn align(&mut self) {
        let over = self.count % u32::BITS;
        if over > 0 {
            self.fixed(0, u32::BITS - over);
        }
    }

    /// The written bytes, padded to a whole word.
    pub(in crate::thinlto) fn finish(mut self) -> Vec<u8> {
        self.align();
        let rest = self.pending.to_le_bytes();
        self.bytes
            .extend_from_slice(&rest[..self.count as usize / 8]);
        self.bytes
    }

    /// Writes a block around a body of whole words, inside a block with abbreviation ids of
    /// `outer_width` bits.
    #[cfg(test)]
    pub(in crate::thinlto) fn block(&mut self, outer_width: u32, id: u64, width: u32, body: &[u8]) {
        self.fixed(super::id::ENTER_SUBBLOCK, outer_width);
        self.vbr(id, width::BLOCK_ID);
        self.vbr(u64::from(width), width::NEW_ABBREV_LEN);
        self.align();
        self.fixed(body.len() as u64 / 4, width::MAX);
        for byte in body {
            self.fixed(u64::from(*byte), 8);
        }
    }

    /// The body of a BLOCKINFO block that defines these abbreviations for the blocks with one id.
    #[cfg(test)]
    pub(in crate::thinlto) fn blockinfo(
        block: u64,
        width: u32,
        abbrevs: &[super::Abbrev],
    ) -> Vec<u8> {
        const SETBID: u64 = 1;
        let mut bits = Self::default();
        bits.fixed(super::id::UNABBREV_RECORD, width);
        for value in [SETBID, 1, block] {
            bits.vbr(value, width::OPERAND);
        }
        for abbrev in abbrevs {
            bits.fixed(super::id::DEFINE_ABBREV, width);
            abbrev.write_definition(&mut bits);
        }
        bits.fixed(super::id::END_BLOCK, width);
        bits.finish()
    }
}
