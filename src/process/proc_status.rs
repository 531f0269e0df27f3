//! Reads `/proc/PID/status`, the kernel's text about a process.

/// The contents of the file; empty where there is no `/proc` or no such process.
#[derive(Debug, Default)]
pub struct ProcStatus(String);

impl ProcStatus {
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::read("/proc/self/status")
    }

    pub(super) fn of(process: rustix::process::Pid) -> Self {
        Self::read(&format!("/proc/{}/status", process.as_raw_nonzero()))
    }

    fn read(path: &str) -> Self {
        Self(fs_err::read_to_string(path).unwrap_or_default())
    }

    /// The value of a field, as in `Seccomp`.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    /// The value of a field that counts memory, in bytes.
    fn bytes(&self, name: &str) -> Option<u64> {
        bytes(self.field(name)?)
    }

    /// Resident bytes now.
    #[must_use]
    pub fn resident_memory(&self) -> Option<u64> {
        self.bytes("VmRSS")
    }

    /// The highest number of resident bytes so far.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        self.bytes("VmHWM")
    }

    /// The signals of a mask such as `SigIgn`, the first one in the lowest bit.
    pub(super) fn signals(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.field(name)?, 16).ok()
    }
}

/// A size as the kernel's text files have it: `12 kB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let kibibytes: u64 = text.strip_suffix(" kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_from_the_kernels_text() {
        let status =
            ProcStatus("Name:\tclang\nVmHWM:\t   12 kB\nSigIgn:\t0000000000001000\n".into());
        assert_eq!(status.field("Name"), Some("clang"));
        assert_eq!(status.peak_memory(), Some(12 << 10));
        assert_eq!(status.resident_memory(), None);
        assert_eq!(status.signals("SigIgn"), Some(0x1000));
        let own = ProcStatus::of(rustix::process::getpid());
        assert!(own.peak_memory().is_some_and(|bytes| bytes > 1 << 16));
    }
}
