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
