//! The directory of a user's daemon, which no other user can enter, with its socket, lock, key and
//! log.
//!
//! While the lock is held, a daemon runs or is being started; the kernel releases it however that
//! ends. The key is a secret: the mode of the directory keeps other users away from the socket, and
//! the key keeps away what this user has confined, such as a compiler in its sandbox, which may be
//! able to connect to a socket but not to read a file.

use std::fs::TryLockError;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use uuid::Uuid;

use crate::error::Hinted;
use crate::fs::{
    FileId, create_private_dir, open_private_file, read_regular_no_follow, remove_if_there,
};

/// The length of a Unix socket's address (`sun_path`), with its terminator.
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
                "remove `{}`, or make it private (`chmod 700`); `--daemon=off` does without a daemon",
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
    /// Neither checks nor makes anything.
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

    /// What the daemon writes about its own faults.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    fn key_file(&self) -> PathBuf {
        self.dir.join("daemon.key")
    }

    fn lock_file(&self) -> PathBuf {
        self.dir.join("daemon.lock")
    }

    /// Makes the directory if it is missing, and checks that only this user can enter it.
    ///
    /// # Errors
    /// It cannot be made, or others may enter it.
    pub fn prepare(&self) -> Result<(), RuntimeDirError> {
        create_private_dir(&self.dir).map_err(|source| self.unusable(source))?;
        self.check()
    }

    /// Checks that only this user can enter the directory, if it is there.
    ///
    /// # Errors
    /// Others may enter it, or put another in its place.
    pub fn check(&self) -> Result<(), RuntimeDirError> {
        let reason = match fs::symlink_metadata(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(self.unusable(source)),
            Ok(found) if !found.is_dir() => "it is not a directory",
            Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
                "it belongs to another user"
            }
            Ok(found) if found.mode() & 0o077 != 0 => "other users may enter it",
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

    /// Takes the lock if it is free. Every copy of the descriptor holds it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn lock(&self) -> io::Result<Option<fs::File>> {
        let file = open_private_file(&self.lock_file())?;
        match file.file().try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether `file` is the lock file, as a daemon gets it from its starter.
    pub(super) fn is_lock(&self, file: &std::fs::File) -> bool {
        let theirs = file.metadata().ok().map(|found| FileId::of(&found));
        theirs.is_some() && FileId::at(&self.lock_file()) == theirs
    }

    /// Makes the key of a daemon that starts here, and writes it where its callers read it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn new_key(&self) -> io::Result<String> {
        let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let path = self.key_file();
        remove_if_there(&path)?;
        open_private_file(&path)?.write_all(key.as_bytes())?;
        Ok(key)
    }

    /// The key of the daemon that runs here.
    ///
    /// # Errors
    /// There is none, or this process may not read it.
    pub(super) fn key(&self) -> io::Result<String> {
        let bytes = read_regular_no_follow(self.key_file())?;
        String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
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
    fn a_directory_that_other_users_may_enter_is_refused() {
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
    fn a_link_and_a_name_too_long_for_a_socket_are_refused() {
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
    fn only_one_process_can_hold_the_lock() {
        let parent = tempfile::tempdir().expect("a directory");
        let place = RuntimeDir::new(parent.path().join("relto"));
        place.prepare().expect("made");
        let lock = place.lock().expect("made").expect("free");
        assert!(place.lock().expect("there").is_none());
        assert!(place.is_lock(lock.file()));
        drop(lock);
        assert!(place.lock().expect("there").is_some());
    }

    #[test]
    fn each_daemon_has_a_private_key_of_its_own() {
        let parent = tempfile::tempdir().expect("a directory");
        let place = RuntimeDir::new(parent.path().join("relto"));
        place.prepare().expect("made");
        assert!(place.key().is_err(), "no daemon has run here");
        let first = place.new_key().expect("written");
        let second = place.new_key().expect("written");
        assert_ne!(first, second);
        assert_eq!(place.key().expect("read"), second);
        let mode = fs::metadata(place.key_file()).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
