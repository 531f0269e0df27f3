//! Verifies results that came from caches: a share of them is compiled again on this machine while
//! the linker waits, and compared.
//!
//! A [`Verifier`] chooses hits with a [`Sample`] and holds those that wait. A local slot that has
//! no job takes one of them and gives way to a job ([`compare`]). A wrong result is replaced
//! wherever it is, and both objects are kept ([`mend`], [`evidence`]); a job that does not compile
//! from its action runs in place in the end ([`in_place`]). Two fresh compiles that
//! differ say nothing of the cached result: the compiler is not deterministic.

mod compare;
mod evidence;
mod in_place;
mod mend;
mod sample;
mod whole;
mod wrong;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

use super::error::LinkError;
use super::options::VerifyOptions;
use super::stats::LinkStats;
use crate::action::coff::time_of_compile;
use crate::action::kind::OutputKind;
use crate::digest::{Digest, DigestFunction};
use crate::events::{Event, Events, Verdict};
use crate::exec::{Compiled, Hermetic, Planned, UnsoundResult};
use crate::pb::reapi::ExecutedActionMetadata;
use crate::task::{Task, lock};
use sample::Sample;

pub use whole::{CachedJob, NoKey};
pub use wrong::WrongResults;

/// Where a cached result was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CachePlace {
    Disk,
    /// In the disk cache, by what the job sees of its imports.
    SliceKey,
    Farm,
    /// In the farm's action cache, by what the job sees of its imports.
    FarmSliceKey,
}

impl CachePlace {
    fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk cache",
            Self::SliceKey => "disk cache by slice key",
            Self::Farm => "farm",
            Self::FarmSliceKey => "farm by slice key",
        }
    }
}

/// A cached result, and the jobs to which it was delivered; their action is the same.
#[derive(Debug)]
pub(super) struct Hit {
    jobs: Vec<Arc<Planned>>,
    /// In the order of the job's outputs.
    outputs: Vec<OutputDigest>,
    place: CachePlace,
    /// What the cache says about the execution.
    made_by: Option<Box<ExecutedActionMetadata>>,
    /// False where results are compared and nothing is linked.
    delivered: bool,
    /// Where they are neither delivered nor in the disk cache.
    contents: Vec<Bytes>,
}

impl Hit {
    /// `outputs` were delivered to `jobs`, all of which are hermetic.
    pub(super) fn new(
        jobs: Vec<Arc<Planned>>,
        outputs: &[Bytes],
        place: CachePlace,
        made_by: Option<Box<ExecutedActionMetadata>>,
    ) -> Self {
        let hit = Self {
            jobs,
            outputs: Vec::new(),
            place,
            made_by,
            delivered: true,
            contents: Vec::new(),
        };
        let outputs = OutputDigest::of_all(hit.hermetic().job.kind, outputs);
        Self { outputs, ..hit }
    }

    /// The same, found and not delivered.
    pub(super) fn found_only(self) -> Self {
        Self {
            delivered: false,
            ..self
        }
    }

    fn job(&self) -> &Arc<Planned> {
        &self.jobs[0]
    }

    fn hermetic(&self) -> &Hermetic {
        let hermetic = self.job().hermetic();
        hermetic.expect("what runs in place is in no cache")
    }
}

/// What one compile made.
#[derive(Debug)]
struct Fresh {
    compiled: Compiled,
    /// In the order of the job's outputs.
    outputs: Vec<OutputDigest>,
}

impl Fresh {
    fn new(kind: OutputKind, compiled: Compiled) -> Self {
        let outputs = OutputDigest::of_all(kind, &compiled.outputs);
        Self { compiled, outputs }
    }
}

/// The digests of one output by SHA256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct OutputDigest {
    whole: Digest,
    /// Of what two compiles of one job have in common: objects for Windows hold the time.
    timeless: Digest,
}

impl OutputDigest {
    fn of(kind: OutputKind, contents: &Bytes) -> Self {
        let whole = DigestFunction::Sha256.digest(contents);
        let timeless = time_of_compile(kind, contents).map_or(whole, |time| {
            let mut contents = contents.to_vec();
            contents[time].fill(0);
            DigestFunction::Sha256.digest(&contents)
        });
        Self { whole, timeless }
    }

    fn of_all(kind: OutputKind, outputs: &[Bytes]) -> Vec<Self> {
        let outputs = outputs.iter();
        outputs.map(|contents| Self::of(kind, contents)).collect()
    }
}

/// The first output in which two results differ, by more than the time.
fn difference(one: &[OutputDigest], other: &[OutputDigest]) -> Option<usize> {
    let mut outputs = one.iter().zip(other);
    outputs.position(|(one, other)| one.timeless != other.timeless)
}

/// The digests of an output in two results.
type DigestPair = [Digest; 2];

/// Hits of equal jobs with equal outputs are one.
type HitKey = (Digest, Vec<OutputDigest>);

/// The hits of one link that are to be verified.
#[derive(Debug)]
pub(super) struct Verifier {
    sample: Sample,
    options: VerifyOptions,
    events: Events,
    waiting: Mutex<PendingHits>,
    changed: Notify,
    /// Hits whose actions do not compile here, and why.
    not_made: Mutex<Vec<(Hit, UnsoundResult)>>,
    /// Replacements under way.
    mending: Mutex<Vec<Task<Result<(), LinkError>>>>,
    /// Reports of wrong results, where the user wants them to fail the link, each with whether the
    /// result is gone.
    wrong: Mutex<Vec<(String, bool)>>,
    /// Kinds of reports that the user has seen once.
    reported: Mutex<HashSet<Reported>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reported {
    Nondeterministic,
    Unverified,
}

#[derive(Debug, Default)]
struct PendingHits {
    hits: HashMap<HitKey, Hit>,
    /// All jobs are planned: slots without a job may begin.
    begun: bool,
    /// No more hits will come.
    closed: bool,
}

/// A hit that is being compared; it waits again if it is dropped before it is done.
#[derive(Debug)]
struct Taken<'a> {
    verifier: &'a Verifier,
    hit: Option<Hit>,
}

impl Verifier {
    /// `None` if nothing is to be verified. Results of the workers' own compiler cannot be.
    pub(super) fn new(
        options: &VerifyOptions,
        worker_compiles: bool,
        events: &Events,
    ) -> Option<Self> {
        if options.percent <= 0.0 {
            return None;
        }
        if worker_compiles {
            events.warning(
                "nothing is verified: `toolchain=worker` takes results of a compiler that is not on this machine",
                Some("`toolchain=upload` sends the compiler of this machine, whose results can be compared"),
            );
            return None;
        }
        Some(Self {
            sample: Sample::new(options),
            options: options.clone(),
            events: events.clone(),
            waiting: Mutex::default(),
            changed: Notify::new(),
            not_made: Mutex::default(),
            mending: Mutex::default(),
            wrong: Mutex::default(),
            reported: Mutex::default(),
        })
    }

    /// Whether a result that was found at `place` is to be verified.
    pub(super) fn takes(&self, hermetic: &Hermetic, place: CachePlace) -> bool {
        let by_slice_key = matches!(place, CachePlace::SliceKey | CachePlace::FarmSliceKey);
        self.sample.takes(&hermetic.key(), by_slice_key)
    }

    pub(super) fn add(&self, hit: Hit) {
        let mut waiting = self.waiting();
        let key = (hit.hermetic().key(), hit.outputs.clone());
        match waiting.hits.get_mut(&key) {
            Some(same) => same.jobs.extend(hit.jobs),
            None => {
                waiting.hits.insert(key, hit);
            }
        }
        drop(waiting);
        self.changed.notify_waiters();
    }

    /// All jobs are planned.
    pub(super) fn begin(&self) {
        self.waiting().begun = true;
        self.changed.notify_waiters();
    }

    /// No more hits will be added.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.begun = true;
        waiting.closed = true;
        drop(waiting);
        self.changed.notify_waiters();
    }

    /// The hit whose compile takes longest, once there is one; `None` when there will be none.
    async fn next(&self) -> Option<Taken<'_>> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut waiting = self.waiting();
                if let Some(hit) = waiting.take() {
                    let hit = Some(hit);
                    return Some(Taken {
                        verifier: self,
                        hit,
                    });
                }
                if waiting.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// The action of `hit` does not compile here.
    fn not_made(&self, hit: Hit, reason: UnsoundResult) {
        lock(&self.not_made).push((hit, reason));
    }

    /// Waits until wrong results are replaced.
    ///
    /// # Errors
    /// A replacement could not be written; there was a wrong result, and the user wants that to
    /// fail the link.
    pub(super) async fn finish(&self) -> Result<(), LinkError> {
        let mending = std::mem::take(&mut *lock(&self.mending));
        for task in mending {
            task.await?;
        }
        let wrong = std::mem::take(&mut *lock(&self.wrong));
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Box::new(WrongResults::new(wrong)).into())
    }

    /// Ends the replacements under way: the link is cancelled.
    pub(super) fn abandon(&self) {
        lock(&self.mending).clear();
    }

    fn ended(&self, stats: &LinkStats, hit: &Hit, verdict: Verdict) {
        for job in &hit.jobs {
            let job = job.id;
            self.events.send(Event::Verified { job, verdict });
            stats.verified(verdict);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, PendingHits> {
        lock(&self.waiting)
    }
}

impl PendingHits {
    fn take(&mut self) -> Option<Hit> {
        if !self.begun {
            return None;
        }
        let longest = self.hits.iter().max_by_key(|(_, hit)| hit.job().cost);
        let key = longest?.0.clone();
        self.hits.remove(&key)
    }
}

impl Taken<'_> {
    fn hit(&self) -> &Hit {
        self.hit.as_ref().expect("it is there until it is done")
    }

    fn done(mut self) -> Hit {
        self.hit.take().expect("it is there until it is done")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(hit) = self.hit.take() {
            self.verifier.add(hit);
        }
    }
}
