//! The limit of open files, which is low by default and counts every pipe and connection of a link.
//!
//! relto raises its own soft limit to the hard one. Compilers get the limit that relto was started
//! with: what they are given is as it would be without relto.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::soft;

/// More than a link needs; some systems set the hard limit to a billion.
const ENOUGH: u64 = 65_536;

/// The soft limit before it was raised.
static INHERITED: OnceLock<u64> = OnceLock::new();

/// Raises this process's soft limit as far as its hard one allows.
pub fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    // One that is unlimited is the largest number.
    let wanted = hard.min(ENOUGH);
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() {
        let _ = INHERITED.set(soft);
    }
}

/// Standard streams, runtime, signals, database with its journals, connections; then the planners'
/// inputs.
const BASE: u64 = 28;

/// What watching a compiler takes: two pipes, the file for the plan, locks of slot and memory, and
/// what is open for a moment.
const EACH: u64 = 8;

/// A compiler with its libraries has fewer files.
const MAX_HELD: u64 = 64;

/// How many compilers this process can watch at a time, and so many threads can read inputs beside
/// them: at least one, whatever the limit.
#[must_use]
pub fn compilers() -> usize {
    let limit = limit();
    let compilers = limit.saturating_sub(BASE + held_within(limit)) / EACH;
    usize::try_from(compilers).unwrap_or(usize::MAX).max(1)
}

/// How many files this process can hold open for a whole link, beside those that it needs: none
/// where the limit leaves room for one compiler only.
#[must_use]
pub fn held_files() -> usize {
    usize::try_from(held_within(limit())).unwrap_or(usize::MAX)
}

fn held_within(limit: u64) -> u64 {
    (limit.saturating_sub(BASE + 2 * EACH) / 2).min(MAX_HELD)
}

fn limit() -> u64 {
    soft(Resource::RLIMIT_NOFILE).unwrap_or(ENOUGH)
}

/// The soft limit that this process was started with, if it was raised.
#[must_use]
pub fn inherited() -> Option<u64> {
    INHERITED.get().copied()
}

/// Sets the soft limit of this process.
pub fn restore(limit: u64) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, limit, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_held_open_only_beside_two_compilers() {
        for (limit, held) in [(16, 0), (32, 0), (44, 0), (64, 10), (256, 64), (ENOUGH, 64)] {
            assert_eq!(held_within(limit), held, "{limit}");
        }
    }
}
