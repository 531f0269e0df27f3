//! A link's use of its farm: which failures the user is told about, and which results of this
//! machine the farm's cache gets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::options::FarmOptions;
use crate::error::Hinted;
use crate::events::{Event, Events, Origin};
use crate::exec::remote::{FallbackCause, RemoteExecutor, RemoteFailure};
use crate::exec::{Compiled, JobFailure, Planned};
use crate::reapi::{ConnectError, FailureKind};
use crate::task::{Task, spawn};

/// Results on their way to the farm at a time; each holds an object in memory.
const STORING: usize = 8;

/// For what nobody needs, offered results and executions to be cancelled, the end of a link waits
/// this part of its time.
const PART: u32 = 40;
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);

/// The farm of a running link.
#[derive(Debug)]
pub(super) struct FarmSession {
    pub(super) options: FarmOptions,
    events: Events,
    executor: OnceLock<Arc<RemoteExecutor>>,
    warned: Mutex<BTreeSet<FallbackCause>>,
    storing: Arc<Semaphore>,
    stores: Mutex<Vec<Task<()>>>,
    /// Results that the farm does not need.
    offers: Mutex<Vec<Task<()>>>,
    began: Instant,
    /// The farm's cache takes nothing; nothing more is sent there in this link.
    closed_cache: Arc<AtomicBool>,
}

impl FarmSession {
    pub(super) fn new(options: FarmOptions, events: Events) -> Self {
        Self {
            options,
            events,
            executor: OnceLock::new(),
            warned: Mutex::default(),
            storing: Arc::new(Semaphore::new(STORING)),
            stores: Mutex::default(),
            offers: Mutex::default(),
            began: Instant::now(),
            closed_cache: Arc::default(),
        }
    }

    /// From now on local results can be given to the farm.
    pub(super) fn connected(&self, executor: &Arc<RemoteExecutor>) {
        let _ = self.executor.set(Arc::clone(executor));
    }

    /// There is no farm to work with: tells so, if the link may go on without it.
    pub(super) fn unreachable(&self, error: ConnectError) -> Result<(), ConnectError> {
        if !self.options.local_fallback && !self.options.is_cache_only() {
            return Err(error);
        }
        self.events.send(Event::FarmUnreachable);
        let mut text = format!("the link goes on without the farm: {error}");
        let causes =
            std::iter::successors(std::error::Error::source(&error), |error| error.source());
        for cause in causes {
            text.push_str(": ");
            text.push_str(&cause.to_string());
        }
        let hint = error.hints().into_iter().next();
        self.events.warning(text, hint.as_deref());
        Ok(())
    }

    /// Whether this machine may run what the farm did not; if so, why is told, once for each kind
    /// of trouble.
    pub(super) fn let_go(
        &self,
        job: &Planned,
        fallen: RemoteFailure,
    ) -> Result<(), Box<JobFailure>> {
        let farm = self.options.address();
        let module = &job.module;
        let allowed = self.options.local_fallback || self.options.is_cache_only();
        if !fallen.cause.runs_locally(allowed) {
            let mut hints = fallen.hints;
            if fallen.cause.runs_locally(true) {
                hints.push("`remote_local_fallback` would run it on this machine".to_owned());
            }
            return Err(Box::new(JobFailure::Farm {
                module: module.clone(),
                farm: farm.to_owned(),
                reason: fallen.reason,
                hints,
            }));
        }
        let reason = &fallen.reason;
        let text = match fallen.cause {
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
                    "the farm at `{farm}` does not do its work, this machine does: {reason}"
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
            self.tell_once(fallen.cause, text, fallen.hints.first());
        }
        let _ = job.fallen.set(fallen);
        Ok(())
    }

    fn tell_once(&self, cause: FallbackCause, text: String, hint: Option<&String>) {
        let mut warned = lock(&self.warned);
        if warned.insert(cause) {
            self.events.warning(text, hint.map(String::as_str));
        } else {
            self.events.note(text);
        }
    }

    /// After a good local run of a job that fell: tells where the farm was wrong, and gives it what
    /// is right. A job that this machine was merely faster with is given in passing.
    pub(super) async fn compiled_here(&self, job: &Arc<Planned>, compiled: &Arc<Compiled>) {
        let Some(fallen) = job.fallen.get() else {
            self.offer(job, compiled);
            return;
        };
        // What compiled in place alone has failed here as it did there.
        if fallen.cause == FallbackCause::Compiler && compiled.origin != Origin::InPlace {
            self.events.warning(
                format!(
                    "the farm disagrees with this machine about `{}`, which compiles here; there {}",
                    job.module, fallen.reason
                ),
                Some("the compile reads a file that its action does not name, or the worker is another kind of machine"),
            );
        }
        if let Some(executor) = self.taker(job, compiled) {
            // Comes at once unless too many results are on their way already.
            let turn = Arc::clone(&self.storing).acquire_owned().await;
            lock(&self.stores).push(self.store(executor, job, compiled, turn.ok()));
        }
    }

    /// The farm could have made it as well: it gets the result if that delays nobody.
    fn offer(&self, job: &Arc<Planned>, compiled: &Arc<Compiled>) {
        if let Some(executor) = self.taker(job, compiled)
            && let Ok(turn) = Arc::clone(&self.storing).try_acquire_owned()
        {
            lock(&self.offers).push(self.store(executor, job, compiled, Some(turn)));
        }
    }

    /// The one who stores `compiled` at the farm, if it is wanted there.
    fn taker(&self, job: &Planned, compiled: &Compiled) -> Option<&Arc<RemoteExecutor>> {
        let executor = self.executor.get()?;
        let open = !self.closed_cache.load(Ordering::Relaxed);
        (open && executor.wants(job, compiled)).then_some(executor)
    }

    fn store(
        &self,
        executor: &Arc<RemoteExecutor>,
        job: &Arc<Planned>,
        compiled: &Arc<Compiled>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Task<()> {
        let (executor, job) = (Arc::clone(executor), Arc::clone(job));
        let (compiled, events) = (Arc::clone(compiled), self.events.clone());
        let closed = Arc::clone(&self.closed_cache);
        spawn(async move {
            let _turn = turn;
            let Err(failure) = executor.store(&job, &compiled).await else {
                return;
            };
            let text = format!("the farm's cache does not get what this machine makes: {failure}");
            let expected = failure.kind == FailureKind::Denied;
            if closed.swap(true, Ordering::Relaxed) || expected {
                events.note(text);
            } else {
                events.warning(text, failure.hints().first().map(String::as_str));
            }
        })
    }

    /// Waits for what is on its way to the farm, unless the link is `given_up`, and takes leave.
    /// What was merely offered is waited for as long as nobody notices.
    pub(super) async fn close(&self, given_up: bool) {
        let stores = std::mem::take(&mut *lock(&self.stores));
        let offers = std::mem::take(&mut *lock(&self.offers));
        if !given_up {
            for store in stores {
                store.await;
            }
            // Those that are not done by then end with their handles.
            let _ = tokio::time::timeout(self.patience(), join_all(offers)).await;
        }
        if let Some(executor) = self.executor.get() {
            let patience = (!given_up).then(|| self.patience());
            executor.close(patience).await;
        }
    }

    fn patience(&self) -> Duration {
        (self.began.elapsed() / PART).clamp(SHORTEST, LONGEST)
    }
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
