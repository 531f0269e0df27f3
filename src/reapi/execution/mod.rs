//! One execution, from `Execute` to its end, through broken streams and lost inputs.
//!
//! Enters: an action whose closure has been uploaded. Leaves: what the server made of it. A stream
//! that breaks or falls silent is taken up again by name; inputs that the server lost are sent
//! again as long as that gets anywhere. Dropping the future cancels the operation as far as the
//! server can.

pub(crate) mod cancel;
pub(crate) mod operation;
pub(crate) mod result;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;

use crate::digest::Digest;
use crate::pb::longrunning::Operation;
use crate::pb::reapi::execution_client::ExecutionClient;
use crate::pb::reapi::{ExecuteRequest, ExecutionPolicy, ResultsCachePolicy, WaitExecutionRequest};
use crate::reapi::capabilities::clamp_priority;
use crate::reapi::cas::blob::ActionClosure;
use crate::reapi::cas::upload::Uploader;
use crate::reapi::execution::cancel::Canceller;
use crate::reapi::execution::operation::{Executed, Stage};
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::health::retry::Attempts;
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;
use crate::reapi::transport::{Call, LARGEST_ANSWER, Service};

/// Rounds of sending lost inputs again that found nothing new to send.
const FRUITLESS_ROUNDS: u32 = 2;
/// Servers that show signs of life do it each minute: one that is a little late is not dead. A
/// quarter of the deadline, but no more than this.
const LATE: Duration = Duration::from_secs(15);
/// A stream that lasted this long was a good one: its break is not counted with those before.
const GOOD_STREAM: Duration = Duration::from_secs(10);
/// No queue and no compile takes longer: servers end actions themselves after this time at the
/// latest.
const LONGEST_STAGE: Duration = Duration::from_hours(2);

/// What to execute.
#[derive(Clone)]
pub struct ExecuteJob {
    pub action: Digest,
    /// Run it even if the action cache has a result: that one turned out to be bad.
    pub skip_cache_lookup: bool,
    /// Everything that must be in the CAS, if the server should lose some of it.
    pub closure: Arc<dyn ActionClosure>,
    /// Output paths whose contents are wanted with the result, which the server may heed.
    pub inline_outputs: Vec<String>,
    pub context: RequestContext,
}

impl std::fmt::Debug for ExecuteJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExecuteJob({}, {:?})", self.action, self.context.target)
    }
}

/// Numbers that the options give all executions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Priorities {
    pub(crate) execution: i32,
    pub(crate) cache: i32,
}

/// Runs `job` to its end; `progress` hears of every change of stage.
pub(crate) async fn execute(
    session: &Session,
    uploader: &Uploader,
    canceller: &Canceller,
    priorities: Priorities,
    job: &ExecuteJob,
    progress: &(dyn Fn(Stage) + Send + Sync),
) -> Result<Executed, Failure> {
    let mut run = Run {
        session,
        uploader,
        canceller,
        job,
        progress,
        request: request(session, priorities, job),
        attempts: session.transport.attempts(Service::Execution, Rpc::Execute),
        operation: None,
        furthest: Stage::Unknown,
        stage_began: Instant::now(),
        heard: false,
        renewed: false,
        began: Instant::now(),
        sent: HashSet::new(),
        fruitless: 0,
        probed_missing: false,
    };
    loop {
        run.attempts.admit().await?;
        let followed = run.follow().await;
        run.attempts.ended(&followed);
        match followed {
            Ok(ended) => {
                run.operation = None;
                match operation::conclude(ended) {
                    Ok(executed) => return Ok(executed),
                    Err(failure) => run.after_execution(failure).await?,
                }
            }
            Err(failure) => run.after_call(failure).await?,
        }
    }
}

fn request(session: &Session, priorities: Priorities, job: &ExecuteJob) -> ExecuteRequest {
    let capabilities = &session.capabilities;
    let execution = clamp_priority(priorities.execution, &capabilities.execution_priorities);
    let cache = clamp_priority(priorities.cache, &capabilities.cache_priorities);
    ExecuteRequest {
        instance_name: session.transport.instance.clone(),
        skip_cache_lookup: job.skip_cache_lookup,
        action_digest: Some(job.action.to_pb()),
        execution_policy: execution.map(|priority| ExecutionPolicy { priority }),
        results_cache_policy: cache.map(|priority| ResultsCachePolicy { priority }),
        digest_function: session.function().to_pb(),
        inline_stdout: true,
        inline_stderr: true,
        inline_output_files: job.inline_outputs.clone(),
    }
}

struct Run<'a> {
    session: &'a Session,
    uploader: &'a Uploader,
    canceller: &'a Canceller,
    job: &'a ExecuteJob,
    progress: &'a (dyn Fn(Stage) + Send + Sync),
    request: ExecuteRequest,
    attempts: Attempts<'a>,
    /// The operation under way, by the server's name.
    operation: Option<String>,
    furthest: Stage,
    /// When the execution got as far as that.
    stage_began: Instant,
    /// The stream under way has given a message.
    heard: bool,
    renewed: bool,
    /// When the last `Execute` went out: what was sent after it, the server may have by now.
    began: Instant,
    /// Lost inputs that were sent again.
    sent: HashSet<Digest>,
    fruitless: u32,
    /// A call that failed for a moment has been taken for lost inputs once.
    probed_missing: bool,
}

impl Run<'_> {
    /// Starts the execution, or takes it up again, and follows it to its last message.
    async fn follow(&mut self) -> Result<Operation, Failure> {
        let rpc = match self.operation {
            Some(_) => Rpc::WaitExecution,
            None => Rpc::Execute,
        };
        let transport = &self.session.transport;
        let (service, class, context) =
            (Service::Execution, TrafficClass::Calls, &self.job.context);
        let call = transport.open(service, class, rpc, context).await?;
        call.allow(LATE.min(transport.timeout / 4));
        let began = Instant::now();
        self.heard = false;
        if rpc == Rpc::Execute {
            self.began = began;
        }
        let followed = self.follow_on(&call, rpc).await;
        if let Err(failure) = &followed {
            if transport.may_renew(service, failure) && !self.renewed {
                transport
                    .endpoint(service)
                    .credentials
                    .refuse(call.credentials())
                    .await;
            }
            // A server that answers first and is silent then has nothing to say; one that only is
            // silent is dead.
            let is_good = failure.kind == FailureKind::Timeout || began.elapsed() >= GOOD_STREAM;
            if self.heard && is_good && self.operation.is_some() {
                self.attempts.progressed();
            }
        }
        followed
    }

    async fn follow_on(&mut self, call: &Call, rpc: Rpc) -> Result<Operation, Failure> {
        let mut stream = self.begin(call, rpc).await?;
        while let Some(operation) = call.next(&mut stream).await? {
            self.attempts.succeeded();
            self.heard = true;
            if operation.done {
                return Ok(operation);
            }
            self.note(&operation);
            self.check_stage(rpc)?;
        }
        let kind = FailureKind::Transient { retry_after: None };
        let message = "the stream ended before the execution did";
        Err(Failure::new(kind, rpc, message))
    }

    async fn begin(&self, call: &Call, rpc: Rpc) -> Result<Streaming<Operation>, Failure> {
        let mut client =
            ExecutionClient::new(call.channel()).max_decoding_message_size(LARGEST_ANSWER);
        let begun = if let Some(name) = &self.operation {
            let message = WaitExecutionRequest { name: name.clone() };
            call.raw(client.wait_execution(call.request(message)))
                .await?
        } else {
            let message = self.request.clone();
            call.raw(client.execute(call.request(message))).await?
        };
        begun
            .map(tonic::Response::into_inner)
            .map_err(|status| match rpc {
                Rpc::Execute => Failure::from_execute_call(rpc, &status),
                _ => Failure::from_call(rpc, &status),
            })
    }

    /// Whoever says for hours that the execution goes on is not believed for ever.
    fn check_stage(&self, rpc: Rpc) -> Result<(), Failure> {
        if self.stage_began.elapsed() < LONGEST_STAGE {
            return Ok(());
        }
        let hours = LONGEST_STAGE.as_secs() / 3600;
        let message = format!("the execution has got no further for {hours} hours");
        Err(Failure::new(FailureKind::GivenUp, rpc, message))
    }

    fn note(&mut self, operation: &Operation) {
        if !operation.name.is_empty() {
            self.operation = Some(operation.name.clone());
        }
        let stage = operation::stage(operation);
        (self.progress)(stage);
        if stage > self.furthest {
            self.furthest = stage;
            self.stage_began = Instant::now();
            self.attempts.progressed();
        }
    }

    /// The call failed; the operation, if there is one, may go on.
    async fn after_call(&mut self, failure: Failure) -> Result<(), Failure> {
        match failure.kind {
            FailureKind::MissingBlobs(ref named) => {
                let named = named.iter().copied().collect();
                self.send_again(failure, &named).await
            }
            FailureKind::Unauthenticated
                if !self.renewed
                    && self
                        .session
                        .transport
                        .may_renew(Service::Execution, &failure) =>
            {
                self.renewed = true;
                Ok(())
            }
            // The server has forgotten the operation, or never had this method: execute anew.
            FailureKind::NotFound | FailureKind::Rejected | FailureKind::Unsupported
                if failure.rpc == Rpc::WaitExecution =>
            {
                self.operation = None;
                let kind = FailureKind::Transient { retry_after: None };
                self.attempts.after(Failure { kind, ..failure }).await
            }
            FailureKind::Transient { .. } if self.operation.is_none() && !self.probed_missing => {
                self.probed_missing = true;
                self.suspect(failure).await
            }
            _ => self.attempts.after(failure).await,
        }
    }

    /// Some servers call lost inputs an internal error: looks before trying again.
    async fn suspect(&mut self, failure: Failure) -> Result<(), Failure> {
        let closure = self.job.closure.blobs();
        let sent = self
            .uploader
            .repair(&closure, &HashSet::new(), self.began)
            .await?;
        let before = self.sent.len();
        self.sent.extend(sent);
        if self.sent.len() > before {
            return Ok(());
        }
        self.attempts.after(failure).await
    }

    /// The execution ended without a result.
    async fn after_execution(&mut self, failure: Failure) -> Result<(), Failure> {
        match failure.kind {
            FailureKind::MissingBlobs(ref named) => {
                let named = named.iter().copied().collect();
                self.send_again(failure, &named).await
            }
            FailureKind::Transient { .. } => self.suspect(failure).await,
            FailureKind::Overloaded => self.attempts.after(failure).await,
            _ => Err(failure),
        }
    }

    /// Sends what the server named, and whatever else of the closure it turns out to lack. Each
    /// round must send something that no earlier one did; a server that names one blob at a time is
    /// served as long as it needs.
    async fn send_again(
        &mut self,
        failure: Failure,
        named: &HashSet<Digest>,
    ) -> Result<(), Failure> {
        let closure = self.job.closure.blobs();
        let sent = self.uploader.repair(&closure, named, self.began).await?;
        let before = self.sent.len();
        self.sent.extend(sent);
        if self.sent.len() > before {
            self.fruitless = 0;
            return Ok(());
        }
        self.fruitless += 1;
        // Without names there was only a guess that something is missing, and it was wrong.
        if named.is_empty() {
            return Err(Failure {
                kind: FailureKind::Rejected,
                ..failure
            });
        }
        if self.fruitless >= FRUITLESS_ROUNDS {
            return Err(failure);
        }
        Ok(())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.operation.take() {
            self.canceller.cancel(name);
        }
    }
}

#[cfg(test)]
mod tests;
