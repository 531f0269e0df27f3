//! Whose a file or directory is, and which other users may change or replace it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;

/// The owner of files that have no owner in this user namespace: root, most often. Elsewhere it is
/// an account as any other, `nobody`.
const UNMAPPED: u32 = 65534;
const STICKY: u32 = 0o1000;

/// Whether files of the user `owner` are as good as our own.
#[must_use]
pub fn is_trusted_owner(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw()
        || owner == 0
        || owner == UNMAPPED && has_unmapped_users()
}

/// Why other users may change the file, or replace what is in the directory.
#[must_use]
pub fn writable_by_others(found: &Metadata) -> Option<&'static str> {
    if !is_trusted_owner(found.uid()) {
        return Some("it belongs to another user");
    }
    // There only the owner may replace what others made.
    if found.is_dir() && found.mode() & STICKY != 0 {
        return None;
    }
    if found.mode() & 0o002 != 0 {
        return Some("every user may write it");
    }
    let me = rustix::process::geteuid().as_raw();
    (found.mode() & 0o020 != 0 && !is_private_group(found.gid(), me))
        .then_some("a group may write it")
}

/// Where every user has a group of the same number, that group is the user's own. Root's is not:
/// others who administer the machine may be in it.
fn is_private_group(group: u32, user: u32) -> bool {
    group == user && user != 0
}

/// Why another user could replace what is in `dir`, or a directory above it.
///
/// # Errors
/// The system's own, with the path.
pub fn shared_with(dir: &Path) -> io::Result<Option<String>> {
    let real = fs::canonicalize(dir)?;
    // Nothing is safe from the owner of the root, and everything lies below it.
    for place in real.ancestors().filter(|place| place.parent().is_some()) {
        if let Some(reason) = writable_by_others(&fs::metadata(place)?) {
            return Ok(Some(if place == real {
                reason.to_owned()
            } else {
                format!("of `{}` above it: {reason}", place.display())
            }));
        }
    }
    Ok(None)
}

/// Without `/proc` nothing says so, and 65534 is the account.
fn has_unmapped_users() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| leaves_users_unmapped(&map))
}

/// Each line of the map ends with how many users it maps. The last number of 32 bits is no user.
fn leaves_users_unmapped(map: &str) -> bool {
    let counts = map
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2));
    let mapped: u64 = counts.filter_map(|count| count.parse::<u64>().ok()).sum();
    mapped < u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    fn set_mode(dir: &Path, mode: u32) {
        fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).expect("set");
    }

    #[test]
    fn a_directory_is_as_safe_as_those_above_it() {
        let top = tempfile::tempdir().expect("a directory");
        let (outer, inner) = (top.path().join("outer"), top.path().join("outer/inner"));
        fs::create_dir_all(&inner).expect("made");
        set_mode(&inner, 0o700);
        for (mode, safe) in [(0o755, true), (0o777, false), (0o1777, true)] {
            set_mode(&outer, mode);
            let found = shared_with(&inner).expect("there");
            assert_eq!(found.is_none(), safe, "{mode:o}: {found:?}");
        }
        set_mode(&outer, 0o755);
        let link = top.path().join("link");
        fs_err::os::unix::fs::symlink(&inner, &link).expect("linked");
        set_mode(&inner, 0o777);
        assert!(shared_with(&link).expect("there").is_some());
    }

    #[test]
    fn another_owner_or_a_group_of_others_may_replace_files() {
        let top = tempfile::tempdir().expect("a directory");
        let dir = top.path().join("dir");
        fs::create_dir(&dir).expect("made");
        let complaint = || shared_with(&dir).expect("there").unwrap_or_default();
        assert_eq!(complaint(), "");
        if !rustix::process::geteuid().is_root() {
            return; // only root gives files away
        }
        chown(&dir, None, Some(12345)).expect("given away");
        assert_eq!(complaint(), "");
        set_mode(&dir, 0o775);
        assert!(complaint().contains("a group"), "{}", complaint());
        chown(&dir, Some(12345), None).expect("given away");
        assert!(complaint().contains("another user"), "{}", complaint());
        if !has_unmapped_users() {
            chown(&dir, Some(UNMAPPED), Some(UNMAPPED)).expect("given away");
            assert!(complaint().contains("another user"), "{}", complaint());
        }
    }

    #[test]
    fn only_the_group_of_a_users_own_number_is_private() {
        assert!(is_private_group(1000, 1000));
        assert!(!is_private_group(100, 1000));
        assert!(!is_private_group(0, 1000));
        assert!(!is_private_group(0, 0));
    }

    #[test]
    fn a_user_namespace_that_maps_a_part_leaves_users_unmapped() {
        assert!(!leaves_users_unmapped("         0          0 4294967295\n"));
        assert!(leaves_users_unmapped("         0       1000          1\n"));
        assert!(leaves_users_unmapped("0 1000 1\n1 100000 65536\n"));
        assert!(!leaves_users_unmapped("0 0 1000\n1000 1000 4294966295\n"));
    }
}
