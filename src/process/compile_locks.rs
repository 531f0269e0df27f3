//! What is being compiled on this machine, so that links that run at the same time compile each
//! action once.
//!
//! A lock is a file with the name of what is compiled. The holder removes the file before unlocking
//! it: a lock that one gets after waiting belongs to a file without a name if that compile has ended,
//! and to one with a name if only its process has.

use std::fs::TryLockError;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use fs_err as fs;
use rustix::fs::OFlags;

use super::slot_files;
use crate::digest::{Digest, DigestFunction, is_hash};
use crate::fs::OwnDir;

/// No compile takes as long: the process that made the file was killed.
const STALE: Duration = Duration::from_hours(24);

/// The compiles of all processes that keep their state in one directory and their results in one
/// cache.
#[derive(Debug)]
pub struct CompileLocks {
    root: PathBuf,
    below: PathBuf,
    cache: PathBuf,
    /// Set once stale files are removed.
    swept: Once,
}

/// The only compile of an action, until it is dropped.
#[derive(Debug)]
pub struct CompileLock {
    dir: OwnDir,
    name: String,
    _locked: fs::File,
}

/// The compile of an action by another link.
#[derive(Debug)]
pub struct OtherCompile {
    dir: OwnDir,
    name: String,
    file: fs::File,
}

/// What is known of the other compiles of an action.
#[derive(Debug)]
pub enum CompileAttempt {
    /// There is none, nor will there be one while the lock is held.
    Locked(CompileLock),
    UnderWay(OtherCompile),
    /// There was one.
    Ended,
    /// The file cannot be made or locked.
    Unknown,
}

impl CompileLocks {
    /// Of processes that keep their state in `dir` and their results in `cache`: others could not
    /// use what one of them compiles.
    #[must_use]
    pub fn of_machine(dir: &Path, cache: &Path) -> Self {
        Self {
            root: dir.to_owned(),
            below: slot_files::of_machine().join("compiles"),
            cache: cache.to_owned(),
            swept: Once::new(),
        }
    }

    /// Takes the lock of the action `key`, if it is free at this moment.
    #[must_use]
    pub fn attempt(&self, key: &Digest) -> CompileAttempt {
        let Ok(dir) = OwnDir::make_below(&self.root, &self.below) else {
            return CompileAttempt::Unknown;
        };
        // Not for a link that compiles nothing.
        self.swept.call_once(|| {
            let _ = dir.remove_older(STALE, is_hash);
        });
        let name = self.name(key);
        match dir.open_file(&name, OFlags::CREATE) {
            Ok(file) => OtherCompile { dir, name, file }.attempt(),
            Err(_) => CompileAttempt::Unknown,
        }
    }

    fn name(&self, key: &Digest) -> String {
        let cache = self.cache.as_os_str().as_encoded_bytes();
        let text = [key.hash.as_ref(), cache].concat();
        DigestFunction::Sha256.digest(&text).hex()
    }
}

impl OtherCompile {
    /// What has become of it.
    #[must_use]
    pub fn attempt(self) -> CompileAttempt {
        match self.file.file().try_lock() {
            Ok(()) if self.has_ended() => CompileAttempt::Ended,
            Ok(()) => CompileAttempt::Locked(CompileLock {
                dir: self.dir,
                name: self.name,
                _locked: self.file,
            }),
            Err(TryLockError::WouldBlock) => CompileAttempt::UnderWay(self),
            Err(TryLockError::Error(_)) => CompileAttempt::Unknown,
        }
    }

    fn has_ended(&self) -> bool {
        self.file.metadata().is_ok_and(|file| file.nlink() == 0)
    }
}

impl Drop for CompileLock {
    fn drop(&mut self) {
        // A file that stays is locked again by the next compile, and removed after it.
        let _ = self.dir.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn locks(dir: &Path, cache: &str) -> CompileLocks {
        CompileLocks::of_machine(dir, Path::new(cache))
    }

    fn names(dir: &Path) -> Vec<String> {
        let dir = dir.join(slot_files::of_machine()).join("compiles");
        let entries = fs::read_dir(dir).expect("listed");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let names = entries.map(name);
        names
            .map(|name| name.into_string().expect("text"))
            .collect()
    }

    #[test]
    fn one_of_two_compiles_and_the_other_learns_that_it_has_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = DigestFunction::Sha256.digest(b"key");
        let one = locks(dir.path(), "cache").attempt(&key);
        let CompileAttempt::Locked(lock) = one else {
            panic!("{one:?}");
        };
        assert!(names(dir.path()).iter().all(|name| is_hash(name)));
        let other = locks(dir.path(), "cache").attempt(&key);
        let CompileAttempt::UnderWay(other) = other else {
            panic!("{other:?}");
        };
        let CompileAttempt::UnderWay(other) = other.attempt() else {
            panic!("not while it is compiled");
        };
        for (cache, key) in [
            ("another", &key),
            ("cache", &DigestFunction::Sha256.digest(b"x")),
        ] {
            let elsewhere = locks(dir.path(), cache).attempt(key);
            assert!(matches!(elsewhere, CompileAttempt::Locked(_)), "{cache}");
        }
        drop(lock);
        assert_eq!(names(dir.path()).len(), 0);
        assert!(matches!(other.attempt(), CompileAttempt::Ended));
    }

    /// The kernel unlocks the file, and its name stays.
    #[test]
    fn the_compile_of_a_killed_process_is_begun_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let locks = locks(dir.path(), "cache");
        let key = DigestFunction::Sha256.digest(b"key");
        let own = OwnDir::make_below(&locks.root, &locks.below).expect("made");
        let file = own.open_file(&locks.name(&key), OFlags::CREATE);
        let file = file.expect("made");
        file.file().lock().expect("locked");
        let CompileAttempt::UnderWay(other) = locks.attempt(&key) else {
            panic!("it is locked");
        };
        drop(file);
        assert!(matches!(other.attempt(), CompileAttempt::Locked(_)));
        assert_eq!(names(dir.path()).len(), 0);
    }

    #[test]
    fn where_no_file_can_be_made_nothing_is_known() {
        let locks = locks(Path::new("/dev/null"), "cache");
        let key = DigestFunction::Sha256.digest(b"key");
        assert!(matches!(locks.attempt(&key), CompileAttempt::Unknown));
    }
}
