//! How much memory a program needs, and whether it died for lack of memory.
//!
//! Both come from what the kernel shows to another process, so the first is sampled and the second
//! is a good guess.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::Ending;

/// When the resident size is looked at for the first time, and how often after that. The kernel
/// keeps the highest value itself, so what a sample misses is only what was added after the last
/// one.
pub(super) const FIRST_SAMPLE: Duration = Duration::from_millis(50);
pub(super) const BETWEEN_SAMPLES: Duration = Duration::from_millis(200);

/// Highest resident size so far, in bytes; none when the process is gone or there is no `/proc`.
pub(super) fn peak(process: Pid) -> Option<u64> {
    let status =
        fs_err::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).ok()?;
    peak_in(&status)
}

fn peak_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
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
    fn the_kernels_kill_and_llvms_own_word_mean_no_memory() {
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

    #[test]
    fn the_peak_is_read_from_the_kernels_text() {
        assert_eq!(
            peak_in("Name:\tclang\nVmHWM:\t   12 kB\nVmRSS:\t 4 kB\n"),
            Some(12 << 10)
        );
        assert_eq!(peak_in("Name:\tclang\n"), None);
        assert!(peak(rustix::process::getpid()).is_some_and(|bytes| bytes > 1 << 16));
    }
}
