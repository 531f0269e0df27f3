//! Slots of this machine that all processes of a user share.
//!
//! A slot is a locked file in a directory. It is free again when the process that holds it ends,
//! however it ends; a compiler that replaces relto by `exec` keeps holding it. If the files cannot
//! be created there is no limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::io::{FdFlags, fcntl_setfd};

/// How long to wait before looking for a free slot again: short beside a compile.
const PAUSE: Duration = Duration::from_millis(10);

/// The slots of a user on this machine.
#[derive(Debug)]
pub struct SlotFiles {
    dir: PathBuf,
    count: usize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct SlotLock(fs::File);

/// What asking for a slot gave.
#[derive(Debug)]
pub(super) enum SlotAttempt {
    Taken(SlotLock),
    Full,
    /// The files cannot be made.
    Unlimited,
}

impl SlotFiles {
    /// `count` slots, for all processes that keep their state in `dir`.
    #[must_use]
    pub fn of_machine(dir: &Path, count: usize) -> Self {
        // The directory may be one of many machines.
        let machine = rustix::system::uname();
        let machine = machine.nodename().to_string_lossy().replace('/', "_");
        let dir = dir.join("slots").join(machine);
        Self { dir, count }
    }

    /// Waits for a slot, blocking the thread. `None` where there is no limit.
    #[must_use]
    pub fn take(&self) -> Option<SlotLock> {
        loop {
            match self.attempt() {
                SlotAttempt::Taken(slot) => return Some(slot),
                SlotAttempt::Unlimited => return None,
                SlotAttempt::Full => std::thread::sleep(PAUSE),
            }
        }
    }

    /// A slot, if one is free at this moment.
    pub(super) fn attempt(&self) -> SlotAttempt {
        let count = self.count;
        // Processes that come at the same time try different files first.
        let first = std::process::id() as usize;
        for number in (first..first + count).map(|number| number % count) {
            let Ok(file) = self.open(number) else {
                return SlotAttempt::Unlimited;
            };
            match file.file().try_lock() {
                Ok(()) => return SlotAttempt::Taken(SlotLock(file)),
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(_)) => return SlotAttempt::Unlimited,
            }
        }
        SlotAttempt::Full
    }

    fn open(&self, number: usize) -> std::io::Result<fs::File> {
        let path = self.dir.join(number.to_string());
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false);
        options.open(&path).or_else(|_| {
            fs::create_dir_all(&self.dir)?;
            options.open(&path)
        })
    }
}

impl SlotLock {
    /// The program that takes this process's place holds the slot until it ends, and so does this
    /// process until then.
    pub fn survive_exec(self) {
        // Where this fails the slot is free too early, which costs nothing but order.
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
        drop(first);
        assert!(slots.take().is_some());
    }

    #[test]
    fn where_no_file_can_be_made_there_is_no_limit() {
        let slots = SlotFiles::of_machine(Path::new("/dev/null"), 1);
        assert!(slots.take().is_none());
    }
}
