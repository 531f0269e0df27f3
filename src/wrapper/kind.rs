//! Determines the kind of an input file from its first bytes.

use std::io::{self, Read as _};
use std::path::Path;

use memchr::memmem;

use crate::fs::open_regular;
use crate::thinlto::check_start;

use super::archive::Archive;

/// Enough for every magic number, and for the name of the first section of a WebAssembly file.
pub(super) const START: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Bitcode,
    Archive,
    /// Native, to be linked as it is; it may be a FatLTO object.
    Object,
    Shared,
    /// Several files in one, for several processors.
    Universal,
    /// Anything else: a linker script, as a rule.
    Text,
}

impl FileKind {
    /// # Errors
    /// The file cannot be read, or is a pipe or a device: what is read of one is gone.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let mut start = Vec::with_capacity(START);
        // It reads as an empty script.
        if path == Path::new("/dev/null") {
            return Ok(Self::Text);
        }
        open_regular(path)?
            .take(START as u64)
            .read_to_end(&mut start)?;
        Ok(Self::of(&start))
    }

    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            _ if check_start(start).is_ok() => Self::Bitcode,
            _ if Archive::is_one(start) => Self::Archive,
            [0x7f, b'E', b'L', b'F', ..] if is_dynamic(start) => Self::Shared,
            [0, b'a', b's', b'm', ..] if has(start, b"dylink.0") => Self::Shared,
            [0x7f, b'E', b'L', b'F', ..] | [0, b'a', b's', b'm', ..] => Self::Object,
            [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] if start.get(12..16) == Some(&[1, 0, 0, 0]) => {
                Self::Object
            }
            [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => Self::Shared,
            [0xca, 0xfe, 0xba, 0xbe | 0xbf, ..] => Self::Universal,
            _ => Self::Text,
        }
    }
}

/// `e_type` is `ET_DYN`, in either order of bytes.
fn is_dynamic(start: &[u8]) -> bool {
    match (start.get(5), start.get(16..18)) {
        (Some(1), Some(kind)) => kind == [3, 0],
        (Some(2), Some(kind)) => kind == [0, 3],
        _ => false,
    }
}

fn has(start: &[u8], name: &[u8]) -> bool {
    memmem::find(start, name).is_some()
}
