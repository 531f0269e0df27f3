//! The queue as planners and slots share it, and [`Assignment`], the right to run one of its jobs.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::executor::{Executor, ExecutorSet};
use super::policy::Choice;
use super::state::{QueueState, Superseded};
use crate::exec::Planned;
use crate::exec::remote::RemoteFailure;
use crate::process::Room;
use crate::task::lock;

/// Shared by the planners and all slots.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<QueueState>,
    remote_slots: Notify,
    local_slots: Notify,
    pub(super) over: CancellationToken,
}

/// Why no job was assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    Nothing,
    /// Nothing for now, but then there may be.
    AskAt(Instant),
    /// Nothing of what waits fits into the memory; the next one needs so many bytes.
    NoRoom(u64),
}

/// A job, and the right of one executor to run it.
#[derive(Debug)]
pub struct Assignment {
    job: Arc<Planned>,
    executor: Executor,
    /// Fires when the result of the other executor counts.
    superseded: CancellationToken,
    queue: Arc<Queue>,
}

/// A job, and the right to write its outputs.
#[derive(Debug)]
pub struct Claim {
    job: Arc<Planned>,
    remote_failure: Option<RemoteFailure>,
    queue: Arc<Queue>,
}

impl Queue {
    /// A queue for a machine that runs this many compilers at a time.
    #[must_use]
    pub fn new(slots: NonZeroUsize) -> Self {
        Self {
            state: Mutex::new(QueueState::new(slots.get())),
            remote_slots: Notify::new(),
            local_slots: Notify::new(),
            over: CancellationToken::new(),
        }
    }

    pub fn push(&self, job: Arc<Planned>, executors: ExecutorSet) {
        self.state().add(job, executors, Instant::now());
        self.wake_slots();
    }

    /// No more jobs will be pushed.
    pub fn close(&self) {
        self.state().close();
        self.end_if_over();
    }

    /// Without a farm: jobs that wait for it, and those still to come, are for this machine.
    pub fn lose_remote(&self) {
        self.state().lose_remote();
        self.local_slots.notify_one();
    }

    /// Ends all slots, whatever waits: the link is cancelled.
    pub fn stop(&self) {
        self.over.cancel();
    }

    /// Resolves when no slot will get another job.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Resolves when there is a job for `executor`, which another slot may take first. `false` if
    /// there will be none because every job has a result.
    pub async fn wait(&self, executor: Executor) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.slots(executor).notified());
            changed.as_mut().enable();
            let choice = self.state().choose(executor, Instant::now(), None);
            let again = match choice {
                _ if self.over.is_cancelled() => return false,
                Choice::Take(_) => {
                    // Another slot may be ready for it before this one is.
                    self.slots(executor).notify_one();
                    return true;
                }
                Choice::AskAt(then) => Some(then),
                Choice::Nothing | Choice::NoRoom(_) => None,
            };
            tokio::select! {
                biased;
                () = self.over.cancelled() => return false,
                () = changed => {}
                () = at(again) => {}
            }
        }
    }

    /// Assigns a job that can be taken now, whatever memory it needs.
    pub fn try_take(self: &Arc<Self>, executor: Executor) -> Result<Assignment, NotTaken> {
        self.try_take_within(executor, None)
    }

    /// Assigns a job that can be taken now and fits into `room`; without one, memory is not
    /// counted.
    pub fn try_take_within(
        self: &Arc<Self>,
        executor: Executor,
        room: Option<Room>,
    ) -> Result<Assignment, NotTaken> {
        if self.over.is_cancelled() {
            return Err(NotTaken::Nothing);
        }
        let now = Instant::now();
        let mut state = self.state();
        let id = match state.choose(executor, now, room) {
            Choice::Take(id) => id,
            Choice::AskAt(then) => return Err(NotTaken::AskAt(then)),
            Choice::Nothing => return Err(NotTaken::Nothing),
            Choice::NoRoom(bytes) => return Err(NotTaken::NoRoom(bytes)),
        };
        let started = state.begin(id, executor, now);
        let (job, superseded) = started.ok_or(NotTaken::Nothing)?;
        drop(state);
        // There may be more for others of this executor, and a copy of this one for the other.
        self.wake_slots();
        Ok(Assignment {
            job,
            executor,
            superseded,
            queue: Arc::clone(self),
        })
    }

    fn slots(&self, executor: Executor) -> &Notify {
        match executor {
            Executor::Remote => &self.remote_slots,
            Executor::Local => &self.local_slots,
        }
    }

    fn wake_slots(&self) {
        self.remote_slots.notify_one();
        self.local_slots.notify_one();
    }

    fn end_if_over(&self) {
        if self.state().is_over() {
            self.over.cancel();
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        lock(&self.state)
    }
}

/// Resolves at that time; never, if there is none.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

impl Assignment {
    #[must_use]
    pub fn job(&self) -> &Arc<Planned> {
        &self.job
    }

    /// Makes the result of this executor the one that counts; the other one is stopped. Returns the
    /// assignment if the other was faster.
    pub fn claim(self) -> Result<Claim, Self> {
        let claimed = self
            .queue
            .state()
            .claim(self.job.id, self.executor, Instant::now());
        match claimed {
            Ok(remote_failure) => {
                self.queue.local_slots.notify_one();
                self.queue.end_if_over();
                Ok(Claim {
                    job: self.job,
                    remote_failure,
                    queue: self.queue,
                })
            }
            Err(Superseded) => Err(self),
        }
    }

    /// Called when a worker of the farm starts the job.
    pub fn executing(&self) {
        self.queue.state().executing(self.job.id, Instant::now());
    }

    /// Resolves when the other executor's result counts.
    pub async fn superseded(&self) {
        self.superseded.cancelled().await;
    }

    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.superseded.is_cancelled()
    }

    /// The farm does not make the outputs: this machine may.
    pub fn fall_back(self, failure: RemoteFailure) {
        self.queue.state().fall_back(self.job.id, failure);
        self.queue.wake_slots();
    }

    /// This machine cannot make the outputs. Returns whether the farm still may.
    #[must_use]
    pub fn decline(self) -> bool {
        let is_left = self.queue.state().decline(self.job.id);
        self.queue.wake_slots();
        is_left
    }
}

impl Claim {
    #[must_use]
    pub fn job(&self) -> &Arc<Planned> {
        &self.job
    }

    /// Takes the reason why the farm did not make the object, if the farm has tried.
    pub fn take_remote_failure(&mut self) -> Option<RemoteFailure> {
        self.remote_failure.take()
    }

    /// The job has its result. Returns the jobs that wait for it because their action is the same,
    /// if the result is `shared` by all jobs of that action; if not, each of them runs for itself.
    #[must_use]
    pub fn complete(self, shared: bool) -> Vec<Arc<Planned>> {
        let duplicates = self
            .queue
            .state()
            .complete(&self.job, shared, Instant::now());
        self.queue.wake_slots();
        self.queue.end_if_over();
        duplicates
    }
}
