//! One job on its way through the farm: look up, upload, execute, fetch.
//!
//! Enters: a job and its action. Leaves: its result, or why there is none. A cached result that is
//! bad is executed again past the cache, so that the farm replaces it.

use std::sync::Arc;
use std::time::Duration;

use super::prepared::{self, JobClosure};
use super::room::Place;
use super::taken::{Refusal, Taken, paths};
use super::{Fallen, RemoteExecutor};
use crate::action::Action;
use crate::action::messages::with_user_names;
use crate::digest::Digest;
use crate::events::{self, Event, Origin};
use crate::exec::{Compiled, Hermetic, Planned};
use crate::pb::reapi::ActionResult;
use crate::reapi::{ExecuteJob, Executed, Failure, RequestContext, Stage};

/// Lines of a worker's compiler that a message repeats.
const QUOTED_LINES: usize = 20;

/// What the action cache had.
pub(super) enum Found {
    Good(Compiled),
    Bad,
    Nothing,
}

/// One job on its way through the farm.
pub(super) struct Turn<'a> {
    pub(super) executor: &'a Arc<RemoteExecutor>,
    pub(super) job: &'a Arc<Planned>,
    pub(super) hermetic: &'a Hermetic,
    pub(super) action: Digest,
    pub(super) context: RequestContext,
    /// Hears when a worker begins with the job.
    pub(super) executing: &'a (dyn Fn() + Send + Sync),
}

impl Turn<'_> {
    pub(super) async fn look_up(&self) -> Result<Found, Fallen> {
        let inline = paths(&self.hermetic.job);
        let client = &self.executor.client;
        let found = client
            .action_result(&self.action, &inline, &self.context)
            .await;
        let Some(result) = found.map_err(|failure| self.executor.fallen(&failure))? else {
            return Ok(Found::Nothing);
        };
        match self.take(&result).await {
            Ok(taken) => Ok(Found::Good(compiled(Origin::RemoteCache, taken, None))),
            Err(Refusal::Failed(failure)) => Err(self.executor.fallen(&failure)),
            Err(Refusal::Bad(reason)) => {
                self.distrust(&reason);
                Ok(Found::Bad)
            }
            Err(Refusal::Exit(code, _)) => {
                self.distrust(&format!("it exited with {code}"));
                Ok(Found::Bad)
            }
        }
    }

    fn distrust(&self, reason: &str) {
        self.executor.shared.events.note(format!(
            "the farm's cached result for `{}` is not taken: {reason}",
            self.job.module
        ));
    }

    pub(super) async fn upload(&self, action: Action) -> Result<(), Fallen> {
        let mut blobs = self.executor.toolchain.blobs.clone();
        blobs.extend(prepared::blobs(&action));
        drop(action);
        let client = &self.executor.client;
        let sent = client.upload(&blobs, self.job.cost).await;
        sent.map(drop)
            .map_err(|failure| self.executor.fallen(&failure))
    }

    /// Begins when there is room for one execution more, which may be `kept` for it.
    pub(super) async fn execute(
        &self,
        kept: Option<Place>,
        skip_cache: bool,
    ) -> Result<Compiled, Fallen> {
        let place = match kept {
            Some(place) => place,
            None => self.enter().await,
        };
        self.started();
        let ended = self.execute_in(place, skip_cache).await;
        if ended.is_err() {
            self.stopped();
        }
        ended
    }

    async fn execute_in(&self, place: Place, mut skip_cache: bool) -> Result<Compiled, Fallen> {
        let mut place = Some(place);
        loop {
            let began = events::now();
            let executed = self.execute_once(skip_cache).await;
            let executed = executed.map_err(|failure| self.executor.fallen(&failure))?;
            let waited = began.elapsed();
            // While the outputs are fetched, the worker takes the next job.
            drop(place.take());
            let again = match self.take(&executed.result).await {
                Ok(taken) => return Ok(self.made(taken, &executed, waited)),
                Err(Refusal::Failed(failure)) => return Err(self.executor.fallen(&failure)),
                Err(Refusal::Exit(code, stderr)) if skip_cache || !executed.cached => {
                    return Err(Fallen::compiler(self.said_no(code, &stderr, &executed)));
                }
                Err(Refusal::Bad(reason)) if skip_cache => {
                    return Err(Fallen::unsound(with_message(reason, &executed)));
                }
                Err(Refusal::Exit(code, _)) => format!("it exited with {code}"),
                Err(Refusal::Bad(reason)) => reason,
            };
            self.distrust(&again);
            skip_cache = true;
            place = Some(self.enter().await);
        }
    }

    async fn enter(&self) -> Place {
        let room = &self.executor.room;
        room.enter(self.job.cost, self.job.id).await
    }

    async fn execute_once(&self, skip_cache_lookup: bool) -> Result<Executed, Failure> {
        let job = ExecuteJob {
            action: self.action,
            skip_cache_lookup,
            closure: Arc::new(JobClosure {
                executor: Arc::clone(self.executor),
                job: Arc::clone(self.job),
            }),
            inline_outputs: paths(&self.hermetic.job),
            context: self.context.clone(),
        };
        let progress = |stage| {
            if stage == Stage::Executing {
                (self.executing)();
            }
        };
        self.executor.client.execute(&job, &progress).await
    }

    async fn take(&self, result: &ActionResult) -> Result<Taken, Refusal> {
        self.executor
            .take(&self.hermetic.job, result, &self.context)
            .await
    }

    fn made(&self, taken: Taken, executed: &Executed, waited: Duration) -> Compiled {
        if executed.cached {
            self.stopped();
            return compiled(Origin::RemoteCache, taken, None);
        }
        let elapsed = execution_time(&executed.result).unwrap_or(waited);
        compiled(Origin::Remote, taken, Some(elapsed))
    }

    fn said_no(&self, code: i32, stderr: &[u8], executed: &Executed) -> String {
        let text = with_user_names(stderr, &self.hermetic.job, &self.job.index);
        let mut reason = with_message(format!("the compiler exited with {code}"), executed);
        for line in text.lines().take(QUOTED_LINES) {
            reason.push_str("\n  | ");
            reason.push_str(line);
        }
        reason
    }

    fn started(&self) {
        let (job, origin) = (self.job.id, Origin::Remote);
        let events = &self.executor.shared.events;
        events.send(Event::JobStarted { job, origin });
    }

    fn stopped(&self) {
        let (job, origin) = (self.job.id, Origin::Remote);
        let events = &self.executor.shared.events;
        events.send(Event::JobStopped { job, origin });
    }
}

/// Digests say what went into it, so whatever the files are by now, it may be kept.
fn compiled(origin: Origin, taken: Taken, elapsed: Option<Duration>) -> Compiled {
    Compiled {
        origin,
        outputs: taken.outputs,
        stderr: taken.stderr.to_vec(),
        storable: true,
        elapsed: elapsed.unwrap_or_default(),
        peak_memory: None,
    }
}

/// What the server wants people to read, a link to its own page often.
fn with_message(reason: String, executed: &Executed) -> String {
    if executed.message.is_empty() {
        return reason;
    }
    format!("{reason} ({})", executed.message)
}

/// How long the compiler ran, by the worker's clock.
fn execution_time(result: &ActionResult) -> Option<Duration> {
    let metadata = result.execution_metadata.as_ref()?;
    let start = metadata.execution_start_timestamp?;
    let end = metadata.execution_completed_timestamp?;
    let nanos = i128::from(end.seconds - start.seconds) * 1_000_000_000
        + i128::from(end.nanos - start.nanos);
    Some(Duration::from_nanos(
        u64::try_from(nanos).ok().filter(|nanos| *nanos > 0)?,
    ))
}
