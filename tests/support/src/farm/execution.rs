//! `Execution`: actions become operations, operations end in results. `worker` does the work,
//! `strict` the checks.

use prost_types::{Any, Timestamp};
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::longrunning::{Operation, operation};
use relto::internals::pb::reapi::execution_server::Execution;
use relto::internals::pb::reapi::{
    ActionResult, ExecuteOperationMetadata, ExecuteRequest, ExecuteResponse,
    ExecutedActionMetadata, OutputFile, Platform, WaitExecutionRequest, execution_stage::Value,
};
use relto::internals::task::{self, lock};
use tokio::sync::watch;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::Service;
use super::action_cache::{edit, outputs_of};
use super::failure::{Failure, any};
use super::fault::{Effect, Effects};
use super::gate::{Entry, RequestContext, request_metadata};
use super::operations;
use super::playback::Playback;
use super::profile::{Missing, Platforms};
use super::record::Method;
use super::strict::{Refusal, read_action};
use super::timed::TimedWorkers;
use super::worker::{Job, Outcome};

#[tonic::async_trait]
impl Execution for Service {
    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<BoxStream<Operation>>, Status> {
        let message = request.get_ref();
        let about = RequestContext::new(message)
            .instance(&message.instance_name)
            .function(message.digest_function)
            .digests(&message.action_digest);
        let entry = self.enter(Method::Execute, &request, about).await?;
        if self.profile.records {
            let message = request.get_ref().clone();
            lock(&self.record).execute_requests.push(message);
        }
        if let Some(playback) = self.next_playback() {
            return playback.answer(entry);
        }
        let begun = match &self.timed {
            Some(workers) => {
                let metadata = request_metadata(request.metadata()).unwrap_or_default();
                self.begin_timed(&entry, request.into_inner(), workers, metadata.target_id)
            }
            None => self.begin(&entry, request.into_inner()),
        };
        match begun {
            Ok(messages) => Ok(Response::new(operations::watch(entry, messages, 0))),
            Err(status) => entry.answer(Err(status)),
        }
    }

    async fn wait_execution(
        &self,
        request: Request<WaitExecutionRequest>,
    ) -> Result<Response<BoxStream<Operation>>, Status> {
        let found = lock(&self.operations)
            .get(&request.get_ref().name)
            .map(|running| (running.action.to_pb(), running.messages.clone()));
        let about = RequestContext::new(request.get_ref());
        let about = about.digests(found.iter().map(|(action, _)| action));
        let entry = self.enter(Method::WaitExecution, &request, about).await?;
        lock(&self.record).waited.push(request.into_inner().name);
        if let Some(playback) = self.next_playback() {
            return playback.answer(entry);
        }
        let Some((_, messages)) = found else {
            let status = Status::new(self.profile.unknown_operation, "no such operation");
            return entry.answer(Err(status));
        };
        let from = messages.borrow().len().saturating_sub(1);
        Ok(Response::new(operations::watch(entry, messages, from)))
    }
}

/// One execution on its way.
struct Run {
    service: Service,
    effects: Effects,
    request: ExecuteRequest,
    action: Digest,
    function: DigestFunction,
}

impl Service {
    fn next_playback(&self) -> Option<Playback> {
        lock(&self.playbacks).pop_front()
    }

    fn begin(
        &self,
        entry: &Entry,
        request: ExecuteRequest,
    ) -> Result<operations::Messages, Status> {
        let [action] = entry.digests[..] else {
            return Err(entry.violation("no action digest"));
        };
        let read = {
            let store = lock(&self.store);
            let profile = &self.profile;
            read_action(action, profile.speaks_2_0, profile.strict, |digest| {
                store.blob(digest)
            })
        };
        let job = match read {
            Ok(job) => Ok(job),
            Err(Refusal::Missing(digests)) => Err(digests),
            Err(Refusal::ActionMissing(digest)) => {
                return Err(self.missing_failure(&[digest]).to_call());
            }
            Err(Refusal::Invalid(why)) => return Err(self.refuse(&why)),
        };
        let mut mergeable = false;
        if let Ok(job) = &job {
            self.check_platform(job)?;
            mergeable = self.profile.merges && !job.action.do_not_cache;
        }
        let mut operations = lock(&self.operations);
        if let Some(messages) = operations.in_flight(action).filter(|_| mergeable) {
            return Ok(messages);
        }
        let run = Run::new(self, entry, request, action);
        Ok(operations.begin(action, mergeable, |name, sender| {
            task::spawn(async move { run.go(&name, &sender, job).await })
        }))
    }

    /// Reads nothing: `target` alone tells the result.
    fn begin_timed(
        &self,
        entry: &Entry,
        request: ExecuteRequest,
        workers: &TimedWorkers,
        target: String,
    ) -> Result<operations::Messages, Status> {
        let [action] = entry.digests[..] else {
            return Err(entry.violation("no action digest"));
        };
        let run = Run::new(self, entry, request, action);
        let workers = workers.clone();
        let start = |name: String, sender| {
            task::spawn(async move { run.go_timed(&name, &sender, &workers, &target).await })
        };
        Ok(lock(&self.operations).begin(action, false, start))
    }

    fn missing_failure(&self, digests: &[Digest]) -> Failure {
        match self.profile.missing {
            Missing::Details => Failure::missing(digests),
            Missing::FirstOnly => Failure::missing(&digests[..1]),
            Missing::Bare(code) => Failure::new(code, "an input is missing"),
        }
    }

    fn refuse(&self, why: &str) -> Status {
        let plain = self.violation(why);
        if self.profile.invalid_details {
            Failure::invalid(why).to_call()
        } else {
            plain
        }
    }

    fn check_platform(&self, job: &Job) -> Result<(), Status> {
        let platform = if self.profile.speaks_2_0 {
            job.command.platform.as_ref()
        } else {
            job.action.platform.as_ref()
        };
        let empty = Platform::default();
        let properties = &platform.unwrap_or(&empty).properties;
        let given: Vec<(&str, &str)> = properties
            .iter()
            .map(|p| (p.name.as_str(), p.value.as_str()))
            .collect();
        match &self.profile.platforms {
            Platforms::Exact(wanted) if *wanted != given => Err(Status::failed_precondition(
                format!("no workers exist for instance name prefix `` platform {given:?}"),
            )),
            Platforms::Demands(name) if given.iter().all(|(given, _)| given != name) => Err(
                Status::invalid_argument(format!("no matching action runner: no `{name}`")),
            ),
            _ => Ok(()),
        }
    }

    fn to_result(&self, function: DigestFunction, outcome: &Outcome) -> ActionResult {
        let mut store = lock(&self.store);
        let mut keep = |bytes: &bytes::Bytes| Some(store.put(function, bytes.clone()).to_pb());
        let output_files = outcome
            .outputs
            .iter()
            .map(|(path, bytes, is_executable)| OutputFile {
                path: path.clone(),
                digest: keep(bytes),
                is_executable: *is_executable,
                contents: bytes::Bytes::new(),
            });
        ActionResult {
            output_files: output_files.collect(),
            exit_code: outcome.exit_code,
            stdout_digest: keep(&outcome.stdout).filter(|_| !outcome.stdout.is_empty()),
            stderr_digest: keep(&outcome.stderr).filter(|_| !outcome.stderr.is_empty()),
            execution_metadata: Some(ExecutedActionMetadata {
                worker: "worker-1".to_owned(),
                queued_timestamp: second(1),
                worker_start_timestamp: second(2),
                worker_completed_timestamp: second(5),
                ..ExecutedActionMetadata::default()
            }),
            ..ActionResult::default()
        }
    }
}

impl Run {
    fn new(service: &Service, entry: &Entry, request: ExecuteRequest, action: Digest) -> Self {
        Self {
            service: service.clone(),
            effects: entry.effects.clone(),
            request,
            action,
            function: entry.function,
        }
    }

    /// Pushes the messages of the operation, the last of them done. `job` is the job or what it
    /// lacks.
    async fn go(
        self,
        name: &str,
        sender: &watch::Sender<Vec<Operation>>,
        job: Result<Job, Vec<Digest>>,
    ) {
        self.push_stages(name, sender, &[Value::Queued, Value::Executing]);
        if self.has(|effect| matches!(effect, Effect::NeverEnds)) {
            return std::future::pending().await;
        }
        let response = match job {
            Ok(job) => self.respond(&job).await,
            Err(missing) => ExecuteResponse {
                status: Some(self.service.missing_failure(&missing).to_pb()),
                ..ExecuteResponse::default()
            },
        };
        self.push_last(name, sender, &response).await;
    }

    /// The same for a timed job, which is announced once: each message costs the client time.
    async fn go_timed(
        self,
        name: &str,
        sender: &watch::Sender<Vec<Operation>>,
        workers: &TimedWorkers,
        target: &str,
    ) {
        self.push_stages(name, sender, &[Value::Queued]);
        if self.service.profile.records {
            lock(&self.service.record).executed.push(self.action);
        }
        let made = workers.run(target).await;
        let result = made.to_pb(&self.request.inline_output_files);
        {
            let mut store = lock(&self.service.store);
            store.put_named(made.digest, made.object);
            store.put_result(&self.request.instance_name, self.action, result.clone());
        }
        let response = ExecuteResponse {
            result: Some(result),
            ..ExecuteResponse::default()
        };
        self.push_last(name, sender, &response).await;
    }

    fn push_stages(&self, name: &str, sender: &watch::Sender<Vec<Operation>>, usual: &[Value]) {
        let stages = self.effects.find(|effect| match effect {
            Effect::Stages(stages) => Some(stages.clone()),
            _ => None,
        });
        let usual = || usual.iter().map(|stage| *stage as i32).collect();
        for stage in stages.unwrap_or_else(usual) {
            sender.send_modify(|messages| messages.push(self.message(name, stage)));
        }
    }

    async fn push_last(
        &self,
        name: &str,
        sender: &watch::Sender<Vec<Operation>>,
        response: &ExecuteResponse,
    ) {
        let last = self.last_message(name, response);
        self.service.network.one_way().await;
        sender.send_modify(|messages| messages.push(last));
    }

    fn has(&self, is: impl Fn(&Effect) -> bool) -> bool {
        self.effects.iter().any(is)
    }

    async fn respond(&self, job: &Job) -> ExecuteResponse {
        let mut response = match self.cached_result(job) {
            Some(result) => ExecuteResponse {
                result: Some(result),
                cached_result: true,
                ..ExecuteResponse::default()
            },
            None => self.run(job).await,
        };
        let result = response.result.get_or_insert_default();
        if self.service.profile.inlines {
            let request = &self.request;
            self.service
                .inline_logs(result, request.inline_stdout, request.inline_stderr);
            self.service
                .inline_outputs(result, &request.inline_output_files);
        }
        self.effects
            .evict(&mut lock(&self.service.store), &outputs_of(result));
        edit(&self.effects, result);
        response
    }

    fn cached_result(&self, job: &Job) -> Option<ActionResult> {
        let may = self.service.profile.execute_uses_cache
            && !self.request.skip_cache_lookup
            && !job.action.do_not_cache;
        let cached = || {
            self.service
                .cached(&self.request.instance_name, self.action)
        };
        may.then(cached).flatten()
    }

    async fn run(&self, job: &Job) -> ExecuteResponse {
        let service = &self.service;
        lock(&service.record).executed.push(self.action);
        let worker = lock(&service.worker).clone();
        let outcome = worker.run(job, service.scratch.path()).await;
        let result = service.to_result(self.function, &outcome);
        let struck = self.effects.find(|effect| match effect {
            Effect::RunStatus(failure) => Some(failure),
            _ => None,
        });
        let failure = struck.or(outcome.failure.as_ref());
        if failure.is_none() && result.exit_code == 0 && !job.action.do_not_cache {
            let instance = &self.request.instance_name;
            lock(&service.store).put_result(instance, self.action, result.clone());
        }
        ExecuteResponse {
            result: Some(result),
            status: failure.map(Failure::to_pb),
            ..ExecuteResponse::default()
        }
    }

    fn message(&self, name: &str, stage: i32) -> Operation {
        let bare = self.has(|effect| matches!(effect, Effect::WithoutMetadata));
        let metadata = ExecuteOperationMetadata {
            stage,
            action_digest: Some(self.action.to_pb()),
            ..ExecuteOperationMetadata::default()
        };
        Operation {
            name: name.to_owned(),
            metadata: (!bare).then(|| reapi_any("ExecuteOperationMetadata", &metadata)),
            ..Operation::default()
        }
    }

    fn last_message(&self, name: &str, response: &ExecuteResponse) -> Operation {
        let error = self.effects.find(|effect| match effect {
            Effect::OperationError(failure) => Some(failure.to_pb()),
            _ => None,
        });
        let nothing = self.has(|effect| matches!(effect, Effect::DoneWithoutResponse));
        let response = || operation::Result::Response(reapi_any("ExecuteResponse", response));
        let result = match error {
            Some(error) => Some(operation::Result::Error(error)),
            None => (!nothing).then(response),
        };
        Operation {
            done: true,
            result,
            ..self.message(name, Value::Completed as i32)
        }
    }
}

/// A message of the Remote Execution API in an `Any`.
pub(super) fn reapi_any(name: &str, message: &impl prost::Message) -> Any {
    any(&format!("build.bazel.remote.execution.v2.{name}"), message)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the fields it is for are optional"
)]
fn second(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}
