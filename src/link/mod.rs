//! One link, from the job file to the exit code.
//!
//! Enters: a job file and the options that concern it. Leaves: every object where lld looks for it, or the reason why
//! not. Owns cancellation: when one job fails, or lld is gone, everything stops. What the user sees of it is told in
//! events.

mod compiler;
mod deliver;
pub mod doctor;
pub mod explain;
mod farm;
mod plan;
mod record;
mod runners;
mod schedule;
mod tools;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::deliver::{Delivery, DeliveryError};
use self::farm::Farm;
pub use self::farm::FarmOptions;
use self::plan::PlanError;
use self::record::Record;
pub use self::tools::ToolchainSource;
use self::tools::{Tools, ToolsError};
use crate::cache::DiskCache;
use crate::error::Hinted;
use crate::events::{Event, Events, JobId};
use crate::exec::JobFailure;
use crate::exec::queue::Queue;
use crate::hash_cache::HashCache;
use crate::job::{Caller, JobFile};
use crate::process::{Parent, Slots};
use crate::reapi::ConnectError;
use crate::state::State;

/// What a link is told from outside.
#[derive(Debug, Clone)]
pub struct Options {
    /// `None`: nothing is kept.
    pub disk_cache: Option<PathBuf>,
    /// Bytes; the cache is trimmed to it after a link, by a process of its own. `None`: it may grow.
    pub disk_cache_max_size: Option<u64>,
    /// The database of file digests and history; `None`: nothing is remembered.
    pub state: Option<PathBuf>,
    /// Compilers that run on this machine at a time.
    pub local_jobs: NonZeroUsize,
    /// An existing folder where scratch folders may be made.
    pub scratch_parent: PathBuf,
    /// The user's own addition to every key.
    pub salt: String,
    /// The environment that lld gave us.
    pub environment: Vec<(OsString, OsString)>,
    /// `None`: all jobs run on this machine.
    pub farm: Option<FarmOptions>,
    /// This machine and the farm work on the jobs together; otherwise it does what the farm does not.
    pub beside_farm: bool,
    /// What this machine has room for, other links included.
    pub slots: Arc<Slots>,
}

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(transparent)]
    Tools(#[from] Box<ToolsError>),
    #[error(transparent)]
    Plan(#[from] Box<PlanError>),
    #[error(transparent)]
    Job(#[from] Box<JobFailure>),
    #[error("the farm cannot be used")]
    Farm(#[from] Box<ConnectError>),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error("the machine has nothing left to run compilers with")]
    Machine(#[source] std::io::Error),
    #[error("the link was given up")]
    Cancelled,
}

impl LinkError {
    /// Whether this job was stopped for something that happened elsewhere.
    pub fn is_cancellation(&self) -> bool {
        match self {
            Self::Job(failure) => matches!(**failure, JobFailure::Cancelled { .. }),
            Self::Cancelled | Self::Delivery(DeliveryError::NobodyWaits) => true,
            Self::Tools(_)
            | Self::Plan(_)
            | Self::Farm(_)
            | Self::Delivery(_)
            | Self::Machine(_) => false,
        }
    }
}

impl Hinted for LinkError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Tools(error) => error.hints(),
            Self::Plan(error) => error.hints(),
            Self::Job(error) => error.hints(),
            Self::Farm(error) => {
                let mut hints = error.hints();
                hints.push("`remote_local_fallback` would run the jobs on this machine".to_owned());
                hints
            }
            Self::Delivery(error) => error.hints(),
            Self::Machine(_) | Self::Cancelled => Vec::new(),
        }
    }
}

/// What all parts of a running link share.
#[derive(Debug)]
struct Link {
    file: JobFile,
    tools: Tools,
    hash_cache: Arc<HashCache>,
    delivery: Delivery,
    events: Events,
    cancel: CancellationToken,
    farm: Option<Farm>,
    /// Local slots take jobs that the farm may have, too.
    beside_farm: bool,
    slots: Arc<Slots>,
    /// Results that are written at a time: hundreds may come at once, and more threads than this only wait for each other.
    writing: Semaphore,
    /// Jobs without a result.
    queue: Arc<Queue>,
    /// The order in which jobs are planned.
    order: Vec<JobId>,
    /// The first place in `order` that nobody plans yet.
    next: AtomicUsize,
}

/// Runs all jobs of `file`. Ends early, with every compiler gone, when `cancel` fires.
///
/// # Errors
/// The first failure; the other jobs are stopped then.
pub async fn run(
    file: JobFile,
    options: &Options,
    events: Events,
    cancel: CancellationToken,
) -> Result<(), LinkError> {
    announce(&file, &events);
    let connecting = options
        .farm
        .as_ref()
        .map(|farm| farm::connect(farm, &events));
    let state = open_state(options);
    let hash_cache = Arc::new(HashCache::new(Arc::clone(&state)));
    let disk_cache = open_disk_cache(options, &events);
    let tools = Tools::find(&file, options, &hash_cache, &state).map_err(Box::new)?;
    if let Some(reason) = tools.obstacle() {
        let text = format!("all jobs run in place, uncached: {reason}");
        match file.caller {
            Caller::Linker => events.note(text),
            Caller::Launcher => events.warning(text, None),
        }
    }
    let record = Record::new(Arc::clone(&state), &file.jobs);
    let link = Arc::new(Link {
        order: record.order(&file.jobs),
        delivery: Delivery::new(
            disk_cache,
            record,
            (file.caller == Caller::Linker).then(Parent::now),
            cancel.clone(),
            events.clone(),
        ),
        farm: options
            .farm
            .as_ref()
            .map(|farm| Farm::new(farm.clone(), events.clone())),
        file,
        tools,
        hash_cache,
        events,
        cancel,
        beside_farm: options.beside_farm,
        slots: Arc::clone(&options.slots),
        writing: Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get).max(4)),
        queue: Arc::new(Queue::new(options.local_jobs)),
        next: AtomicUsize::new(0),
    });
    let result = link.run_jobs(options, connecting).await;
    link.hash_cache.flush();
    let (files, bytes) = link.hash_cache.reads();
    link.events.send(Event::Hashed { files, bytes });
    if result.is_ok() {
        let added = link.delivery.added_bytes();
        let output = &link.file.linker_output;
        link.delivery
            .record
            .close(link.file.caller, output, options, added, &link.events);
    }
    if let Some(trouble) = state.take_trouble() {
        link.events
            .note(format!("digests of files are not remembered: {trouble}"));
    }
    result
}

fn announce(file: &JobFile, events: &Events) {
    events.send(Event::LinkStarted {
        link: file.linker_output.clone(),
        modules: file
            .jobs
            .iter()
            .map(|job| job.module().to_owned())
            .collect(),
    });
    for key in &file.unknown_keys {
        events.warning(
            format!("the job file has a key that relto does not know: `{key}`"),
            Some("lld is newer than this relto; look for a newer one"),
        );
    }
}

fn open_state(options: &Options) -> Arc<State> {
    Arc::new(
        options
            .state
            .as_deref()
            .map_or_else(State::disabled, State::at),
    )
}

fn open_disk_cache(options: &Options, events: &Events) -> Option<DiskCache> {
    let root = options.disk_cache.as_deref()?;
    match DiskCache::open(root) {
        Ok(cache) => Some(cache),
        Err(error) => {
            let hint = error.hints().into_iter().next();
            events.warning(
                format!("this link runs without the disk cache: {error}"),
                hint.as_deref(),
            );
            None
        }
    }
}
