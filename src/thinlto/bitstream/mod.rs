//! LLVM's bitstream container: blocks, abbreviations, records
//! (<https://llvm.org/docs/BitCodeFormat.html>).
//!
//! Memory is bounded by the input: an array is no longer than the remaining bits, and a block
//! yields no more numbers than it has bits.

mod abbrev;
mod reader;
mod records;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use abbrev::{Abbrev, ScalarEncoding, Tail, char6_index};
pub(super) use reader::{BitReader, BitstreamEntry, BlockHeader, BlockInfo, BlockReader};
pub(super) use records::{Record, Records};
#[cfg(test)]
pub(super) use writer::BitWriter;

/// The abbreviation ids that exist in every block.
pub(super) mod id {
    pub(super) const END_BLOCK: u64 = 0;
    pub(in crate::thinlto) const ENTER_SUBBLOCK: u64 = 1;
    pub(super) const DEFINE_ABBREV: u64 = 2;
    pub(super) const UNABBREV_RECORD: u64 = 3;
}

/// The abbreviation id of a record without an abbreviation.
pub(super) const UNABBREVIATED: u32 = 3;
/// The id of the first abbreviation that a block defines.
const FIRST_APPLICATION: u32 = 4;

/// Widths that the format fixes.
pub(super) mod width {
    pub(in crate::thinlto) const BLOCK_ID: u32 = 8;
    pub(in crate::thinlto) const NEW_ABBREV_LEN: u32 = 4;
    pub(super) const ABBREV_OPS: u32 = 5;
    pub(super) const LITERAL: u32 = 8;
    pub(super) const ENCODING: u32 = 3;
    pub(super) const ENCODING_DATA: u32 = 5;
    pub(super) const LENGTH: u32 = 6;
    pub(super) const OPERAND: u32 = 6;
    pub(super) const CHAR6: u32 = 6;
    /// The maximum width of a fixed field and of a chunk of a variable-width number.
    pub(in crate::thinlto) const MAX: u32 = 32;
}

/// The text or blob that operands hold, a byte each.
pub(super) fn text(operands: &[u64]) -> Vec<u8> {
    let bytes = operands.iter().map(|value| value.to_le_bytes()[0]);
    bytes.collect()
}

/// A bitstream that is damaged, or that LLVM never writes. Positions count from the magic number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BitstreamError {
    #[error("the bitstream ends early, at bit {at}")]
    Truncated { at: usize },
    #[error("malformed bitstream at bit {at}: {what}")]
    Malformed { at: usize, what: &'static str },
}

pub(super) type Result<T> = std::result::Result<T, BitstreamError>;
