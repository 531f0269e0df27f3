//! Runs the jobs of one link.
//!
//! Planners look jobs up in the disk cache while the farm is being connected. Jobs that are not
//! there wait in the queue, from which slots of this machine and of the farm take them.

mod planning;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_util::sync::CancellationToken;

use super::connections::Connecting;
use super::delivery::Delivery;
use super::error::LinkError;
use super::farm::FarmSession;
use super::options::Options;
use super::other_links::OtherLinks;
use super::runners::{LocalRunner, RemoteRunner};
use super::slices::Slices;
use crate::action::file_table::FileTable;
use crate::client_context::ClientContext;
use crate::compiler::ResolvedToolchain;
use crate::events::{Event, Events, JobId};
use crate::exec::admission::Admission;
use crate::exec::local::{LocalConfig, LocalExecutor};
use crate::exec::queue::{Executor, Queue, Runner, run_slot};
use crate::exec::remote::{LargeJobs, RemoteConfig, RemoteExecutor};
use crate::exec::wait_clock::WaitClock;
use crate::fs::cancellable;
use crate::hash_cache::HashCache;
use crate::history::ModuleNames;
use crate::job::JobFile;
use crate::process::Relto;
use crate::reapi::limits::jobs_in_flight;
use crate::reapi::{Client, ConnectError};
use crate::rlimit::open_files;
use crate::task::{Task, spawn, spawn_blocking};

/// What all parts of a running link share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) file: JobFile,
    pub(super) files: FileTable,
    pub(super) toolchain: ResolvedToolchain,
    pub(super) hash_cache: Arc<HashCache>,
    pub(super) delivery: Arc<Delivery>,
    /// `None`: results are found by whole inputs alone.
    pub(super) slices: Option<Slices>,
    /// By which other links know the modules.
    pub(super) names: Arc<ModuleNames>,
    pub(super) events: Events,
    pub(super) cancel: CancellationToken,
    pub(super) farm: Option<Arc<FarmSession>>,
    /// Local slots also take jobs that the farm may run.
    pub(super) dynamic: bool,
    pub(super) client_context: ClientContext,
    pub(super) dwo_dir: Option<String>,
    /// Jobs without a result.
    pub(super) queue: Arc<Queue>,
    /// The order in which jobs are planned.
    pub(super) order: Vec<JobId>,
    /// The first position in `order` that no planner has taken.
    pub(super) next: AtomicUsize,
}

impl Link {
    pub(super) async fn run_jobs(
        self: &Arc<Self>,
        options: &Options,
        connecting: Option<Connecting>,
    ) -> Result<(), LinkError> {
        let local = Arc::new(self.local_runner(options)?);
        let planners: Vec<_> = (0..planner_count(self.file.jobs.len()))
            .map(|_| {
                let link = Arc::clone(self);
                spawn_blocking(move || {
                    let planned = cancellable(&link.cancel, || link.plan_jobs());
                    link.cancel_on_failure(planned)
                })
            })
            .collect();
        let local_slots = options
            .local_jobs
            .get()
            .min(self.file.jobs.len())
            .min(open_files::compilers());
        let slots: Vec<_> = (0..local_slots)
            .map(|_| self.start_slot(Executor::Local, Arc::clone(&local)))
            .collect();
        let at_farm = connecting.map(|connecting| self.start_farm(connecting));
        let mut first = Ok(());
        for planner in planners {
            keep_first(&mut first, planner.await);
        }
        let verifier = self.delivery.verifier.as_ref();
        verifier.inspect(|verifier| verifier.begin());
        self.queue.close();
        if let Some(at_farm) = at_farm {
            keep_first(&mut first, at_farm.await);
        }
        // Results of the farm's cache come no more.
        verifier.inspect(|verifier| verifier.close());
        for slot in slots {
            keep_first(&mut first, slot.await);
        }
        self.events.send(Event::WaitedForSlots {
            time: local.waited(local_slots),
            of_make: options.jobserver.is_some(),
        });
        if let Some(verifier) = verifier {
            if first.is_ok() {
                first = self.cancel_on_failure(local.finish_verifying(verifier).await);
            }
            if first.is_err() {
                verifier.abandon();
            }
        }
        if let Some(farm) = &self.farm {
            farm.close(first.is_err()).await;
        }
        first
    }

    pub(super) fn local_runner(&self, options: &Options) -> Result<LocalRunner, LinkError> {
        Ok(LocalRunner {
            executor: self.local_executor(options).map_err(LinkError::Machine)?,
            admission: Admission::new(options.slots(), options.memory_ledger()),
            waited: WaitClock::default(),
            other_links: OtherLinks::of(options, &self.delivery),
            delivery: Arc::clone(&self.delivery),
            farm: self.farm.clone(),
        })
    }

    fn local_executor(&self, options: &Options) -> std::io::Result<LocalExecutor> {
        LocalExecutor::new(LocalConfig {
            relto: Relto::itself(),
            scratch_parent: options.scratch_parent.clone(),
            client_context: self.client_context.clone(),
            toolchain: Arc::clone(self.toolchain.tree()),
            environment: self.toolchain.template().environment.clone(),
            hash_cache: Arc::clone(&self.hash_cache),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
        })
    }

    /// A slot runs one job at a time.
    fn start_slot<R>(
        self: &Arc<Self>,
        executor: Executor,
        runner: Arc<R>,
    ) -> Task<Result<(), LinkError>>
    where
        R: Runner<Failure = LinkError> + Send + 'static,
    {
        let link = Arc::clone(self);
        spawn(async move {
            let ended = run_slot(&link.queue, executor, &*runner).await;
            link.cancel_on_failure(ended)
        })
    }

    fn start_farm(self: &Arc<Self>, connecting: Connecting) -> Task<Result<(), LinkError>> {
        let link = Arc::clone(self);
        spawn(async move { link.cancel_on_failure(link.use_farm(connecting).await) })
    }

    /// Waits for the farm's answer only once there is a job for it, and only until this machine has
    /// done all of them.
    async fn use_farm(self: &Arc<Self>, connecting: Connecting) -> Result<(), LinkError> {
        let Some(farm) = &self.farm else {
            return Ok(());
        };
        if !self.queue.wait(Executor::Remote).await {
            return Ok(());
        }
        let connected = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(LinkError::Cancelled),
            connected = connecting => connected,
            () = self.queue.over() => return Ok(()),
        };
        let Some(executor) = self.remote_executor(farm, connected).await? else {
            self.queue.lose_remote();
            return Ok(());
        };
        self.run_remote_slots(farm, executor).await
    }

    /// The executor of a farm that answered; `None` if the link may go on without it.
    pub(super) async fn remote_executor(
        &self,
        farm: &FarmSession,
        connected: Result<Client, ConnectError>,
    ) -> Result<Option<Arc<RemoteExecutor>>, LinkError> {
        let client = match connected {
            Ok(client) => client,
            Err(error) => {
                farm.unreachable(error).map_err(Box::new)?;
                return Ok(None);
            }
        };
        let config = self.remote_config(farm);
        let executor = spawn_blocking(move || RemoteExecutor::new(client, config));
        let executor = Arc::new(executor.await.map_err(LinkError::Machine)?);
        farm.connected(&executor);
        Ok(Some(executor))
    }

    fn remote_config(&self, farm: &FarmSession) -> RemoteConfig {
        let (tree, template) = self.toolchain.for_farm();
        let mut template = template.clone();
        template.platform.clone_from(&farm.options.platform);
        let large = !farm.options.large_platform.is_empty();
        let large = large.then(|| LargeJobs {
            platform: farm.options.large_platform.clone(),
            bytes: farm.options.large_job_bytes,
        });
        RemoteConfig {
            toolchain: Arc::clone(tree),
            template,
            large,
            jobs: farm.options.jobs,
            accept_cached: farm.options.accept_cached,
            upload_local_results: farm.options.upload_local_results,
            slice_results: farm.options.slice_results,
            hash_cache: Arc::clone(&self.hash_cache),
            events: self.events.clone(),
        }
    }

    /// Every job that is under way at the farm has a slot of its own.
    async fn run_remote_slots(
        self: &Arc<Self>,
        farm: &Arc<FarmSession>,
        executor: Arc<RemoteExecutor>,
    ) -> Result<(), LinkError> {
        let runner = Arc::new(RemoteRunner {
            executor,
            delivery: Arc::clone(&self.delivery),
            farm: Arc::clone(farm),
        });
        let slots = jobs_in_flight(farm.options.jobs).min(self.file.jobs.len());
        let slots: Vec<_> = (0..slots)
            .map(|_| self.start_slot(Executor::Remote, Arc::clone(&runner)))
            .collect();
        let mut first = Ok(());
        for slot in slots {
            keep_first(&mut first, slot.await);
        }
        first
    }

    /// One failure ends the whole link.
    fn cancel_on_failure(&self, result: Result<(), LinkError>) -> Result<(), LinkError> {
        if result.is_err() {
            self.cancel.cancel();
            self.queue.stop();
        }
        result
    }
}

/// Keeps the first failure. A job that was stopped because of another one is not the reason.
fn keep_first(first: &mut Result<(), LinkError>, result: Result<(), LinkError>) {
    let replaceable = match first {
        Ok(()) => true,
        Err(error) => error.is_cancellation(),
    };
    if replaceable && result.is_err() {
        *first = result;
    }
}

/// Planning reads and hashes files: as many threads as cores, but no more than there is to do, nor
/// than files may be open.
fn planner_count(jobs: usize) -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(jobs)
        .min(open_files::compilers())
}
