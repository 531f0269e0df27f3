//! Which jobs wait, which run where, and whose result counts: the facts behind the queue.
//!
//! Enters: jobs, and what happens to them, each with its time. Leaves: for each place the jobs that
//! it may take, in the order of their costs. Pure: no clock, no task, no lock. What to take of them
//! is decided in `choice`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::place::{Place, Places};
use super::twins::Twins;
use crate::events::JobId;
use crate::exec::Planned;

/// Longer estimates are as good as none, and times that are computed from them stay in range.
const LONGEST: Duration = Duration::from_hours(24);

/// By cost; among equals the job that lld named first is the greater one.
pub(super) type Rank = (Duration, Reverse<JobId>);

/// What jobs that somebody may take have in common. A job that runs wherever it may is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// Waits, and only the farm may have it.
    FarmOnly,
    /// Waits, and only this machine may have it.
    HereOnly,
    /// Waits for either.
    Both,
    /// On its way to a worker of the farm; this machine may have it too.
    Queued,
    /// A worker of the farm has begun with it; this machine may have it too.
    Executing,
    /// Runs here; the farm may have it too.
    RunsHere,
}

const POOLS: usize = 6;

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) since: Instant,
    /// When a worker began with it.
    pub(super) executing: Option<Instant>,
    /// Fires when the other place's result counts.
    lost: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: Arc<Planned>,
    pub(super) cost: Duration,
    places: Places,
    pub(super) farm: Option<Run>,
    pub(super) here: Option<Run>,
}

impl Entry {
    fn rank(&self) -> Rank {
        (self.cost, Reverse(self.job.id))
    }

    fn run(&mut self, place: Place) -> &mut Option<Run> {
        match place {
            Place::Farm => &mut self.farm,
            Place::Here => &mut self.here,
        }
    }

    fn pool(&self) -> Option<Pool> {
        match (&self.farm, &self.here) {
            (None, None) => match (self.places.farm, self.places.here) {
                (true, true) => Some(Pool::Both),
                (true, false) => Some(Pool::FarmOnly),
                (false, true) => Some(Pool::HereOnly),
                (false, false) => None,
            },
            (Some(run), None) if self.places.here && run.executing.is_some() => {
                Some(Pool::Executing)
            }
            (Some(_), None) if self.places.here => Some(Pool::Queued),
            (None, Some(_)) if self.places.farm => Some(Pool::RunsHere),
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

/// All jobs that have no result yet.
#[derive(Debug)]
pub(super) struct Board {
    /// Compilers that this machine runs at once.
    pub(super) slots: usize,
    pub(super) entries: HashMap<JobId, Entry>,
    pools: [BTreeSet<Rank>; POOLS],
    /// Summed costs of the pools.
    sums: [Duration; POOLS],
    /// What runs here, wherever else it runs.
    pub(super) here: BTreeMap<JobId, Instant>,
    pub(super) rate_here: Rate,
    /// From the start of an attempt at the farm to its result.
    pub(super) rate_farm: Rate,
    /// From a worker's start to the result.
    pub(super) rate_worker: Rate,
    /// When the first job came.
    pub(super) began: Option<Instant>,
    /// Summed costs of all jobs that this machine may have had, and the longest of them.
    pub(super) total: Duration,
    pub(super) longest: Duration,
    /// Jobs that wait for another one's result; they are in no pool.
    twins: Twins,
    farm_is_gone: bool,
    closed: bool,
}

impl Board {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots,
            entries: HashMap::new(),
            pools: Default::default(),
            sums: [Duration::ZERO; POOLS],
            here: BTreeMap::new(),
            rate_here: Rate::default(),
            rate_farm: Rate::default(),
            rate_worker: Rate::default(),
            began: None,
            total: Duration::ZERO,
            longest: Duration::ZERO,
            twins: Twins::default(),
            farm_is_gone: false,
            closed: false,
        }
    }

    pub(super) fn pool(&self, pool: Pool) -> &BTreeSet<Rank> {
        &self.pools[pool as usize]
    }

    pub(super) fn sum(&self, pool: Pool) -> Duration {
        self.sums[pool as usize]
    }

    /// A job whose equal is under way waits for that one's result.
    pub(super) fn add(&mut self, job: Arc<Planned>, places: Places, now: Instant) {
        if let Some(job) = self.twins.add(job, places) {
            self.add_alone(job, places, now);
        }
    }

    fn add_alone(&mut self, job: Arc<Planned>, mut places: Places, now: Instant) {
        if self.farm_is_gone {
            places = Places::HERE;
        }
        let cost = Duration::from_micros(job.cost).min(LONGEST);
        self.began.get_or_insert(now);
        self.total += cost;
        self.longest = self.longest.max(cost);
        let entry = Entry {
            job,
            cost,
            places,
            farm: None,
            here: None,
        };
        let id = entry.job.id;
        self.enlist(&entry);
        self.entries.insert(id, entry);
    }

    /// Begins an attempt. What is returned fires when the other place was faster.
    pub(super) fn begin(
        &mut self,
        id: JobId,
        place: Place,
        now: Instant,
    ) -> Option<(Arc<Planned>, CancellationToken)> {
        let lost = CancellationToken::new();
        let run = Run {
            since: now,
            executing: None,
            lost: lost.clone(),
        };
        if place == Place::Here {
            self.here.insert(id, now);
        }
        let job = self.change(id, |entry| {
            *entry.run(place) = Some(run);
            Arc::clone(&entry.job)
        })?;
        Some((job, lost))
    }

    /// A worker of the farm has begun with the job.
    pub(super) fn executing(&mut self, id: JobId, now: Instant) {
        self.change(id, |entry| {
            if let Some(run) = &mut entry.farm {
                run.executing.get_or_insert(now);
            }
        });
    }

    /// Whether the result of `place` is the one that counts: of all that ask, the first.
    pub(super) fn claim(&mut self, id: JobId, place: Place, now: Instant) -> bool {
        let Some(mut entry) = self.entries.remove(&id) else {
            return false;
        };
        self.strike(&entry);
        self.here.remove(&id);
        if let Some(run) = entry.run(place).take() {
            let taken = now - run.since;
            match place {
                Place::Here => self.rate_here.observe(taken, entry.cost),
                Place::Farm => self.rate_farm.observe(taken, entry.cost),
            }
            if let Some(executing) = run.executing {
                self.rate_worker.observe(now - executing, entry.cost);
            }
        }
        for loser in [&entry.farm, &entry.here].into_iter().flatten() {
            loser.lost.cancel();
        }
        true
    }

    /// The job has its result, and whether it is `shared` by all who are equal to it: gives those,
    /// or lets each run for itself.
    pub(super) fn settle(
        &mut self,
        job: &Planned,
        shared: bool,
        now: Instant,
    ) -> Vec<Arc<Planned>> {
        let others = self.twins.take(job);
        if shared {
            return others.into_iter().map(|(job, _)| job).collect();
        }
        for (job, places) in others {
            self.add_alone(job, places, now);
        }
        Vec::new()
    }

    /// `from` has ended without a result and will not try again. What the farm lets go may run
    /// here. Gives whether somebody else may have the job, or has it.
    pub(super) fn let_go(&mut self, id: JobId, from: Place) -> bool {
        if from == Place::Here {
            self.here.remove(&id);
        }
        let passed_on = self.change(id, |entry| {
            *entry.run(from) = None;
            entry.places.forbid(from);
            if from == Place::Farm {
                entry.places.allow(Place::Here);
            }
            entry.places.farm || entry.places.here
        });
        // A job that is not there has its result already.
        passed_on.unwrap_or(true)
    }

    /// What waits for the farm, and what will come, is for this machine alone.
    pub(super) fn lose_farm(&mut self) {
        self.farm_is_gone = true;
        let waiting = [Pool::FarmOnly, Pool::Both].map(|pool| self.pool(pool).clone());
        for (_, Reverse(id)) in waiting.into_iter().flatten() {
            self.change(id, |entry| entry.places = Places::HERE);
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Every job has its result.
    pub(super) fn is_over(&self) -> bool {
        self.closed && self.entries.is_empty() && self.twins.is_empty()
    }

    /// All changes of an entry pass here, so that the pools are always true. `None`: there is no
    /// such job any more.
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
        }
    }

    fn strike(&mut self, entry: &Entry) {
        if let Some(pool) = entry.pool() {
            self.pools[pool as usize].remove(&entry.rank());
            self.sums[pool as usize] -= entry.cost;
        }
    }
}
