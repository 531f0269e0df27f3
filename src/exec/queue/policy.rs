//! What a free slot takes next. Pure.
//!
//! The farm begins at the long end: what takes longest must not start last, and a farm has slots
//! enough. This machine begins at the short end, as far as it can do so and still be done in time
//! if the farm should never answer: that is, if every job ran here, longest first. So both work
//! towards each other, and neither a slow farm nor a dead one costs more than having none. When
//! nothing waits any more, a free slot of either executor starts a copy of what the other one has
//! under way, unless the other is expected to finish first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use super::executor::Executor;
use super::state::{JobPool, JobRank, QueueState, RunningAttempt};
use crate::events::JobId;
use crate::process::Room;

/// Jobs that are laid out one by one, per slot of this machine; the shorter ones fill the gaps
/// between them.
const LAID_OUT: usize = 8;

/// The longest jobs go first once the work left for each slot is at most this many times the
/// longest job: the short ones then even out the end.
const END: u32 = 6;

/// Below this many times, nothing goes before the longest job, not even one that no worker has
/// started.
const VERY_END: u32 = 3;

/// The jobs that a slot of this machine may take, apart from those that are its own.
const SHARED: [JobPool; 3] = [JobPool::Both, JobPool::Queued, JobPool::Executing];

/// An attempt that has taken this many times what it should is late.
const LATE: f64 = 1.25;

/// What to do with a free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Take(JobId),
    /// Nothing for now, but then there may be.
    AskAt(Instant),
    /// There is too little memory for what waits; the next job needs so many bytes.
    NoRoom(u64),
    Nothing,
}

impl QueueState {
    /// What a free slot takes. `room` is the memory for one compiler more here; without it, memory
    /// is not counted.
    pub(super) fn choose(&self, executor: Executor, now: Instant, room: Option<Room>) -> Choice {
        match (executor, room) {
            (Executor::Remote, _) => self.choose_remote(now),
            (Executor::Local, None) => self.choose_local(now),
            (Executor::Local, Some(room)) => self.choose_within(room, now),
        }
    }

    fn choose_remote(&self, now: Instant) -> Choice {
        let waiting = [JobPool::RemoteOnly, JobPool::Both].map(|pool| self.pool(pool).last());
        let Some(longest) = waiting.into_iter().max().flatten() else {
            return self.copy(JobPool::RunsLocally, now);
        };
        // What this machine has taken from the long end must not start last at the farm.
        let taken = self.pool(JobPool::RunsLocally).last();
        if let Some(taken) = taken.filter(|taken| *taken > longest)
            && let copy @ Choice::Take(_) = self.unless_pointless(taken, now)
        {
            return copy;
        }
        take(longest)
    }

    pub(super) fn choose_local(&self, now: Instant) -> Choice {
        if let Some(rank) = self.pool(JobPool::LocalOnly).last() {
            return take(rank);
        }
        let share = self.share(now);
        let (Some(longest), Some(shortest)) = (share.assigned.first(), share.assigned.last())
        else {
            return Choice::Nothing;
        };
        let executing = self.pool(JobPool::Executing);
        if share.whole <= longest.0 * END {
            let mut at_hand = share
                .assigned
                .iter()
                .filter(|rank| !executing.contains(rank));
            return match at_hand.next() {
                Some(rank) if share.whole > longest.0 * VERY_END => take(rank),
                _ if executing.contains(longest) => self.unless_pointless(longest, now),
                _ => take(longest),
            };
        }
        if share.has_small_jobs {
            let waiting = [JobPool::Both, JobPool::Queued];
            let shortest = waiting.iter().find_map(|pool| self.pool(*pool).first());
            return shortest.map_or_else(|| self.copy(JobPool::Executing, now), take);
        }
        if executing.contains(shortest) {
            return self.unless_pointless(shortest, now);
        }
        take(shortest)
    }

    /// Lays all jobs out over the slots of this machine, longest first, and looks at what falls to
    /// the one that asks.
    fn share(&self, now: Instant) -> Share {
        const ASKING: usize = 0;
        let mut small_jobs = self.left_local();
        let mut loads = BinaryHeap::from([Reverse((Duration::ZERO, ASKING))]);
        let mut whole = small_jobs;
        for (number, (id, since)) in self.local.iter().enumerate() {
            let rest = self.cost_of(*id).saturating_sub(now - *since);
            loads.push(Reverse((rest, number + 1)));
            whole += rest;
        }
        // More slots than jobs stay empty.
        let slots = self.slots.min(self.entries.len() + self.local.len() + 1);
        for free in loads.len()..slots {
            loads.push(Reverse((Duration::ZERO, free)));
        }
        let mut assigned = Vec::new();
        for rank in self.longest_first().take(LAID_OUT * slots) {
            let Some(Reverse((load, slot))) = loads.pop() else {
                break;
            };
            loads.push(Reverse((load + rank.0, slot)));
            small_jobs = small_jobs.saturating_sub(rank.0);
            if slot == ASKING {
                assigned.push(rank);
            }
        }
        Share {
            assigned,
            has_small_jobs: !level(loads, ASKING, small_jobs).is_zero(),
            whole: whole / self.slots(),
        }
    }

    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.slots).unwrap_or(u32::MAX)
    }

    /// Summed costs of the jobs that a slot of this machine may take.
    fn left_local(&self) -> Duration {
        SHARED.iter().map(|pool| self.sum(*pool)).sum()
    }

    pub(super) fn cost_of(&self, id: JobId) -> Duration {
        let entry = self.entries.get(&id);
        entry.map_or(Duration::ZERO, |entry| entry.cost)
    }

    /// The jobs that a slot of this machine may take.
    fn longest_first(&self) -> impl Iterator<Item = JobRank> {
        let mut each = SHARED.map(|pool| self.pool(pool).iter().rev().copied().peekable());
        std::iter::from_fn(move || {
            let longest = (0..each.len()).max_by_key(|pool| each[*pool].peek().copied())?;
            each[longest].next()
        })
    }

    /// The longest job of `pool`, which the other place runs, that a copy would end sooner.
    fn copy(&self, pool: JobPool, now: Instant) -> Choice {
        let mut next: Option<Instant> = None;
        for rank in self.pool(pool).iter().rev() {
            match self.unless_pointless(rank, now) {
                Choice::AskAt(late) => next = Some(next.map_or(late, |next| next.min(late))),
                worthwhile => return worthwhile,
            }
        }
        next.map_or(Choice::Nothing, Choice::AskAt)
    }

    /// A copy of a job that runs elsewhere, if it is expected to end sooner, or the other is late;
    /// or if nothing is known yet; or if this machine alone could not be in time any more if it
    /// waited until the other is late.
    fn unless_pointless(&self, rank: &JobRank, now: Instant) -> Choice {
        let Some(entry) = self.entries.get(&rank.1.0) else {
            return Choice::Nothing;
        };
        let cost = rank.0;
        let is_local = entry.local.is_some();
        let (there, ours) = if is_local {
            (self.rate_local.known(), self.rate_remote.known())
        } else {
            (
                self.rate_worker.known(),
                self.rate_local.known().or(Some(1.0)),
            )
        };
        let run = entry.local.as_ref().or(entry.remote.as_ref());
        let (Some(run), Some(there), Some(ours)) = (run, there, ours) else {
            return take(rank);
        };
        let (end, late) = expected(run, there, cost);
        // The farm's workers are there to work; this machine has other things to do.
        let in_time = if is_local { late } else { end };
        if now >= late || now + cost.mul_f64(ours) < in_time {
            return take(rank);
        }
        if !is_local && !self.has_time_until(late, now) {
            return take(rank);
        }
        Choice::AskAt(late)
    }

    /// Whether this machine, if it idled until then and the farm were gone, would still be done as
    /// early as it could have been alone.
    fn has_time_until(&self, then: Instant, now: Instant) -> bool {
        let rate = self.rate_local.known().unwrap_or(1.0);
        let alone = (self.total / self.slots()).max(self.longest).mul_f64(rate);
        let left = self.left_local() / self.slots();
        let longest = self
            .longest_first()
            .next()
            .map_or(Duration::ZERO, |rank| rank.0);
        let begun = self.began.unwrap_or(now);
        then + left.max(longest).mul_f64(rate) <= begun + alone
    }
}

/// When an attempt should end, and from when on it is late.
fn expected(run: &RunningAttempt, rate: f64, cost: Duration) -> (Instant, Instant) {
    let since = run.executing.unwrap_or(run.since);
    let takes = cost.mul_f64(rate);
    (since + takes, since + takes.mul_f64(LATE))
}

/// What falls to a slot if this machine has to do all alone.
struct Share {
    /// Of the jobs that are laid out one by one; longest first.
    assigned: Vec<JobRank>,
    /// There are shorter ones for it besides.
    has_small_jobs: bool,
    /// What falls to each slot on average.
    whole: Duration,
}

/// How much of `small_jobs`, spread so that all loads become level, falls to slot `mine`.
fn level(
    loads: BinaryHeap<Reverse<(Duration, usize)>>,
    mine: usize,
    small_jobs: Duration,
) -> Duration {
    let mut loads: Vec<_> = loads.into_iter().map(|Reverse(load)| load).collect();
    loads.sort_unstable();
    let own = loads.iter().find(|(_, slot)| *slot == mine);
    let own = own.map_or(Duration::ZERO, |(load, _)| *load);
    let (mut left, mut level) = (small_jobs, Duration::ZERO);
    for (width, (load, _)) in (0..).zip(&loads) {
        let room = load.saturating_sub(level) * width;
        if width > 0 && room >= left {
            return (level + left / width).saturating_sub(own);
        }
        left -= room;
        level = *load;
    }
    let width = u32::try_from(loads.len()).unwrap_or(u32::MAX);
    (level + left / width).saturating_sub(own)
}

pub(super) fn take(rank: &JobRank) -> Choice {
    Choice::Take(rank.1.0)
}
