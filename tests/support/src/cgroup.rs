//! A cgroup with little memory, in version 1 or 2. It needs root and a hierarchy that may be
//! written.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::repeat::through;
use super::skip::skip;

/// Gone when dropped.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    is_version_2: bool,
}

impl Cgroup {
    /// A cgroup whose processes may have `bytes` together, and no swap. Returns `None` after
    /// recording the test as skipped, where none can be made.
    #[track_caller]
    pub fn new(name: &str, bytes: u64) -> Option<Self> {
        let made = hierarchies().find_map(|(root, is_version_2)| {
            let dir = root.join(format!("relto-test-{}-{name}", std::process::id()));
            fs::create_dir(&dir).ok()?;
            let cgroup = Self { dir, is_version_2 };
            let (limit, swap) = if is_version_2 {
                ("memory.max", ("memory.swap.max", 0))
            } else {
                let both = ("memory.memsw.limit_in_bytes", bytes);
                ("memory.limit_in_bytes", both)
            };
            fs::write(cgroup.dir.join(limit), bytes.to_string()).ok()?;
            // Kernels without swap accounting have no such file.
            let _ = fs::write(cgroup.dir.join(swap.0), swap.1.to_string());
            Some(cgroup)
        });
        if made.is_none() {
            skip(
                "it limits the memory of a cgroup, which needs root and a hierarchy to write to; `exec::queue::tests::memory` alone shows what it would",
            );
        }
        made
    }

    /// The same command, in the cgroup.
    pub fn command(&self, command: &Command) -> Command {
        let procs = self.dir.join("cgroup.procs");
        let script = format!("echo $$ >{}; exec \"$@\"", procs.display());
        through(&["sh", "-c", &script, "sh"], command)
    }

    /// Processes that the kernel has killed for want of memory.
    pub fn killed(&self) -> u64 {
        let file = if self.is_version_2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let text = fs::read_to_string(self.dir.join(file)).expect("a cgroup");
        let killed = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        killed.expect("a count").parse().expect("a number")
    }

    /// The most that its processes have had together; `None` where the kernel does not count that.
    pub fn peak(&self) -> Option<u64> {
        let file = if self.is_version_2 {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        let text = fs::read_to_string(self.dir.join(file)).ok()?;
        text.trim().parse().ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that has ended leaves it a little later.
        let left = || fs::remove_dir(&self.dir).is_err();
        let attempts = std::iter::repeat_with(left).take(1000);
        for _ in attempts.take_while(|left| *left) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// Where memory cgroups can be made, and whether they are of version 2.
fn hierarchies() -> impl Iterator<Item = (PathBuf, bool)> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found: Vec<_> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (dir, kind, options) = (words.next()?, words.next()?, words.next()?);
            let dir = Path::new(dir);
            let is_version_2 = kind == "cgroup2";
            let counts = if is_version_2 {
                let file = dir.join("cgroup.subtree_control");
                let controllers = fs::read_to_string(file).unwrap_or_default();
                controllers.split_whitespace().any(|it| it == "memory")
            } else {
                kind == "cgroup" && options.split(',').any(|it| it == "memory")
            };
            counts.then(|| (dir.to_owned(), is_version_2))
        })
        .collect();
    found.into_iter()
}
