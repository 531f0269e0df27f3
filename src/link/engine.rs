//! What outlives a link, and one link on it.
//!
//! Enters: options, and one job file after another, several at a time. Leaves: links that share
//! what is known of files and the farm's connections. Everything that the user can set comes with
//! each link; only the database and the farm are the site's own, and who keeps sites keeps one for
//! each.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::connections::Connections;
use super::deliver::Delivery;
use super::farm::Farm;
use super::record::Record;
use super::tools::Tools;
use super::{Link, LinkError, Options};
use crate::cache::DiskCache;
use crate::error::Hinted;
use crate::events::{Event, Events};
use crate::exec::queue::Queue;
use crate::hash_cache::{HashCache, Memory};
use crate::job::{Caller, JobFile};
use crate::state::State;

/// What several links share.
#[derive(Debug)]
pub struct Site {
    pub(super) state: Arc<State>,
    /// `None` for a process that runs one link and ends: nobody would ask it.
    memory: Option<Arc<Memory>>,
    pub(super) connections: Connections,
    /// Threads that read and hash what is no link's yet.
    pub(super) hashing: Semaphore,
}

impl Site {
    /// For a process that runs one link and ends.
    #[must_use]
    pub fn of_one_link(options: &Options) -> Self {
        Self::new(options, None, Connections::for_one_link())
    }

    /// For links whose `state_dir` and `farm` are those of `options`.
    #[must_use]
    pub fn lasting(options: &Options) -> Self {
        Self::new(options, Some(Arc::default()), Connections::lasting())
    }

    fn new(options: &Options, memory: Option<Arc<Memory>>, connections: Connections) -> Self {
        Self {
            state: Arc::new(open_state(options.state().as_deref())),
            memory,
            connections,
            hashing: Semaphore::new(available_parallelism().map_or(1, usize::from)),
        }
    }

    /// What one link or round of files knows of files.
    pub(super) fn hash_cache(&self) -> Arc<HashCache> {
        let (state, memory) = (Arc::clone(&self.state), self.memory.clone());
        Arc::new(HashCache::with_memory(state, memory))
    }

    /// Files whose digests are remembered.
    pub fn known_files(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.len())
    }

    /// Runs all jobs of `file`. Ends early, with every compiler gone, when `cancel` fires.
    ///
    /// # Errors
    /// The first failure; the other jobs are stopped then.
    pub async fn run(
        &self,
        file: JobFile,
        options: &Options,
        events: Events,
        cancel: CancellationToken,
    ) -> Result<(), LinkError> {
        let mut ended = Ok(());
        self.run_telling(file, options, events, cancel, |result| ended = result)
            .await;
        ended
    }

    /// As `run`; `tell` hears how it ended before the link's notes for later ones are written.
    pub async fn run_telling(
        &self,
        file: JobFile,
        options: &Options,
        events: Events,
        cancel: CancellationToken,
        tell: impl FnOnce(Result<(), LinkError>),
    ) {
        announce(&file, &events);
        let connecting = options
            .farm
            .as_ref()
            .map(|farm| self.connections.connect(farm, &events));
        self.state.renew();
        let link = match self.link(file, options, events, cancel) {
            Ok(link) => Arc::new(link),
            Err(error) => return tell(Err(error)),
        };
        let result = link.run_jobs(options, connecting).await;
        let succeeded = result.is_ok();
        tell(result);
        self.close(&link, options, succeeded);
    }

    fn link(
        &self,
        file: JobFile,
        options: &Options,
        events: Events,
        cancel: CancellationToken,
    ) -> Result<Link, LinkError> {
        let hash_cache = self.hash_cache();
        let disk_cache = open_disk_cache(options, &events);
        let tools = Tools::find(&file, options, &hash_cache, &self.state).map_err(Box::new)?;
        if let Some(reason) = tools.obstacle() {
            let text = format!("all jobs run in place, uncached: {reason}");
            match file.caller {
                Caller::Linker => events.note(text),
                Caller::Launcher => events.warning(text, None),
            }
        }
        let record = Record::new(Arc::clone(&self.state), &file.jobs);
        let client_context = options.client_context.clone();
        Ok(Link {
            order: record.order(&file.jobs, &client_context),
            delivery: Delivery {
                disk_cache,
                record,
                cancel: cancel.clone(),
                events: events.clone(),
                linker: options.linker.filter(|_| file.caller == Caller::Linker),
                umask: client_context.umask(),
                refused: false.into(),
            },
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
            slots: options.slots(),
            writing: Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get).max(4)),
            client_context,
            queue: Arc::new(Queue::new(options.local_jobs)),
            next: 0.into(),
        })
    }

    /// Notes what the link leaves for later ones.
    fn close(&self, link: &Link, options: &Options, succeeded: bool) {
        link.hash_cache.flush();
        let (files, bytes) = link.hash_cache.reads();
        link.events.send(Event::Hashed { files, bytes });
        if succeeded {
            let added = link.delivery.added_bytes();
            let (record, output) = (&link.delivery.record, &link.file.linker_output);
            record.close(link.file.caller, output, options, added, &link.events);
        }
        if let Some(trouble) = self.state.take_trouble() {
            link.events
                .note(format!("digests of files are not remembered: {trouble}"));
        }
    }
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

pub(super) fn open_state(path: Option<&Path>) -> State {
    path.map_or_else(State::disabled, State::at)
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
