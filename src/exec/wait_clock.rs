//! Adds up how long something was waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::events;

/// The sum of all waits.
#[derive(Debug, Default)]
pub struct WaitClock(AtomicU64);

/// A wait under way; it counts when it is dropped, also if it was in vain.
#[derive(Debug)]
#[must_use = "the wait ends when it is dropped"]
pub struct RunningWait<'a> {
    clock: &'a WaitClock,
    since: Instant,
}

impl WaitClock {
    pub fn start(&self) -> RunningWait<'_> {
        RunningWait {
            clock: self,
            since: events::now(),
        }
    }

    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl Drop for RunningWait<'_> {
    fn drop(&mut self) {
        let waited = events::micros(self.since.elapsed());
        self.clock.0.fetch_add(waited, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_counts_also_if_it_was_in_vain() {
        let clock = WaitClock::default();
        let mut wait = clock.start();
        let five = Duration::from_secs(5);
        wait.since = wait.since.checked_sub(five).expect("the machine is older");
        assert_eq!(clock.total(), Duration::ZERO);
        drop(wait);
        assert!(clock.total() >= five);
    }
}
