//! Reads `/proc/PID/stat`: what a process is, who started it and its memory, in one look.

use std::time::Duration;

use fs_err as fs;

/// What is known of a process that has not been reaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcStat {
    /// The program's name, cut off as the kernel does.
    pub(super) name: String,
    state: char,
    pub(super) parent: u32,
    /// Clock ticks since the boot.
    pub(super) started: u64,
    /// Resident bytes.
    pub(super) resident_memory: u64,
    /// Real-time priority and policy.
    pub(super) scheduling: [u32; 2],
}

impl ProcStat {
    /// `None` if there is no such process.
    pub(super) fn of(process: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// The second field is the program's name, in parentheses; it may hold anything, those too.
    /// `proc_pid_stat(5)` numbers the fields from 1.
    pub(super) fn parse(text: &str) -> Option<Self> {
        const FIRST: usize = 3;
        let (before, after) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let field = |number: usize| fields.get(number - FIRST).copied();
        let pages: u64 = field(24)?.parse().ok()?;
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        Some(Self {
            name: name.to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            started: field(22)?.parse().ok()?,
            resident_memory: pages.saturating_mul(page),
            scheduling: [field(40)?.parse().ok()?, field(41)?.parse().ok()?],
        })
    }

    /// How long ago it was started, to a hundredth of a second.
    pub(super) fn age(&self) -> Option<Duration> {
        let ticks = rustix::param::clock_ticks_per_second();
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = Duration::try_from(since_boot).ok()?;
        let started = Duration::from_millis(self.started.checked_mul(1000)? / ticks);
        now.checked_sub(started)
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
        let fields = "S 1 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 4096000 12 18446744073709551615 1 \
                      0 0 0 0 0 0 0 0 0 0 0 0 0 7 3";
        let stat = ProcStat::parse(&format!("5 (a) R (b) {fields}")).expect("a process");
        assert_eq!((&*stat.name, stat.parent, stat.started), ("a) R (b", 1, 99));
        let page = u64::try_from(rustix::param::page_size()).expect("small");
        assert_eq!(stat.resident_memory, 12 * page);
        assert_eq!(stat.scheduling, [7, 3]);
        assert!(stat.is_running());
        for ended in ["Z", "T"] {
            let fields = fields.replacen('S', ended, 1);
            let stat = ProcStat::parse(&format!("5 (a) {fields}")).expect("a process");
            assert!(!stat.is_running());
        }
        let own = ProcStat::of(std::process::id()).expect("it runs");
        assert!(own.is_running() && own.resident_memory > 1 << 16 && own.started > 0);
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert_eq!(ProcStat::of(u32::MAX), None);
        let age = own.age().expect("a clock");
        assert!(age < Duration::from_hours(1), "{age:?}");
    }
}
