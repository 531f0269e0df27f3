//! Who has been promised how much memory for a compiler, over all processes of the user.
//!
//! A compiler takes its memory bit by bit, so what is free when it starts is no measure for the
//! next one. Each compiler therefore has a [`MemoryReservation`]: a locked file that says how much
//! it will need and which process it is. Whoever starts the next one subtracts from the free memory
//! what those that run will still grow to. The kernel drops the locks with the process that holds
//! them, and a compiler that has ended or is stopped will not grow, whatever its file says.
//!
//! While no compiler runs, any may start: one that needs more than there is runs alone. A process
//! that has waited for long has the one file `waiting`, and others leave it the memory that it
//! waits for. Where the files cannot be made or locked, memory is not counted.

use std::fs::TryLockError;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::free_memory::{FreeMemory, MemoryLimit};
use super::proc_stat::ProcStat;
use super::slot_files;
use crate::events;
use crate::fs::OwnDir;

/// How often a machine without memory is looked at again: others do not tell when they end.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Pause between two attempts at the lock, and when it is held by a process that is stopped.
const LOCK_PAUSE: Duration = Duration::from_millis(2);
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// After so long, others leave a process the memory that it waits for.
const RESERVES_AFTER: Duration = Duration::from_secs(5);

/// What is left alone of each limit, one part in so many: pages of the kernel's own, and compilers
/// that take a little more than last time.
const MARGIN: u64 = 32;

/// How much memory compilers on this machine may have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalMemory {
    /// What the machine and its cgroups have left.
    #[default]
    Free,
    /// The same, and so many bytes at most.
    AtMost(u64),
    /// As much as they want.
    Unlimited,
}

impl LocalMemory {
    /// What this machine has in all, or this process's cgroups if they have less; `None` where the
    /// kernel does not say.
    #[must_use]
    pub fn of_host() -> Option<u64> {
        let limits = FreeMemory::of_process().limits();
        limits.iter().map(|limit| limit.total).min()
    }

    /// What compilers may have now, if none runs; `None` where memory is not counted.
    #[must_use]
    pub fn free(self) -> Option<u64> {
        let free = || left(&FreeMemory::of_process().limits(), &[]);
        match self {
            Self::Free => free(),
            Self::AtMost(bytes) => free().map(|free| free.min(bytes)),
            Self::Unlimited => None,
        }
    }
}

/// What one compiler more may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub bytes: u64,
    /// No compiler runs, so that any may start.
    pub empty: bool,
}

impl Room {
    /// Whether a compiler that needs `bytes` fits in beside the others.
    #[must_use]
    pub fn fits(self, bytes: u64) -> bool {
        bytes <= self.bytes
    }
}

/// The reservations of a user's processes on this machine.
#[derive(Debug)]
pub struct MemoryLedger {
    /// relto's own directory. `None`: memory is not counted.
    root: Option<PathBuf>,
    setting: LocalMemory,
    free: FreeMemory,
    /// A compiler of this process has ended.
    released: Arc<Notify>,
}

/// The ledger, for one process alone.
#[derive(Debug)]
pub struct LockedLedger<'a> {
    ledger: &'a MemoryLedger,
    dir: OwnDir,
    /// `None` if the lock is held by something that does not let go; then two processes may count
    /// on the same bytes.
    _lock: Option<fs::File>,
}

/// The memory of one compiler, until it is dropped.
#[derive(Debug, Default)]
pub struct MemoryReservation {
    entry: Option<LockedEntry>,
    bytes: AtomicU64,
    released: Option<Arc<Notify>>,
}

/// A process that waits for memory, until it is dropped.
#[derive(Debug)]
pub struct MemoryWait {
    since: Instant,
    entry: Option<LockedEntry>,
}

/// A locked file, and what it says.
#[derive(Debug)]
struct LockedEntry {
    file: fs::File,
    cgroup: Option<PathBuf>,
    pid_namespace: Option<String>,
}

/// The text of a file.
#[derive(Debug, Serialize, Deserialize)]
struct LedgerEntry {
    bytes: u64,
    /// The compiler, once it has started; until then the process that starts it.
    process: u32,
    started: bool,
    /// What the number of the process means.
    pid_namespace: Option<String>,
    /// Where the process's memory is counted.
    cgroup: Option<PathBuf>,
}

/// What a running compiler means for others.
#[derive(Debug)]
struct ClaimedMemory {
    /// It will need so much more than it has.
    growth: u64,
    bytes: u64,
    cgroup: Option<PathBuf>,
}

impl MemoryLedger {
    /// The ledger that all processes share that keep their state in `dir`.
    #[must_use]
    pub fn of_machine(dir: Option<&Path>, setting: LocalMemory) -> Self {
        let dir = dir.filter(|_| setting != LocalMemory::Unlimited);
        Self {
            root: dir.map(Path::to_owned),
            setting,
            free: FreeMemory::of_process(),
            released: Arc::default(),
        }
    }

    /// Waits, shortly, until no other process reads or writes the ledger. `None` where memory is
    /// not counted.
    pub async fn lock(&self) -> Option<LockedLedger<'_>> {
        let dir = self.dir()?;
        let file = dir.open_file("lock", OFlags::CREATE).ok()?;
        let started = events::now();
        let lock = loop {
            match file.file().try_lock() {
                Ok(()) => break Some(file),
                // The file system has no locks, so waiting would not help.
                Err(TryLockError::Error(_)) => return None,
                Err(TryLockError::WouldBlock) if started.elapsed() > LOCK_TIMEOUT => break None,
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            }
        };
        Some(LockedLedger {
            ledger: self,
            dir,
            _lock: lock,
        })
    }

    /// Resolves when it is worth to look again: a compiler has ended, or some time has passed.
    pub async fn changed(&self) {
        let _ = tokio::time::timeout(LOOK_INTERVAL, self.released.notified()).await;
    }

    fn dir(&self) -> Option<OwnDir> {
        let (root, below) = (self.root.as_ref()?, slot_files::of_machine().join("memory"));
        OwnDir::make_below(root, &below).ok()
    }

    fn entry(&self, file: fs::File) -> LockedEntry {
        LockedEntry {
            file,
            cgroup: self.free.cgroup().map(Path::to_owned),
            pid_namespace: pid_namespace(),
        }
    }
}

impl LockedLedger<'_> {
    /// What one compiler more may need. `None` where the kernel does not say. `waiting` is what
    /// this process waits for itself.
    #[must_use]
    pub fn room(&self, waiting: &MemoryWait) -> Option<Room> {
        let running = running(&self.dir);
        let waited_for = match &waiting.entry {
            Some(_) => None,
            None => waited_for(&self.dir),
        };
        let claimed: Vec<&ClaimedMemory> = running.iter().chain(&waited_for).collect();
        let mut bytes = left(&self.ledger.free.limits(), &claimed)?;
        if let LocalMemory::AtMost(limit) = self.ledger.setting {
            let promised = claimed
                .iter()
                .fold(0, |sum: u64, it| sum.saturating_add(it.bytes));
            bytes = bytes.min(limit.saturating_sub(promised));
        }
        Some(Room {
            bytes,
            empty: running.is_empty(),
        })
    }

    /// Promises `bytes` to a compiler.
    #[must_use]
    pub fn reserve(self, bytes: u64) -> MemoryReservation {
        let file = free_file(&self.dir).ok();
        let entry = file.map(|file| self.ledger.entry(file));
        if let Some(entry) = &entry {
            entry.write(bytes, None);
        }
        MemoryReservation {
            entry,
            bytes: bytes.into(),
            released: Some(Arc::clone(&self.ledger.released)),
        }
    }

    /// Called when nothing of what waits fits. After some time others leave `bytes` to this
    /// process.
    pub fn wait_for(&self, bytes: u64, waiting: &mut MemoryWait) {
        if waiting.entry.is_none() && waiting.since.elapsed() > RESERVES_AFTER {
            let file = self.dir.open_file(WAITING, OFlags::CREATE).ok();
            let file = file.filter(|file| file.file().try_lock().is_ok());
            waiting.entry = file.map(|file| self.ledger.entry(file));
        }
        if let Some(entry) = &waiting.entry {
            entry.write(bytes, None);
        }
    }
}

impl MemoryWait {
    /// Begins to wait.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            since: events::now(),
            entry: None,
        }
    }
}

impl MemoryReservation {
    /// The compiler is this process.
    pub fn started(&self, process: u32) {
        if let Some(entry) = &self.entry {
            entry.write(self.bytes.load(Ordering::Relaxed), Some(process));
        }
    }

    /// The next compiler of this reservation needs more than was known: nothing else may start
    /// beside it.
    pub fn take_all(&self) {
        self.bytes.store(u64::MAX, Ordering::Relaxed);
        if let Some(entry) = &self.entry {
            entry.write(u64::MAX, None);
        }
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        // Before others look, the lock must be gone.
        self.entry = None;
        if let Some(released) = &self.released {
            released.notify_one();
        }
    }
}

impl LockedEntry {
    /// Others read it while it is written, so it is one write, and of one length. One that cannot
    /// be written counts nothing.
    fn write(&self, bytes: u64, compiler: Option<u32>) {
        const LENGTH: usize = 2048;
        let entry = LedgerEntry {
            bytes,
            process: compiler.unwrap_or_else(std::process::id),
            started: compiler.is_some(),
            pid_namespace: self.pid_namespace.clone(),
            cgroup: self.cgroup.clone(),
        };
        let mut text = serde_json::to_vec(&entry).unwrap_or_default();
        text.resize(text.len().max(LENGTH), b' ');
        let _ = self.file.file().write_all_at(&text, 0);
    }
}

const WAITING: &str = "waiting";

/// The names in an entry are short; one that is longer counts as one that is being written.
const LONGEST_ENTRY: u64 = 64 << 10;

/// The first file that nobody holds, locked.
fn free_file(dir: &OwnDir) -> io::Result<fs::File> {
    let mut number: usize = 0;
    loop {
        let file = dir.open_file(&number.to_string(), OFlags::CREATE)?;
        match file.file().try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => number += 1,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The compilers that run, or are about to.
fn running(dir: &OwnDir) -> Vec<ClaimedMemory> {
    let names = dir.names().into_iter().flatten();
    let numbers = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let entries = numbers.filter_map(|name| held(dir, &name));
    entries.filter_map(LedgerEntry::running).collect()
}

/// What a process that has waited for long needs.
fn waited_for(dir: &OwnDir) -> Option<ClaimedMemory> {
    let entry = held(dir, WAITING)?;
    entry.running()
}

/// What a file says while a process holds it.
fn held(dir: &OwnDir, name: &str) -> Option<LedgerEntry> {
    let file = dir.open_file(name, OFlags::empty()).ok()?;
    if !matches!(file.file().try_lock(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut text = Vec::new();
    file.take(LONGEST_ENTRY).read_to_end(&mut text).ok()?;
    // What cannot be read is being written.
    Some(serde_json::from_slice(&text).unwrap_or(LedgerEntry {
        bytes: u64::MAX,
        process: 0,
        started: false,
        pid_namespace: None,
        cgroup: None,
    }))
}

impl LedgerEntry {
    fn is_of_this_namespace(&self) -> bool {
        self.pid_namespace == pid_namespace()
    }

    /// `None` for a process that has ended, or is stopped.
    fn running(self) -> Option<ClaimedMemory> {
        let resident = if self.is_of_this_namespace() {
            let found = ProcStat::of(self.process).filter(ProcStat::is_running)?;
            if self.started {
                found.resident_memory
            } else {
                0
            }
        } else {
            0
        };
        Some(ClaimedMemory {
            growth: self.bytes.saturating_sub(resident),
            bytes: self.bytes.max(resident),
            cgroup: self.cgroup,
        })
    }
}

/// The least that any limit has left when all that was promised below it is taken.
fn left(limits: &[MemoryLimit], claimed: &[&ClaimedMemory]) -> Option<u64> {
    let left = limits.iter().map(|limit| {
        let counts = |it: &&&ClaimedMemory| match (&limit.cgroup, &it.cgroup) {
            (Some(limited), Some(cgroup)) => cgroup.starts_with(limited),
            _ => true,
        };
        let growth = claimed.iter().filter(counts);
        let growth = growth.fold(0, |sum: u64, it| sum.saturating_add(it.growth));
        limit
            .left
            .saturating_sub(limit.total / MARGIN)
            .saturating_sub(growth)
    });
    left.min()
}

fn pid_namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
