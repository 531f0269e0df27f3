//! What a process takes, by the kernel's own count.

use fs_err as fs;

/// The memory that the process has now, in bytes; `None` when it is gone.
pub fn now(process: u32) -> Option<u64> {
    line(process, "VmRSS:")
}

/// The most memory that the process has had so far, in bytes; `None` when it is gone.
pub fn most(process: u32) -> Option<u64> {
    line(process, "VmHWM:")
}

fn line(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}
