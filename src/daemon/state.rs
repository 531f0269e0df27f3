//! The state that all connections of a daemon share.

use std::ffi::OsString;
use std::io;
use std::sync::Mutex;

use fs_err as fs;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;

use super::build::Build;
use super::build_streams::BuildStreams;
use super::engines::Engines;
use super::protocol::{LinkRequest, Status};
use super::server::{DaemonConfig, TLS_VARIABLES};
use super::stats::{Stats, memory};
use crate::fs::FileId;
use crate::process::World;
use crate::task::lock;

/// The state of one daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) build: Build,
    /// What a caller must know to be served.
    pub(super) key: String,
    pub(super) engines: Engines,
    pub(super) build_streams: BuildStreams,
    pub(super) stats: Stats,
    /// Fires when running links are to be cancelled.
    pub(super) leaving: CancellationToken,
    /// Fires when the daemon is to accept no more callers.
    pub(super) closing: CancellationToken,
    /// Fires when it accepts none.
    pub(super) closed: CancellationToken,
    /// While it is held, no other daemon starts here.
    lock: Mutex<Option<fs::File>>,
    /// Held while build events are sent that later ones wait for.
    pub(super) publishing: AsyncMutex<()>,
    /// What compilers have that run here.
    world: World,
    pub(super) config: DaemonConfig,
}

impl Daemon {
    /// The state of this process.
    ///
    /// # Errors
    /// There is no `/proc`, or no key can be written.
    pub(super) fn new(config: DaemonConfig, lock: fs::File) -> io::Result<Self> {
        Ok(Self {
            build: Build::of_process()?,
            key: config.runtime_dir.new_key()?,
            engines: Engines::default(),
            build_streams: BuildStreams::default(),
            stats: Stats::new(),
            leaving: CancellationToken::new(),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
            lock: Mutex::new(Some(lock)),
            publishing: AsyncMutex::default(),
            world: World::of_process(),
            config,
        })
    }

    /// Lets another daemon start here.
    pub(super) fn unlock(&self) {
        lock(&self.lock).take();
        self.closed.cancel();
    }

    /// Stops accepting callers. Running links go on, unless they are to be `cancelled`. Resolves
    /// when another daemon can start here.
    pub(super) async fn shut_down(&self, cancelled: bool) {
        if cancelled {
            self.leaving.cancel();
        }
        self.closing.cancel();
        self.closed.cancelled().await;
    }

    /// Why this daemon would not run `link` as the caller itself would.
    pub(super) fn reject_reason(&self, link: &LinkRequest) -> Option<String> {
        if let Some(difference) = self.world.difference(&link.world) {
            return Some(format!("the caller has {difference}"));
        }
        if FileId::at(&link.dir) != Some(link.dir_id) {
            return Some("the caller's directory is a different one here".to_owned());
        }
        let variables = &link.options.environment;
        let differs = TLS_VARIABLES.iter().find(|name| {
            let own = &self.config.tls_environment;
            let value = |of: &[(OsString, OsString)]| {
                let found = of.iter().find(|(key, _)| key == *name);
                found.map(|(_, value)| value.clone())
            };
            value(variables) != value(own)
        });
        let connects = link.options.farm.is_some() || link.options.bes.is_some();
        let differs = differs.filter(|_| connects)?;
        Some(format!("the caller has another `{differs}`"))
    }

    pub(super) fn status(&self) -> Status {
        let (links, origins) = self.stats.done();
        let (engines, files) = self.engines.count();
        Status {
            process: std::process::id(),
            version: self.build.version.clone(),
            uptime: self.stats.started.elapsed(),
            links,
            under_way: self.stats.under_way(),
            origins,
            ahead: self.stats.ahead(),
            engines,
            files,
            memory: memory(),
            idle_timeout: self.config.idle_timeout,
        }
    }
}
