//! Runs one link in this process until it is done, a signal arrives or the linker exits, and
//! reports everything as events.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::engine_error::EngineError;
use super::runtime::{NoThreads, runtime, small_runtime};
use super::via_daemon::ViaDaemon;
use crate::config::Settings;
use crate::events::Events;
use crate::fs::remove_if_there;
use crate::job::{Caller, Job, JobFile};
use crate::launcher;
use crate::link::{self, Engine, LinkFailure, RecordOptions};
use crate::process::{Finished, Jobserver, Parent, Watch};
use crate::rlimit::open_files;

/// How long a cancelled link may take to end. What it leaves then dies with this process.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

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
            Ok::<_, EngineError>(ended.map(|ended| settled(ended, &objects(&file), &watch)))
        });
        if let Some(ended) = ended? {
            return ended;
        }
    }
    if file.caller == Caller::Launcher && options.bes.is_some() {
        events.warning(
            "the build has no page: no daemon holds the stream of its events",
            Some("`daemon=auto` and `daemon=on` start one for `relto cc`"),
        );
    }
    open_files::raise();
    let runtime = match file.caller {
        Caller::Linker => runtime()?,
        Caller::Launcher => small_runtime()?,
    };
    let ended = runtime.block_on(async {
        let (mut watch, objects) = (watch(file.caller)?, objects(&file));
        let ended = linked(file, options, events, &mut watch).await;
        settled(ended, &objects, &watch)
    });
    if matches!(ended, Err(EngineError::Interrupted(_))) {
        // A thread may wait for a network file system.
        runtime.shutdown_background();
    }
    ended
}

/// Runs a backend that no job describes, and checks its object.
pub(super) fn run_guarded(
    compiler: &OsStr,
    words: &[OsString],
    object: &Path,
) -> Result<Finished, EngineError> {
    small_runtime()?.block_on(async {
        let mut watch = Watch::of_signals().map_err(NoThreads)?;
        let cancel = CancellationToken::new();
        let running = launcher::run_guarded(compiler, words, object, &cancel);
        tokio::pin!(running);
        let interruption = tokio::select! {
            ended = &mut running => return ended.map_err(EngineError::Guarded),
            interruption = watch.interrupted() => interruption,
        };
        cancel.cancel();
        // Waits until the compiler has ended; its exit code no longer counts.
        let _ = running.await;
        Err(EngineError::Interrupted(interruption))
    })
}

fn watch(caller: Caller) -> Result<Watch, EngineError> {
    let watch = match caller {
        Caller::Linker => Watch::start(),
        Caller::Launcher => Watch::of_signals(),
    };
    Ok(watch.map_err(NoThreads)?)
}

/// The files that a failed link removes. Further outputs of jobs stay as they are, as after any
/// compile that fails.
fn objects(file: &JobFile) -> Vec<String> {
    let objects = file.jobs.iter().map(Job::object);
    objects.map(str::to_owned).collect()
}

/// Removes the objects of a failed link: a linker that has exited does not, and older ones must not
/// be taken for new ones.
fn settled(
    ended: Result<(), EngineError>,
    objects: &[String],
    watch: &Watch,
) -> Result<(), EngineError> {
    if ended.is_err() || watch.is_parent_gone() {
        for object in objects {
            // The user has to see why the link failed, not this error.
            let _ = remove_if_there(Path::new(object));
        }
    }
    ended
}

/// When the linker has exited or a signal arrives, the link is cancelled but still awaited: it has
/// to stop compilers and remove a directory.
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
    let interruption = tokio::select! {
        (result, epilogue) = &mut linking => {
            epilogue.write();
            return match result {
                Ok(()) => Ok(()),
                Err(error) => Err(match watch.reason_of_failure().await {
                    Some(interruption) => EngineError::Interrupted(interruption),
                    None => EngineError::Link(LinkFailure::new(error, &options.client_context)),
                }),
            };
        }
        interruption = watch.interrupted() => interruption,
    };
    cancel.cancel();
    // How it went no longer counts: the linker has removed its files.
    if let Ok((_, epilogue)) = timeout(CANCEL_TIMEOUT, linking).await {
        epilogue.write();
    }
    Err(EngineError::Interrupted(interruption))
}

/// The options of a link by this process.
pub(super) fn options(settings: &Settings) -> link::Options {
    link::Options {
        scratch_parent: std::env::temp_dir(),
        environment: std::env::vars_os().collect(),
        jobserver: jobserver(settings),
        linker: Some(Parent::now()),
        record: RecordOptions {
            page_follows: settings.timings.is_some(),
            describe_jobs: settings.style.compact_log.is_some(),
            ..settings.link.record.clone()
        },
        ..settings.link.clone()
    }
}

/// make's, if it has given us one.
fn jobserver(settings: &Settings) -> Option<Arc<Jobserver>> {
    let makeflags = settings.makeflags.as_deref()?;
    Jobserver::inherited(makeflags).map(Arc::new)
}
