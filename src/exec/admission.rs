//! When this machine starts a compiler: a slot is free, and there is memory for a job that waits.
//!
//! Slots of a link wait for memory one at a time, and hold nothing meanwhile that another process
//! could use.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::Planned;
use super::queue::{Assignment, Executor, NotTaken, Queue};
use super::wait_clock::{RunningWait, WaitClock};
use crate::process::{MemoryLedger, MemoryReservation, MemoryWait, Room, SlotPermit, Slots};

/// Admits the compilers of a link.
#[derive(Debug)]
pub struct Admission {
    slots: Slots,
    memory: MemoryLedger,
    turn: Mutex<()>,
    /// What the slot whose turn it is has waited for.
    for_slots: WaitClock,
    for_memory: WaitClock,
}

/// The right to run one compiler here.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct LocalPermit {
    pub memory: MemoryReservation,
    _slot: SlotPermit,
}

/// Why nothing starts.
enum NotAdmitted<E> {
    /// For the moment: the next one needs so many bytes.
    NoRoom(u64),
    Over(E),
}

impl Admission {
    #[must_use]
    pub fn new(slots: Slots, memory: MemoryLedger) -> Self {
        Self {
            slots,
            memory,
            turn: Mutex::default(),
            for_slots: WaitClock::default(),
            for_memory: WaitClock::default(),
        }
    }

    /// The part of all waiting that was for slots, and not for memory.
    #[must_use]
    pub fn share_of_slots(&self) -> f64 {
        let slots = self.for_slots.total().as_secs_f64();
        let all = slots + self.for_memory.total().as_secs_f64();
        if all > 0.0 { slots / all } else { 0.0 }
    }

    /// A wait for what another link compiles counts as one for its slots.
    pub fn wait_for_others(&self) -> RunningWait<'_> {
        self.for_slots.start()
    }

    /// Waits until a job of `queue` may start here and takes it. `None` if none waits any more.
    pub async fn admit(&self, queue: &Arc<Queue>) -> Option<(LocalPermit, Assignment)> {
        let admitted = self.admit_one(|room| match queue.try_take_within(Executor::Local, room) {
            Ok(assignment) => {
                let bytes = assignment.job().memory;
                Ok((assignment, bytes))
            }
            Err(NotTaken::NoRoom(bytes)) => Err(NotAdmitted::NoRoom(bytes)),
            Err(NotTaken::Nothing | NotTaken::AskAt(_)) => Err(NotAdmitted::Over(())),
        });
        admitted.await.ok()
    }

    /// Waits until `job`, which is in no queue, may start here.
    pub async fn admit_job(&self, job: &Planned) -> LocalPermit {
        let fits = |room: Room| room.empty || room.fits(job.memory);
        let admitted = self.admit_one::<_, Infallible>(|room| match room {
            Some(room) if !fits(room) => Err(NotAdmitted::NoRoom(job.memory)),
            _ => Ok(((), job.memory)),
        });
        match admitted.await {
            Ok((permit, ())) => permit,
            Err(never) => match never {},
        }
    }

    /// Has `take` choose what to start, and how much memory that needs, until something fits.
    async fn admit_one<T, E>(
        &self,
        take: impl Fn(Option<Room>) -> Result<(T, u64), NotAdmitted<E>>,
    ) -> Result<(LocalPermit, T), E> {
        let _turn = self.turn.lock().await;
        let mut wait = MemoryWait::begin();
        loop {
            let waiting = self.for_slots.start();
            let slot = self.slots.permit().await;
            drop(waiting);
            let ledger = self.memory.lock().await;
            let room = ledger.as_ref().and_then(|ledger| ledger.room(&wait));
            match take(room) {
                Ok((taken, bytes)) => {
                    let memory =
                        ledger.map_or_else(MemoryReservation::default, |it| it.reserve(bytes));
                    let permit = LocalPermit {
                        memory,
                        _slot: slot,
                    };
                    return Ok((permit, taken));
                }
                Err(NotAdmitted::NoRoom(bytes)) => {
                    if let Some(ledger) = ledger {
                        ledger.wait_for(bytes, &mut wait);
                    }
                }
                Err(NotAdmitted::Over(reason)) => return Err(reason),
            }
            drop(slot);
            let _waiting = self.for_memory.start();
            self.memory.changed().await;
        }
    }
}
