//! Notices when relto itself should stop: the linker has exited, or a signal has arrived.
//!
//! lld does not tell its distributor when it dies, and it has deleted its files by then: an orphan
//! must stop soon and write nothing more.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::ProcStatus;
use super::proc_stat::ProcStat;

/// How often the parent is checked where the kernel sends no signal: it died before relto could ask
/// for one, or a sandbox refuses to.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Why to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The process that started relto, usually the linker, has ended.
    ParentGone,
    /// SIGINT: the user pressed Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP: the terminal is gone.
    HungUp,
}

impl Interruption {
    /// The signal that said so.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        let signal = match self {
            Self::ParentGone => return None,
            Self::Interrupted => Signal::INT,
            Self::Terminated => Signal::TERM,
            Self::HungUp => Signal::HUP,
        };
        Some(signal.as_raw())
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ParentGone => "the linker is gone",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
            Self::HungUp => "the terminal is gone",
        })
    }
}

/// The process that started relto, usually the linker.
#[derive(Debug, Clone, Copy)]
pub struct Parent(Option<Pid>);

impl Parent {
    /// The parent at this moment; to be called early.
    #[must_use]
    pub fn now() -> Self {
        Self(rustix::process::getppid())
    }

    /// How long a linker that started relto has been running; `None` if the parent is none.
    #[must_use]
    pub fn linker_age(self) -> Option<Duration> {
        let parent = ProcStat::of(self.0?.as_raw_nonzero().get().unsigned_abs())?;
        parent.name.contains("ld").then(|| parent.age()).flatten()
    }

    /// Whether relto is an orphan. Costs one system call; to be checked before anything is put
    /// where the linker looks for it.
    #[must_use]
    pub fn is_gone(self) -> bool {
        rustix::process::getppid() != self.0
    }
}

/// Ends this process by `signal`, as if relto had never watched for it. Returns where that cannot
/// be: signals of its own do not end the first process of a container.
pub fn end_by(signal: i32) {
    if !rustix::process::getpid().is_init() {
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

/// Watches for the reasons to stop.
#[derive(Debug)]
pub struct Watch {
    parent: Parent,
    parent_died: Option<Signals>,
    interrupt: Option<Signals>,
    terminate: Option<Signals>,
    hangup: Option<Signals>,
}

impl Watch {
    /// Starts to watch. From here on the signals no longer end relto by themselves. A signal that
    /// relto was started to ignore (`nohup`) stays ignored.
    ///
    /// Must be called early, on the main thread and inside a tokio runtime: the parent-death signal
    /// is forgotten when the thread that asked for it ends. Must not be called by a relto that
    /// becomes another program by `exec`: the setting would outlive relto, and the signal would
    /// kill that program.
    ///
    /// # Errors
    /// No signal handler can be installed.
    pub fn start() -> io::Result<Self> {
        let watch = Self {
            // A signal that is not sent otherwise: the kernel also sends it when only the thread
            // that started relto ends, as in build tools written in Go, and then it must mean
            // nothing.
            parent_died: Some(signal(SignalKind::user_defined2())?),
            ..Self::of_signals()?
        };
        // Where this is refused, the parent is still checked now and then.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::USR2));
        Ok(watch)
    }

    /// Watches for signals only, because a compiler outlives its parent. Signals are treated as by
    /// [`Watch::start`].
    ///
    /// # Errors
    /// No signal handler can be installed.
    pub fn of_signals() -> io::Result<Self> {
        let parent = Parent::now();
        let ignored = ignored_signals();
        let listen = |kind: SignalKind| {
            let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
            (!is_ignored).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            parent,
            parent_died: None,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Whether relto is an orphan.
    pub fn is_parent_gone(&self) -> bool {
        self.parent_died.is_some() && self.parent.is_gone()
    }

    /// The reason to stop that made a link fail, if it was one: a linker that is told to end removes
    /// its files first, and relto may miss them before it hears of anything. `None` at once for a
    /// compile, whose files stay.
    pub async fn reason_of_failure(&mut self) -> Option<Interruption> {
        self.parent_died.as_ref()?;
        let interrupted = tokio::time::timeout(LINKER_ENDS, self.interrupted());
        interrupted.await.ok()
    }

    /// Resolves when there is a reason to stop. May be dropped and called again.
    pub async fn interrupted(&mut self) -> Interruption {
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Where a signal ends the linker as well, the signal is the reason.
                biased;
                () = next(&mut self.interrupt) => return Interruption::Interrupted,
                () = next(&mut self.terminate) => return Interruption::Terminated,
                () = next(&mut self.hangup) => return Interruption::HungUp,
                () = next(&mut self.parent_died) => {}
                _ = look.tick() => {}
            }
            if self.is_parent_gone() {
                return Interruption::ParentGone;
            }
        }
    }
}

/// A large linker that a signal ends is gone only some time after its files.
const LINKER_ENDS: Duration = Duration::from_millis(200);

async fn next(signals: &mut Option<Signals>) {
    match signals {
        Some(signals) => {
            signals.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// One bit for each signal, the lowest for signal 1. None where there is no `/proc`.
fn ignored_signals() -> u64 {
    let status = ProcStatus::of_this_process();
    status.signals("SigIgn").unwrap_or_default()
}
