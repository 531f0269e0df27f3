//! As many calls at a time as an address can take.
//!
//! Enters: calls that want to begin, and refusals of those that were too many. Leaves: a `Place`
//! for each call that may begin, in the order in which they asked. Nobody says how many a server
//! takes; it shows when it refuses one (`RESOURCE_EXHAUSTED`), and then half as many are let in.
//! Each time as many calls as fit have ended well, one more is tried, so that a server that was
//! busy for a moment is not spared for ever.

use std::sync::Mutex;

use tokio::sync::Notify;

/// The calls under way to one address.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    state: Mutex<State>,
    left: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    inside: usize,
    /// Grows when the limit falls: refusals of calls that began before say nothing about the new
    /// one.
    epoch: u64,
    ended_well: usize,
}

/// The right to have one call under way. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct CallPermit<'a> {
    concurrency: &'a ConcurrencyLimit,
    epoch: u64,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        let state = State {
            limit: usize::MAX,
            inside: 0,
            epoch: 0,
            ended_well: 0,
        };
        Self {
            state: Mutex::new(state),
            left: Notify::new(),
        }
    }
}

impl ConcurrencyLimit {
    pub(crate) async fn enter(&self) -> CallPermit<'_> {
        loop {
            let left = self.left.notified();
            if let Some(place) = self.try_enter() {
                return place;
            }
            left.await;
        }
    }

    fn try_enter(&self) -> Option<CallPermit<'_>> {
        let mut state = self.lock();
        if state.inside >= state.limit {
            return None;
        }
        state.inside += 1;
        let epoch = state.epoch;
        Some(CallPermit {
            concurrency: self,
            epoch,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl CallPermit<'_> {
    /// The server has refused this call because there were too many.
    pub(crate) fn was_too_many(self) {
        let mut state = self.concurrency.lock();
        if state.epoch == self.epoch {
            state.limit = (state.inside / 2).max(1);
            state.epoch += 1;
            state.ended_well = 0;
        }
    }

    pub(crate) fn ended_well(self) {
        let mut state = self.concurrency.lock();
        if state.limit == usize::MAX {
            return;
        }
        state.ended_well += 1;
        if state.ended_well >= state.limit {
            state.limit += 1;
            state.ended_well = 0;
            self.concurrency.left.notify_one();
        }
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.concurrency.lock();
        state.inside -= 1;
        if state.inside < state.limit {
            self.concurrency.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// A server that takes `room` calls at a time, each for a second, and refuses others at once.
    /// Gives the number of refusals.
    async fn served(concurrency: &ConcurrencyLimit, calls: usize, room: usize) -> usize {
        let inside = Mutex::new(0);
        let refused = Mutex::new(0);
        let call = async || loop {
            let place = concurrency.enter().await;
            let is_full = {
                let mut inside = inside.lock().expect("no panic");
                *inside += 1;
                *inside > room
            };
            if !is_full {
                sleep(Duration::from_secs(1)).await;
            }
            *inside.lock().expect("no panic") -= 1;
            if !is_full {
                return place.ended_well();
            }
            place.was_too_many();
            *refused.lock().expect("no panic") += 1;
            sleep(Duration::from_millis(100)).await;
        };
        join_all((0..calls).map(|_| call())).await;
        refused.into_inner().expect("no panic")
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_where_nobody_is_refused() {
        let concurrency = ConcurrencyLimit::default();
        let began = Instant::now();
        assert_eq!(served(&concurrency, 5000, 5000).await, 0);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_gets_about_as_many_as_it_takes() {
        let concurrency = ConcurrencyLimit::default();
        let began = Instant::now();
        let refused = served(&concurrency, 400, 20).await;
        // 380 of the first burst, then fewer than one call in ten.
        assert!(refused < 380 + 180 + 80 + 40 + 40, "{refused}");
        // 20 seconds are the least; half the room is used at the worst.
        assert!(began.elapsed() < Duration::from_secs(40));
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_is_always_let_in() {
        let concurrency = ConcurrencyLimit::default();
        for _ in 0..20 {
            let place = concurrency.enter().await;
            place.was_too_many();
        }
        assert!(concurrency.try_enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_burst_of_refusals_halves_once() {
        let concurrency = ConcurrencyLimit::default();
        let places = join_all((0..64).map(|_| concurrency.enter())).await;
        for place in places {
            place.was_too_many();
        }
        let again: Vec<_> = std::iter::from_fn(|| concurrency.try_enter()).collect();
        assert_eq!(again.len(), 32);
    }
}
