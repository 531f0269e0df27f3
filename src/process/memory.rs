//! Estimates how much memory a program needs, and whether it died for lack of memory.
//!
//! The kernel counts the highest resident size of a child, but a child that was started the cheap
//! way begins with the peak of the process that started it. Below that the peak is sampled. The
//! cause of death is a good guess.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::{Ending, ProcStatus};

/// When the resident size is sampled first, and how often after that. The kernel
/// keeps the highest value itself, so what a sample misses is only what was added after the last
/// one.
pub(super) const FIRST_SAMPLE: Duration = Duration::from_millis(50);
pub(super) const BETWEEN_SAMPLES: Duration = Duration::from_millis(200);

/// Highest resident size so far, in bytes; `None` if the process is gone or there is no `/proc`.
pub(super) fn peak(process: Pid) -> Option<u64> {
    ProcStatus::of(process).peak_memory()
}

/// Highest resident size of a child that has ended. `counted` is the kernel's number for it, and
/// `sampled` the last sample.
pub(super) fn final_peak(counted: u64, sampled: Option<u64>) -> Option<u64> {
    let inherited = ProcStatus::of_this_process().peak_memory();
    if inherited.is_some_and(|inherited| counted > inherited) {
        return Some(counted);
    }
    sampled
}

/// The kernel, and services like it, kill with a signal that relto did not send; LLVM aborts with a
/// message of its own.
pub(super) fn ran_out(ending: Ending, stderr: &[u8]) -> bool {
    match ending {
        Ending::Signalled(signal) if signal == Signal::KILL.as_raw() => true,
        Ending::Signalled(_) | Ending::Exited(1..) => says_so(stderr),
        Ending::Exited(_) => false,
    }
}

fn says_so(stderr: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stderr);
    ["LLVM ERROR: out of memory", "std::bad_alloc"]
        .iter()
        .any(|message| text.contains(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_by_the_kernel_and_llvms_own_message_mean_out_of_memory() {
        let kill = Ending::Signalled(9);
        assert!(ran_out(kill, b""));
        assert!(ran_out(
            Ending::Signalled(6),
            b"LLVM ERROR: out of memory\n"
        ));
        assert!(ran_out(Ending::Exited(1), b"what():  std::bad_alloc"));
        assert!(!ran_out(Ending::Signalled(11), b"segmentation fault"));
        assert!(!ran_out(Ending::Exited(0), b"LLVM ERROR: out of memory"));
    }
}
