//! The limit of open files, which is low by default and counts every pipe and connection of a link.
//!
//! relto raises its own soft limit to the hard one. Compilers get the limit that relto was started
//! with: what they are given is as it would be without relto.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than a link needs; some systems set the hard limit to a billion.
const ENOUGH: u64 = 65_536;

/// The soft limit before it was raised.
static INHERITED: OnceLock<u64> = OnceLock::new();

/// Raises this process's soft limit as far as its hard one allows.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if let Some(current) = limit.current.filter(|current| *current < wanted)
        && set(Some(wanted), limit.maximum)
    {
        let _ = INHERITED.set(current);
    }
}

/// How many compilers this process can watch at a time, and so many threads can read inputs beside
/// them: at least one, whatever the limit.
#[must_use]
pub fn compilers_within_open_files() -> usize {
    // Standard streams, runtime, signals, database with its journals, connections; then the
    // planners' inputs.
    const BASE: u64 = 28;
    // Two pipes, the file for the plan, locks of slot and memory, and what is open for a moment.
    const EACH: u64 = 8;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    let compilers = limit.saturating_sub(BASE) / EACH;
    usize::try_from(compilers).unwrap_or(usize::MAX).max(1)
}

/// The soft limit that this process was started with, if it was raised.
pub(super) fn inherited() -> Option<u64> {
    INHERITED.get().copied()
}

/// Sets the soft limit of this process.
pub(super) fn restore(limit: u64) {
    set(Some(limit), getrlimit(Resource::Nofile).maximum);
}

fn set(current: Option<u64>, maximum: Option<u64>) -> bool {
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok()
}
