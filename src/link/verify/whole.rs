//! Compares every cached result of a job file with a fresh compile. Nothing is delivered.
//!
//! Unlike a link, it looks in all caches for each job: in the disk cache and in the farm's action
//! cache, by both keys in each.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{CachePlace, Hit, Verifier};
use crate::compiler::Purpose;
use crate::events::{Events, JobId};
use crate::exec::remote::RemoteExecutor;
use crate::exec::{Compiled, Planned, PlannedForm};
use crate::job::JobFile;
use crate::link::engine::Engine;
use crate::link::error::LinkError;
use crate::link::options::Options;
use crate::link::run::Link;
use crate::task::{in_parallel, lock, spawn, spawn_blocking};

/// Lookups under way at the farm.
const LOOKUPS: usize = 64;

/// What the caches hold of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedJob {
    /// The module as the user knows it.
    pub module: String,
    /// Where results were found.
    pub places: Vec<&'static str>,
    /// Why there is no key to look it up by.
    pub obstacle: Option<NoKey>,
}

/// Why a job has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoKey {
    /// It runs in place, so no cache has a result.
    InPlace(String),
    /// Its files are not those of the link any more. Caches may hold a result.
    Unsound(String),
}

/// A job that may have results, while it is looked up.
struct LookedUp {
    job: Result<Arc<Planned>, NoKey>,
    hits: Vec<Hit>,
}

impl Engine {
    /// Compiles every job of `file` that has a result in a cache again and compares. Verdicts and
    /// wrong results are sent as events; wrong results are replaced in the caches.
    ///
    /// # Errors
    /// The compiler cannot be resolved or started, or the farm cannot be used and must not be done
    /// without.
    pub async fn verify(
        &self,
        file: JobFile,
        options: &Options,
        events: Events,
    ) -> Result<Vec<CachedJob>, LinkError> {
        let connecting = options.farm.as_ref();
        let connecting = connecting.map(|farm| self.connect(farm, &events));
        let never = CancellationToken::new();
        let link = self.link(file, Purpose::Inspection, options, events, never);
        let link = Arc::new(link.await?);
        let Some(verifier) = link.delivery.verifier.clone() else {
            return Ok(Vec::new());
        };
        let looking = Arc::clone(&link);
        let mut jobs = spawn_blocking(move || looking.look_up_all()).await;
        if let (Some(connecting), Some(farm)) = (connecting, &link.farm)
            && let Some(executor) = link.remote_executor(farm, connecting.await).await?
        {
            look_up_at_farm(&executor, &mut jobs, &link).await;
        }
        let found = link.file.jobs.iter().zip(&jobs).map(|(job, looked_up)| {
            let places = looked_up.hits.iter().map(|hit| hit.place.name());
            CachedJob {
                module: job.module().to_owned(),
                places: places.collect(),
                obstacle: looked_up.job.as_ref().err().cloned(),
            }
        });
        let found = found.collect();
        for hit in jobs.into_iter().flat_map(|looked_up| looked_up.hits) {
            verifier.add(hit);
        }
        verifier.close();
        link.verify_all(options, &verifier).await?;
        if let Some(farm) = &link.farm {
            farm.close(false).await;
        }
        link.hash_cache.flush();
        Ok(found)
    }
}

impl Link {
    /// Plans all jobs and looks into the disk cache.
    fn look_up_all(&self) -> Vec<LookedUp> {
        let jobs: Vec<JobId> = (0..self.file.jobs.len()).collect();
        in_parallel(&jobs, |id| self.look_up(*id))
    }

    fn look_up(&self, id: JobId) -> LookedUp {
        let job = &self.file.jobs[id];
        let without_key = |reason: NoKey| LookedUp {
            job: Err(reason),
            hits: Vec::new(),
        };
        let mut checked = match self.planner().plan(job) {
            Ok(checked) => checked,
            Err(unsound) => return without_key(NoKey::Unsound(unsound.to_string())),
        };
        let hermetic = match &mut checked.form {
            PlannedForm::Hermetic(hermetic) => hermetic,
            PlannedForm::InPlace(reason) => return without_key(NoKey::InPlace(reason.to_string())),
        };
        hermetic.slice = self.slice_key(hermetic, job);
        let planned = Arc::new(self.planned(id, job, checked));
        let hits = self.delivery.find_all(&planned);
        LookedUp {
            job: Ok(planned),
            hits,
        }
    }

    /// What the farm's action cache holds for `job`.
    fn hit_at_farm(&self, job: &Arc<Planned>, found: Compiled) -> Hit {
        let place = if found.by_slice_key {
            CachePlace::FarmSliceKey
        } else {
            CachePlace::Farm
        };
        let jobs = vec![Arc::clone(job)];
        let mut hit = Hit::new(jobs, &found.outputs, place, found.made_by).found_only();
        if !self.delivery.keep_blobs(&found.outputs) {
            hit.contents = found.outputs;
        }
        hit
    }

    /// Runs as many comparisons at once as this machine runs compilers.
    async fn verify_all(
        self: &Arc<Self>,
        options: &Options,
        verifier: &Arc<Verifier>,
    ) -> Result<(), LinkError> {
        let runner = Arc::new(self.local_runner(options)?);
        let slots: Vec<_> = (0..options.local_jobs.get())
            .map(|_| {
                let (runner, verifier) = (Arc::clone(&runner), Arc::clone(verifier));
                spawn(async move {
                    while runner.verify_next(&verifier).await? {}
                    Ok::<_, LinkError>(())
                })
            })
            .collect();
        for slot in slots {
            slot.await?;
        }
        runner.finish_verifying(verifier).await
    }
}

async fn look_up_at_farm(executor: &Arc<RemoteExecutor>, jobs: &mut [LookedUp], link: &Link) {
    let refused = Mutex::new(None);
    let lookups = jobs.iter_mut().map(|looked_up| async {
        let Ok(job) = &looked_up.job else {
            return;
        };
        match executor.find_all(job).await {
            Ok(all) => {
                let hits = all.into_iter().map(|found| link.hit_at_farm(job, found));
                looked_up.hits.extend(hits);
            }
            Err(failure) => {
                lock(&refused).get_or_insert(failure.reason);
            }
        }
    });
    let lookups = futures_util::stream::iter(lookups).buffer_unordered(LOOKUPS);
    lookups.collect::<()>().await;
    if let Some(reason) = lock(&refused).take() {
        link.events.warning(
            format!("not all results of the farm's action cache are compared: {reason}"),
            None,
        );
    }
}
