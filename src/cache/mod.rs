//! The disk cache: results and blobs of earlier links in Bazel's layout.
//!
//! It consists of plain files, whole or absent, so that links share it without locks. This module
//! decides when to trim; the trimming itself runs in a process of its own, but for that of a link that
//! finds the file system full.

mod buffers;
mod disk;
mod error;
mod mark;
mod size_estimate;
mod trim;

#[cfg(test)]
mod tests;

pub use disk::{DiskCache, LARGEST_BLOB};
pub use error::CacheError;
pub use size_estimate::{record_growth, reset_size_estimate};
pub use trim::{TrimReport, check_trimmable, make_room, trim, usage};

/// The approximate size of a file on disk: whole blocks of 4 KiB.
fn on_disk(size: u64) -> u64 {
    size.saturating_add(4095) & !4095
}
