//! Which file a path names, however it is spelled.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Device and inode of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[must_use]
    pub fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
        }
    }

    /// The file that `path` names, links followed; `None` if it cannot be looked at.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        fs_err::metadata(path).ok().map(|found| Self::of(&found))
    }
}
