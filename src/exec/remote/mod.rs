//! Runs jobs on a farm.
//!
//! A planned job leaves with its outputs, checked, from the farm's action cache or made by a
//! worker; or with a [`RemoteFailure`], the reason why this machine has to run it. A bad result is
//! executed again past the cache before it comes to that.

mod action;
pub(super) mod execution_limit;
mod fallback;
mod fetch;
mod job;
mod slice;
mod store;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use action::FarmToolchain;
pub use action::toolchain_blobs;
use execution_limit::{ExecutionLimit, ExecutionPermit};
pub use fallback::{FallbackCause, RemoteFailure};
use job::{CachedResult, RemoteJob};
pub use store::CachedAtFarm;

use super::{Compiled, Hermetic, Planned, PlannedForm};
use crate::action::toolchain_tree::ToolchainTree;
use crate::action::{Action, ActionTemplate};
use crate::digest::{Digest, DigestFunction};
use crate::events::{Event, Events, JobStep};
use crate::hash_cache::HashCache;
use crate::reapi::{Client, OutputStyle, RequestContext};
use crate::task::spawn_blocking;

/// The mnemonic of relto's actions in `RequestMetadata`.
const MNEMONIC: &str = "ThinLTOBackend";

/// How a link uses its farm.
#[derive(Debug)]
pub struct RemoteConfig {
    /// By SHA256. Has no files if the compiler is already on the workers.
    pub toolchain: Arc<ToolchainTree>,
    /// The farm's capabilities replace its digest function and output fields.
    pub template: ActionTemplate,
    /// `None`: all jobs go to the same workers.
    pub large: Option<LargeJobs>,
    /// Executions under way on the farm at a time.
    pub jobs: NonZeroUsize,
    /// Take results from the action cache.
    pub accept_cached: bool,
    /// Upload results of this machine to the action cache.
    pub upload_local_results: bool,
    /// Look results up by slice keys too, and store them under these.
    pub slice_results: bool,
    pub hash_cache: Arc<HashCache>,
    pub events: Events,
}

/// Jobs that need workers with more memory.
#[derive(Debug)]
pub struct LargeJobs {
    /// The platform properties of those workers, sorted.
    pub platform: Vec<(String, String)>,
    /// What a large job reads at least, in bytes. It depends on the job alone, so that all machines
    /// agree about its Action.
    pub bytes: u64,
}

/// To which workers a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkerSize {
    Default,
    Large,
}

impl RemoteConfig {
    fn toolchain_is_ours(&self) -> bool {
        !self.toolchain.files.is_empty()
    }
}

/// Compiles on a farm, or finds what was compiled there before.
#[derive(Debug)]
pub struct RemoteExecutor {
    config: RemoteConfig,
    client: Client,
    template: ActionTemplate,
    /// Of large jobs.
    large_template: Option<ActionTemplate>,
    toolchain: FarmToolchain,
    executions: Arc<ExecutionLimit>,
    began: Instant,
    /// The workers fail: the farm is only a cache for the rest of the link.
    gave_up_executing: AtomicBool,
    /// Limits the actions built at a time: building takes a processor and memory.
    building: Semaphore,
}

impl RemoteExecutor {
    /// Blocks while the toolchain is hashed, if the farm uses another digest function than the disk
    /// cache.
    ///
    /// # Errors
    /// A file of the toolchain cannot be read.
    pub fn new(client: Client, config: RemoteConfig) -> std::io::Result<Self> {
        let function = client.digest_function();
        let template = ActionTemplate {
            function,
            old_outputs: client.output_style() == OutputStyle::Files,
            ..config.template.clone()
        };
        Ok(Self {
            toolchain: FarmToolchain::new(&config.toolchain, function, &config.hash_cache)?,
            large_template: config.large.as_ref().map(|large| ActionTemplate {
                platform: large.platform.clone(),
                ..template.clone()
            }),
            template,
            client,
            executions: ExecutionLimit::new(config.jobs),
            began: Instant::now(),
            gave_up_executing: AtomicBool::new(false),
            building: Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get)),
            config,
        })
    }

    /// Whether the farm executes, or is only a cache.
    pub fn executes(&self) -> bool {
        self.client.capabilities().can_execute && !self.gave_up_executing.load(Ordering::Relaxed)
    }

    /// No more jobs are executed there; those that wait for their turn come back at once.
    pub fn give_up_executing(&self) {
        self.gave_up_executing.store(true, Ordering::Relaxed);
    }

    /// The bytes of messages that this link has sent so far.
    pub fn bytes_sent(&self) -> u64 {
        self.client.counters().bytes_up()
    }

    /// Cancels what the link left on the farm, within `timeout` or a few seconds, and reports what
    /// was transferred.
    pub async fn close(&self, timeout: Option<Duration>) {
        match timeout {
            Some(timeout) => self.client.close_within(timeout).await,
            None => self.client.close().await,
        }
    }

    /// Finds or makes the outputs of `job`. Calls `executing` when a worker starts it, if the farm
    /// says so. Dropping the future cancels the execution if the farm can.
    ///
    /// # Errors
    /// Why the farm did not produce the outputs.
    pub async fn run(
        self: &Arc<Self>,
        job: &Arc<Planned>,
        executing: &(dyn Fn() + Send + Sync),
    ) -> Result<Compiled, RemoteFailure> {
        let Some(hermetic) = job.hermetic() else {
            return Err(RemoteFailure::miss());
        };
        // Jobs arrive longest first. While permits are free, each takes its own at once, so that a
        // shorter job that is uploaded sooner does not overtake it.
        let reserved = self
            .executes()
            .then(|| self.executions.try_acquire())
            .flatten();
        let size = self.worker_size(hermetic);
        let ended = self.run_on(size, job, hermetic, reserved, executing).await;
        match ended {
            Err(failure) if failure.out_of_memory && self.has_larger(size) => {
                self.config.events.note(format!(
                    "`{}` goes to a larger worker: {}",
                    job.module, failure.reason
                ));
                let large = WorkerSize::Large;
                self.run_on(large, job, hermetic, None, executing).await
            }
            ended => ended,
        }
    }

    /// Finds or makes the outputs of `job` on workers of this size.
    async fn run_on(
        self: &Arc<Self>,
        size: WorkerSize,
        job: &Arc<Planned>,
        hermetic: &Hermetic,
        reserved: Option<ExecutionPermit>,
        executing: &(dyn Fn() + Send + Sync),
    ) -> Result<Compiled, RemoteFailure> {
        // Most of the action is built only if it has to be sent.
        let mut prepared = None;
        let key = match self.key(hermetic, size) {
            Some(key) => key,
            None => prepared.insert(self.prepare(job, size).await?).digest(),
        };
        self.config.events.send(Event::ActionBuilt {
            job: job.id,
            action: key.to_string(),
        });
        let remote = RemoteJob {
            executor: self,
            job,
            hermetic,
            size,
            action: key,
            context: request_context(job, key),
            executing,
        };
        let mut skip_cache = !self.config.accept_cached;
        if self.config.accept_cached {
            remote.advance(JobStep::LookUp);
            match remote.look_up().await? {
                CachedResult::Good(compiled) => return Ok(compiled),
                CachedResult::Bad => skip_cache = true,
                CachedResult::None => {}
            }
            if let Some(compiled) = remote.look_up_by_slice_key().await {
                return Ok(compiled);
            }
        }
        if !self.executes() {
            return Err(self.not_executed());
        }
        remote.advance(JobStep::Upload);
        let action = match prepared {
            Some(action) => action,
            None => self.prepare(job, size).await?,
        };
        debug_assert_eq!(action.digest(), key, "both are built from the same inputs");
        remote.upload(action).await?;
        remote.execute(reserved, skip_cache).await
    }

    /// The end of a job that the farm has no result for and does not execute.
    fn not_executed(&self) -> RemoteFailure {
        if self.gave_up_executing.load(Ordering::Relaxed) {
            RemoteFailure::not_executed()
        } else {
            RemoteFailure::miss()
        }
    }

    /// The sound results of `job` in the farm's action cache, by its key and by its slice key.
    ///
    /// # Errors
    /// The farm failed.
    pub async fn find_all(
        self: &Arc<Self>,
        job: &Arc<Planned>,
    ) -> Result<Vec<Compiled>, RemoteFailure> {
        let Some(hermetic) = job.hermetic() else {
            return Ok(Vec::new());
        };
        let size = self.worker_size(hermetic);
        let action = match self.key(hermetic, size) {
            Some(key) => key,
            None => self.prepare(job, size).await?.digest(),
        };
        let remote = RemoteJob {
            executor: self,
            job,
            hermetic,
            size,
            action,
            context: request_context(job, action),
            executing: &|| {},
        };
        let whole = match remote.look_up().await? {
            CachedResult::Good(compiled) => Some(compiled),
            CachedResult::Bad | CachedResult::None => None,
        };
        let sliced = remote.look_up_by_slice_key().await;
        Ok(whole.into_iter().chain(sliced).collect())
    }

    /// Builds the action on a thread that may block: shards are large, and another digest function
    /// reads files.
    async fn prepare(
        self: &Arc<Self>,
        job: &Arc<Planned>,
        size: WorkerSize,
    ) -> Result<Action, RemoteFailure> {
        let _permit = self.building.acquire().await;
        let (executor, planned) = (Arc::clone(self), Arc::clone(job));
        let built = spawn_blocking(move || match &planned.form {
            PlannedForm::Hermetic(hermetic) => executor
                .action(hermetic, size)
                .map_err(RemoteFailure::source),
            PlannedForm::InPlace(_) => Err(RemoteFailure::miss()),
        });
        built.await
    }

    /// The digest of the job's action on this farm, if it can be computed from the digests of the
    /// disk cache's key.
    fn key(&self, hermetic: &Hermetic, size: WorkerSize) -> Option<Digest> {
        let same =
            self.template.function == DigestFunction::Sha256 && self.config.toolchain_is_ours();
        same.then(|| {
            hermetic
                .action
                .digest_under(self.template(size), &hermetic.job)
        })
    }

    fn template(&self, size: WorkerSize) -> &ActionTemplate {
        match (&self.large_template, size) {
            (Some(large), WorkerSize::Large) => large,
            _ => &self.template,
        }
    }

    /// Where `hermetic` is executed first. What was executed on a larger worker for lack of memory
    /// has the platform of that worker in its key, and is looked up again in the same order.
    fn worker_size(&self, hermetic: &Hermetic) -> WorkerSize {
        match &self.config.large {
            Some(large) if hermetic.input_bytes() > large.bytes => WorkerSize::Large,
            _ => WorkerSize::Default,
        }
    }

    fn has_larger(&self, size: WorkerSize) -> bool {
        size == WorkerSize::Default && self.large_template.is_some()
    }
}

fn request_context(job: &Planned, action: Digest) -> RequestContext {
    RequestContext {
        action: Some(action),
        mnemonic: Some(MNEMONIC.into()),
        target: Some(job.module.as_str().into()),
    }
}
