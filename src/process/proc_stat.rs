//! Reads `/proc/PID/stat`: what a process is doing, and its memory, in one look.

use fs_err as fs;

/// What is known of a process that has not been reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcStat {
    state: char,
    /// Resident bytes.
    pub(super) resident_memory: u64,
}

impl ProcStat {
    /// `None` if there is no such process.
    pub(super) fn of(process: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// The second field is the program's name, which may hold anything (`proc_pid_stat(5)`).
    fn parse(text: &str) -> Option<Self> {
        const RESIDENT: usize = 24 - 3;
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        let pages: u64 = fields.nth(RESIDENT - 1)?.parse().ok()?;
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        Some(Self {
            state,
            resident_memory: pages.saturating_mul(page),
        })
    }

    /// Whether it may take more memory: it has not ended, and nobody has stopped it.
    pub(super) fn is_running(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x' | 'T' | 't')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_memory_are_read_whatever_the_program_is_called() {
        let fields =
            "S 1 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 4096000 12 18446744073709551615 1";
        let stat = ProcStat::parse(&format!("5 (a) R (b) {fields}")).expect("a process");
        let page = u64::try_from(rustix::param::page_size()).expect("small");
        assert_eq!(stat.resident_memory, 12 * page);
        assert!(stat.is_running());
        for ended in ["Z", "T"] {
            let fields = fields.replacen('S', ended, 1);
            let stat = ProcStat::parse(&format!("5 (a) {fields}")).expect("a process");
            assert!(!stat.is_running());
        }
        let own = ProcStat::of(std::process::id()).expect("it runs");
        assert!(own.is_running() && own.resident_memory > 1 << 16);
        assert_eq!(ProcStat::of(u32::MAX), None);
    }
}
