//! Links that run at the same time compile each action once.
//!
//! Programs that share a library are often linked together, and all their links begin with the same
//! longest job. A job that another link is compiling holds a slot of the machine there, so a slot of
//! this link that waits for it, without a permit, leaves no processor idle.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::delivery::Delivery;
use super::options::Options;
use super::verify::CachePlace;
use crate::digest::Digest;
use crate::exec::admission::{Admission, LocalPermit};
use crate::exec::{Compiled, Planned};
use crate::process::{CompileAttempt, CompileLock, CompileLocks, OtherCompile};
use crate::task::{lock, spawn_blocking};

/// How often another link's compile is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A compile that takes this many times what is expected, and longer than a pause, belongs to a link
/// that is stopped, or to a machine that is too full to tell.
const LATE: u32 = 4;
const PAUSE: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// The other links of this user on this machine that have the same disk cache.
#[derive(Debug)]
pub(super) struct OtherLinks {
    locks: CompileLocks,
    delivery: Arc<Delivery>,
}

/// How a job begins on this machine.
#[derive(Debug)]
pub(super) enum Admitted {
    ToCompile {
        permit: LocalPermit,
        /// Other links wait while it is held.
        lock: Mutex<Option<CompileLock>>,
    },
    /// Another link has compiled it since it was planned.
    Found(Compiled),
}

impl Admitted {
    /// Without regard to other links.
    pub(super) fn alone(permit: LocalPermit) -> Self {
        Self::to_compile(permit, None)
    }

    fn to_compile(permit: LocalPermit, lock: Option<CompileLock>) -> Self {
        Self::ToCompile {
            permit,
            lock: Mutex::new(lock),
        }
    }

    /// There will be no result that other links could use.
    pub(super) fn unlock(&self) {
        if let Self::ToCompile { lock: held, .. } = self {
            lock(held).take();
        }
    }
}

impl OtherLinks {
    /// `None` without a disk cache, or without a directory where links can meet.
    pub(super) fn of(options: &Options, delivery: &Arc<Delivery>) -> Option<Self> {
        let (state, cache) = (options.state_dir.as_ref()?, delivery.disk_cache.as_ref()?);
        Some(Self {
            locks: CompileLocks::of_machine(state, cache.root()),
            delivery: Arc::clone(delivery),
        })
    }

    /// Waits while another link compiles `job`, without `permit`.
    pub(super) async fn admit(
        &self,
        permit: LocalPermit,
        job: &Arc<Planned>,
        admission: &Admission,
    ) -> Admitted {
        let Some(key) = self.shared_key(job) else {
            return Admitted::alone(permit);
        };
        let attempt = self.locks.attempt(&key);
        if let CompileAttempt::UnderWay(other) = attempt {
            drop(permit);
            let waiting = admission.wait_for_others();
            let ended = self.ended(other, job).await;
            drop(waiting);
            return match ended {
                Ok(found) => Admitted::Found(found),
                Err(lock) => Admitted::to_compile(admission.admit_job(job).await, lock),
            };
        }
        let held = match attempt {
            CompileAttempt::Locked(lock) => Some(lock),
            _ => None,
        };
        match self.found(job).await {
            Some(found) => Admitted::Found(found),
            None => Admitted::to_compile(permit, held),
        }
    }

    /// The key of what another link may have compiled for `job`. A result that would be verified is
    /// compiled here in any case.
    fn shared_key(&self, job: &Planned) -> Option<Digest> {
        let hermetic = job.hermetic()?;
        let verifier = self.delivery.verifier.as_ref();
        let is_verified = verifier.is_some_and(|it| it.takes(hermetic, CachePlace::SliceKey));
        // A worker's own compiler makes another result than this machine's.
        (!is_verified && hermetic.worker_key.is_none()).then(|| hermetic.key())
    }

    /// The result of a compile that another link has under way, or the lock, if there will be none.
    async fn ended(
        &self,
        mut other: OtherCompile,
        job: &Arc<Planned>,
    ) -> Result<Compiled, Option<CompileLock>> {
        let expected = Duration::from_micros(job.cost).saturating_mul(LATE);
        let limit = Instant::now() + expected.saturating_add(PAUSE).min(LONGEST_WAIT);
        loop {
            sleep(LOOK_INTERVAL).await;
            let attempt = other.attempt();
            // After the attempt: a result is stored before its lock is free.
            if let Some(found) = self.found(job).await {
                return Ok(found);
            }
            match attempt {
                CompileAttempt::UnderWay(still) if Instant::now() < limit => other = still,
                CompileAttempt::Locked(lock) => return Err(Some(lock)),
                CompileAttempt::UnderWay(_) | CompileAttempt::Ended | CompileAttempt::Unknown => {
                    return Err(None);
                }
            }
        }
    }

    async fn found(&self, job: &Arc<Planned>) -> Option<Compiled> {
        let (delivery, job) = (Arc::clone(&self.delivery), Arc::clone(job));
        spawn_blocking(move || delivery.found(&job)).await
    }
}
