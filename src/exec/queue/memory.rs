//! What a free slot of this machine takes where memory is short. Pure.
//!
//! The longest job first is right as long as everything fits. Where it does not, two resources have
//! to last until the end, slots and memory, and a good order leaves neither idle while the other is
//! needed. So a slot takes the longest of those jobs that use up the scarcer of the two: where
//! memory is, jobs that need at least the share of one slot, where slots are, jobs that need at
//! most that, and where both are, jobs that need about that. A job as long as all the rest has
//! priority: others go before it only if they end before it could start anyway, or fit beside it.

use std::time::Duration;

use tokio::time::Instant;

use super::policy::{Choice, take};
use super::state::{JobPool, JobRank, QueueState};
use crate::events::JobId;
use crate::process::Room;

/// How long slots and memory are busy with the jobs that only this machine may have.
struct TimeLeft {
    slots: Duration,
    memory: Duration,
}

/// What the other resource waits for in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScarceResource {
    Slots,
    Memory,
    Both,
}

impl TimeLeft {
    /// Both, where they differ by less than a twentieth.
    fn scarce(&self) -> ScarceResource {
        const ALIKE: f64 = 0.05;
        let ratio = self.memory.as_secs_f64() / self.slots.as_secs_f64().max(f64::MIN_POSITIVE);
        if ratio > 1.0 + ALIKE {
            ScarceResource::Memory
        } else if ratio < 1.0 - ALIKE {
            ScarceResource::Slots
        } else {
            ScarceResource::Both
        }
    }
}

impl QueueState {
    pub(super) fn choose_within(&self, room: Room, now: Instant) -> Choice {
        let Some(longest) = self.pool(JobPool::LocalOnly).last() else {
            return self.choose_shared_within(room, now);
        };
        let left = self.left(room, now);
        let chosen = if longest.0 >= left.slots.max(left.memory) {
            self.longest_or_beside_it(longest, room, now)
        } else {
            self.balancing(room, left.scarce())
        };
        match chosen {
            Some(rank) => take(rank),
            None if room.empty => take(longest),
            None => Choice::NoRoom(self.memory_of(longest.1.0)),
        }
    }

    /// Of what the farm may have, too, whatever fits will do: the farm takes the rest.
    fn choose_shared_within(&self, room: Room, now: Instant) -> Choice {
        let choice = self.choose_local(now);
        let Choice::Take(id) = choice else {
            return choice;
        };
        let bytes = self.memory_of(id);
        if room.empty || room.fits(bytes) {
            return choice;
        }
        let waiting = [JobPool::Both, JobPool::Queued];
        let mut shortest_first = waiting.iter().flat_map(|pool| self.pool(*pool));
        let fitting = shortest_first.find(|rank| self.fits(rank, room));
        fitting.map_or(Choice::NoRoom(bytes), take)
    }

    /// The longest job if it fits; else the longest other one that does not delay it.
    fn longest_or_beside_it(
        &self,
        longest: &JobRank,
        room: Room,
        now: Instant,
    ) -> Option<&JobRank> {
        let mut longest_first = self.pool(JobPool::LocalOnly).iter().rev();
        if self.fits(longest, room) {
            return longest_first.next();
        }
        let start = self.start_of(self.memory_of(longest.1.0), room, now);
        longest_first.skip(1).find(|rank| {
            let delays = |(start, spare)| now + rank.0 > start && self.memory_of(rank.1.0) > spare;
            self.fits(rank, room) && !start.is_some_and(delays)
        })
    }

    /// When a job that needs `bytes` can start, and which memory is left beside it then. `None` if
    /// not even when all that runs here has ended.
    fn start_of(&self, bytes: u64, room: Room, now: Instant) -> Option<(Instant, u64)> {
        let end = |(id, since): (&JobId, &Instant)| (now.max(*since + self.cost_of(*id)), *id);
        let mut ends: Vec<_> = self.local.iter().map(end).collect();
        ends.sort_unstable();
        let mut free = room.bytes;
        ends.into_iter().find_map(|(end, id)| {
            free = free.saturating_add(self.memory_of(id));
            Some((end, free.checked_sub(bytes)?))
        })
    }

    fn balancing(&self, room: Room, scarce: ScarceResource) -> Option<&JobRank> {
        let free_slots = self.slots.saturating_sub(self.local.len()).max(1);
        let share = room.bytes / u64::try_from(free_slots).unwrap_or(u64::MAX);
        let memory = |rank: &&JobRank| self.memory_of(rank.1.0);
        let fitting = || {
            let longest_first = self.pool(JobPool::LocalOnly).iter().rev();
            longest_first.filter(|rank| self.fits(rank, room))
        };
        match scarce {
            ScarceResource::Memory => {
                let large = fitting().find(|rank| memory(rank) >= share);
                large.or_else(|| fitting().max_by_key(memory))
            }
            ScarceResource::Slots => {
                let small = fitting().find(|rank| memory(rank) <= share);
                small.or_else(|| fitting().min_by_key(memory))
            }
            ScarceResource::Both => {
                let about = share / 2..=share.saturating_mul(2);
                let found = fitting().find(|rank| about.contains(&memory(rank)));
                found.or_else(|| fitting().next())
            }
        }
    }

    fn left(&self, room: Room, now: Instant) -> TimeLeft {
        let waiting = JobPool::LocalOnly;
        let mut slots = self.sum(waiting);
        let (mut used, mut areas) = (0, self.memory_sum(waiting));
        for (id, since) in &self.local {
            let rest = self.cost_of(*id).saturating_sub(now - *since);
            slots += rest;
            let bytes = self.memory_of(*id);
            used += bytes;
            areas += area(bytes, rest);
        }
        let whole = u128::from(room.bytes) + u128::from(used);
        let micros = u64::try_from(areas / whole.max(1)).unwrap_or(u64::MAX);
        TimeLeft {
            slots: slots / self.slots(),
            memory: Duration::from_micros(micros),
        }
    }

    fn fits(&self, rank: &JobRank, room: Room) -> bool {
        room.fits(self.memory_of(rank.1.0))
    }
}

/// Bytes that are taken for a time, in microseconds times bytes.
pub(super) fn area(bytes: u64, time: Duration) -> u128 {
    u128::from(bytes) * time.as_micros()
}
