//! Which build this process belongs to: that of the make, ninja or cargo that started it.
//!
//! A build starts thousands of launched compilers, which a farm should show as one. The outermost
//! build tool among the ancestors stands for it; its process id and start time tell it from any
//! other of this boot.

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::proc_stat::ProcStat;

/// Programs that run builds.
const BUILD_TOOLS: [&str; 12] = [
    "make",
    "gmake",
    "remake",
    "ninja",
    "samu",
    "n2",
    "cargo",
    "bazel",
    "buck2",
    "meson",
    "scons",
    "xcodebuild",
];

/// Ancestors that are looked at.
const MAX_DEPTH: usize = 64;

/// The process that runs a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildProcess {
    process: u32,
    started: u64,
}

impl BuildProcess {
    /// The one that this process belongs to; `None` if no ancestor runs a build.
    #[must_use]
    pub fn of_process() -> Option<Self> {
        let (process, ancestor) = outermost(std::process::id(), ProcStat::of)?;
        let started = ancestor.started;
        Some(Self { process, started })
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_there(self) -> bool {
        ProcStat::of(self.process).is_some_and(|found| found.started == self.started)
    }
}

/// What identifies the build; `None` if no ancestor runs one.
#[must_use]
pub fn build_identity() -> Option<String> {
    let BuildProcess { process, started } = BuildProcess::of_process()?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{} {process} {started}", boot.trim()))
}

fn outermost(process: u32, look: impl Fn(u32) -> Option<ProcStat>) -> Option<(u32, ProcStat)> {
    let mut found = None;
    let mut next = look(process)?.parent;
    for _ in 0..MAX_DEPTH {
        let Some(ancestor) = look(next) else { break };
        let parent = ancestor.parent;
        if BUILD_TOOLS.contains(&ancestor.name.as_str()) {
            found = Some((next, ancestor));
        }
        if parent == 0 {
            break;
        }
        next = parent;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_build_tool_stands_for_the_build() {
        let processes = [
            (9, "relto", 8, 90),
            (8, "sh", 7, 80),
            (7, "ninja", 6, 70),
            (6, "make (x)", 5, 60),
            (5, "make", 4, 50),
            (4, "bash", 1, 40),
            (1, "init", 0, 1),
        ];
        let look = |pid| {
            let (_, name, parent, started) = processes.iter().find(|it| it.0 == pid)?;
            let (gap, rest) = (" 0".repeat(17), " 0".repeat(19));
            ProcStat::parse(&format!("{pid} ({name}) S {parent}{gap} {started}{rest}"))
        };
        let (pid, ancestor) = outermost(9, look).expect("a build");
        assert_eq!((pid, ancestor.started), (5, 50));
        assert_eq!(outermost(4, look), None);
    }
}
