//! When relto itself should stop: the linker is gone, or a signal asks it to.
//!
//! lld sends its distributor nothing when it dies, and has deleted its files by then: an orphan
//! must stop soon and write nothing more. [`link`](crate::link) decides what is cancelled and how
//! the link ends.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// Where the kernel's word does not come (a parent that died before relto could ask for it, a
/// sandbox without it), the parent is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Why to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The process that started relto, the linker as a rule, has ended.
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

/// Whoever started relto, the linker as a rule.
#[derive(Debug, Clone, Copy)]
pub struct Parent(Option<Pid>);

impl Parent {
    /// The one of this moment; to be taken early.
    #[must_use]
    pub fn now() -> Self {
        Self(rustix::process::getppid())
    }

    /// Whether relto is an orphan. One system call; to be asked before anything is put where the
    /// linker looks for it.
    #[must_use]
    pub fn is_gone(self) -> bool {
        rustix::process::getppid() != self.0
    }
}

/// Looks out for the reasons to stop.
#[derive(Debug)]
pub struct Watch {
    parent: Parent,
    parent_died: Option<Signals>,
    interrupt: Option<Signals>,
    terminate: Option<Signals>,
    hangup: Option<Signals>,
}

impl Watch {
    /// Starts to look out. From here on the signals no longer end relto by themselves. A signal
    /// that relto was started to ignore (`nohup`) stays ignored.
    ///
    /// To be called early, on the main thread and inside a tokio runtime: the kernel forgets the
    /// wish to be told of the parent's death when the thread that uttered it ends. Not to be called
    /// by a relto that becomes another program by `exec`: the wish would outlive relto, and the
    /// signal would kill that program.
    ///
    /// # Errors
    /// No signal handler can be installed.
    pub fn start() -> io::Result<Self> {
        let watch = Self {
            // A signal that nobody sends otherwise: the kernel sends it too when only the thread
            // ends that started relto, as in build tools written in Go, and then it must mean
            // nothing.
            parent_died: Some(signal(SignalKind::user_defined2())?),
            ..Self::of_signals()?
        };
        // Where this is refused, the parent is looked for now and then all the same.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::USR2));
        Ok(watch)
    }

    /// Looks out for signals only: a compiler outlives whoever started it. What `start` says of
    /// signals holds here too.
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

    /// Process id of the linker, or of another process that started relto.
    pub fn parent(&self) -> Option<u32> {
        self.parent
            .0
            .map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Whether relto is an orphan.
    pub fn is_parent_gone(&self) -> bool {
        self.parent_died.is_some() && self.parent.is_gone()
    }

    /// Waits for a reason to stop. May be dropped and called again.
    pub async fn interrupted(&mut self) -> Interruption {
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
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
    fs_err::read_to_string("/proc/self/status")
        .map(|status| ignored_in(&status))
        .unwrap_or_default()
}

fn ignored_in(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_kernels_text() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t00\n";
        assert_eq!(ignored_in(status), 1 << 12 | 1);
        assert_eq!(ignored_in("Name:\tx\n"), 0);
    }
}
