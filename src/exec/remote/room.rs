//! Room for so many executions at a time; whoever waits with the longest job is let in first.
//!
//! Enters: jobs that are ready to be executed. Leaves: a `Place` for each in turn, given back when
//! it is dropped. Only executions take room: while some jobs run, others are looked up, sent and
//! fetched, so that the farm's workers do not wait for that. How many jobs are on their way in all
//! is the business of `link`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::events::JobId;

/// By cost; among equals the job that lld named first goes first.
type Rank = (u64, Reverse<JobId>);

#[derive(Debug)]
pub(in crate::exec) struct Room(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    waiting: BTreeMap<Rank, oneshot::Sender<Place>>,
}

/// The right to one execution.
#[derive(Debug)]
pub(in crate::exec) struct Place(Option<Arc<Room>>);

impl Room {
    pub(in crate::exec) fn new(executions: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            free: executions.get(),
            waiting: BTreeMap::new(),
        })))
    }

    /// A place that nobody waits for and nobody has, for a job that will need it.
    pub(in crate::exec) fn keep(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.state();
        state.free = state.free.checked_sub(1)?;
        Some(self.place())
    }

    /// Waits until there is room. Dropping the future gives up the wait.
    pub(in crate::exec) async fn enter(self: &Arc<Self>, cost: u64, job: JobId) -> Place {
        let (letter, answer) = oneshot::channel();
        if let Some(place) = self.keep_or_wait((cost, Reverse(job)), letter) {
            return place;
        }
        answer
            .await
            .expect("each who waits is answered, and a job waits once")
    }

    fn keep_or_wait(self: &Arc<Self>, rank: Rank, letter: oneshot::Sender<Place>) -> Option<Place> {
        let mut state = self.state();
        if let Some(free) = state.free.checked_sub(1) {
            state.free = free;
            return Some(self.place());
        }
        state.waiting.insert(rank, letter);
        None
    }

    /// Of those who have left, nothing but their letter is here; a place that crosses with one
    /// comes back by its drop.
    fn leave(self: Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some((_, next)) = state.waiting.pop_last() else {
                state.free += 1;
                return;
            };
            drop(state);
            match next.send(self.place()) {
                Ok(()) => return,
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }

    fn place(self: &Arc<Self>) -> Place {
        Place(Some(Arc::clone(self)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(room) = self.0.take() {
            room.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn room(executions: usize) -> Arc<Room> {
        Room::new(NonZeroUsize::new(executions).expect("some"))
    }

    #[tokio::test]
    async fn no_more_are_inside_than_there_is_room_and_the_longest_comes_next() {
        let room = room(2);
        let first = room.enter(1, 0).await;
        let _second = room.enter(1, 1).await;
        let mut short = Box::pin(room.enter(5, 2));
        let mut long = Box::pin(room.enter(9, 3));
        let mut same = Box::pin(room.enter(9, 4));
        for waiting in [&mut short, &mut long, &mut same] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(first);
        assert!((&mut short).now_or_never().is_none());
        assert!((&mut same).now_or_never().is_none());
        let inside = long.now_or_never().expect("the longest, named first");
        drop(inside);
        drop(same.now_or_never().expect("the next"));
        assert!(short.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_leaves_while_waiting_or_when_let_in_takes_no_room_with_him() {
        let room = room(1);
        let first = room.enter(1, 0).await;
        let mut gone = Box::pin(room.enter(9, 1));
        let mut let_in = Box::pin(room.enter(8, 2));
        let mut stays = Box::pin(room.enter(7, 3));
        for waiting in [&mut gone, &mut let_in, &mut stays] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(gone);
        drop(first);
        assert!((&mut stays).now_or_never().is_none(), "not the longest");
        drop(let_in);
        drop(stays.now_or_never().expect("the last who waits"));
        let kept = room.keep().expect("free room");
        assert!(room.keep().is_none() && room.enter(1, 4).now_or_never().is_none());
        drop(kept);
        assert!(room.enter(1, 4).now_or_never().is_some());
    }
}
