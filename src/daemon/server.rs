//! The daemon itself: accepts callers, and ends when there have been none for a while.
//!
//! Runs as a session of its own and holds none of its starter's files. At its end it removes first
//! the socket and then the lock, so that at no time two daemons accept callers.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use super::connection;
use super::runtime_dir::RuntimeDir;
use super::state::Daemon;
use crate::fs::{FileId, null_device};
use crate::process::close_inherited;
use crate::rlimit::open_files;
use crate::task::{Task, spawn};

/// How long idle threads for file access are kept.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long threads may take that read files for nobody.
const LAST_READS: Duration = Duration::from_secs(1);

/// Pause before the next attempt to accept a caller when there is no descriptor for it.
const PAUSE: Duration = Duration::from_millis(20);

/// Variables that name certificate authorities; the TLS library reads them from the environment of
/// the process that it runs in.
pub const TLS_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The settings of a daemon.
#[derive(Debug)]
pub struct DaemonConfig {
    pub runtime_dir: RuntimeDir,
    /// How long it stays without work.
    pub idle_timeout: Duration,
    /// Those of [`TLS_VARIABLES`] that this process has.
    pub tls_environment: Vec<(OsString, OsString)>,
}

/// Serves callers until there is no more work, or until a caller or a signal ends it. Must be
/// called before this process opens any file.
///
/// # Errors
/// It was not started as a daemon, or a system call fails.
pub fn serve(config: DaemonConfig) -> io::Result<()> {
    begin_session()?;
    let lock = take_lock(&config.runtime_dir)?;
    open_files::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .build()?;
    let lived = runtime.block_on(async {
        let daemon = Arc::new(Daemon::new(config, lock)?);
        daemon.live().await
    });
    // All callers are served. A thread may still wait for a network file system.
    runtime.shutdown_timeout(LAST_READS);
    lived
}

/// Closes all inherited descriptors but the lock, on stdin, and the log.
fn begin_session() -> io::Result<()> {
    // Fails for the leader of a process group, which is as independent.
    let _ = rustix::process::setsid();
    close_inherited()
}

/// Takes the starter's lock from stdin. Without it this process is not a daemon.
fn take_lock(runtime_dir: &RuntimeDir) -> io::Result<fs::File> {
    let file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    if !runtime_dir.is_lock(&file) {
        let message = "relto starts its daemon by itself";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    // The daemon drops the other copy to unlock; this one must not outlive it.
    nix::unistd::dup2_stdin(null_device()?)?;
    Ok(fs::File::from_parts(file, runtime_dir.dir()))
}

impl Daemon {
    async fn live(self: Arc<Self>) -> io::Result<()> {
        let socket = self.config.runtime_dir.socket();
        // Left by a daemon that was killed: one that is alive would have the lock.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        // The directory is private already; the umask need not be.
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        let ours = FileId::at(&socket);
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
                    // Out of descriptors: the callers that are served return some.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(()) = callers.next() => {}
                () = tokio::time::sleep(self.config.idle_timeout), if callers.is_empty() => break,
            }
        }
        // In this order: a process that finds the lock free finds no socket. A socket that is not
        // ours belongs to a directory that was created again.
        if FileId::at(&socket) == ours {
            let _ = fs::remove_file(&socket);
        }
        drop(listener);
        self.unlock();
        while callers.next().await.is_some() {}
        Ok(())
    }

    /// A bug in one link must not end the others; the panic message is in the log.
    fn caller(self: &Arc<Self>, stream: UnixStream) -> Task<()> {
        let daemon = Arc::clone(self);
        spawn(async move {
            let serving = connection::serve(&daemon, stream);
            let served = AssertUnwindSafe(serving).catch_unwind().await;
            if let Ok(Err(error)) = served {
                tracing::debug!("lost a caller: {error}");
            }
        })
    }
}
