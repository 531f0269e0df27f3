//! Tells one state of a file from another without reading it, and knows when that is not possible.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fs_err as fs;

use crate::fs::FileId;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Longer than the tick by which Linux stamps files (10 ms at 100 Hz).
const FINE_SLACK: Duration = Duration::from_millis(20);

/// For file systems that keep whole seconds, or even ones (FAT).
const COARSE_SLACK: Duration = Duration::from_secs(2);

/// A file as `stat` sees it, symbolic links followed. An inode number that is used again comes with
/// another ctime, where ctime is stamped by the kernel (see [`crate::fs::Medium`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Nanoseconds since 1970.
    pub ctime_ns: i64,
}

impl Identity {
    /// The file itself, whatever its state.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        FileId::new(self.device, self.inode)
    }

    pub(super) fn of(found: &std::fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            mtime_ns: nanos(found.mtime(), found.mtime_nsec()),
            ctime_ns: nanos(found.ctime(), found.ctime_nsec()),
        }
    }
}

/// The identity of the file at `path`.
///
/// # Errors
/// The system's own, with the path in the message.
pub fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|found| Identity::of(&found))
}

/// Whether the file could be written once more, after it was hashed, without a change of its times:
/// git calls such an entry racily clean. `hashed_at` is the moment, in nanoseconds since 1970,
/// before the first byte was read.
#[must_use]
pub fn is_racy(identity: &Identity, hashed_at: i64) -> bool {
    let changed = identity.mtime_ns.max(identity.ctime_ns);
    let whole_seconds =
        identity.mtime_ns % NANOS_PER_SECOND == 0 && identity.ctime_ns % NANOS_PER_SECOND == 0;
    let slack = if whole_seconds {
        COARSE_SLACK
    } else {
        FINE_SLACK
    };
    let slack = i64::try_from(slack.as_nanos()).unwrap_or(i64::MAX);
    changed >= hashed_at.saturating_sub(slack)
}

/// Whether a digest that is made of the file at `path` from now on can be remembered. False for one
/// that was written a moment ago; true for one that cannot be looked at, since waiting would not
/// help.
pub fn is_settled(path: &Path) -> bool {
    identity(path).map_or(true, |found| !is_racy(&found, wall_clock()))
}

/// Nanoseconds since 1970 by the clock that stamps local files.
pub(super) fn wall_clock() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds
        .saturating_mul(NANOS_PER_SECOND)
        .saturating_add(nanos)
}
