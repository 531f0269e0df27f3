//! Where the limits of a process's cgroups can be read.

use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CgroupVersion {
    One,
    Two,
}

/// The cgroups in which `controller` (`memory`, `pids`) counts a process, and their parents, the
/// innermost first, by their directories. `groups` is what `/proc/self/cgroup` says, and `mounts`
/// what `/proc/self/mountinfo` does.
pub(super) fn dirs(controller: &str, groups: &str, mounts: &str) -> Vec<(CgroupVersion, PathBuf)> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let version = match controllers {
            "" => CgroupVersion::Two,
            _ if controllers.split(',').any(|it| it == controller) => CgroupVersion::One,
            _ => continue,
        };
        let Some((root, mount)) = mount(version, controller, mounts) else {
            continue;
        };
        // A container may see only a part of the hierarchy, or a path outside of it.
        let inside = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let dirs = inside.ancestors().map(|it| mount.join(it));
        found.extend(dirs.map(|dir| (version, dir)));
    }
    // Where both are mounted, controllers of version 1 count.
    found.sort_by_key(|(version, _)| *version == CgroupVersion::Two);
    found
}

/// Where the hierarchy is mounted, and which part of it (`proc_pid_mountinfo(5)`).
fn mount(version: CgroupVersion, controller: &str, mounts: &str) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let fits = match version {
            CgroupVersion::One => kind == "cgroup" && options.split(',').any(|it| it == controller),
            CgroupVersion::Two => kind == "cgroup2",
        };
        let mut left = left.split(' ').skip(3);
        let (root, mount) = (left.next()?, left.next()?);
        fits.then(|| (root.into(), mount.into()))
    })
}
