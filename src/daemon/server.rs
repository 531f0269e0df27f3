//! The daemon itself: waits for clients, and exits when there have been none for a while.
//!
//! It removes the socket before it releases the lock, so that two daemons never wait at the same
//! time. It runs in a session of its own and holds none of its starter's files.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fs_err as fs;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::build::Build;
use super::connection;
use super::engines::Engines;
use super::protocol::{LinkRequest, Status};
use super::runtime_dir::RuntimeDir;
use super::stats::{Stats, memory};
use crate::process::Limits;
use crate::task::{Task, spawn};

/// Threads that wait for files end after so long without work.
const THREAD_PATIENCE: Duration = Duration::from_secs(5);

/// Before the next caller is let in by a daemon that has no descriptor for it.
const PAUSE: Duration = Duration::from_millis(20);

/// Variables that name authorities for TLS; the library that reads them asks the process's own
/// environment.
pub const TLS_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// How a daemon is to live.
#[derive(Debug)]
pub struct DaemonConfig {
    pub place: RuntimeDir,
    /// How long it stays without work.
    pub idle_timeout: Duration,
    /// [`TLS_VARIABLES`], as far as this process has them.
    pub tls_environment: Vec<(OsString, OsString)>,
}

/// What all conversations share.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) build: Build,
    pub(super) engines: Engines,
    pub(super) stats: Stats,
    /// Fires when links are to be given up.
    pub(super) leaving: CancellationToken,
    /// Fires when no more callers are to be let in, and when none are.
    closing: CancellationToken,
    closed: CancellationToken,
    /// While it is held, no other daemon starts here.
    lock: Mutex<Option<fs::File>>,
    /// What compilers have that run here.
    limits: Limits,
    config: DaemonConfig,
}

/// Lives until there is no more work, or until somebody says so. To be called before this process
/// opens any file.
///
/// # Errors
/// It cannot begin: it was not started as daemons are, or the system refuses something.
pub fn serve(config: DaemonConfig) -> io::Result<()> {
    leave_the_starter()?;
    let lock = take_lock(&config.place)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(THREAD_PATIENCE)
        .build()?;
    runtime.block_on(async {
        let daemon = Arc::new(Daemon {
            build: Build::of_process()?,
            engines: Engines::default(),
            stats: Stats::new(),
            leaving: CancellationToken::new(),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
            lock: Mutex::new(Some(lock)),
            limits: Limits::of_process(),
            config,
        });
        daemon.live().await
    })
}

/// A pipe that is held here keeps its reader waiting, and a token of make's would never come back.
/// What is kept is the lock, on stdin, and the log.
fn leave_the_starter() -> io::Result<()> {
    // Who leads a process group leads no session; that is as good.
    let _ = rustix::process::setsid();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let open = fs::read_dir("/proc/self/fd")?.flatten().filter_map(number);
    let inherited: Vec<i32> = open.filter(|number| *number > 2).collect();
    for number in inherited {
        // One of them was the listing itself and is closed.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// The starter passed its lock on stdin.
fn take_lock(place: &RuntimeDir) -> io::Result<fs::File> {
    let file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    if !place.is_lock(&file) {
        let message = "relto starts its daemon by itself";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    // The copy goes with `Daemon::lock`; this one must not outlive it.
    let null = fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(null.file())?;
    Ok(fs::File::from_parts(file, place.dir()))
}

impl Daemon {
    async fn live(self: Arc<Self>) -> io::Result<()> {
        let socket = self.config.place.socket();
        // Left by a daemon that was killed: a running one would hold the lock.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let ours = identity(&socket);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut callers = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                _ = terminate.recv() => {
                    self.leaving.cancel();
                    break;
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => callers.push(self.caller(stream)),
                    // Out of descriptors: those that are served give some back.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(()) = callers.next() => {}
                () = tokio::time::sleep(self.config.idle_timeout), if callers.is_empty() => break,
            }
        }
        // In this order: whoever finds the lock free finds no socket. One that is not ours is of a
        // directory made anew.
        if identity(&socket) == ours {
            let _ = fs::remove_file(&socket);
        }
        drop(listener);
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.closed.cancel();
        while callers.next().await.is_some() {}
        Ok(())
    }

    /// A bug in one link must not end the others; what the panic said is in the log.
    fn caller(self: &Arc<Self>, stream: UnixStream) -> Task<()> {
        let daemon = Arc::clone(self);
        spawn(async move {
            let conversation = connection::hold(&daemon, stream);
            let held = AssertUnwindSafe(conversation).catch_unwind().await;
            if let Ok(Err(error)) = held {
                tracing::debug!("a caller has left: {error}");
            }
        })
    }

    /// Lets nobody in any more; the links under way go on, unless they are to be `given_up`. Comes
    /// when another daemon can start here.
    pub(super) async fn shut_down(&self, given_up: bool) {
        if given_up {
            self.leaving.cancel();
        }
        self.closing.cancel();
        self.closed.cancelled().await;
    }

    /// Why this daemon would not do `link` as the caller itself would.
    pub(super) fn reject_reason(&self, link: &LinkRequest) -> Option<String> {
        if identity(&link.dir) != Some(link.dir_identity) {
            return Some("the caller lives in another file system".to_owned());
        }
        if link.limits != self.limits {
            return Some("the caller has another priority or other limits".to_owned());
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
        let differs = differs.filter(|_| link.options.farm.is_some())?;
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

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
