//! Identifies the relto that a process runs. Two processes of the same [`Build`] speak the same
//! protocol.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use fs_err as fs;
use serde::{Deserialize, Serialize};

/// An executable, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// As `relto --version` says.
    pub version: String,
    /// The executable's modification time in nanoseconds since 1970, device, inode and size.
    modified: i64,
    device: u64,
    inode: u64,
    size: u64,
}

impl Build {
    /// The build of this process, whatever has its executable's name by now.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn of_process() -> io::Result<Self> {
        let found = fs::metadata("/proc/self/exe")?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            modified: found
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(found.mtime_nsec()),
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
        })
    }

    /// Whether this process's executable was removed or replaced since it was started, so that no
    /// caller of its build will come.
    #[must_use]
    pub fn is_gone() -> bool {
        let link = fs::read_link("/proc/self/exe").unwrap_or_default();
        link.as_os_str().as_encoded_bytes().ends_with(b" (deleted)")
    }

    /// Whether this one is to replace `other`: of another release the later one, of the same
    /// release the one built later.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let rank = |build: &Self| (release(&build.version), build.modified);
        self != other && rank(self) > rank(other)
    }
}

/// The numbers of a version, for comparison.
fn release(version: &str) -> Vec<u64> {
    let numbers = version.split(|c: char| !c.is_ascii_digit());
    numbers.map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_release_is_newer_and_so_is_a_later_build_of_the_same() {
        let this = Build {
            modified: 5,
            ..Build::of_process().expect("/proc")
        };
        let with = |version: &str, modified| Build {
            version: version.to_owned(),
            modified,
            ..this.clone()
        };
        assert!(with("0.10.0", 1).is_newer_than(&with("0.9.9", 2)));
        assert!(!with("0.9.9", 2).is_newer_than(&with("0.10.0", 1)));
        assert!(with(&this.version, 6).is_newer_than(&this));
        assert!(!this.is_newer_than(&this));
    }
}
