//! Plans the jobs of a link: each is delivered from the disk cache, or put into the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Link;
use crate::action::slice::SliceKey;
use crate::events::{self, Event, JobId};
use crate::exec::queue::ExecutorSet;
use crate::exec::{Hermetic, InPlaceReason, Planned, PlannedForm};
use crate::fs::is_written_through;
use crate::job::{Caller, Job};
use crate::link::cached::Cached;
use crate::link::description::describe_job;
use crate::link::error::LinkError;
use crate::link::planner::{Checked, PlanError, Planner};
use crate::link::slices::SlicedJob;
use crate::link::verify::{CachePlace, Hit, Verifier};

impl Link {
    pub(in crate::link) fn planner(&self) -> Planner<'_> {
        Planner {
            file: &self.file,
            files: &self.files,
            toolchain: &self.toolchain,
            hash_cache: &self.hash_cache,
            events: &self.events,
            client_context: &self.client_context,
            dwo_dir: self.dwo_dir.as_deref(),
        }
    }

    pub(super) fn plan_jobs(&self) -> Result<(), LinkError> {
        let planner = self.planner();
        loop {
            if self.cancel.is_cancelled() {
                return Err(LinkError::Cancelled);
            }
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.order.get(next) else {
                return Ok(());
            };
            self.plan_job(&planner, *job)?;
        }
    }

    /// Delivers the job with this number out of the disk cache, or puts it into the queue.
    fn plan_job(&self, planner: &Planner<'_>, id: JobId) -> Result<(), LinkError> {
        let job = &self.file.jobs[id];
        let began = events::now();
        let checked = planner.plan(job);
        if self.cancel.is_cancelled() {
            // What was read of its files says nothing.
            return Err(LinkError::Cancelled);
        }
        let mut checked = checked.map_err(|source| {
            Box::new(PlanError {
                module: job.module().to_owned(),
                source,
            })
        })?;
        self.report_planned(id, &checked, began.elapsed());
        if let Some(keys) = &self.delivery.keys {
            keys.planned(id, job.module(), &checked);
        }
        if self.delivery.describe_jobs {
            let dir = self.client_context.dir();
            let description = Box::new(describe_job(&self.file, job, &checked, &self.names, &dir));
            self.events.send(Event::JobDescribed {
                job: id,
                description,
            });
        }
        let compared_first = match &checked.form {
            PlannedForm::Hermetic(hermetic) => self.is_compared_first(hermetic),
            PlannedForm::InPlace(_) => false,
        };
        match &mut checked.form {
            PlannedForm::Hermetic(hermetic) if compared_first => {
                hermetic.slice = self.slice_key(hermetic, job);
            }
            PlannedForm::Hermetic(hermetic) => {
                if let Some((cached, place)) = self.take_cached(id, hermetic, job)? {
                    self.verify(id, job, checked, &cached, place);
                    return Ok(());
                }
            }
            PlannedForm::InPlace(reason) => self.report_in_place(id, job, reason),
        }
        let job = Arc::new(self.planned(id, job, checked));
        if compared_first && let Some(verifier) = &self.delivery.verifier {
            for hit in self.delivery.find_all(&job) {
                verifier.add(hit);
            }
        }
        let executors = match (&self.farm, &job.form) {
            _ if compared_first => ExecutorSet::LOCAL,
            (Some(_), PlannedForm::Hermetic(_)) if self.dynamic => ExecutorSet::BOTH,
            (Some(_), PlannedForm::Hermetic(_)) => ExecutorSet::REMOTE,
            _ => ExecutorSet::LOCAL,
        };
        self.queue.push(job, executors);
        Ok(())
    }

    /// Whether a cached result would be verified and cannot be taken back, as an output is a pipe or
    /// a device. Such a job is compiled here, and what caches hold of it is compared beside that.
    fn is_compared_first(&self, hermetic: &Hermetic) -> bool {
        let mut outputs = hermetic.job.outputs.iter();
        // More results are chosen of those that slice keys find.
        let takes = |verifier: &Arc<Verifier>| verifier.takes(hermetic, CachePlace::SliceKey);
        self.delivery.verifier.as_ref().is_some_and(takes)
            && outputs.any(|output| is_written_through(&output.host))
    }

    pub(in crate::link) fn planned(&self, id: JobId, job: &Job, checked: Checked) -> Planned {
        let Checked {
            form,
            kind,
            names_intermediate_files,
            bytes,
            ..
        } = checked;
        Planned {
            id,
            module: job.module().to_owned(),
            index: job.index().to_owned(),
            outputs: job.outputs.clone(),
            command_line: self.file.command_line(job).map(str::to_owned).collect(),
            kind,
            names_intermediate_files,
            cost: self.delivery.stats.cost(job.module(), bytes),
            memory: self.delivery.stats.memory(job.module(), bytes),
            form,
        }
    }

    /// Delivers the result of the job from the disk cache: its own, or that of a job that sees the
    /// same of its imports. A job that has a slice key keeps it, for its own result.
    fn take_cached(
        &self,
        id: JobId,
        hermetic: &mut Hermetic,
        job: &Job,
    ) -> Result<Option<(Cached, CachePlace)>, LinkError> {
        let cached = self.delivery.take_cached(id, hermetic, job.index())?;
        if let Some(cached) = cached {
            return Ok(Some((cached, CachePlace::Disk)));
        }
        let Some(sliced) = self.sliced(hermetic, job) else {
            return Ok(None);
        };
        hermetic.slice = Some(Box::new(sliced.key.clone()));
        let cached = self.delivery.take_sliced(id, hermetic)?;
        if let Some(keys) = &self.delivery.keys {
            keys.looked_up(id, &sliced, cached.is_some());
        }
        Ok(cached.map(|cached| (cached, CachePlace::SliceKey)))
    }

    pub(in crate::link) fn slice_key(
        &self,
        hermetic: &Hermetic,
        job: &Job,
    ) -> Option<Box<SliceKey>> {
        let sliced = self.sliced(hermetic, job)?;
        Some(Box::new(sliced.key))
    }

    fn sliced(&self, hermetic: &Hermetic, job: &Job) -> Option<SlicedJob> {
        let (slices, cache) = (self.slices.as_ref()?, self.delivery.disk_cache.as_ref()?);
        slices.sliced(hermetic, &self.file, job, &self.toolchain, cache)
    }

    /// Has a result of the disk cache verified, if it is chosen.
    fn verify(
        &self,
        id: JobId,
        job: &Job,
        mut checked: Checked,
        cached: &Cached,
        place: CachePlace,
    ) {
        let (Some(verifier), PlannedForm::Hermetic(hermetic)) =
            (&self.delivery.verifier, &mut checked.form)
        else {
            return;
        };
        if !verifier.takes(hermetic, place) {
            return;
        }
        if hermetic.slice.is_none() {
            // The result of the slice key is wrong if this one is.
            hermetic.slice = self.slice_key(hermetic, job);
        }
        let made_by = cached.made_by.clone().map(Box::new);
        let jobs = vec![Arc::new(self.planned(id, job, checked))];
        verifier.add(Hit::new(jobs, &cached.outputs, place, made_by));
    }

    fn report_planned(&self, id: JobId, checked: &Checked, time: Duration) {
        let hermetic = checked.form.hermetic();
        let input_bytes = hermetic.map_or(checked.bytes, Hermetic::input_bytes);
        self.events.send(Event::JobPlanned {
            job: id,
            key: hermetic.and_then(|hermetic| hermetic.key().hash.first_chunk().copied()),
            input_bytes,
            time,
        });
    }

    /// A link shows in its summary how many jobs ran so; a launched compiler has none.
    fn report_in_place(&self, id: JobId, job: &Job, reason: &InPlaceReason) {
        self.events.send(Event::RunsInPlace {
            job: id,
            cause: reason.cause().to_owned(),
        });
        match self.file.caller {
            Caller::Linker => self.events.note(format!(
                "`{}` runs in place, uncached: {reason}",
                job.module()
            )),
            Caller::Launcher => self.events.warning(
                format!("ThinLTO backends run in place, uncached: {reason}"),
                None,
            ),
        }
    }
}
