//! Why the disk cache cannot be used or written. A link warns once and goes on uncached.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::Access;

use super::mark::Contents;
use crate::error::Hinted;

/// The disk cache cannot be written, or cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The disk or the user's quota is full.
    #[error("no space is left for the disk cache `{path}`")]
    NoSpace { path: PathBuf },
    /// The directory or its file system may not be written. What is there can still be used.
    #[error("the disk cache `{path}` cannot be written: {reason}")]
    ReadOnly { path: PathBuf, reason: io::Error },
    /// Nothing in the directory may be removed.
    #[error(
        "the disk cache `{path}` is not trimmed: the directory is not marked as a cache of relto"
    )]
    NotMarked { path: PathBuf, contents: Contents },
    /// Another user's, who shares the directory with a umask that does not.
    #[error("the disk cache `{path}` is not trimmed: {reason}")]
    UnreadableMark { path: PathBuf, reason: io::Error },
    #[error("cannot use the disk cache `{path}`: {reason}")]
    Other { path: PathBuf, reason: io::Error },
}

impl CacheError {
    pub(super) fn new(path: &Path, reason: io::Error) -> Self {
        let path = path.to_owned();
        match reason.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, reason }
            }
            _ => Self::Other { path, reason },
        }
    }
}

/// Whether the directory is meant for several users, and something in it is not as open as it is.
fn is_shared_by_half(path: &Path, reason: &io::Error) -> bool {
    reason.kind() == io::ErrorKind::PermissionDenied
        && fs::metadata(path).is_ok_and(|found| found.mode() & 0o020 != 0)
        && rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

impl Hinted for CacheError {
    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::NoSpace { .. } => {
                "free some space, or lower `disk_cache_max_size`".to_owned()
            }
            Self::NotMarked { contents, .. } => match contents {
                Contents::Own => "its `CACHEDIR.TAG` is another program's, or cannot be written: remove that file, and look whether space is left",
                Contents::OtherCache => "it held a cache before relto used it, which may be Bazel's: set `disk_cache` to a directory of its own",
                Contents::Others => "it contains files that relto did not create: set `disk_cache` to a directory of its own",
            }
            .to_owned(),
            Self::UnreadableMark { path, .. } => format!(
                "that file marks it as a cache of relto: its owner can share it with `chmod -R g+rwX {}`",
                path.display()
            ),
            Self::ReadOnly { path, reason } if is_shared_by_half(path, reason) => format!(
                "others share the directory, and a umask of theirs does not: run `chmod -R g+rwX {}` as each of them, and link with `umask 002`",
                path.display()
            ),
            Self::ReadOnly { .. } | Self::Other { .. } => {
                "set `disk_cache` to a directory of yours, or to nothing to do without"
                    .to_owned()
            }
        }]
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn where_one_of_several_users_shares_nothing_the_umask_is_the_hint() {
        let dir = tempfile::tempdir().expect("a directory");
        let hint = |mode| {
            let mode = PermissionsExt::from_mode(mode);
            fs::set_permissions(dir.path(), mode).expect("set");
            let error = CacheError::new(dir.path(), io::ErrorKind::PermissionDenied.into());
            error.hint().expect("a hint")
        };
        let told = hint(0o2770);
        assert!(told.contains("umask 002"), "{told}");
        let told = hint(0o700);
        assert!(told.contains("set `disk_cache`"), "{told}");
    }
}
