//! [`World`]: everything by which two processes of one user can differ in what a path means to
//! them, what they may do, and how much of the machine they may use.
//!
//! A program inherits all of this from its parent. So a daemon may start a compiler for another
//! process only if the two have the same world; otherwise the result could differ, the compiler
//! could fail where it should not, or it could use what the other process was denied. Landlock
//! domains cannot be observed; the daemon's key in a private file keeps confined processes out.

use std::path::Path;

use rustix::process::getpriority_process;
use rustix::thread::sched_getaffinity;
use serde::{Deserialize, Serialize};

use super::proc_stat::ProcStat;
use super::{ProcStatus, cgroups};
use crate::fs::FileId;
use crate::rlimit::{self, Resource};

/// Limits that a compiler can run into.
const RESOURCES: [Resource; 9] = [
    Resource::RLIMIT_AS,
    Resource::RLIMIT_CORE,
    Resource::RLIMIT_CPU,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_MEMLOCK,
    Resource::RLIMIT_NPROC,
    Resource::RLIMIT_RSS,
    Resource::RLIMIT_STACK,
];

/// Namespaces, as `/proc/self/ns` names them.
const NAMESPACES: [&str; 8] = ["mnt", "user", "net", "pid", "uts", "ipc", "cgroup", "time"];

/// Lines of `/proc/self/status` that say what a process may do.
const RIGHTS: [&str; 6] = [
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
];

/// Files of a cgroup (version 2) that limit what is in it.
const CGROUP_LIMITS: [&str; 7] = [
    "memory.max",
    "memory.high",
    "memory.swap.max",
    "cpu.max",
    "cpuset.cpus",
    PROCESSES,
    "cgroup.freeze",
];

/// The file with the most processes and threads of a cgroup, of either version.
const PROCESSES: &str = "pids.max";

/// The cgroups of a process, and where their hierarchies are.
const GROUPS: &str = "/proc/self/cgroup";
const MOUNTS: &str = "/proc/self/mountinfo";

/// The name of no controller: the one hierarchy of version 2 has them all.
const UNIFIED: &str = "";

/// Values of those files that limit nothing.
const NO_LIMIT: [&str; 3] = ["max", "max 100000", "0"];

/// What a program inherits from the process that starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    namespaces: Vec<Option<String>>,
    root: Option<FileId>,
    /// Real, effective, saved and file system ids, as the kernel prints them.
    users: Option<String>,
    groups: Option<String>,
    supplementary_groups: Option<String>,
    rights: Vec<Option<String>>,
    /// Mode and number of filters.
    seccomp: [Option<String>; 2],
    /// The label of `SELinux`, `AppArmor` or Smack.
    security_label: Option<String>,
    /// Groups with a limit, the limits with them.
    cgroups: Vec<String>,
    nice: Option<i32>,
    /// Real-time priority and policy.
    scheduling: Option<[u32; 2]>,
    /// How soon the kernel ends it where memory is short, as `choom` sets it.
    oom_score: Option<String>,
    /// In the kernel's units; `None` means unlimited.
    limits: [Option<u64>; RESOURCES.len()],
    /// The numbers of the processors that it may run on.
    processors: Vec<usize>,
}

impl World {
    /// The world of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let status = ProcStatus::of_this_process();
        let field = |name: &str| status.field(name).map(str::to_owned);
        let set = sched_getaffinity(None).ok();
        let is_ours = |number: &usize| set.as_ref().is_some_and(|set| set.is_set(*number));
        Self {
            namespaces: NAMESPACES.map(namespace).to_vec(),
            root: FileId::at(Path::new("/")),
            users: field("Uid"),
            groups: field("Gid"),
            supplementary_groups: field("Groups"),
            rights: RIGHTS.map(field).to_vec(),
            seccomp: ["Seccomp", "Seccomp_filters"].map(field),
            security_label: text("/proc/self/attr/current"),
            cgroups: limited_cgroups(
                &text(GROUPS).unwrap_or_default(),
                &text(MOUNTS).unwrap_or_default(),
            ),
            nice: getpriority_process(None).ok(),
            scheduling: text("/proc/self/stat")
                .and_then(|stat| ProcStat::parse(&stat))
                .map(|stat| stat.scheduling),
            oom_score: text("/proc/self/oom_score_adj"),
            limits: RESOURCES.map(rlimit::soft),
            processors: (0..rustix::thread::CpuSet::MAX_CPU)
                .filter(is_ours)
                .collect(),
        }
    }

    /// The first thing in which `other` differs, for a message; `None` if nothing does.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let mut namespaces = self.namespaces.iter().zip(&other.namespaces);
        if let Some(at) = namespaces.position(|(ours, theirs)| ours != theirs) {
            return Some(format!("another {} namespace", NAMESPACES[at]));
        }
        let differences = [
            (self.root != other.root, "another root directory"),
            (self.users != other.users, "another user id"),
            (self.groups != other.groups, "another group id"),
            (
                self.supplementary_groups != other.supplementary_groups,
                "other supplementary groups",
            ),
            (self.rights != other.rights, "other capabilities"),
            (self.seccomp != other.seccomp, "another seccomp filter"),
            (
                self.security_label != other.security_label,
                "another security label",
            ),
            (self.cgroups != other.cgroups, "other cgroup limits"),
            (self.nice != other.nice, "another niceness"),
            (
                self.scheduling != other.scheduling,
                "another scheduling policy",
            ),
            (
                self.oom_score != other.oom_score,
                "another adjustment for the out-of-memory killer",
            ),
            (self.limits != other.limits, "other resource limits"),
            (self.processors != other.processors, "other processors"),
        ];
        let found = differences.iter().find(|(differs, _)| *differs);
        found.map(|(_, what)| (*what).to_owned())
    }
}

fn namespace(name: &str) -> Option<String> {
    let link = fs_err::read_link(Path::new("/proc/self/ns").join(name)).ok()?;
    Some(link.to_string_lossy().into_owned())
}

fn text(path: &str) -> Option<String> {
    let text = fs_err::read_to_string(path).ok()?;
    Some(text.trim_end_matches(['\n', '\0']).to_owned())
}

/// The groups of a process, as far as they limit anything. Two terminals of one session are in two
/// groups; they differ only if one of these, or of its parents, has a limit.
fn limited_cgroups(groups: &str, mounts: &str) -> Vec<String> {
    // What a group of version 1 limits depends on its hierarchy; one that systemd only keeps names
    // in limits nothing.
    let is_of_version_1 = |group: &&str| !group.starts_with("0::") && !group.contains(":name=");
    let of_version_1 = groups.lines().filter(is_of_version_1).map(str::to_owned);
    let dirs = cgroups::dirs(UNIFIED, groups, mounts);
    let of_version_2 = dirs.iter().flat_map(|(_, dir)| limits_of(dir));
    of_version_1.chain(of_version_2).collect()
}

fn limits_of(group: &Path) -> Vec<String> {
    let limit = |file: &&str| {
        let value = fs_err::read_to_string(group.join(file)).unwrap_or_default();
        let value = value.trim();
        let limits = !value.is_empty() && !NO_LIMIT.contains(&value);
        limits.then(|| format!("{}: {file} {value}", group.display()))
    };
    CGROUP_LIMITS.iter().filter_map(limit).collect()
}

/// Whether a cgroup of this process may hold fewer than `enough` processes and threads.
#[must_use]
pub fn cgroup_holds_fewer_processes(enough: u64) -> bool {
    let of_process = |file| text(file).unwrap_or_default();
    holds_fewer_processes(&of_process(GROUPS), &of_process(MOUNTS), enough)
}

fn holds_fewer_processes(groups: &str, mounts: &str, enough: u64) -> bool {
    let dirs = cgroups::dirs("pids", groups, mounts).into_iter();
    let files = dirs.map(|(_, dir)| dir.join(PROCESSES));
    let mut limits = files.filter_map(|file| {
        fs_err::read_to_string(file)
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    });
    limits.any(|limit| limit < enough)
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn a_process_differs_from_itself_in_nothing() {
        let world = World::of_process();
        assert_eq!(world.difference(&World::of_process()), None);
        let copy: World = postcard::to_stdvec(&world)
            .and_then(|bytes| postcard::from_bytes(&bytes))
            .expect("it travels");
        assert_eq!(copy, world);
    }

    /// A change of a world, and what it is called.
    type Case<'a> = (&'a dyn Fn(&mut World), &'a str);

    #[test]
    fn each_difference_has_its_name() {
        let world = World::of_process();
        let changed = |change: &dyn Fn(&mut World)| {
            let mut other = world.clone();
            change(&mut other);
            world.difference(&other).unwrap_or_default()
        };
        let other = || Some("other".to_owned());
        let cases: [Case; 14] = [
            (&|it| it.namespaces[0] = other(), "another mnt namespace"),
            (&|it| it.namespaces[2] = other(), "another net namespace"),
            (&|it| it.root = None, "another root directory"),
            (&|it| it.users = other(), "another user id"),
            (&|it| it.groups = other(), "another group id"),
            (
                &|it| it.supplementary_groups = other(),
                "other supplementary groups",
            ),
            (&|it| it.rights[5] = other(), "other capabilities"),
            (&|it| it.seccomp[1] = other(), "another seccomp filter"),
            (&|it| it.security_label = other(), "another security label"),
            (&|it| it.cgroups.push("a".into()), "other cgroup limits"),
            (&|it| it.nice = Some(99), "another niceness"),
            (&|it| it.scheduling = None, "another scheduling policy"),
            (
                &|it| it.oom_score = other(),
                "another adjustment for the out-of-memory killer",
            ),
            (&|it| it.processors.push(9999), "other processors"),
        ];
        for (change, name) in cases {
            assert_eq!(changed(change), name);
        }
        let limit = |it: &mut World| it.limits[0] = Some(1);
        assert_eq!(changed(&limit), "other resource limits");
    }

    #[test]
    fn a_cgroup_counts_only_with_a_limit_of_its_own_or_of_a_parent() {
        let mount = tempfile::tempdir().expect("a directory");
        let scope = mount.path().join("user.slice/one.scope");
        fs::create_dir_all(&scope).expect("made");
        fs::write(scope.join("memory.max"), "max\n").expect("written");
        let mounts = mounted(mount.path(), "cgroup2", "rw");
        let limits = |path: &str| limited_cgroups(&format!("0::{path}\n"), &mounts);
        assert_eq!(limits("/user.slice/one.scope"), Vec::<String>::new());
        fs::write(mount.path().join("user.slice/memory.max"), "1024\n").expect("written");
        let found = limits("/user.slice/one.scope");
        assert_eq!(found.len(), 1);
        assert!(
            found[0].ends_with("user.slice: memory.max 1024"),
            "{found:?}"
        );
        assert_eq!(found, limits("/user.slice/other.scope"));
    }

    /// A line of `mountinfo`.
    fn mounted(dir: &Path, kind: &str, options: &str) -> String {
        format!(
            "25 24 0:22 / {} rw - {kind} {kind} {options}\n",
            dir.display()
        )
    }

    #[test]
    fn the_fewest_processes_that_a_cgroup_or_a_parent_may_hold_count() {
        let mount = tempfile::tempdir().expect("a directory");
        let mounts = [
            mounted(mount.path(), "cgroup2", "rw"),
            mounted(&mount.path().join("pids"), "cgroup", "rw,pids"),
        ];
        let holds_fewer = |groups| holds_fewer_processes(groups, &mounts.concat(), 1024);
        let write = |path: &str, text: &str| {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("a/b/pids.max", "max\n");
        assert!(!holds_fewer("0::/a/b\n"));
        write("a/pids.max", "40\n");
        assert!(holds_fewer("0::/a/b\n"));
        write("a/pids.max", "4000\n");
        assert!(!holds_fewer("0::/a/b\n"));
        write("pids/c/pids.max", "40\n");
        assert!(holds_fewer("9:memory:/a\n8:pids:/c\n0::/\n"));
    }
}
