//! Slots of this machine that all processes of a user share.
//!
//! A slot is a locked file: it is free again when the process that holds it ends, however it ends,
//! and a compiler that takes relto's place keeps it. Where the files cannot be made or locked there is
//! no limit. The directory and the files are private, since any process that may open a file may lock
//! it.

use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::fs::OFlags;
use rustix::io::{FdFlags, fcntl_setfd};

use crate::events;
use crate::fs::{OwnDir, host_name};

/// Pause between two attempts: short compared to a compile.
const PAUSE: Duration = Duration::from_millis(10);

/// A slot that is not free after this long is not held by a compile. Then one compiler too many is
/// better than none.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// The slots of a user on this machine.
#[derive(Debug)]
pub struct SlotFiles {
    /// relto's own directory, and that of the slots in it.
    root: PathBuf,
    below: PathBuf,
    count: usize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct SlotLock(fs::File);

/// The result of an attempt to take a slot.
#[derive(Debug)]
pub(super) enum SlotAttempt {
    Taken(SlotLock),
    Full,
    /// The files cannot be made or locked.
    Unlimited,
}

/// Where processes of this machine count together, below a directory that many machines may share.
pub(super) fn of_machine() -> PathBuf {
    Path::new("slots").join(host_name())
}

/// Why processes that keep their state in `dir` cannot count together: its file system has no
/// locks.
#[must_use]
pub fn lock_trouble(dir: &Path) -> Option<io::Error> {
    let dir = OwnDir::make_below(dir, &of_machine()).ok()?;
    // Not the file of a slot: somebody may want that at this moment.
    let file = dir.open_file("lock", OFlags::CREATE).ok()?;
    match file.file().try_lock() {
        Ok(()) | Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => Some(error),
    }
}

impl SlotFiles {
    /// `count` slots, for all processes that keep their state in `dir`.
    #[must_use]
    pub fn of_machine(dir: &Path, count: usize) -> Self {
        Self::below(dir, of_machine(), count)
    }

    /// The same, for uploads ahead of a link.
    #[must_use]
    pub fn of_uploads(dir: &Path, count: usize) -> Self {
        Self::below(dir, Path::new("ahead").join(of_machine()), count)
    }

    fn below(root: &Path, below: PathBuf, count: usize) -> Self {
        let root = root.to_owned();
        Self { root, below, count }
    }

    /// Waits for a slot, blocking the thread. `None` if there is no limit, or no slot for very
    /// long.
    #[must_use]
    pub fn take(&self) -> Option<SlotLock> {
        self.take_within(LONGEST_WAIT)
    }

    fn take_within(&self, limit: Duration) -> Option<SlotLock> {
        let started = events::now();
        loop {
            match self.attempt() {
                SlotAttempt::Taken(slot) => return Some(slot),
                SlotAttempt::Unlimited => return None,
                SlotAttempt::Full if started.elapsed() > limit => return None,
                SlotAttempt::Full => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Takes a slot if one is free at this moment.
    pub(super) fn attempt(&self) -> SlotAttempt {
        let Ok(dir) = OwnDir::make_below(&self.root, &self.below) else {
            return SlotAttempt::Unlimited;
        };
        let count = self.count;
        // Processes that start at the same time try different files first.
        let first = std::process::id() as usize;
        for number in (first..first + count).map(|number| number % count) {
            let Ok(file) = dir.open_file(&number.to_string(), OFlags::CREATE) else {
                return SlotAttempt::Unlimited;
            };
            match file.file().try_lock() {
                Ok(()) => return SlotAttempt::Taken(SlotLock(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(_)) => return SlotAttempt::Unlimited,
            }
        }
        SlotAttempt::Full
    }
}

impl SlotLock {
    /// Keeps the slot until the program that takes this process's place ends.
    pub fn survive_exec(self) {
        // If this fails the slot is free too early, and one compiler too many may run.
        let _ = fcntl_setfd(self.0.file(), FdFlags::empty());
        std::mem::forget(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_slots_as_were_asked_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let slots = SlotFiles::of_machine(dir.path(), 2);
        let (first, second) = (slots.take(), slots.take());
        assert!(first.is_some() && second.is_some());
        assert!(matches!(slots.attempt(), SlotAttempt::Full));
        assert!(slots.take_within(Duration::ZERO).is_none(), "not for ever");
        drop(first);
        assert!(slots.take().is_some());
    }

    #[test]
    fn slots_that_are_a_link_are_not_used() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let (root, elsewhere) = (top.path().join("root"), top.path().join("elsewhere"));
        fs::create_dir(&root).expect("made");
        fs::create_dir(&elsewhere).expect("made");
        for name in ["slots", "ahead"] {
            fs_err::os::unix::fs::symlink(&elsewhere, root.join(name)).expect("linked");
        }
        assert!(SlotFiles::of_machine(&root, 1).take().is_none());
        assert!(SlotFiles::of_uploads(&root, 1).take().is_none());
        assert_eq!(fs::read_dir(&elsewhere).expect("listed").count(), 0);
    }

    #[test]
    fn where_no_file_can_be_made_there_is_no_limit() {
        let slots = SlotFiles::of_machine(Path::new("/dev/null"), 1);
        assert!(slots.take().is_none());
    }
}
