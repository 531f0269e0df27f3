//! LLVM's bitstream container: blocks, abbreviations, records (`llvm.org/docs/BitCodeFormat.html`).
//!
//! Enters: bytes. Leaves: records as numbers, and bytes again. What a record means is for the
//! modules above.
//!
//! Memory is bounded by the input: an array is no longer than the bits that are left, and a block
//! yields no more numbers than it has bits.

mod abbrev;
mod reader;
mod records;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use abbrev::{Abbrev, Scalar, Tail, char6_index};
pub(super) use reader::{BitReader, BlockHeader, BlockInfo, BlockReader, Entry};
pub(super) use records::{Record, Records};
#[cfg(test)]
pub(super) use writer::BitWriter;

/// Abbreviation ids that every block has.
mod id {
    pub(super) const END_BLOCK: u64 = 0;
    pub(super) const ENTER_SUBBLOCK: u64 = 1;
    pub(super) const DEFINE_ABBREV: u64 = 2;
    pub(super) const UNABBREV_RECORD: u64 = 3;
}

/// What stands for an abbreviation id where there is no abbreviation.
pub(super) const UNABBREVIATED: u32 = 3;
/// The id of a block's first own abbreviation.
const FIRST_APPLICATION: u32 = 4;

/// Widths that the format fixes.
mod width {
    pub(super) const BLOCK_ID: u32 = 8;
    pub(super) const NEW_ABBREV_LEN: u32 = 4;
    pub(super) const ABBREV_OPS: u32 = 5;
    pub(super) const LITERAL: u32 = 8;
    pub(super) const ENCODING: u32 = 3;
    pub(super) const ENCODING_DATA: u32 = 5;
    pub(super) const LENGTH: u32 = 6;
    pub(super) const OPERAND: u32 = 6;
    pub(super) const CHAR6: u32 = 6;
    /// The widest fixed field, and the widest piece of a variable one.
    pub(super) const MAX: u32 = 32;
}

/// A bitstream that is damaged, or that no LLVM writes. Positions are counted from the magic
/// number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BitstreamError {
    #[error("the bitstream ends early, at bit {at}")]
    Truncated { at: usize },
    #[error("malformed bitstream at bit {at}: {what}")]
    Malformed { at: usize, what: &'static str },
}

pub(super) type Result<T> = std::result::Result<T, BitstreamError>;
