//! One job's way through the farm: look up, upload, execute, fetch.
//!
//! A bad cached result is executed again past the cache, so that the farm replaces it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::action::{self, JobClosure};
use super::execution_limit::ExecutionPermit;
use super::fallback::mentions_memory;
use super::fetch::{ResultError, VerifiedResult, output_paths};
use super::{RemoteExecutor, RemoteFailure, WorkerSize};
use crate::action::Action;
use crate::action::messages::with_user_names;
use crate::digest::Digest;
use crate::events::{self, Event, JobStep, Origin};
use crate::exec::{Compiled, Hermetic, Planned};
use crate::pb::reapi::ActionResult;
use crate::reapi::{ExecuteJob, Executed, Failure, RequestContext, Stage};

/// How many lines of the remote compiler's stderr a message quotes.
const QUOTED_LINES: usize = 20;

pub(super) enum CachedResult {
    Good(Compiled),
    Bad,
    None,
}

/// One job of the farm.
pub(super) struct RemoteJob<'a> {
    pub(super) executor: &'a Arc<RemoteExecutor>,
    pub(super) job: &'a Arc<Planned>,
    pub(super) hermetic: &'a Hermetic,
    /// Of the workers that it goes to.
    pub(super) size: WorkerSize,
    pub(super) action: Digest,
    pub(super) context: RequestContext,
    /// Called when a worker starts the job.
    pub(super) executing: &'a (dyn Fn() + Send + Sync),
}

impl RemoteJob<'_> {
    pub(super) async fn look_up(&self) -> Result<CachedResult, RemoteFailure> {
        let inline = output_paths(&self.hermetic.job);
        let client = &self.executor.client;
        let found = client
            .action_result(&self.action, &inline, &self.context)
            .await;
        let Some(result) = found.map_err(|failure| self.failure(&failure))? else {
            return Ok(CachedResult::None);
        };
        self.advance(JobStep::Fetch);
        let (named, began) = (self.named(&result), Instant::now());
        match self.fetch(result).await {
            Ok(result) => Ok(CachedResult::Good(compiled(
                Origin::RemoteCache,
                result,
                None,
            ))),
            Err(ResultError::Failed(failure)) => Err(self.failure(&failure)),
            Err(ResultError::Bad(reason)) => {
                self.distrust(&reason);
                client.doubt(&named, began);
                Ok(CachedResult::Bad)
            }
            Err(ResultError::Exit(code, _)) => {
                self.distrust(&format!("it exited with {code}"));
                client.doubt(&named, began);
                Ok(CachedResult::Bad)
            }
        }
    }

    /// The blobs that a cached result of this job needs: where one is gone, others may be.
    fn named(&self, result: &ActionResult) -> Vec<Digest> {
        let outputs = result.output_files.iter().map(|it| it.digest.as_ref());
        let all = outputs.chain([result.stderr_digest.as_ref()]).flatten();
        let all = all.filter_map(|digest| Digest::from_pb(digest).ok());
        all.chain([self.action]).collect()
    }

    fn failure(&self, failure: &Failure) -> RemoteFailure {
        let platform = &self.executor.template(self.size).platform;
        RemoteFailure::from_failure(failure, platform)
    }

    fn distrust(&self, reason: &str) {
        self.executor.config.events.note(format!(
            "the farm's cached result for `{}` is not used: {reason}",
            self.job.module
        ));
    }

    pub(super) async fn upload(&self, action: Action) -> Result<(), RemoteFailure> {
        let mut blobs = self.executor.toolchain.blobs.clone();
        blobs.extend(action::blobs(&action, &self.hermetic.job));
        drop(action);
        let client = &self.executor.client;
        let sent = client.upload(&blobs, self.job.cost).await;
        sent.map(drop).map_err(|failure| self.failure(&failure))
    }

    /// Executes the job with the permit `reserved` for it, or once it gets another.
    pub(super) async fn execute(
        &self,
        reserved: Option<ExecutionPermit>,
        skip_cache: bool,
    ) -> Result<Compiled, RemoteFailure> {
        self.advance(JobStep::Queue);
        let permit = match reserved {
            Some(permit) => permit,
            None => self.permit().await,
        };
        if !self.executor.executes() {
            return Err(self.executor.not_executed());
        }
        self.started();
        let ended = self.execute_with(permit, skip_cache).await;
        if ended.is_err() {
            self.stopped();
        }
        ended
    }

    async fn execute_with(
        &self,
        permit: ExecutionPermit,
        mut skip_cache: bool,
    ) -> Result<Compiled, RemoteFailure> {
        let mut permit = Some(permit);
        loop {
            let began = events::now();
            let executed = self.execute_once(skip_cache).await;
            let executed = executed.map_err(|failure| self.failure(&failure))?;
            let elapsed = execution_time(&executed.result).unwrap_or(began.elapsed());
            if !executed.cached {
                let (job, time) = (self.job.id, elapsed);
                self.send(Event::ExecutedIn { job, time });
            }
            self.advance(JobStep::Fetch);
            let Executed {
                result,
                cached,
                message,
            } = executed;
            // While the outputs are fetched, the worker takes the next job.
            drop(permit.take());
            let again = match self.fetch(result).await {
                Ok(result) => return Ok(self.made(result, cached, elapsed)),
                Err(ResultError::Failed(failure)) => return Err(self.failure(&failure)),
                Err(ResultError::Exit(code, stderr)) if skip_cache || !cached => {
                    let reason = self.compiler_failure(code, &stderr, &message);
                    return Err(RemoteFailure::compiler(
                        reason,
                        lacked_memory(code, &stderr),
                    ));
                }
                Err(ResultError::Bad(reason)) if skip_cache => {
                    return Err(RemoteFailure::unsound(with_message(reason, &message)));
                }
                Err(ResultError::Exit(code, _)) => format!("it exited with {code}"),
                Err(ResultError::Bad(reason)) => reason,
            };
            self.distrust(&again);
            skip_cache = true;
            self.advance(JobStep::Queue);
            permit = Some(self.permit().await);
        }
    }

    async fn permit(&self) -> ExecutionPermit {
        let executions = &self.executor.executions;
        executions.acquire(self.job.cost, self.job.id).await
    }

    async fn execute_once(&self, skip_cache_lookup: bool) -> Result<Executed, Failure> {
        let job = ExecuteJob {
            action: self.action,
            skip_cache_lookup,
            closure: Arc::new(JobClosure {
                executor: Arc::clone(self.executor),
                job: Arc::clone(self.job),
                size: self.size,
            }),
            inline_outputs: output_paths(&self.hermetic.job),
            context: self.context.clone(),
        };
        let progress = |stage| {
            if stage == Stage::Executing {
                self.advance(JobStep::Execute);
                (self.executing)();
            }
        };
        self.executor.client.execute(&job, &progress).await
    }

    fn made(&self, result: VerifiedResult, cached: bool, elapsed: Duration) -> Compiled {
        if cached {
            self.stopped();
            return compiled(Origin::RemoteCache, result, None);
        }
        compiled(Origin::Remote, result, Some(elapsed))
    }

    fn compiler_failure(&self, code: i32, stderr: &[u8], message: &str) -> String {
        let text = with_user_names(stderr, &self.hermetic.job, &self.job.index);
        let mut reason = with_message(format!("the compiler exited with {code}"), message);
        for line in text.lines().take(QUOTED_LINES) {
            reason.push_str("\n  | ");
            reason.push_str(line);
        }
        reason
    }

    fn started(&self) {
        let (job, origin) = (self.job.id, Origin::Remote);
        self.send(Event::JobStarted { job, origin });
    }

    fn stopped(&self) {
        let (job, origin) = (self.job.id, Origin::Remote);
        self.send(Event::JobStopped { job, origin });
    }

    pub(super) fn advance(&self, step: JobStep) {
        self.send(Event::JobAdvanced {
            job: self.job.id,
            on_farm: true,
            step,
        });
    }

    fn send(&self, event: Event) {
        self.executor.config.events.send(event);
    }
}

/// The Action's digest says what went into the result, so it may be kept whatever the files are
/// now.
pub(super) fn compiled(
    origin: Origin,
    result: VerifiedResult,
    elapsed: Option<Duration>,
) -> Compiled {
    Compiled {
        origin,
        outputs: result.outputs,
        stderr: result.stderr,
        stdout: bytes::Bytes::new(),
        storable: true,
        elapsed: elapsed.unwrap_or_default(),
        peak_memory: None,
        made_by: result.made_by,
        by_slice_key: false,
    }
}

/// Whether the compiler of a worker ended for lack of memory: killed by the kernel, which workers
/// report as a shell does or by the signal's number, or by its own account.
fn lacked_memory(code: i32, stderr: &[u8]) -> bool {
    const KILLED: [i32; 2] = [128 + 9, -9];
    KILLED.contains(&code) || mentions_memory(&String::from_utf8_lossy(stderr))
}

/// Appends the message that the server has for people, often a link to its own page.
fn with_message(reason: String, message: &str) -> String {
    if message.is_empty() {
        return reason;
    }
    format!("{reason} ({message})")
}

/// How long the compiler ran by the worker's clock.
fn execution_time(result: &ActionResult) -> Option<Duration> {
    let metadata = result.execution_metadata.as_ref()?;
    let start = metadata.execution_start_timestamp?;
    let end = metadata.execution_completed_timestamp?;
    // A server may say anything.
    let seconds = i128::from(end.seconds) - i128::from(start.seconds);
    let nanos = seconds * 1_000_000_000 + i128::from(end.nanos) - i128::from(start.nanos);
    Some(Duration::from_nanos(
        u64::try_from(nanos).ok().filter(|nanos| *nanos > 0)?,
    ))
}
