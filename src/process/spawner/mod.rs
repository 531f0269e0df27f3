//! The one thread from which every child is started, and the watch over each child.
//!
//! A child asks the kernel to kill it when its parent dies, and to the kernel the parent is a
//! thread. Threads of a runtime come and go; this one stays as long as the [`Spawner`]. A child
//! whose future is dropped or cancelled is killed with its whole process group and reaped.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::capture;
use super::plan::ProcessPlan;
use super::self_exe::Relto;
use super::supervise::read_report;
use super::{Ending, Finished, ProcessError, ProcessSpec};
use crate::events;

mod child;

use child::{Ends, Pipes, RunningChild};

/// How often killed children are polled until the kernel has ended them.
const REAP_INTERVAL: Duration = Duration::from_millis(10);
/// How long the spawner waits at its end for killed children. Only a child stuck in the kernel
/// needs longer.
const REAP_LIMIT: Duration = Duration::from_secs(5);

/// Starts children. Dropping it waits until none is left.
#[derive(Debug)]
pub struct Spawner {
    relto: Relto,
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
    /// How much of a program's output is kept, at each end.
    kept: usize,
}

#[derive(Debug)]
enum Order {
    Start {
        plan: Vec<u8>,
        helper: Box<Command>,
        reply: oneshot::Sender<io::Result<(RunningChild, Pipes)>>,
    },
    /// A child that was sent SIGKILL.
    Reap(Child),
    Stop,
}

impl Spawner {
    /// Starts the thread, and no process yet.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(relto: Relto) -> io::Result<Self> {
        let (orders, incoming) = mpsc::channel();
        let starter = Starter {
            orders: orders.clone(),
            killed: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || starter.serve(&incoming))?;
        Ok(Self {
            relto,
            orders,
            thread: Some(thread),
            kept: capture::KEPT_AT_EACH_END,
        })
    }

    /// Keeps all that programs print, however much it is.
    #[must_use]
    pub fn with_whole_output(mut self) -> Self {
        self.kept = capture::ALL;
        self
    }

    /// Runs a program to its end. Must be called on a tokio runtime with I/O and time.
    ///
    /// When `cancel` fires, or the future is dropped, the program and all of its process group are
    /// killed at once (compilers hold no state worth a gentler signal).
    ///
    /// # Errors
    /// The program could not be started or confined, or was cancelled. A program that ran and
    /// failed is not an error here.
    pub async fn run(
        &self,
        spec: &ProcessSpec,
        cancel: &CancellationToken,
    ) -> Result<Finished, ProcessError> {
        self.run_observed(spec, cancel, &|_| {}).await
    }

    /// The same; calls `on_start` with the number of the process that is about to become the
    /// program.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_observed(
        &self,
        spec: &ProcessSpec,
        cancel: &CancellationToken,
        on_start: &(dyn Fn(u32) + Sync),
    ) -> Result<Finished, ProcessError> {
        let started = events::now();
        let program = spec
            .arguments
            .first()
            .map(PathBuf::from)
            .ok_or(ProcessError::Empty)?;
        if cancel.is_cancelled() {
            return Err(ProcessError::Cancelled);
        }
        let ends = Ends::listen().map_err(|source| self.helper_error(source))?;
        let (running, pipes) = self.start(spec).await?;
        on_start(running.id());
        let ended = running
            .watch(pipes, ends, self.kept, cancel)
            .await
            .map_err(|source| ProcessError::Lost {
                program: program.clone(),
                source,
            })?
            .ok_or(ProcessError::Cancelled)?;
        let report = read_report(&ended.channel, ended.status);
        let report = report.map_err(|source| self.helper_error(source))?;
        match report.into_error(&program, &spec.dir) {
            Some(error) => Err(error),
            None => Ok(Finished {
                ending: ending(ended.status),
                stdout: ended.stdout,
                stderr: ended.stderr,
                elapsed: started.elapsed(),
                peak_memory: ended.peak_memory,
            }),
        }
    }

    async fn start(&self, spec: &ProcessSpec) -> Result<(RunningChild, Pipes), ProcessError> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Start {
            plan: ProcessPlan::encode(spec),
            helper: Box::new(self.relto.helper(spec)),
            reply,
        };
        let sent = self.orders.send(order).is_ok();
        let gone = || io::Error::other("the spawning thread is gone");
        let started = if sent {
            answer.await.unwrap_or_else(|_| Err(gone()))
        } else {
            Err(gone())
        };
        started.map_err(|source| self.helper_error(source))
    }

    fn helper_error(&self, source: io::Error) -> ProcessError {
        ProcessError::Helper {
            helper: self.relto.path().to_owned(),
            source,
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // A thread that is gone has nothing left to stop.
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Signalled(signal.unwrap_or_default()),
    }
}

/// What the thread owns.
struct Starter {
    orders: mpsc::Sender<Order>,
    killed: Vec<Child>,
}

impl Starter {
    fn serve(mut self, incoming: &mpsc::Receiver<Order>) {
        loop {
            let order = if self.killed.is_empty() {
                incoming.recv().unwrap_or(Order::Stop)
            } else {
                match incoming.recv_timeout(REAP_INTERVAL) {
                    Ok(order) => order,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        self.reap();
                        continue;
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => Order::Stop,
                }
            };
            match order {
                // A caller that is gone drops the answer, and the child in it, here.
                Order::Start {
                    plan,
                    mut helper,
                    reply,
                } => drop(reply.send(self.start(&plan, &mut helper))),
                Order::Reap(child) => self.killed.push(child),
                Order::Stop => break,
            }
        }
        self.killed
            .extend(incoming.try_iter().filter_map(reaped_later));
        self.reap_all();
    }

    fn start(&self, plan: &[u8], helper: &mut Command) -> io::Result<(RunningChild, Pipes)> {
        let channel = unnamed_file(plan)?;
        let mut child = helper
            .process_group(0)
            .stdin(Stdio::from(channel.try_clone()?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = Pipes {
            stdout: child.stdout.take().map(OwnedFd::from),
            stderr: child.stderr.take().map(OwnedFd::from),
        };
        Ok((
            RunningChild::new(child, channel, self.orders.clone()),
            pipes,
        ))
    }

    fn reap(&mut self) {
        self.killed
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    fn reap_all(mut self) {
        let start = events::now();
        self.reap();
        while !self.killed.is_empty() && start.elapsed() < REAP_LIMIT {
            std::thread::sleep(REAP_INTERVAL);
            self.reap();
        }
    }
}

fn reaped_later(order: Order) -> Option<Child> {
    match order {
        Order::Reap(child) => Some(child),
        Order::Start { .. } | Order::Stop => None,
    }
}

/// A file without a name, in memory, that holds `contents`.
pub(super) fn unnamed_file(contents: &[u8]) -> io::Result<File> {
    let create = |more| rustix::fs::memfd_create("relto", MemfdFlags::CLOEXEC | more);
    let file = match create(MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the second flag.
        Err(Errno::INVAL) => create(MemfdFlags::empty()),
        created => created,
    };
    // Some sandboxes forbid it, since programs can be hidden in such files.
    let file = file.map_or_else(|_| tempfile::tempfile(), |file| Ok(File::from(file)))?;
    std::os::unix::fs::FileExt::write_all_at(&file, contents, 0)?;
    Ok(file)
}

/// Ends a process group. It may be gone already.
pub(super) fn kill_group(leader: Pid) {
    let _ = rustix::process::kill_process_group(leader, Signal::KILL);
}
