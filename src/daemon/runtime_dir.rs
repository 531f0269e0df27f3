//! The directory of a user's daemon, which other users cannot enter, with its socket, lock and log.
//!
//! Its owner is checked before use. A held lock means that a daemon runs or is being started; the
//! kernel releases it however that process ends.

use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;

use crate::error::Hinted;

/// What fits into an address of a Unix socket (`sun_path`), with its end.
const LONGEST_SOCKET: usize = 108;

/// Why no daemon can live in a directory.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDirError {
    #[error("cannot use the directory `{}` for the daemon", dir.display())]
    Unusable {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the directory `{}` is not safe for the daemon: {reason}", dir.display())]
    Unsafe { dir: PathBuf, reason: &'static str },
}

impl Hinted for RuntimeDirError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unusable { .. } => Vec::new(),
            Self::Unsafe { dir, .. } => vec![format!(
                "remove `{}`, or restrict it to yourself (`chmod 700`); `--daemon=off` does without",
                dir.display()
            )],
        }
    }
}

/// The directory of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeDir {
    dir: PathBuf,
}

impl RuntimeDir {
    /// Nothing is looked at or made yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("daemon.sock")
    }

    /// The daemon's log of its own failures.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    fn lock_file(&self) -> PathBuf {
        self.dir.join("daemon.lock")
    }

    /// Makes the directory, if it is missing, and looks whether it is this user's alone.
    ///
    /// # Errors
    /// It cannot be made, or others may enter it.
    pub fn prepare(&self) -> Result<(), RuntimeDirError> {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir);
        made.map_err(|source| self.unusable(source))?;
        self.check()
    }

    /// Looks whether the directory is this user's alone. One that is missing is.
    ///
    /// # Errors
    /// Others may enter it, or put another in its place.
    pub fn check(&self) -> Result<(), RuntimeDirError> {
        let reason = match fs::symlink_metadata(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(self.unusable(source)),
            Ok(found) if !found.is_dir() => "it is no directory",
            Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
                "it belongs to somebody else"
            }
            Ok(found) if found.mode() & 0o077 != 0 => "others may enter it",
            Ok(_) if self.socket().as_os_str().len() >= LONGEST_SOCKET => {
                let source = io::Error::other("its name is too long for a socket in it");
                return Err(self.unusable(source));
            }
            Ok(_) => return Ok(()),
        };
        Err(RuntimeDirError::Unsafe {
            dir: self.dir.clone(),
            reason,
        })
    }

    /// The lock, if it is free. A copy of the descriptor holds the lock too.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn lock(&self) -> io::Result<Option<fs::File>> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.lock_file())?;
        match file.file().try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether `file` is the lock's: what a daemon was handed by its starter.
    pub(super) fn is_lock(&self, file: &std::fs::File) -> bool {
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        let ours = fs::metadata(self.lock_file()).map(identity);
        let theirs = file.metadata().map(identity);
        ours.ok().is_some_and(|ours| theirs.ok() == Some(ours))
    }

    fn unusable(&self, source: io::Error) -> RuntimeDirError {
        let dir = self.dir.clone();
        RuntimeDirError::Unusable { dir, source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let place = RuntimeDir::new(parent.path().join("relto"));
        place.prepare().expect("made");
        let mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            fs::set_permissions(place.dir(), mode).expect("set");
        };
        mode(0o750);
        assert!(matches!(
            place.prepare(),
            Err(RuntimeDirError::Unsafe { .. })
        ));
        mode(0o700);
        place.prepare().expect("as it was made");
    }

    #[test]
    fn what_is_no_directory_of_this_user_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let real = parent.path().join("real");
        RuntimeDir::new(&real).prepare().expect("made");
        let link = parent.path().join("link");
        fs_err::os::unix::fs::symlink(&real, &link).expect("linked");
        assert!(matches!(
            RuntimeDir::new(&link).check(),
            Err(RuntimeDirError::Unsafe { .. })
        ));
        let long = parent.path().join("x".repeat(200));
        assert!(matches!(
            RuntimeDir::new(long).prepare(),
            Err(RuntimeDirError::Unusable { .. })
        ));
    }

    #[test]
    fn the_lock_is_had_once() {
        let parent = tempfile::tempdir().expect("a directory");
        let place = RuntimeDir::new(parent.path().join("relto"));
        place.prepare().expect("made");
        let lock = place.lock().expect("made").expect("free");
        assert!(place.lock().expect("there").is_none());
        assert!(place.is_lock(lock.file()));
        drop(lock);
        assert!(place.lock().expect("there").is_some());
    }
}
