//! Runs links, and keeps what outlives them.
//!
//! Links on one engine share what is known of files and the connections to the farm. Every setting
//! of the user comes with the link; only the database and the farm belong to the engine, so a
//! process keeps one engine for each pair of those.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::connections::{Connecting, Connections};
use super::delivery::Delivery;
use super::description::describe_link;
use super::error::LinkError;
use super::farm::FarmSession;
use super::keeper::Keeper;
use super::keys::{KeyRecorder, common_ingredients};
use super::options::{FarmOptions, Options};
use super::run::Link;
use super::slices::Slices;
use super::stats::LinkStats;
use super::verify::Verifier;
use crate::action::file_table::FileTable;
use crate::cache::DiskCache;
use crate::compiler::{Purpose, ResolvedToolchain};
use crate::error::Hinted;
use crate::events::{Event, Events};
use crate::exec::queue::Queue;
use crate::hash_cache::{HashCache, Memory};
use crate::history::{Ingredient, LinkKeys, ModuleKey, ModuleNames};
use crate::job::{Caller, Job, JobFile};
use crate::state::State;
use crate::task::spawn_blocking;
use crate::timings::{TimingsRecorder, TimingsStore};

/// What several links share.
#[derive(Debug)]
pub struct Engine {
    state: Arc<State>,
    /// `None` in a process that ends with its one link.
    memory: Option<Arc<Memory>>,
    connections: Connections,
    /// Threads that read and hash files ahead of any link.
    hashing: Semaphore,
}

impl Engine {
    /// For a process that runs one link and ends.
    #[must_use]
    pub fn single_use(options: &Options) -> Self {
        Self::new(options, None, Connections::single_use())
    }

    /// For links whose `state_dir` and `farm` are those of `options`.
    #[must_use]
    pub fn long_lived(options: &Options) -> Self {
        Self::new(options, Some(Arc::default()), Connections::long_lived())
    }

    fn new(options: &Options, memory: Option<Arc<Memory>>, connections: Connections) -> Self {
        Self {
            state: Arc::new(options.open_state()),
            memory,
            connections,
            hashing: Semaphore::new(available_parallelism().map_or(1, usize::from)),
        }
    }

    /// What one link or round of files knows of files.
    #[must_use]
    pub fn hash_cache(&self) -> Arc<HashCache> {
        let (state, memory) = (Arc::clone(&self.state), self.memory.clone());
        Arc::new(HashCache::with_memory(state, memory))
    }

    /// The state database.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Begins to connect to `farm`.
    pub fn connect(&self, farm: &FarmOptions, events: &Events) -> Connecting {
        self.connections.connect(farm, events)
    }

    /// Bounds the threads that hash files ahead of links.
    #[must_use]
    pub fn hashing(&self) -> &Semaphore {
        &self.hashing
    }

    /// Files whose digests are remembered.
    pub fn known_files(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.len())
    }

    /// Runs all jobs of `file`. Ends early, with every compiler gone, when `cancel` fires. The
    /// result is the first failure, after which the other jobs are stopped.
    pub async fn run<'a>(
        &'a self,
        file: JobFile,
        options: &'a Options,
        events: Events,
        cancel: CancellationToken,
    ) -> (Result<(), LinkError>, Epilogue<'a>) {
        let (events, timings) = recorded(options, events);
        announce(&file, &events);
        let connecting = options
            .farm
            .as_ref()
            .map(|farm| self.connections.connect(farm, &events));
        self.state.renew();
        match self
            .link(file, Purpose::Link, options, events, cancel)
            .await
        {
            Ok(link) => {
                let link = Arc::new(link);
                let result = link.run_jobs(options, connecting).await;
                self.connections.link_ended();
                // In time to be shown: a daemon writes the epilogue after it has answered.
                self.tell_trouble(&link, options);
                link.delivery.tell_limit();
                let end = link.events.elapsed();
                let epilogue = EndedLink {
                    engine: self,
                    link,
                    options,
                    timings,
                    end,
                    succeeded: result.is_ok(),
                };
                (result, Epilogue(Some(epilogue)))
            }
            Err(error) => (Err(error), Epilogue(None)),
        }
    }

    pub(super) async fn link(
        &self,
        file: JobFile,
        purpose: Purpose,
        options: &Options,
        events: Events,
        cancel: CancellationToken,
    ) -> Result<Link, LinkError> {
        let hash_cache = self.hash_cache();
        let disk_cache = open_disk_cache(options, &events);
        let toolchain = self
            .resolve(&file, purpose, options, &hash_cache, &cancel)
            .await?;
        describe(&toolchain, file.caller, options, &events);
        let modules = file.jobs.iter().map(Job::module);
        let names = Arc::new(ModuleNames::new(modules, &options.record.names));
        let stats = LinkStats::new(Arc::clone(&self.state), &file.jobs, Arc::clone(&names));
        let client_context = options.client_context.clone();
        let verifier = Verifier::new(&options.verify, toolchain.worker().is_some(), &events);
        let writers = available_parallelism().map_or(1, NonZeroUsize::get).max(4);
        Ok(Link {
            order: stats.order(&file.jobs, &client_context),
            delivery: Arc::new(Delivery {
                disk_cache,
                stats,
                keys: options
                    .state_dir
                    .is_some()
                    .then(|| KeyRecorder::new(file.jobs.len(), Arc::clone(&names))),
                describe_jobs: options.record.describe_jobs,
                cancel: cancel.clone(),
                events: events.clone(),
                linker: options.linker.filter(|_| file.caller == Caller::Linker),
                umask: client_context.umask(),
                verifier: verifier.map(Arc::new),
                keeper: Keeper::new(options.disk_cache_max_size),
                writing: Semaphore::new(writers),
            }),
            slices: Slices::for_compiler(options, &toolchain, Arc::clone(&names)),
            names,
            farm: options
                .farm
                .as_ref()
                .map(|farm| Arc::new(FarmSession::new(farm.clone(), events.clone()))),
            files: FileTable::new(client_context.clone()),
            file,
            toolchain,
            hash_cache,
            events,
            cancel,
            dynamic: options.dynamic,
            client_context,
            dwo_dir: options.dwo_dir.clone(),
            queue: Arc::new(Queue::new(options.local_jobs)),
            next: 0.into(),
        })
    }

    /// Hashes the compiler and asks it. Both take long enough for the link to be cancelled meanwhile: it
    /// may be large, or never answer.
    async fn resolve(
        &self,
        file: &JobFile,
        purpose: Purpose,
        options: &Options,
        hash_cache: &Arc<HashCache>,
        cancel: &CancellationToken,
    ) -> Result<ResolvedToolchain, LinkError> {
        let (arguments, caller) = (file.common_arguments.clone(), file.caller);
        let (options, state) = (options.clone(), Arc::clone(&self.state));
        let hash_cache = Arc::clone(hash_cache);
        let resolving = spawn_blocking(move || {
            let request = options.compiler_request(&arguments, caller, purpose);
            ResolvedToolchain::resolve(&request, &hash_cache, &state)
        });
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(LinkError::Cancelled),
            resolved = resolving => Ok(resolved.map_err(Box::new)?),
        }
    }

    fn close(&self, ended: &EndedLink<'_>) {
        let (link, options) = (&ended.link, ended.options);
        link.hash_cache.flush();
        let (files, bytes) = link.hash_cache.reads();
        link.events.send(Event::Hashed { files, bytes });
        if let Some(decoded @ 1..) = link.slices.as_ref().map(Slices::decoded) {
            let text = format!("modules read for slice keys: {decoded}");
            link.events.note(text);
        }
        if let Some(timings) = &ended.timings {
            let mut timings = timings.take(ended.end, ended.succeeded);
            timings.linker = options.record.linker_age;
            timings.rename(&options.record.names);
            timings.launched = link.file.caller == Caller::Launcher;
            TimingsStore::new(Arc::clone(&self.state))
                .add(options.record.build.as_deref(), &timings);
        }
        if ended.succeeded {
            let added = link.delivery.added_bytes();
            let (stats, output) = (&link.delivery.stats, &link.file.linker_output);
            let keys = recorded_keys(link);
            stats.close(link.file.caller, output, keys, options, added, &link.events);
        }
        self.tell_trouble(link, options);
    }

    /// Says why nothing is remembered, which costs every link the time to read all files again.
    fn tell_trouble(&self, link: &Link, options: &Options) {
        let Some(trouble) = self.state.take_trouble() else {
            return;
        };
        let text = format!("digests of files are not remembered: {trouble}");
        // One that has the directory of both cannot be used, and a warning has said so.
        let is_of_cache =
            options.disk_cache == options.state_dir && link.delivery.disk_cache.is_none();
        if is_of_cache || trouble.is_passing() {
            link.events.note(text);
        } else {
            let hint = trouble.hint();
            link.events.warning(text, hint.as_deref());
        }
    }
}

/// What the link's keys were made of. A launched backend is a link of its own, told apart by its
/// object; it says of its toolchain only what it is on the whole, because a build has thousands.
fn recorded_keys(link: &Link) -> Option<(ModuleKey, LinkKeys)> {
    let recorder = link.delivery.keys.as_ref()?;
    let (output, common) = match link.file.caller {
        Caller::Linker => (
            link.file.linker_output.as_str(),
            common_ingredients(&link.toolchain),
        ),
        Caller::Launcher => {
            let mut common = common_ingredients(&link.toolchain);
            common.retain(|it| !it.name.starts_with("toolchain "));
            common.push(Ingredient {
                name: "toolchain".to_owned(),
                value: link.toolchain.tree().root.to_string(),
                known_as: None,
                sourceless: None,
            });
            (link.file.jobs[0].object(), common)
        }
    };
    let path = link.client_context.dir().join(output);
    let keys = recorder.take(output, common)?;
    Some((ModuleKey::of(path.as_os_str().as_encoded_bytes()), keys))
}

/// What an ended link leaves for later ones.
#[derive(Debug)]
#[must_use = "nothing is written yet"]
pub struct Epilogue<'a>(Option<EndedLink<'a>>);

#[derive(Debug)]
struct EndedLink<'a> {
    engine: &'a Engine,
    link: Arc<Link>,
    options: &'a Options,
    /// `None` where nothing is remembered.
    timings: Option<Arc<TimingsRecorder>>,
    /// By the clock of the events.
    end: Duration,
    succeeded: bool,
}

impl Epilogue<'_> {
    /// Writes it.
    pub fn write(self) {
        if let Some(ended) = self.0 {
            ended.engine.close(&ended);
        }
    }
}

/// The events, of which a recorder takes note where something is remembered.
fn recorded(options: &Options, events: Events) -> (Events, Option<Arc<TimingsRecorder>>) {
    if options.state_dir.is_none() {
        return (events, None);
    }
    let recorder = Arc::new(TimingsRecorder::default());
    (recorder.observed(events), Some(recorder))
}

/// Unknown keys that are named: one of each job would stand there as often as there are jobs.
const MOST_NAMED: usize = 5;

fn announce(file: &JobFile, events: &Events) {
    events.send(Event::LinkStarted {
        link: file.linker_output.clone(),
        modules: file
            .jobs
            .iter()
            .map(|job| job.module().to_owned())
            .collect(),
    });
    for key in file.unknown_keys.iter().take(MOST_NAMED) {
        events.warning(
            format!("the job file has a key that relto does not know: `{key}`"),
            Some("lld is newer than this relto; look for a newer one"),
        );
    }
    if let Some(more @ 1..) = file.unknown_keys.len().checked_sub(MOST_NAMED) {
        events.warning(format!("the job file has {more} more such keys"), None);
    }
}

/// Tells the user what holds for all jobs of a link by `caller`.
fn describe(toolchain: &ResolvedToolchain, caller: Caller, options: &Options, events: &Events) {
    // A launched compiler tells it of its only job.
    if let (Caller::Linker, Some(reason)) = (caller, toolchain.obstacle()) {
        events.note(format!("all jobs run in place, uncached: {reason}"));
    }
    if options.record.describe_jobs {
        let platform = options.farm.as_ref().map(|farm| farm.platform.clone());
        let link = describe_link(toolchain, platform.unwrap_or_default());
        events.send(Event::LinkDescribed(Box::new(link)));
    }
}

fn open_disk_cache(options: &Options, events: &Events) -> Option<DiskCache> {
    let root = options.disk_cache.as_deref()?;
    match DiskCache::open(root) {
        Ok(cache) => Some(cache),
        Err(error) => {
            let hint = error.hint();
            events.warning(
                format!("this link runs without the disk cache: {error}"),
                hint.as_deref(),
            );
            None
        }
    }
}
