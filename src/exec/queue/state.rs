//! Which jobs wait, which run where, and whose result counts. Pure: no clock, no task, no lock.
//!
//! [`policy`](super::policy) decides what a free slot takes of all this.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::duplicates::Duplicates;
use super::executor::{Executor, ExecutorSet};
use super::memory::area;
use crate::events::JobId;
use crate::exec::Planned;
use crate::exec::remote::RemoteFailure;

/// Longer estimates are as good as none, and times that are computed from them stay in range.
const LONGEST_ESTIMATE: Duration = Duration::from_hours(24);

/// By cost; among equals the job that lld named first is the greater one.
pub(super) type JobRank = (Duration, Reverse<JobId>);

/// Why a job may be taken. A job that runs wherever it may is in no pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobPool {
    /// Waits, and only the farm may have it.
    RemoteOnly,
    /// Waits, and only this machine may have it.
    LocalOnly,
    /// Waits for either.
    Both,
    /// On its way to a worker of the farm; this machine may have it too.
    Queued,
    /// A worker of the farm has begun with it; this machine may have it too.
    Executing,
    /// Runs here; the farm may have it too.
    RunsLocally,
}

const POOLS: usize = 6;

/// An attempt under way.
#[derive(Debug)]
pub(super) struct RunningAttempt {
    pub(super) since: Instant,
    /// When a worker began with it.
    pub(super) executing: Option<Instant>,
    /// Fires when the other executor's result counts.
    superseded: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: Arc<Planned>,
    pub(super) cost: Duration,
    executors: ExecutorSet,
    pub(super) remote: Option<RunningAttempt>,
    pub(super) local: Option<RunningAttempt>,
    /// Why the farm did not make it.
    remote_failure: Option<RemoteFailure>,
}

impl Entry {
    fn rank(&self) -> JobRank {
        (self.cost, Reverse(self.job.id))
    }

    fn run(&mut self, executor: Executor) -> &mut Option<RunningAttempt> {
        match executor {
            Executor::Remote => &mut self.remote,
            Executor::Local => &mut self.local,
        }
    }

    fn pool(&self) -> Option<JobPool> {
        match (&self.remote, &self.local) {
            (None, None) => match (self.executors.remote, self.executors.local) {
                (true, true) => Some(JobPool::Both),
                (true, false) => Some(JobPool::RemoteOnly),
                (false, true) => Some(JobPool::LocalOnly),
                (false, false) => None,
            },
            (Some(run), None) if self.executors.local && run.executing.is_some() => {
                Some(JobPool::Executing)
            }
            (Some(_), None) if self.executors.local => Some(JobPool::Queued),
            (None, Some(_)) if self.executors.remote => Some(JobPool::RunsLocally),
            _ => None,
        }
    }
}

/// What a unit of estimated cost takes in truth.
#[derive(Debug, Default)]
pub(super) struct Rate {
    taken: Duration,
    estimated: Duration,
}

impl Rate {
    fn observe(&mut self, taken: Duration, estimated: Duration) {
        self.taken += taken;
        self.estimated += estimated;
    }

    /// `None` before anything was observed.
    pub(super) fn known(&self) -> Option<f64> {
        (!self.estimated.is_zero()).then(|| self.taken.div_duration_f64(self.estimated))
    }
}

/// Another executor has claimed the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superseded;

/// All jobs that have no result yet.
#[derive(Debug)]
pub(super) struct QueueState {
    /// Compilers that this machine runs at once.
    pub(super) slots: usize,
    pub(super) entries: HashMap<JobId, Entry>,
    pools: [BTreeSet<JobRank>; POOLS],
    /// Summed costs of the pools.
    sums: [Duration; POOLS],
    /// The same times the memory of each job.
    memory_sums: [u128; POOLS],
    /// Jobs that run on this machine, whether or not the farm runs them too.
    pub(super) local: BTreeMap<JobId, Instant>,
    pub(super) rate_local: Rate,
    /// From the start of an attempt at the farm to its result.
    pub(super) rate_remote: Rate,
    /// From a worker's start to the result.
    pub(super) rate_worker: Rate,
    /// When the first job came.
    pub(super) began: Option<Instant>,
    /// Summed costs of all jobs that this machine may have had, and the longest of them.
    pub(super) total: Duration,
    pub(super) longest: Duration,
    /// Jobs that wait for the result of their duplicate; they are in no pool.
    duplicates: Duplicates,
    remote_is_lost: bool,
    closed: bool,
}

impl QueueState {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots,
            entries: HashMap::new(),
            pools: Default::default(),
            sums: [Duration::ZERO; POOLS],
            memory_sums: [0; POOLS],
            local: BTreeMap::new(),
            rate_local: Rate::default(),
            rate_remote: Rate::default(),
            rate_worker: Rate::default(),
            began: None,
            total: Duration::ZERO,
            longest: Duration::ZERO,
            duplicates: Duplicates::default(),
            remote_is_lost: false,
            closed: false,
        }
    }

    /// What a job is expected to need, in bytes.
    pub(super) fn memory_of(&self, id: JobId) -> u64 {
        self.entries.get(&id).map_or(0, |entry| entry.job.memory)
    }

    pub(super) fn pool(&self, pool: JobPool) -> &BTreeSet<JobRank> {
        &self.pools[pool as usize]
    }

    pub(super) fn sum(&self, pool: JobPool) -> Duration {
        self.sums[pool as usize]
    }

    /// Summed costs of a pool's jobs, each times its memory.
    pub(super) fn memory_sum(&self, pool: JobPool) -> u128 {
        self.memory_sums[pool as usize]
    }

    /// A job waits while a duplicate of it is under way.
    pub(super) fn add(&mut self, job: Arc<Planned>, executors: ExecutorSet, now: Instant) {
        if let Some(job) = self.duplicates.add(job, executors) {
            self.add_alone(job, executors, now);
        }
    }

    fn add_alone(&mut self, job: Arc<Planned>, mut executors: ExecutorSet, now: Instant) {
        if self.remote_is_lost {
            executors = ExecutorSet::LOCAL;
        }
        let cost = Duration::from_micros(job.cost).min(LONGEST_ESTIMATE);
        self.began.get_or_insert(now);
        self.total += cost;
        self.longest = self.longest.max(cost);
        let entry = Entry {
            job,
            cost,
            executors,
            remote: None,
            local: None,
            remote_failure: None,
        };
        let id = entry.job.id;
        self.enlist(&entry);
        self.entries.insert(id, entry);
    }

    /// Begins an attempt. The token fires when the other executor was faster.
    pub(super) fn begin(
        &mut self,
        id: JobId,
        executor: Executor,
        now: Instant,
    ) -> Option<(Arc<Planned>, CancellationToken)> {
        let superseded = CancellationToken::new();
        let run = RunningAttempt {
            since: now,
            executing: None,
            superseded: superseded.clone(),
        };
        if executor == Executor::Local {
            self.local.insert(id, now);
        }
        let job = self.change(id, |entry| {
            *entry.run(executor) = Some(run);
            Arc::clone(&entry.job)
        })?;
        Some((job, superseded))
    }

    /// A worker of the farm has begun with the job.
    pub(super) fn executing(&mut self, id: JobId, now: Instant) {
        self.change(id, |entry| {
            if let Some(run) = &mut entry.remote {
                run.executing.get_or_insert(now);
            }
        });
    }

    /// Makes the result of `executor` the one that counts, unless another has claimed the job.
    /// Returns why the farm did not make it, if the farm has tried.
    pub(super) fn claim(
        &mut self,
        id: JobId,
        executor: Executor,
        now: Instant,
    ) -> Result<Option<RemoteFailure>, Superseded> {
        let Some(mut entry) = self.entries.remove(&id) else {
            return Err(Superseded);
        };
        self.strike(&entry);
        self.local.remove(&id);
        if let Some(run) = entry.run(executor).take() {
            let taken = now - run.since;
            match executor {
                Executor::Local => self.rate_local.observe(taken, entry.cost),
                Executor::Remote => self.rate_remote.observe(taken, entry.cost),
            }
            if let Some(executing) = run.executing {
                self.rate_worker.observe(now - executing, entry.cost);
            }
        }
        for loser in [&entry.remote, &entry.local].into_iter().flatten() {
            loser.superseded.cancel();
        }
        Ok(entry.remote_failure)
    }

    /// The job has its result. Returns its duplicates if that is `shared` by them; otherwise each
    /// of them runs for itself.
    pub(super) fn complete(
        &mut self,
        job: &Planned,
        shared: bool,
        now: Instant,
    ) -> Vec<Arc<Planned>> {
        let others = self.duplicates.take(job);
        if shared {
            return others.into_iter().map(|(job, _)| job).collect();
        }
        for (job, executors) in others {
            self.add_alone(job, executors, now);
        }
        Vec::new()
    }

    /// The farm has ended without a result and will not try again: this machine may run the job,
    /// and its delivery gets the reason.
    pub(super) fn fall_back(&mut self, id: JobId, failure: RemoteFailure) {
        self.change(id, |entry| {
            entry.remote = None;
            entry.executors = ExecutorSet::LOCAL;
            entry.remote_failure = Some(failure);
        });
    }

    /// This machine has ended without a result and will not try again. Returns whether the farm has
    /// the job, or may have it.
    pub(super) fn decline(&mut self, id: JobId) -> bool {
        self.local.remove(&id);
        let is_left = self.change(id, |entry| {
            entry.local = None;
            entry.executors.local = false;
            entry.executors.remote
        });
        // A job without an entry has its result already.
        is_left.unwrap_or(true)
    }

    /// Jobs that wait for the farm, and those still to come, are for this machine alone.
    pub(super) fn lose_remote(&mut self) {
        self.remote_is_lost = true;
        let waiting = [JobPool::RemoteOnly, JobPool::Both].map(|pool| self.pool(pool).clone());
        for (_, Reverse(id)) in waiting.into_iter().flatten() {
            self.change(id, |entry| entry.executors = ExecutorSet::LOCAL);
        }
    }

    /// No more jobs will be added.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Every job has its result.
    pub(super) fn is_over(&self) -> bool {
        self.closed && self.entries.is_empty() && self.duplicates.is_empty()
    }

    /// Makes every change of an entry, so that the pools stay consistent. `None` if the job has its
    /// result.
    fn change<T>(&mut self, id: JobId, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut entry = self.entries.remove(&id)?;
        self.strike(&entry);
        let given = change(&mut entry);
        self.enlist(&entry);
        self.entries.insert(id, entry);
        Some(given)
    }

    fn enlist(&mut self, entry: &Entry) {
        if let Some(pool) = entry.pool() {
            self.pools[pool as usize].insert(entry.rank());
            self.sums[pool as usize] += entry.cost;
            self.memory_sums[pool as usize] += area(entry.job.memory, entry.cost);
        }
    }

    fn strike(&mut self, entry: &Entry) {
        if let Some(pool) = entry.pool() {
            self.pools[pool as usize].remove(&entry.rank());
            self.sums[pool as usize] -= entry.cost;
            self.memory_sums[pool as usize] -= area(entry.job.memory, entry.cost);
        }
    }
}
