//! How much memory the machine, and the cgroups that this process is in, have left.
//!
//! Each limit is looked at by itself: the machine's, and that of every cgroup from the process's
//! own up to the root of its hierarchy, in version 1 and 2. File pages that have not been used
//! lately count as free, because the kernel drops them first.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::cgroups::{self, CgroupVersion};
use super::proc_status::bytes;

/// What is left below one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemoryLimit {
    /// The directory of the cgroup; `None`: the whole machine.
    pub(super) cgroup: Option<PathBuf>,
    /// All that the limit allows, in bytes.
    pub(super) total: u64,
    pub(super) left: u64,
}

/// The kernel's files about memory. Tests have a root directory of their own.
#[derive(Debug, Clone)]
pub(super) struct FreeMemory {
    root: PathBuf,
    /// Of this process, the innermost first: a process stays in its cgroups.
    cgroups: Vec<(CgroupVersion, PathBuf)>,
}

impl FreeMemory {
    /// As this process sees it.
    pub(super) fn of_process() -> Self {
        Self::below(Path::new("/"))
    }

    fn below(root: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
        let mounts = text("proc/self/mountinfo");
        let cgroups = cgroups::dirs("memory", &text("proc/self/cgroup"), &mounts);
        Self {
            root: root.to_owned(),
            cgroups,
        }
    }

    /// The directory of the innermost cgroup, which tells which limits a child of this process
    /// counts against.
    pub(super) fn cgroup(&self) -> Option<&Path> {
        self.cgroups.first().map(|(_, dir)| dir.as_path())
    }

    /// All limits that are in force now; none where the kernel does not say.
    pub(super) fn limits(&self) -> Vec<MemoryLimit> {
        let machine = self.machine();
        let groups = self.cgroups.iter().flat_map(|(version, dir)| {
            let limits = match version {
                CgroupVersion::One => vec![self.limit_of_version_1(dir)],
                CgroupVersion::Two => ["memory.max", "memory.high"]
                    .map(|file| self.limit_of_version_2(dir, file))
                    .to_vec(),
            };
            limits.into_iter().flatten()
        });
        machine.into_iter().chain(groups).collect()
    }

    fn machine(&self) -> Option<MemoryLimit> {
        let text = fs::read_to_string(self.root.join("proc/meminfo")).ok()?;
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            bytes(line.trim())
        };
        Some(MemoryLimit {
            cgroup: None,
            total: of("MemTotal:")?,
            left: of("MemAvailable:")?,
        })
    }

    fn limit_of_version_2(&self, dir: &Path, file: &str) -> Option<MemoryLimit> {
        // "max" is no number.
        let total = self.number(dir, file)?;
        let used = self.number(dir, "memory.current")?;
        Some(self.limit(dir, total, used, "inactive_file"))
    }

    fn limit_of_version_1(&self, dir: &Path) -> Option<MemoryLimit> {
        // Without a limit the kernel shows the largest number of bytes that pages can count.
        const UNLIMITED: u64 = 1 << 60;
        let total = self.number(dir, "memory.limit_in_bytes")?;
        let used = self.number(dir, "memory.usage_in_bytes")?;
        (total < UNLIMITED).then(|| self.limit(dir, total, used, "total_inactive_file"))
    }

    fn limit(&self, dir: &Path, total: u64, used: u64, reclaimable: &str) -> MemoryLimit {
        let text = self.text(dir, "memory.stat").unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let reclaimable = lines
            .find(|(name, _)| *name == reclaimable)
            .and_then(|(_, bytes)| bytes.parse().ok())
            .unwrap_or(0);
        MemoryLimit {
            cgroup: Some(dir.to_owned()),
            total,
            left: total.saturating_sub(used.saturating_sub(reclaimable)),
        }
    }

    fn number(&self, dir: &Path, file: &str) -> Option<u64> {
        self.text(dir, file)?.trim().parse().ok()
    }

    fn text(&self, dir: &Path, file: &str) -> Option<String> {
        let dir = dir.strip_prefix("/").unwrap_or(dir);
        fs::read_to_string(self.root.join(dir).join(file)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine of 8 GiB with 4 GiB left.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        write(
            root.path(),
            "proc/meminfo",
            "MemTotal:        8388608 kB\nMemFree:  1 kB\nMemAvailable:    4194304 kB\n",
        );
        root
    }

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn left(root: &Path) -> Vec<(String, u64)> {
        let limits = FreeMemory::below(root).limits().into_iter();
        limits
            .map(|limit| {
                let name = limit.cgroup.map(|dir| dir.display().to_string());
                (name.unwrap_or_default(), limit.left / MIB)
            })
            .collect()
    }

    #[test]
    fn every_cgroup_of_version_2_counts_up_to_the_root() {
        let root = machine();
        let root = root.path();
        write(root, "proc/self/cgroup", "0::/a.slice/b.scope\n");
        write(
            root,
            "proc/self/mountinfo",
            "25 24 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
        );
        let own = "sys/fs/cgroup/a.slice/b.scope";
        write(root, &format!("{own}/memory.max"), "max\n");
        write(root, &format!("{own}/memory.current"), "1\n");
        assert_eq!(left(root), [(String::new(), 4096)]);
        let slice = "sys/fs/cgroup/a.slice";
        write(root, &format!("{slice}/memory.max"), "1073741824\n");
        write(root, &format!("{slice}/memory.high"), "536870912\n");
        write(root, &format!("{slice}/memory.current"), "524288000\n");
        let stat = "anon 1\nfile 314572800\ninactive_file 104857600\n";
        write(root, &format!("{slice}/memory.stat"), stat);
        let slice = "/sys/fs/cgroup/a.slice".to_owned();
        let expected = [(String::new(), 4096), (slice.clone(), 624), (slice, 112)];
        assert_eq!(left(root), expected);
    }

    #[test]
    fn cgroups_of_version_1_are_found_by_their_controller_and_below_another_root() {
        let root = machine();
        let root = root.path();
        let groups = "5:cpu:/else\n4:hugetlb,memory:/docker/x/inner\n0::/\n";
        write(root, "proc/self/cgroup", groups);
        write(
            root,
            "proc/self/mountinfo",
            "30 20 0:1 / /c/cpu rw - cgroup cgroup rw,cpu\n31 20 0:2 /docker/x /c/memory rw - cgroup cgroup rw,memory\n",
        );
        let no_limit = "9223372036854771712\n";
        write(root, "c/memory/inner/memory.limit_in_bytes", no_limit);
        write(root, "c/memory/inner/memory.usage_in_bytes", "5\n");
        write(root, "c/memory/memory.limit_in_bytes", "536870912\n");
        write(root, "c/memory/memory.usage_in_bytes", "314572800\n");
        let stat = "inactive_file 1\ntotal_inactive_file 104857600\n";
        write(root, "c/memory/memory.stat", stat);
        let expected = [(String::new(), 4096), ("/c/memory/".to_owned(), 312)];
        assert_eq!(left(root), expected);
        let memory = FreeMemory::below(root);
        assert_eq!(memory.cgroup(), Some(Path::new("/c/memory/inner")));
    }

    #[test]
    fn where_the_kernel_says_nothing_there_is_no_limit() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(left(root.path()), []);
    }

    #[test]
    fn the_real_machine_has_memory() {
        let limits = FreeMemory::of_process().limits();
        assert!(limits.iter().any(|it| it.cgroup.is_none() && it.left > 0));
        assert!(limits.iter().all(|it| it.left <= it.total), "{limits:?}");
    }
}
