//! Delivers results to the linker and into the disk cache.
//!
//! A result from the cache passes the same guard as a fresh one; one that fails it is a miss.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::cached::{self, Cached};
use super::description;
use super::keeper::Keeper;
use super::keys::KeyRecorder;
use super::slices;
use super::stats::LinkStats;
use super::verify::{CachePlace, Hit, Verifier};
use crate::action::canonical::CanonicalJob;
use crate::action::messages::{is_stack_usage, stack_usage_with_user_names, with_user_names};
use crate::action::split_dwarf::{has_debug_information, is_dwo};
use crate::cache::{CacheError, DiskCache};
use crate::digest::DigestFunction;
use crate::error::Hinted;
use crate::events::{Event, Events, JobId, JobStep, Origin};
use crate::exec::queue::Claim;
use crate::exec::{Compiled, Hermetic, Planned, PlannedForm};
use crate::fs::{keep_file_for, write_whole_until};
use crate::pb::reapi::ExecutedActionMetadata;
use crate::process::Parent;
use crate::task::spawn_blocking;

/// Why a result did not reach its place.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("cannot write the object `{path}`")]
    Unwritable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the debug information `{path}`")]
    UnwritableDwo {
        path: String,
        #[source]
        source: io::Error,
    },
    /// The object is not wanted any more, and what lld has deleted must not come back.
    #[error("the linker has exited")]
    LinkerGone,
}

impl Hinted for DeliveryError {
    fn hints(&self) -> Vec<String> {
        let hint = "objects are written beside the linker's output: is there space, and is the directory writable?";
        match self {
            Self::Unwritable { .. } => vec![hint.to_owned()],
            Self::UnwritableDwo { .. } => {
                vec![
                    "`dwo_dir` says where: is there space, and is the directory writable?"
                        .to_owned(),
                ]
            }
            Self::LinkerGone => Vec::new(),
        }
    }
}

/// Writes all results of a link.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) disk_cache: Option<DiskCache>,
    pub(super) stats: LinkStats,
    /// `None` where nothing is remembered.
    pub(super) keys: Option<KeyRecorder>,
    /// The link is logged.
    pub(super) describe_jobs: bool,
    pub(super) cancel: CancellationToken,
    pub(super) events: Events,
    /// The process that must still exist for the objects to be wanted.
    pub(super) linker: Option<Parent>,
    /// The umask of another process that the outputs are for.
    pub(super) umask: Option<u32>,
    /// `None`: results from caches are taken as they are.
    pub(super) verifier: Option<Arc<Verifier>>,
    pub(super) keeper: Keeper,
    /// Bounds the results that are written at a time: hundreds may arrive at once, and more threads
    /// than this only wait for each other.
    pub(super) writing: Semaphore,
}

impl Delivery {
    /// Bytes that this link brought into the disk cache.
    pub(super) fn added_bytes(&self) -> u64 {
        self.disk_cache.as_ref().map_or(0, DiskCache::added_bytes)
    }

    /// Says that the disk cache is too small for this link.
    pub(super) fn tell_limit(&self) {
        if let Some(cache) = &self.disk_cache {
            self.keeper.tell_limit(cache, &self.events);
        }
    }

    /// Delivers the result of `hermetic` from the disk cache, if it is there and sound, and returns
    /// it.
    pub(super) fn take_cached(
        &self,
        id: JobId,
        hermetic: &Hermetic,
        index: &str,
    ) -> Result<Option<Cached>, DeliveryError> {
        let cached = self
            .disk_cache
            .as_ref()
            .and_then(|cache| cached::read(cache, hermetic));
        let Some(cached) = cached else {
            return Ok(None);
        };
        self.write_outputs(&hermetic.job, &cached.outputs)?;
        self.measured(id, &cached.outputs, None);
        self.finished(
            id,
            Origin::DiskCache,
            &with_user_names(&cached.stderr, &hermetic.job, index),
        );
        Ok(Some(cached))
    }

    /// Delivers what was stored under the job's slice key, the names of promoted locals restored,
    /// and remembers it under the job's own key. Anything that is not sound is a miss.
    pub(super) fn take_sliced(
        &self,
        id: JobId,
        hermetic: &Hermetic,
    ) -> Result<Option<Cached>, DeliveryError> {
        let restored = match (&self.disk_cache, &hermetic.slice) {
            (Some(cache), Some(slice)) => slices::restored(cache, hermetic, slice),
            _ => None,
        };
        let Some(object) = restored else {
            return Ok(None);
        };
        self.write_outputs(&hermetic.job, std::slice::from_ref(&object))?;
        self.measured(id, std::slice::from_ref(&object), None);
        self.keep(|cache| {
            let outputs = std::slice::from_ref(&object);
            cached::store(
                cache,
                &hermetic.key(),
                hermetic,
                outputs,
                &Bytes::new(),
                None,
            )
        });
        self.finished(id, Origin::DiskCache, "");
        Ok(Some(Cached {
            outputs: vec![object],
            stderr: Bytes::new(),
            made_by: None,
        }))
    }

    /// Writes what a compiler just made for the claimed job and its duplicates, and keeps it if it
    /// may be kept. Returns it.
    pub(super) async fn deliver(
        self: &Arc<Self>,
        claim: Claim,
        compiled: Compiled,
    ) -> Result<Compiled, DeliveryError> {
        self.events.send(Event::JobAdvanced {
            job: claim.job().id,
            on_farm: compiled.origin.is_farm(),
            step: JobStep::Write,
        });
        let _permit = self.writing.acquire().await;
        let delivery = Arc::clone(self);
        spawn_blocking(move || {
            let mut jobs = vec![Arc::clone(claim.job())];
            delivery.write_compiled(claim.job(), &compiled)?;
            for duplicate in claim.complete(compiled.is_of_its_action()) {
                delivery.write_shared(&duplicate, &compiled)?;
                jobs.push(duplicate);
            }
            if compiled.origin == Origin::RemoteCache {
                delivery.verify_remote(jobs, &compiled);
            }
            Ok(compiled)
        })
        .await
    }

    fn write_compiled(&self, job: &Planned, compiled: &Compiled) -> Result<(), DeliveryError> {
        let text = match &job.form {
            PlannedForm::Hermetic(hermetic) if compiled.origin != Origin::InPlace => {
                self.write_outputs(&hermetic.job, &compiled.outputs)?;
                if compiled.storable {
                    self.keep(|cache| {
                        let key = hermetic.key_of(compiled.origin);
                        let (outputs, made_by) = (&compiled.outputs, compiled.made_by.as_deref());
                        cached::store(cache, &key, hermetic, outputs, &compiled.stderr, made_by)?;
                        match &hermetic.slice {
                            Some(slice) => slices::store(cache, slice, compiled),
                            None => Ok(()),
                        }
                    });
                }
                with_user_names(&compiled.stderr, &hermetic.job, &job.index)
            }
            _ => String::from_utf8_lossy(&compiled.stderr).into_owned(),
        };
        self.stats.compiled(job, compiled);
        self.measured(job.id, &compiled.outputs, compiled.peak_memory);
        if !compiled.stdout.is_empty() {
            self.events.send(Event::CompilerStdout {
                job: job.id,
                bytes: compiled.stdout.to_vec(),
            });
        }
        self.finished(job.id, compiled.origin, &text);
        Ok(())
    }

    /// Writes the result of another job of the same action; it is in the cache already if it may
    /// be.
    fn write_shared(&self, job: &Planned, compiled: &Compiled) -> Result<(), DeliveryError> {
        let Some(hermetic) = job.hermetic() else {
            unreachable!("a job that runs in place has no duplicates");
        };
        self.write_outputs(&hermetic.job, &compiled.outputs)?;
        self.stats.compiled(job, compiled);
        self.measured(job.id, &compiled.outputs, None);
        self.finished(
            job.id,
            Origin::Shared,
            &with_user_names(&compiled.stderr, &hermetic.job, &job.index),
        );
        Ok(())
    }

    /// Has a result of the farm's action cache verified, if it is chosen.
    fn verify_remote(&self, jobs: Vec<Arc<Planned>>, compiled: &Compiled) {
        let (Some(verifier), Some(hermetic)) = (&self.verifier, jobs[0].hermetic()) else {
            return;
        };
        let place = if compiled.by_slice_key {
            CachePlace::FarmSliceKey
        } else {
            CachePlace::Farm
        };
        if verifier.takes(hermetic, place) {
            let (outputs, made_by) = (&compiled.outputs, compiled.made_by.clone());
            verifier.add(Hit::new(jobs, outputs, place, made_by));
        }
    }

    /// Writes other outputs in place of those that `job` was given.
    pub(super) fn redeliver(&self, job: &Planned, outputs: &[Bytes]) -> Result<(), DeliveryError> {
        match job.hermetic() {
            Some(hermetic) => self.write_outputs(&hermetic.job, outputs),
            None => Ok(()),
        }
    }

    /// Puts outputs of a farm into the disk cache, by their digests only; false if they are not
    /// there.
    pub(super) fn keep_blobs(&self, outputs: &[Bytes]) -> bool {
        let keep = |cache: &DiskCache, contents: &Bytes| {
            let digest = DigestFunction::Sha256.digest(contents);
            cache.put_blob(&digest, contents).is_ok()
        };
        let cache = self.disk_cache.as_ref();
        let cache = cache.filter(|_| cached::is_storable(outputs, &Bytes::new()));
        cache.is_some_and(|cache| outputs.iter().all(|contents| keep(cache, contents)))
    }

    /// What the disk cache holds of `job`, by its key and by its slice key.
    pub(super) fn find_all(&self, job: &Arc<Planned>) -> Vec<Hit> {
        let (Some(cache), Some(hermetic)) = (&self.disk_cache, job.hermetic()) else {
            return Vec::new();
        };
        let hit = |outputs: &[Bytes], place, made_by: Option<ExecutedActionMetadata>| {
            let jobs = vec![Arc::clone(job)];
            Hit::new(jobs, outputs, place, made_by.map(Box::new)).found_only()
        };
        let whole = cached::read(cache, hermetic);
        let whole = whole.map(|it| hit(&it.outputs, CachePlace::Disk, it.made_by));
        let slice = hermetic.slice.as_deref();
        let sliced = slice.and_then(|slice| slices::restored(cache, hermetic, slice));
        let sliced = sliced.map(|it| hit(&[it], CachePlace::SliceKey, None));
        whole.into_iter().chain(sliced).collect()
    }

    /// Stores `fresh` in place of a wrong result of `hermetic`, or removes that. `None` without a
    /// disk cache; the error says why it stays.
    pub(super) fn replace_cached(
        &self,
        hermetic: &Hermetic,
        fresh: &Compiled,
    ) -> Option<Result<(), CacheError>> {
        let cache = self.disk_cache.as_ref()?;
        let key = hermetic.key();
        let stored = cached::store(cache, &key, hermetic, &fresh.outputs, &fresh.stderr, None);
        let replaced = stored.or_else(|error| cache.remove_result(&key).map_err(|_| error));
        Some(replaced.and_then(|()| match &hermetic.slice {
            Some(slice) => slices::replace(cache, slice, fresh),
            None => Ok(()),
        }))
    }

    /// Removes the results of `hermetic`, which this machine does not make. `None` without a disk
    /// cache; the error says why they stay.
    pub(super) fn remove_cached(&self, hermetic: &Hermetic) -> Option<Result<(), CacheError>> {
        let cache = self.disk_cache.as_ref()?;
        let removed = cache.remove_result(&hermetic.key());
        Some(removed.and_then(|()| match &hermetic.slice {
            Some(slice) => slices::remove(cache, slice),
            None => Ok(()),
        }))
    }

    /// Shows what the compiler of `job` says in place.
    pub(super) fn show_messages(&self, job: JobId, compiled: &Compiled) {
        if !compiled.stdout.is_empty() {
            self.events.send(Event::CompilerStdout {
                job,
                bytes: compiled.stdout.to_vec(),
            });
        }
        let text = String::from_utf8_lossy(&compiled.stderr).into_owned();
        if !text.trim().is_empty() {
            self.events.send(Event::CompilerMessage { job, text });
        }
    }

    fn write_outputs(&self, job: &CanonicalJob, contents: &[Bytes]) -> Result<(), DeliveryError> {
        let unwanted = || self.cancel.is_cancelled() || self.linker.is_some_and(Parent::is_gone);
        // The object last: once it exists, so do the others.
        for (output, contents) in job.outputs.iter().zip(contents).rev() {
            if unwanted() {
                return Err(DeliveryError::LinkerGone);
            }
            let path = output.name.clone();
            if is_dwo(output) {
                self.write_dwo(&output.host, contents)
                    .map_err(|source| DeliveryError::UnwritableDwo { path, source })?;
                continue;
            }
            let write =
                |contents: &[u8]| write_whole_until(&unwanted, self.umask, &output.host, contents);
            let written = if is_stack_usage(output) {
                write(&stack_usage_with_user_names(contents, job))
            } else {
                write(contents)
            };
            written.map_err(|source| DeliveryError::Unwritable { path, source })?;
        }
        Ok(())
    }

    /// The file is there already after every link but the first; no object refers to one without
    /// debug information.
    fn write_dwo(&self, path: &Path, contents: &Bytes) -> io::Result<()> {
        if has_debug_information(contents) {
            keep_file_for(self.umask, path, contents)
        } else {
            Ok(())
        }
    }

    fn keep(&self, store: impl Fn(&DiskCache) -> Result<(), CacheError>) {
        if let Some(cache) = &self.disk_cache {
            self.keeper.keep(cache, &self.events, store);
        }
    }

    fn measured(&self, job: JobId, outputs: &[Bytes], peak_memory: Option<u64>) {
        if self.describe_jobs {
            let digests = description::digests(outputs);
            self.events.send(Event::OutputsDescribed { job, digests });
        }
        self.events.send(Event::JobMeasured {
            job,
            output_bytes: outputs.iter().map(|bytes| bytes.len() as u64).sum(),
            peak_memory,
        });
    }

    fn finished(&self, job: JobId, origin: Origin, messages: &str) {
        if !messages.trim().is_empty() {
            let text = messages.to_owned();
            self.events.send(Event::CompilerMessage { job, text });
        }
        self.stats.finished(origin);
        if let Some(keys) = &self.keys {
            keys.finished(job, origin);
        }
        self.events.send(Event::JobFinished { job, origin });
    }
}
