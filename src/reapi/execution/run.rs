//! Runs one execution.
//!
//! An execution is either to be submitted ([`Step::Submit`]) or under way on the server
//! ([`Step::Follow`]). A stream that breaks or falls silent is resumed by the operation's name; an
//! operation that the server has forgotten is submitted again.

use tokio::time::Instant;
use tonic::{Response, Streaming};

use super::cancel::Canceller;
use super::operation::{self, Executed, Stage};
use super::repair::{Repair, Repairs};
use super::stage::StageClock;
use super::{ExecuteJob, ExecutionContext};
use crate::pb::longrunning::Operation;
use crate::pb::reapi::execution_client::ExecutionClient;
use crate::pb::reapi::{ExecuteRequest, WaitExecutionRequest};
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::health::retry::Attempts;
use crate::reapi::limits::{GOOD_STREAM, LARGEST_MESSAGE, LATE_UPDATE};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::pool::TrafficClass;
use crate::reapi::transport::{Call, Renewal, Service};

/// What to call next.
enum Step<'a> {
    /// `Execute`.
    Submit(Suspicion),
    /// `WaitExecution`.
    Follow(RunningOperation<'a>),
}

/// Some servers report lost inputs as an internal error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    /// A transient failure may mean lost inputs.
    Open,
    /// That has been checked.
    Checked,
}

/// An operation on the server, cancelled on drop.
struct RunningOperation<'a> {
    name: String,
    canceller: &'a Canceller,
    suspicion: Suspicion,
}

impl RunningOperation<'_> {
    /// The operation is over, or the server does not know it: there is nothing to cancel.
    fn forget(mut self) -> Suspicion {
        self.name.clear();
        self.suspicion
    }
}

impl Drop for RunningOperation<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            self.canceller.cancel(std::mem::take(&mut self.name));
        }
    }
}

impl<'a> Step<'a> {
    fn rpc(&self) -> Rpc {
        match self {
            Self::Submit(_) => Rpc::Execute,
            Self::Follow(_) => Rpc::WaitExecution,
        }
    }

    /// The server has named the operation.
    fn follow(&mut self, name: &str, canceller: &'a Canceller) {
        match self {
            Self::Submit(suspicion) => {
                *self = Self::Follow(RunningOperation {
                    name: name.to_owned(),
                    canceller,
                    suspicion: *suspicion,
                });
            }
            Self::Follow(operation) => name.clone_into(&mut operation.name),
        }
    }

    /// The next call is another `Execute`.
    fn submit_again(self) -> Self {
        match self {
            Self::Submit(_) => self,
            Self::Follow(operation) => Self::Submit(operation.forget()),
        }
    }
}

/// How one stream ended.
enum StreamEnd {
    Done(Operation),
    /// The credentials were refused, and there are new ones.
    Renewed,
}

/// One execution.
pub(in crate::reapi) struct ExecutionRun<'a> {
    session: &'a Session,
    canceller: &'a Canceller,
    job: &'a ExecuteJob,
    progress: &'a (dyn Fn(Stage) + Send + Sync),
    request: ExecuteRequest,
    attempts: Attempts<'a>,
    renewal: Renewal,
    repairs: Repairs<'a>,
    stages: StageClock,
    step: Step<'a>,
}

impl<'a> ExecutionRun<'a> {
    pub(in crate::reapi) fn new(
        executor: &ExecutionContext<'a>,
        job: &'a ExecuteJob,
        progress: &'a (dyn Fn(Stage) + Send + Sync),
    ) -> Self {
        let transport = &executor.session.transport;
        Self {
            session: executor.session,
            canceller: executor.canceller,
            job,
            progress,
            request: executor.request(job),
            attempts: transport.attempts(Service::Execution, Rpc::Execute),
            renewal: Renewal::default(),
            repairs: Repairs::new(executor.uploader, job),
            stages: StageClock::start(),
            step: Step::Submit(Suspicion::Open),
        }
    }

    /// Runs the job to its end, calling `progress` whenever it gets further than ever before: what a
    /// server repeats is no news. Dropping the future cancels the operation if the server can.
    pub(in crate::reapi) async fn finish(mut self) -> Result<Executed, Failure> {
        loop {
            self.attempts.admit().await?;
            match self.stream().await {
                Ok(StreamEnd::Done(operation)) => {
                    self.submit_again();
                    match operation::conclude(operation) {
                        Ok(executed) => return Ok(executed),
                        Err(failure) => self.after_execution(failure).await?,
                    }
                }
                Ok(StreamEnd::Renewed) => {}
                Err(failure) => self.after_call(failure).await?,
            }
        }
    }

    fn submit_again(&mut self) {
        let step = std::mem::replace(&mut self.step, Step::Submit(Suspicion::Open));
        self.step = step.submit_again();
    }

    /// Submits the execution, or resumes it, and follows its stream to the end.
    async fn stream(&mut self) -> Result<StreamEnd, Failure> {
        let rpc = self.step.rpc();
        let (service, class) = (Service::Execution, TrafficClass::Calls);
        let transport = &self.session.transport;
        let call = transport.open(service, class, rpc, &self.job.context);
        let call = call.await?;
        call.extend(LATE_UPDATE.min(transport.timeout / 4));
        if rpc == Rpc::Execute {
            self.repairs.submitted();
        }
        let began = Instant::now();
        let mut received = false;
        let followed = self.follow(&call, rpc, &mut received).await;
        self.attempts.ended(&followed);
        let failure = match followed {
            Ok(operation) => return Ok(StreamEnd::Done(operation)),
            Err(failure) => failure,
        };
        let used = call.credentials();
        if self.renewal.renew(transport, service, &failure, used).await {
            return Ok(StreamEnd::Renewed);
        }
        // A server that answers and then falls silent has nothing to report; one that never answers
        // is dead.
        let is_good = failure.kind == FailureKind::Timeout || began.elapsed() >= GOOD_STREAM;
        if received && is_good && matches!(self.step, Step::Follow(_)) {
            self.attempts.progressed();
        }
        Err(failure)
    }

    /// Sets `received` when the stream delivers a message.
    async fn follow(
        &mut self,
        call: &Call,
        rpc: Rpc,
        received: &mut bool,
    ) -> Result<Operation, Failure> {
        let mut stream = self.begin(call, rpc).await?;
        while let Some(operation) = call.next(&mut stream).await? {
            self.attempts.succeeded();
            *received = true;
            if operation.done {
                return Ok(operation);
            }
            self.note(&operation);
            self.stages.check(rpc)?;
        }
        let message = "the stream ended before the execution did";
        Err(Failure::transient(rpc, message))
    }

    async fn begin(&self, call: &Call, rpc: Rpc) -> Result<Streaming<Operation>, Failure> {
        let mut client =
            ExecutionClient::new(call.channel()).max_decoding_message_size(LARGEST_MESSAGE);
        let begun = match &self.step {
            Step::Submit(_) => {
                let request = call.request(self.request.clone());
                call.within_timeout(client.execute(request)).await?
            }
            Step::Follow(operation) => {
                let name = operation.name.clone();
                let request = call.request(WaitExecutionRequest { name });
                call.within_timeout(client.wait_execution(request)).await?
            }
        };
        begun.map(Response::into_inner).map_err(|status| match rpc {
            Rpc::Execute => Failure::from_execute_call(rpc, &status),
            _ => Failure::from_call(rpc, &status),
        })
    }

    fn note(&mut self, operation: &Operation) {
        if let Some(name) = operation::name(operation) {
            self.step.follow(name, self.canceller);
        }
        let stage = operation::stage(operation);
        if self.stages.advance(stage) {
            self.attempts.progressed();
            (self.progress)(stage);
        }
    }

    /// The call failed; the operation, if there is one, may go on.
    async fn after_call(&mut self, failure: Failure) -> Result<(), Failure> {
        match (&failure.kind, &mut self.step) {
            (FailureKind::MissingBlobs(named), _) => {
                let named = named.clone();
                self.repairs.upload_missing(&named, failure).await
            }
            // The server has forgotten the operation, or does not have this method.
            (
                FailureKind::NotFound | FailureKind::Rejected | FailureKind::Unsupported,
                Step::Follow(_),
            ) => {
                self.submit_again();
                let kind = FailureKind::Transient { retry_after: None };
                self.attempts.after(Failure { kind, ..failure }).await
            }
            (FailureKind::Transient { .. }, Step::Submit(suspicion @ Suspicion::Open)) => {
                *suspicion = Suspicion::Checked;
                self.after_suspicious(failure).await
            }
            _ => self.attempts.after(failure).await,
        }
    }

    /// The execution ended without a result.
    async fn after_execution(&mut self, failure: Failure) -> Result<(), Failure> {
        match &failure.kind {
            FailureKind::MissingBlobs(named) => {
                let named = named.clone();
                self.repairs.upload_missing(&named, failure).await
            }
            FailureKind::Transient { .. } => self.after_suspicious(failure).await,
            FailureKind::Overloaded => self.attempts.after(failure).await,
            _ => Err(failure),
        }
    }

    /// Looks for lost inputs before trying again.
    async fn after_suspicious(&mut self, failure: Failure) -> Result<(), Failure> {
        match self.repairs.look(&std::collections::HashSet::new()).await? {
            Repair::Uploaded => Ok(()),
            Repair::NothingNew => self.attempts.after(failure).await,
        }
    }
}
