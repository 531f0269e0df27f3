//! What this process, and every process that it starts, does not hear.

use fs_err as fs;
use rustix::process::Signal;

/// Whether `signal` is ignored from the start, as SIGHUP is below `nohup`: who inherits that must leave it so.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("our own status");
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(line.expect("a mask").trim(), 16).expect("in hex");
    mask & (1 << (signal.as_raw() - 1)) != 0
}
