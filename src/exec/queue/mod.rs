//! The queue of jobs that wait for a slot, here or at the farm.
//!
//! Enters: planned jobs, as planning finds them, each with the places where it may run. Leaves:
//! `Turn`s, whenever a slot asks, until every job has a result. A job may have a turn at both
//! places at once; the first to claim it wins, and the other is told that it has lost. Which job a
//! slot gets is decided in `choice`.

mod board;
mod choice;
mod place;
mod twins;
mod work;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use place::{Place, Places};
pub use work::{Ended, Runner, work};

use super::Planned;
use board::Board;
use choice::Choice;

/// Shared by the planners and all slots.
#[derive(Debug)]
pub struct Queue {
    board: Mutex<Board>,
    farm_may_look: Notify,
    here_may_look: Notify,
    over: CancellationToken,
}

/// A job, and the right to run it at one place.
#[derive(Debug)]
pub struct Turn {
    pub job: Arc<Planned>,
    place: Place,
    /// Fires when the result of the other place counts.
    lost: CancellationToken,
    owned: AtomicBool,
    queue: Arc<Queue>,
}

impl Queue {
    /// For a machine that runs so many compilers at once.
    #[must_use]
    pub fn new(slots: NonZeroUsize) -> Self {
        Self {
            board: Mutex::new(Board::new(slots.get())),
            farm_may_look: Notify::new(),
            here_may_look: Notify::new(),
            over: CancellationToken::new(),
        }
    }

    pub fn push(&self, job: Arc<Planned>, places: Places) {
        self.board().add(job, places, Instant::now());
        self.farm_may_look.notify_one();
        self.here_may_look.notify_one();
    }

    /// Nothing more will be pushed.
    pub fn close(&self) {
        self.board().close();
        self.end_if_over();
    }

    /// There is no farm: all that waits for it, or will, is for this machine.
    pub fn lose_farm(&self) {
        self.board().lose_farm();
        self.here_may_look.notify_one();
    }

    /// No more turns, whatever waits: the link is given up.
    pub fn stop(&self) {
        self.over.cancel();
    }

    /// Comes when there are no more turns.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Comes when there is a turn for `place`, which another slot may take first. `false` when
    /// there will be none, because no job is left without a result.
    pub async fn wait(&self, place: Place) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.looks(place).notified());
            changed.as_mut().enable();
            let choice = self.board().choose(place, Instant::now());
            let again = match choice {
                _ if self.over.is_cancelled() => return false,
                Choice::Take(_) => {
                    // Another slot may be ready for it before this one is.
                    self.looks(place).notify_one();
                    return true;
                }
                Choice::AskAt(then) => Some(then),
                Choice::Nothing => None,
            };
            tokio::select! {
                biased;
                () = self.over.cancelled() => return false,
                () = changed => {}
                () = at(again) => {}
            }
        }
    }

    /// A turn that there is now. The error says when there may be one, if that is known.
    pub fn try_take(self: &Arc<Self>, place: Place) -> Result<Turn, Option<Instant>> {
        if self.over.is_cancelled() {
            return Err(None);
        }
        let now = Instant::now();
        let mut board = self.board();
        let id = match board.choose(place, now) {
            Choice::Take(id) => id,
            Choice::AskAt(then) => return Err(Some(then)),
            Choice::Nothing => return Err(None),
        };
        let (job, lost) = board.begin(id, place, now).ok_or(None)?;
        drop(board);
        // There may be more for others of this place, and a copy of this one for the other place.
        self.farm_may_look.notify_one();
        self.here_may_look.notify_one();
        Ok(Turn {
            job,
            place,
            lost,
            owned: AtomicBool::new(false),
            queue: Arc::clone(self),
        })
    }

    fn looks(&self, place: Place) -> &Notify {
        match place {
            Place::Farm => &self.farm_may_look,
            Place::Here => &self.here_may_look,
        }
    }

    fn end_if_over(&self) {
        if self.board().is_over() {
            self.over.cancel();
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comes at that time; never, if there is none.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

impl Turn {
    /// Whether this place's result is the one that counts. After that the other place is stopped,
    /// and nobody else may write the job's outputs.
    pub fn claim(&self) -> bool {
        if self.owned.load(Ordering::Relaxed) {
            return true;
        }
        let mut board = self.queue.board();
        let claimed = board.claim(self.job.id, self.place, Instant::now());
        drop(board);
        self.owned.store(claimed, Ordering::Relaxed);
        self.queue.here_may_look.notify_one();
        self.queue.end_if_over();
        claimed
    }

    /// The job has its result. Gives the jobs that wait for it because their action is the same, if
    /// the result is `shared` by all of that action; if not, each of them runs for itself.
    #[must_use]
    pub fn settle(&self, shared: bool) -> Vec<Arc<Planned>> {
        let twins = self.queue.board().settle(&self.job, shared, Instant::now());
        self.queue.farm_may_look.notify_one();
        self.queue.here_may_look.notify_one();
        self.queue.end_if_over();
        twins
    }

    /// A worker of the farm has begun with the job.
    pub fn executing(&self) {
        self.queue.board().executing(self.job.id, Instant::now());
    }

    /// Comes when the other place's result counts.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// This place gives no result. `false`: then nobody will.
    #[must_use]
    pub fn let_go(&self) -> bool {
        if self.owned.load(Ordering::Relaxed) {
            return false;
        }
        let passed_on = self.queue.board().let_go(self.job.id, self.place);
        self.queue.farm_may_look.notify_one();
        self.queue.here_may_look.notify_one();
        passed_on
    }
}
