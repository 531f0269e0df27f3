//! Whose a file or directory is, and which other users may change or replace it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;

/// The owner of files that have no owner in this user namespace: root, most often. Elsewhere it is
/// an account as any other, `nobody`.
const UNMAPPED: u32 = 65534;
const STICKY: u32 = 0o1000;
/// The attribute with the access control list of a file that has one.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Whether files of the user `owner` are as good as our own.
#[must_use]
pub fn is_trusted_owner(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw()
        || owner == 0
        || owner == UNMAPPED && has_unmapped_users()
}

/// Why other users may change the open file.
///
/// # Errors
/// The system's own.
pub fn file_writable_by_others(file: &File) -> io::Result<Option<&'static str>> {
    let has_list = || rustix::fs::fgetxattr(file, ACCESS_LIST, &mut [0_u8; 0]).is_ok();
    Ok(writable_by_others(&file.metadata()?, has_list))
}

/// Why other users may replace what is in `dir`, without those above it.
fn dir_writable_by_others(dir: &Path) -> io::Result<Option<&'static str>> {
    let has_list = || rustix::fs::getxattr(dir, ACCESS_LIST, &mut [0_u8; 0]).is_ok();
    Ok(writable_by_others(&fs::metadata(dir)?, has_list))
}

fn writable_by_others(found: &Metadata, has_list: impl FnOnce() -> bool) -> Option<&'static str> {
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
    if found.mode() & 0o020 == 0 {
        return None;
    }
    // With such a list these bits say what the users and groups in it may do at most.
    if has_list() {
        return Some("an access control list lets others write it");
    }
    (!is_private_group(found.gid(), me)).then_some("a group may write it")
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
        if let Some(reason) = dir_writable_by_others(place)? {
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

    use relto_testing::skip::skip;

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
            return skip("only root gives files away");
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

    /// `user::rwx, user:EVE:rwx, group::r-x, mask::rwx, other::r-x`, as the kernel has it.
    fn list_for(user: u32) -> Vec<u8> {
        let none = u32::MAX;
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in [
            (1, 7, none),
            (2, 7, user),
            (4, 5, none),
            (16, 7, none),
            (32, 5, none),
        ] {
            list.extend(u16::to_le_bytes(tag));
            list.extend(u16::to_le_bytes(rights));
            list.extend(u32::to_le_bytes(id));
        }
        list
    }

    #[test]
    fn an_access_control_list_may_let_others_write() {
        let top = tempfile::tempdir().expect("a directory");
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(top.path(), ACCESS_LIST, &list_for(12345), flags).is_err() {
            return skip("this file system has no access control lists");
        }
        let complaint = shared_with(top.path()).expect("there").unwrap_or_default();
        assert!(complaint.contains("access control list"), "{complaint}");
        set_mode(top.path(), 0o755);
        assert_eq!(shared_with(top.path()).expect("there"), None);
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
