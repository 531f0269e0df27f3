//! Counts what a daemon has done, for `relto daemon status`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::time::Instant;

use crate::events::Event;
use crate::events::OriginCounts;
use crate::process::ProcStatus;
use crate::task::lock;

/// Counts links, jobs, and modules that were uploaded ahead.
#[derive(Debug)]
pub(super) struct Stats {
    pub(super) started: Instant,
    under_way: AtomicUsize,
    done: Mutex<(u64, OriginCounts)>,
    ahead: AtomicU64,
}

/// Counts a link as running until it is dropped.
#[derive(Debug)]
pub(super) struct ActiveLink<'a>(&'a Stats);

impl Stats {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            under_way: AtomicUsize::new(0),
            done: Mutex::default(),
            ahead: AtomicU64::new(0),
        }
    }

    pub(super) fn begin(&self) -> ActiveLink<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        ActiveLink(self)
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, event: &Event) {
        let done = || lock(&self.done);
        match event {
            Event::JobFinished { origin, .. } => done().1.add(*origin),
            Event::Verified { verdict, .. } => done().1.add_verdict(*verdict),
            _ => {}
        }
    }

    pub(super) fn sent_ahead(&self, modules: u64) {
        self.ahead.fetch_add(modules, Ordering::Relaxed);
    }

    pub(super) fn ahead(&self) -> u64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Links that have ended, and where their jobs ran.
    pub(super) fn done(&self) -> (u64, OriginCounts) {
        *lock(&self.done)
    }
}

impl Drop for ActiveLink<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        let mut done = lock(&self.0.done);
        done.0 += 1;
    }
}

/// Resident bytes of this process.
pub(super) fn memory() -> u64 {
    let status = ProcStatus::of_this_process();
    status.resident_memory().unwrap_or(0)
}
