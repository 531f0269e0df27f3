//! What commands share: the tokio runtimes of this process, and the directory of the user's daemon.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::config::Settings;
use crate::daemon::RuntimeDir;
use crate::error::Hinted;
use crate::process::{cgroup_holds_fewer_processes, reached_limit};
use crate::rlimit::{self, Resource};

/// The system refuses what a link needs before it can begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the threads of a link")]
pub(super) struct NoThreads(#[from] pub(super) io::Error);

impl Hinted for NoThreads {
    fn hints(&self) -> Vec<String> {
        vec![match self.0.kind() {
            io::ErrorKind::WouldBlock => {
                "the limit of processes and threads is reached: raise `ulimit -u`, or build with fewer \
                 jobs at a time"
            }
            _ if reached_limit(&self.0).is_some() => {
                "the limit of open files is reached: raise `ulimit -n`"
            }
            _ => {
                "a sandbox or a limit keeps relto from starting: it needs threads, `epoll` and \
                 `socketpair`"
            }
        }
        .to_owned()]
    }
}

/// Waiting for signals takes a pair of sockets; without one the library for that would panic.
fn check() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let flags = SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(())
}

/// Threads for a whole link.
pub(super) fn runtime() -> Result<Runtime, NoThreads> {
    check()?;
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// One thread: a single job keeps no second one busy, and starting some is a good part of the time
/// that a hit takes.
pub(super) fn small_runtime() -> Result<Runtime, NoThreads> {
    check()?;
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The directory of the daemon of these settings.
pub(super) fn daemon_dir(settings: &Settings) -> Option<RuntimeDir> {
    settings.daemon.dir.as_ref().map(RuntimeDir::new)
}

/// Threads that a small link has at once.
const FEWEST_THREADS: usize = 6;
/// With this many processes allowed, threads are there.
const AMPLE: u64 = 1024;

/// Checks that a link can have its threads, without which libraries panic: one, where only a filter
/// of system calls could refuse it, and as many as a small link has where their number is limited.
pub(super) fn check_threads() -> Result<(), NoThreads> {
    let limit = rlimit::soft(Resource::RLIMIT_NPROC);
    let is_limited =
        limit.is_some_and(|limit| limit < AMPLE) || cgroup_holds_fewer_processes(AMPLE);
    let threads = if is_limited { FEWEST_THREADS } else { 1 };
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    std::thread::scope(|scope| {
        let start = |_| {
            let waits = || drop(wait.lock().map(|wait| wait.recv()));
            std::thread::Builder::new()
                .spawn_scoped(scope, waits)
                .map(drop)
        };
        let started = (0..threads).try_for_each(start);
        drop(release);
        started
    })?;
    Ok(())
}
