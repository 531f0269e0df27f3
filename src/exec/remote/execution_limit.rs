//! Limits the executions under way on the farm; the longest waiting job gets the next permit.
//!
//! A job holds an [`ExecutionPermit`] only while it executes: meanwhile other jobs are looked up,
//! uploaded and fetched, so the farm's workers do not wait for those steps. `link` limits the jobs
//! on their way in all.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use crate::events::JobId;
use crate::task::lock;

/// By cost; among equals the job that lld named first goes first.
type WaiterRank = (u64, Reverse<JobId>);

#[derive(Debug)]
pub(in crate::exec) struct ExecutionLimit(Mutex<LimitState>);

#[derive(Debug)]
struct LimitState {
    free: usize,
    waiting: BTreeMap<WaiterRank, oneshot::Sender<ExecutionPermit>>,
}

/// Permission for one execution, released on drop.
#[derive(Debug)]
pub(in crate::exec) struct ExecutionPermit(Option<Arc<ExecutionLimit>>);

impl ExecutionLimit {
    pub(in crate::exec) fn new(executions: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(LimitState {
            free: executions.get(),
            waiting: BTreeMap::new(),
        })))
    }

    /// Takes a permit without waiting, if one is free.
    pub(in crate::exec) fn try_acquire(self: &Arc<Self>) -> Option<ExecutionPermit> {
        let mut state = self.state();
        state.free = state.free.checked_sub(1)?;
        Some(self.permit())
    }

    /// Resolves when the job has a permit. Dropping the future gives up the wait.
    pub(in crate::exec) async fn acquire(
        self: &Arc<Self>,
        cost: u64,
        job: JobId,
    ) -> ExecutionPermit {
        let (grant, granted) = oneshot::channel();
        if let Some(permit) = self.acquire_or_wait((cost, Reverse(job)), grant) {
            return permit;
        }
        granted
            .await
            .expect("every waiter is granted a permit, and a job waits once")
    }

    fn acquire_or_wait(
        self: &Arc<Self>,
        rank: WaiterRank,
        grant: oneshot::Sender<ExecutionPermit>,
    ) -> Option<ExecutionPermit> {
        let mut state = self.state();
        if let Some(free) = state.free.checked_sub(1) {
            state.free = free;
            return Some(self.permit());
        }
        state.waiting.insert(rank, grant);
        None
    }

    /// Passes a permit on. A waiter that has been dropped leaves its channel behind: sending to it
    /// fails, or the permit comes back when the channel is dropped.
    fn release(self: Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some((_, next)) = state.waiting.pop_last() else {
                state.free += 1;
                return;
            };
            drop(state);
            match next.send(self.permit()) {
                Ok(()) => return,
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }

    fn permit(self: &Arc<Self>) -> ExecutionPermit {
        ExecutionPermit(Some(Arc::clone(self)))
    }

    fn state(&self) -> MutexGuard<'_, LimitState> {
        lock(&self.0)
    }
}

impl Drop for ExecutionPermit {
    fn drop(&mut self) {
        if let Some(limit) = self.0.take() {
            limit.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn limit(executions: usize) -> Arc<ExecutionLimit> {
        ExecutionLimit::new(NonZeroUsize::new(executions).expect("some"))
    }

    #[tokio::test]
    async fn the_limit_holds_and_the_longest_job_comes_next() {
        let limit = limit(2);
        let first = limit.acquire(1, 0).await;
        let _second = limit.acquire(1, 1).await;
        let mut short = Box::pin(limit.acquire(5, 2));
        let mut long = Box::pin(limit.acquire(9, 3));
        let mut same = Box::pin(limit.acquire(9, 4));
        for waiting in [&mut short, &mut long, &mut same] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(first);
        assert!((&mut short).now_or_never().is_none());
        assert!((&mut same).now_or_never().is_none());
        let permit = long.now_or_never().expect("the longest, named first");
        drop(permit);
        drop(same.now_or_never().expect("the next"));
        assert!(short.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_dropped_waiter_loses_no_permit_before_or_after_it_is_granted() {
        let limit = limit(1);
        let first = limit.acquire(1, 0).await;
        let mut gone = Box::pin(limit.acquire(9, 1));
        let mut granted = Box::pin(limit.acquire(8, 2));
        let mut stays = Box::pin(limit.acquire(7, 3));
        for waiting in [&mut gone, &mut granted, &mut stays] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(gone);
        drop(first);
        assert!((&mut stays).now_or_never().is_none(), "not the longest");
        drop(granted);
        drop(stays.now_or_never().expect("the last waiter"));
        let permit = limit.try_acquire().expect("a free permit");
        assert!(limit.try_acquire().is_none() && limit.acquire(1, 4).now_or_never().is_none());
        drop(permit);
        assert!(limit.acquire(1, 4).now_or_never().is_some());
    }
}
