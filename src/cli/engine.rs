//! Settings become the engine's options, and a link runs until it is done or has no reason left to
//! go on.
//!
//! Enters: settings, a job file. Leaves: the engine's verdict. Starts the runtime, and looks out
//! for signals and for the linker's death. Everything that happens meanwhile is told in events.

use std::ffi::{OsStr, OsString};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::via_daemon::ViaDaemon;
use crate::client_context::ClientContext;
use crate::compiler::ToolchainSource;
use crate::config::{Settings, Strategy, Toolchain};
use crate::error::Hinted;
use crate::events::Events;
use crate::fs::remove_if_there;
use crate::job::{Caller, JobFile};
use crate::launcher::{self, GuardedError};
use crate::link::{self, Engine, LinkFailure};
use crate::process::{Finished, Interruption, Jobserver, Parent, Watch};

/// Jobs under way at the farm, where the user says nothing.
const REMOTE_JOBS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// What keeps a link from even beginning, or ends it from outside.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("cannot start the threads of a link")]
    NoThreads(#[source] io::Error),
    #[error("stopped: {0}")]
    Interrupted(Interruption),
    #[error(transparent)]
    Link(LinkFailure),
    #[error(transparent)]
    Guarded(GuardedError),
}

impl Hinted for EngineError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Link(error) => error.hints(),
            Self::Guarded(error) => error.hints(),
            Self::NoThreads(_) | Self::Interrupted(_) => Vec::new(),
        }
    }
}

/// Runs all jobs of `job_file`.
pub(super) fn run(settings: &Settings, job_file: &Path, events: Events) -> Result<(), Failure> {
    // Before anything is opened that could take the place of a descriptor that make has closed.
    let options = options(settings);
    let file = JobFile::read(job_file).map_err(|error| Box::new(error) as Failure)?;
    run_jobs(settings, &options, file, events).map_err(|error| Box::new(error) as Failure)
}

/// Threads for a whole link.
pub(super) fn runtime() -> Result<Runtime, EngineError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(EngineError::NoThreads)
}

/// One job keeps no second thread busy, and starting some is a good part of what a hit takes.
pub(super) fn small_runtime() -> Result<Runtime, EngineError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(EngineError::NoThreads)
}

/// Runs all jobs of `file`.
pub(super) fn run_jobs(
    settings: &Settings,
    options: &link::Options,
    file: JobFile,
    events: Events,
) -> Result<(), EngineError> {
    if let Some(served) = ViaDaemon::new(settings, options, &file) {
        let ended = small_runtime()?.block_on(async {
            let mut watch = watch(file.caller)?;
            let ended = served.run(&events, &mut watch).await;
            Ok(ended.map(|ended| settled(ended, &outputs(&file), &watch)))
        });
        if let Some(ended) = ended? {
            return ended;
        }
    }
    let runtime = match file.caller {
        Caller::Linker => runtime(),
        Caller::Launcher => small_runtime(),
    };
    runtime?.block_on(async {
        let (mut watch, outputs) = (watch(file.caller)?, outputs(&file));
        let ended = linked(file, options, events, &mut watch).await;
        settled(ended, &outputs, &watch)
    })
}

/// Runs a backend that no job describes, and looks at its object.
pub(super) fn run_guarded(
    compiler: &OsStr,
    words: &[OsString],
    object: &str,
) -> Result<Finished, EngineError> {
    small_runtime()?.block_on(async {
        let mut watch = Watch::of_signals().map_err(EngineError::NoThreads)?;
        let cancel = CancellationToken::new();
        let running = launcher::run_guarded(compiler, words, object, &cancel);
        tokio::pin!(running);
        let interruption = tokio::select! {
            ended = &mut running => return ended.map_err(EngineError::Guarded),
            interruption = watch.interrupted() => interruption,
        };
        cancel.cancel();
        // The compiler has to be gone; how it went no longer counts.
        let _ = running.await;
        Err(EngineError::Interrupted(interruption))
    })
}

fn watch(caller: Caller) -> Result<Watch, EngineError> {
    let watch = match caller {
        Caller::Linker => Watch::start(),
        Caller::Launcher => Watch::of_signals(),
    };
    watch.map_err(EngineError::NoThreads)
}

fn outputs(file: &JobFile) -> Vec<String> {
    let outputs = file.jobs.iter().flat_map(|job| &job.outputs);
    outputs.cloned().collect()
}

/// Takes back what a link wrote that failed: a linker that is gone removes no objects any more.
fn settled(
    ended: Result<(), EngineError>,
    outputs: &[String],
    watch: &Watch,
) -> Result<(), EngineError> {
    if ended.is_err() || watch.is_parent_gone() {
        for output in outputs {
            // The reason why the link failed is what the user must see, not this.
            let _ = remove_if_there(Path::new(output));
        }
    }
    ended
}

/// When the linker is gone or a signal says so, the link is cancelled, and awaited all the same: it
/// has compilers to end and a directory to remove.
async fn linked(
    file: JobFile,
    options: &link::Options,
    events: Events,
    watch: &mut Watch,
) -> Result<(), EngineError> {
    let cancel = CancellationToken::new();
    let engine = Engine::single_use(options);
    let linking = engine.run(file, options, events, cancel.clone());
    tokio::pin!(linking);
    let failed = |error| EngineError::Link(LinkFailure::new(error, &options.client_context));
    let interruption = tokio::select! {
        (result, epilogue) = &mut linking => {
            epilogue.write();
            return result.map_err(failed);
        }
        interruption = watch.interrupted() => interruption,
    };
    cancel.cancel();
    let (result, epilogue) = linking.await;
    epilogue.write();
    match result {
        Err(error) if !error.is_cancellation() => Err(failed(error)),
        _ => Err(EngineError::Interrupted(interruption)),
    }
}

pub(super) fn options(settings: &Settings) -> link::Options {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    link::Options {
        disk_cache: settings.disk_cache.dir.clone(),
        disk_cache_max_size: settings.disk_cache.max_size,
        state_dir: settings.state_dir.clone(),
        local_jobs: settings
            .local
            .jobs
            .and_then(NonZeroUsize::new)
            .unwrap_or(cores),
        scratch_parent: std::env::temp_dir(),
        salt: settings.cache_salt.clone(),
        environment: std::env::vars_os().collect(),
        farm: farm(settings),
        dynamic: settings.strategy == Strategy::Dynamic,
        machine_jobs: cores.get().max(settings.local.jobs.unwrap_or(0)),
        no_free_permit: false,
        client_context: ClientContext::default(),
        jobserver: jobserver(settings),
        linker: Some(Parent::now()),
    }
}

/// make's, if it has given us one.
fn jobserver(settings: &Settings) -> Option<Arc<Jobserver>> {
    let makeflags = settings.local.makeflags.as_deref()?;
    Jobserver::inherited(makeflags).map(Arc::new)
}

/// A farm that executes, unless all is to run here; or one that only remembers.
pub(super) fn farm(settings: &Settings) -> Option<link::FarmOptions> {
    let remote = &settings.remote;
    let used = match settings.strategy {
        Strategy::Local => remote.executor.is_none() && remote.cache.is_some(),
        Strategy::Remote | Strategy::Dynamic => true,
    };
    used.then(|| link::FarmOptions {
        client: remote.client_options(),
        platform: remote.exec_properties.clone(),
        jobs: remote
            .jobs
            .and_then(NonZeroUsize::new)
            .unwrap_or(REMOTE_JOBS),
        accept_cached: remote.accept_cached,
        upload_local_results: remote.upload_local_results,
        local_fallback: remote.local_fallback,
        toolchain: match &settings.toolchain {
            Toolchain::Upload => ToolchainSource::Upload,
            Toolchain::Worker => ToolchainSource::Worker,
            Toolchain::Dir(dir) => ToolchainSource::Dir(dir.clone()),
        },
    })
}
