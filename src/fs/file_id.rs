//! The identity of a file, whatever path names it.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Device and inode of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[must_use]
    pub fn new(device: u64, inode: u64) -> Self {
        Self { device, inode }
    }

    /// The file that is open, also if only its path is (`O_PATH`).
    ///
    /// # Errors
    /// The system's own.
    pub fn of_open(file: impl AsFd) -> io::Result<Self> {
        let found = rustix::fs::fstat(file)?;
        Ok(Self::new(found.st_dev, found.st_ino))
    }

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

/// `DEVICE:INODE`.
impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)
    }
}

/// The text is not `DEVICE:INODE`.
#[derive(Debug)]
pub struct NotAFileId;

impl FromStr for FileId {
    type Err = NotAFileId;

    fn from_str(text: &str) -> Result<Self, NotAFileId> {
        let (device, inode) = text.split_once(':').ok_or(NotAFileId)?;
        Ok(Self {
            device: device.parse().map_err(|_| NotAFileId)?,
            inode: inode.parse().map_err(|_| NotAFileId)?,
        })
    }
}
