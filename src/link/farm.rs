//! A link's use of its farm: which failures the user is told about, and which local results are
//! uploaded to the farm's cache ([`Stores`] does that).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::options::FarmOptions;
use super::stores::{Storable, Stores};
use crate::error::{Hinted, with_causes};
use crate::events::{Event, Events, Origin};
use crate::exec::remote::{CachedAtFarm, FallbackCause, RemoteExecutor, RemoteFailure};
use crate::exec::{Compiled, JobFailure, Planned};
use crate::reapi::limits::{CLOSING_LONGEST, CLOSING_SHARE, CLOSING_SHORTEST, FAILED_IN_A_ROW};
use crate::reapi::{ConnectError, Failure, Service};
use crate::task::lock;

/// What a link warns about once.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Warned {
    Fallback(FallbackCause),
    Memory,
    Disagreement,
}

/// The farm of a running link.
#[derive(Debug)]
pub(super) struct FarmSession {
    pub(super) options: FarmOptions,
    events: Events,
    executor: OnceLock<Arc<RemoteExecutor>>,
    warned: Mutex<BTreeSet<Warned>>,
    /// Jobs at which the farm's compilers have failed since one of them succeeded.
    failed_in_a_row: AtomicUsize,
    stores: Stores,
    began: Instant,
}

impl FarmSession {
    pub(super) fn new(options: FarmOptions, events: Events) -> Self {
        Self {
            options,
            stores: Stores::new(events.clone()),
            events,
            executor: OnceLock::new(),
            warned: Mutex::default(),
            failed_in_a_row: AtomicUsize::new(0),
            began: Instant::now(),
        }
    }

    /// From now on the farm can get local results.
    pub(super) fn connected(&self, executor: &Arc<RemoteExecutor>) {
        let _ = self.executor.set(Arc::clone(executor));
    }

    /// The farm cannot be reached. Tells the user, if the link may go on without it.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn unreachable(&self, error: ConnectError) -> Result<(), ConnectError> {
        if !self.options.is_optional() {
            return Err(error);
        }
        self.events.send(Event::FarmUnreachable);
        let text = format!("the link goes on without the farm: {}", with_causes(&error));
        let hint = error.hint();
        self.events.warning(text, hint.as_deref());
        Ok(())
    }

    /// Whether this machine may run what the farm did not; the user is told why, once for each kind
    /// of failure.
    ///
    /// # Errors
    /// It may not: the link fails.
    pub(super) fn fall_back(
        &self,
        job: &Planned,
        failure: RemoteFailure,
    ) -> Result<RemoteFailure, Box<JobFailure>> {
        let farm = self.options.address_of(failure.service);
        let module = &job.module;
        let allowed = self.options.local_fallback || self.options.is_cache_only();
        if !failure.cause.runs_locally(allowed) {
            return Err(Box::new(JobFailure::Farm {
                module: module.clone(),
                farm,
                reason: failure.reason,
                hints: failure.hints,
                fallback_helps: failure.cause.runs_locally(true),
            }));
        }
        self.count(&failure);
        let reason = &failure.reason;
        let text = match failure.cause {
            // The job shows it when it has compiled here.
            _ if failure.out_of_memory => {
                self.events.note(format!("`{module}` runs here: {reason}"));
                None
            }
            FallbackCause::Miss | FallbackCause::Source => None,
            FallbackCause::Compiler => {
                self.events.note(format!(
                    "the farm cannot compile `{module}`; running it here: {reason}"
                ));
                None
            }
            FallbackCause::Away => {
                self.events.send(Event::FarmUnreachable);
                Some(format!(
                    "the farm at `{farm}` does not work, so this machine runs its jobs: {reason}"
                ))
            }
            FallbackCause::Refused => Some(format!(
                "the farm at `{farm}` does not compile `{module}`; this machine does: {reason}"
            )),
            FallbackCause::Unsound => Some(format!(
                "the farm at `{farm}` has no sound result for `{module}`; this machine compiles it: {reason}"
            )),
        };
        if let Some(text) = text {
            let hint = failure.hints.first().map(String::as_str);
            self.warn_once(Warned::Fallback(failure.cause), text, hint);
        }
        Ok(failure)
    }

    /// A farm whose workers fail at everything is not asked to execute the other jobs, too. Where
    /// this machine must not take over, they remain its only chance.
    fn count(&self, failure: &RemoteFailure) {
        let by_worker = matches!(
            failure.cause,
            FallbackCause::Compiler | FallbackCause::Unsound
        );
        if !by_worker || !self.options.local_fallback {
            return;
        }
        let failed = self.failed_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if failed == FAILED_IN_A_ROW
            && let Some(executor) = self.executor.get()
        {
            executor.give_up_executing();
            self.events.note(format!(
                "the farm is only a cache from now on: its workers have failed at {failed} jobs in a row"
            ));
        }
    }

    /// A worker has compiled a job.
    pub(super) fn compiled_there(&self) {
        self.failed_in_a_row.store(0, Ordering::Relaxed);
    }

    fn warn_once(&self, kind: Warned, text: String, hint: Option<&str>) {
        let mut warned = lock(&self.warned);
        if warned.insert(kind) {
            self.events.warning(text, hint);
        } else {
            self.events.note(text);
        }
    }

    /// Called after a good local run. If the farm has tried the job, the user is told where the
    /// farm was wrong, and the farm gets the right result. Otherwise this machine was merely
    /// faster, and the farm gets the result if that delays nothing.
    pub(super) fn compiled_locally(
        &self,
        job: &Arc<Planned>,
        failure: Option<RemoteFailure>,
        compiled: Compiled,
    ) {
        if let Some(failure) = &failure {
            self.report_disagreement(job, failure, &compiled);
        }
        let Some(executor) = self.executor.get() else {
            return;
        };
        if self.stores.is_closed() || !executor.wants(&compiled) {
            return;
        }
        let result = storable(executor, job, compiled);
        match failure {
            Some(failure) if failure.store => self.stores.store(result),
            Some(_) => {}
            None => self.stores.offer(result),
        }
    }

    /// Corrects the farm's cached result of `job` if it is not `fresh`; `None` if the farm is not
    /// connected.
    pub(super) async fn mend(&self, job: &Arc<Planned>, fresh: &Compiled) -> Option<CachedAtFarm> {
        let executor = self.executor.get()?;
        Some(executor.mend(job, fresh).await)
    }

    /// The same of its result under the slice key.
    pub(super) async fn mend_slice(
        &self,
        job: &Arc<Planned>,
        fresh: &Compiled,
    ) -> Option<CachedAtFarm> {
        let executor = self.executor.get()?;
        Some(executor.mend_slice(job, fresh).await)
    }

    /// Called with a result that the farm has made: it goes under the job's slice key too.
    pub(super) fn executed(&self, job: &Arc<Planned>, compiled: &Compiled) {
        let Some(executor) = self.executor.get() else {
            return;
        };
        let made = compiled.origin == Origin::Remote;
        let closed = self.stores.is_closed();
        if made && !closed && executor.wants_under_slice_key(job, compiled) {
            self.stores.store(storable(executor, job, compiled.clone()));
        }
    }

    /// The address of its action cache.
    pub(super) fn cache_address(&self) -> String {
        self.options.address_of(Service::Cache)
    }

    /// What compiles only in place has failed here as it did there.
    fn report_disagreement(&self, job: &Planned, failure: &RemoteFailure, compiled: &Compiled) {
        if failure.out_of_memory {
            let hint = "`remote_exec_properties_large` names workers with more memory, `large_job_bytes` the jobs for them";
            let text = format!(
                "the farm's workers have too little memory for `{}`, which compiled here",
                job.module
            );
            self.warn_once(Warned::Memory, text, Some(hint));
            return;
        }
        if failure.cause == FallbackCause::Compiler && compiled.origin != Origin::InPlace {
            let hint = "the compile reads a file that its action does not name, or the worker is another kind of machine";
            let text = format!(
                "the farm disagrees with this machine about `{}`, which compiles here; there {}",
                job.module, failure.reason
            );
            self.warn_once(Warned::Disagreement, text, Some(hint));
        }
    }

    /// Waits for the uploads under way, as far as that is worth it and unless the link is
    /// `cancelled`, and closes the client.
    pub(super) async fn close(&self, cancelled: bool) {
        let Some(executor) = self.executor.get() else {
            return;
        };
        if cancelled {
            self.stores.abandon();
            executor.close(None).await;
            return;
        }
        let sent = || executor.bytes_sent();
        self.stores
            .finish(self.began.elapsed(), self.closing_time(), sent)
            .await;
        executor.close(Some(self.closing_time())).await;
    }

    fn closing_time(&self) -> Duration {
        (self.began.elapsed() / CLOSING_SHARE).clamp(CLOSING_SHORTEST, CLOSING_LONGEST)
    }
}

fn storable(
    executor: &Arc<RemoteExecutor>,
    job: &Arc<Planned>,
    compiled: Compiled,
) -> Storable<impl Future<Output = Result<(), Failure>> + Send + use<>> {
    let (executor, job) = (Arc::clone(executor), Arc::clone(job));
    let outputs: usize = compiled.outputs.iter().map(Bytes::len).sum();
    Storable {
        what: match compiled.origin {
            Origin::Local => "local results",
            _ => "results by slice key",
        },
        bytes: outputs + compiled.stderr.len(),
        upload: async move { executor.store(&job, &compiled).await },
    }
}
