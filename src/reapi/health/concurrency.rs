//! Limits the calls to an address at a time.
//!
//! No server announces its limit; it shows when the server refuses a call (`RESOURCE_EXHAUSTED`),
//! and then half as many are admitted. Whenever as many calls as the limit have succeeded, it grows
//! by one, so that a server that was busy for a moment is not spared forever.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::task::lock;

/// Limits the calls under way to one address (additive increase, multiplicative decrease).
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    state: Mutex<CallCount>,
    released: Notify,
}

#[derive(Debug)]
struct CallCount {
    limit: usize,
    under_way: usize,
    /// Grows when the limit falls: refusals of calls from an earlier epoch say nothing about the
    /// new limit.
    epoch: u64,
    succeeded: usize,
}

/// Permission for one call, released on drop.
#[derive(Debug)]
pub(crate) struct CallPermit<'a> {
    limit: &'a ConcurrencyLimit,
    epoch: u64,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        let state = CallCount {
            limit: usize::MAX,
            under_way: 0,
            epoch: 0,
            succeeded: 0,
        };
        Self {
            state: Mutex::new(state),
            released: Notify::new(),
        }
    }
}

impl ConcurrencyLimit {
    pub(crate) async fn acquire(&self) -> CallPermit<'_> {
        loop {
            let released = self.released.notified();
            if let Some(permit) = self.try_acquire() {
                return permit;
            }
            released.await;
        }
    }

    fn try_acquire(&self) -> Option<CallPermit<'_>> {
        let mut state = self.lock();
        if state.under_way >= state.limit {
            return None;
        }
        state.under_way += 1;
        let epoch = state.epoch;
        Some(CallPermit { limit: self, epoch })
    }

    fn lock(&self) -> MutexGuard<'_, CallCount> {
        lock(&self.state)
    }
}

impl CallPermit<'_> {
    /// The server refused this call because too many were under way.
    pub(crate) fn overloaded(self) {
        let mut state = self.limit.lock();
        if state.epoch == self.epoch {
            state.limit = (state.under_way / 2).max(1);
            state.epoch += 1;
            state.succeeded = 0;
        }
    }

    pub(crate) fn succeeded(self) {
        let mut state = self.limit.lock();
        if state.limit == usize::MAX {
            return;
        }
        state.succeeded += 1;
        if state.succeeded >= state.limit {
            state.limit += 1;
            state.succeeded = 0;
            self.limit.released.notify_one();
        }
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.lock();
        state.under_way -= 1;
        if state.under_way < state.limit {
            self.limit.released.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Calls a server that takes `capacity` calls at a time, each for a second, and refuses others
    /// at once. Returns the number of refusals.
    async fn served(limit: &ConcurrencyLimit, calls: usize, capacity: usize) -> usize {
        let under_way = Mutex::new(0);
        let refused = Mutex::new(0);
        let call = async || loop {
            let permit = limit.acquire().await;
            let is_full = {
                let mut under_way = under_way.lock().expect("no panic");
                *under_way += 1;
                *under_way > capacity
            };
            if !is_full {
                sleep(Duration::from_secs(1)).await;
            }
            *under_way.lock().expect("no panic") -= 1;
            if !is_full {
                return permit.succeeded();
            }
            permit.overloaded();
            *refused.lock().expect("no panic") += 1;
            sleep(Duration::from_millis(100)).await;
        };
        join_all((0..calls).map(|_| call())).await;
        refused.into_inner().expect("no panic")
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_waits_unless_one_was_refused() {
        let limit = ConcurrencyLimit::default();
        let began = Instant::now();
        assert_eq!(served(&limit, 5000, 5000).await, 0);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_calls_gets_about_as_many_as_it_accepts() {
        let limit = ConcurrencyLimit::default();
        let began = Instant::now();
        let refused = served(&limit, 400, 20).await;
        // 380 of the first burst, then fewer than one call in ten.
        assert!(refused < 380 + 180 + 80 + 40 + 40, "{refused}");
        // 20 seconds are the least; half the capacity is used at the worst.
        assert!(began.elapsed() < Duration::from_secs(40));
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_is_always_admitted() {
        let limit = ConcurrencyLimit::default();
        for _ in 0..20 {
            let permit = limit.acquire().await;
            permit.overloaded();
        }
        assert!(limit.try_acquire().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_burst_of_refusals_halves_once() {
        let limit = ConcurrencyLimit::default();
        let permits = join_all((0..64).map(|_| limit.acquire())).await;
        for permit in permits {
            permit.overloaded();
        }
        let again: Vec<_> = std::iter::from_fn(|| limit.try_acquire()).collect();
        assert_eq!(again.len(), 32);
    }
}
