//! One running child: its process group, its pipes and its end.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::{Child, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use wait4::{ResUse, Wait4 as _};

use super::{Order, kill_group};
use crate::process::capture::Captured;
use crate::process::memory;

/// How long output is read on after the child and its group have ended. Only a descendant that left
/// the group can hold a pipe open for longer.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// How long a killed child is waited for before it is left to the spawning thread.
const KILL_GRACE: Duration = Duration::from_secs(5);
/// How long an end can go unnoticed if no SIGCHLD arrives.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Pipes {
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// A child that has not been reaped. Dropping it kills its group.
#[derive(Debug)]
pub(super) struct RunningChild {
    child: Option<Child>,
    leader: Pid,
    channel: File,
    orders: mpsc::Sender<Order>,
}

/// A child that has been reaped.
#[derive(Debug)]
pub(super) struct ExitedChild {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub peak_memory: Option<u64>,
    /// Where the helper has left its report.
    pub channel: File,
}

impl RunningChild {
    pub(super) fn new(child: Child, channel: File, orders: mpsc::Sender<Order>) -> Self {
        let leader = Pid::from_child(&child);
        Self {
            child: Some(child),
            leader,
            channel,
            orders,
        }
    }

    /// Waits for the end. `None` if it was cancelled; then the group is dead. Keeps so many bytes at
    /// each end of its output.
    ///
    /// The group is killed between the end of its leader and the reaping, while its number cannot
    /// be used again.
    pub(super) async fn watch(
        mut self,
        pipes: Pipes,
        mut ends: Ends,
        kept: usize,
        cancel: &CancellationToken,
    ) -> io::Result<Option<ExitedChild>> {
        let mut stdout = Captured::with_limit(kept);
        let mut stderr = Captured::with_limit(kept);
        let mut peak_memory = None;
        {
            let reading = async {
                tokio::join!(
                    read(pipes.stdout, &mut stdout),
                    read(pipes.stderr, &mut stderr)
                )
            };
            let mut reading = pin!(reading.fuse());
            let meanwhile =
                async { tokio::join!(&mut reading, sample(self.leader, &mut peak_memory)).1 };
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    self.kill(ends).await?;
                    return Ok(None);
                }
                ended = ends.of(self.leader) => ended?,
                never = meanwhile => match never {},
            }
            kill_group(self.leader);
            if !reading.is_terminated() {
                // What was read until then is kept.
                let _ = tokio::time::timeout(OUTPUT_GRACE, reading).await;
            }
        }
        let reaped = self.reap()?;
        Ok(Some(ExitedChild {
            status: reaped.status,
            stdout: stdout.finish(),
            stderr: stderr.finish(),
            peak_memory: memory::final_peak(reaped.rusage.maxrss, peak_memory),
            channel: self.channel.try_clone()?,
        }))
    }

    async fn kill(&mut self, mut ends: Ends) -> io::Result<()> {
        kill_group(self.leader);
        if tokio::time::timeout(KILL_GRACE, ends.of(self.leader))
            .await
            .is_ok()
        {
            self.reap()?;
        }
        Ok(())
    }

    /// Does not block: the child has ended.
    fn reap(&mut self) -> io::Result<ResUse> {
        let child = self
            .child
            .take()
            .ok_or_else(|| io::Error::other("reaped already"))?;
        child.wait4()
    }

    pub(super) fn id(&self) -> u32 {
        self.leader.as_raw_nonzero().get().unsigned_abs()
    }
}

impl Drop for RunningChild {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            kill_group(self.leader);
            // Without the thread relto is ending, too: init reaps the child.
            let _ = self.orders.send(Order::Reap(child));
        }
    }
}

/// Keeps `peak` up to date until it is dropped.
async fn sample(process: Pid, peak: &mut Option<u64>) -> Infallible {
    let first = Instant::now() + memory::FIRST_SAMPLE;
    let mut samples = tokio::time::interval_at(first, memory::BETWEEN_SAMPLES);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        samples.tick().await;
        *peak = memory::peak(process).max(*peak);
    }
}

async fn read(pipe: Option<OwnedFd>, captured: &mut Captured) {
    if let Some(stream) = pipe.and_then(|pipe| pipe::Receiver::from_owned_fd(pipe).ok()) {
        captured.fill(stream).await;
    }
}

/// Notices that a child has ended. Each watch then looks at its own child: the signals of several
/// ends may arrive as one.
#[derive(Debug)]
pub(super) struct Ends(Signal);

impl Ends {
    /// Must be called before the child is started: if relto inherited an ignored SIGCHLD, the
    /// kernel would reap the child itself.
    pub(super) fn listen() -> io::Result<Self> {
        signal(SignalKind::child()).map(Self)
    }

    /// Resolves when the process has ended; it is not reaped.
    async fn of(&mut self, process: Pid) -> io::Result<()> {
        while !has_ended(process)? {
            // If relto was started with the signal blocked it never arrives.
            let _ = tokio::time::timeout(LOOK_INTERVAL, self.0.recv()).await;
        }
        Ok(())
    }
}

fn has_ended(process: Pid) -> io::Result<bool> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let status = rustix::process::waitid(WaitId::Pid(process), look)?;
    Ok(status.is_some())
}
