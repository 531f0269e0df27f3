//! Whose a directory is, and which other users may replace what is in it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;

/// The owner of files that have no owner in this user namespace: root, most often.
const UNMAPPED: u32 = 65534;
const STICKY: u32 = 0o1000;

/// Whether files of the user `owner` are as good as our own.
#[must_use]
pub fn is_trusted_owner(owner: u32) -> bool {
    [rustix::process::geteuid().as_raw(), 0, UNMAPPED].contains(&owner)
}

/// Why another user could replace what is in `dir`, or a directory above it.
///
/// # Errors
/// The system's own, with the path.
pub fn shared_with(dir: &Path) -> io::Result<Option<String>> {
    let real = fs::canonicalize(dir)?;
    // Nothing is safe from the owner of the root, and everything lies below it.
    for place in real.ancestors().filter(|place| place.parent().is_some()) {
        if let Some(reason) = reason(&fs::metadata(place)?) {
            let name = if place == real {
                "it".to_owned()
            } else {
                format!("`{}` above it", place.display())
            };
            return Ok(Some(format!("{name} {reason}")));
        }
    }
    Ok(None)
}

/// In a sticky directory only the owner may replace what others made. Where every user has a group
/// of the same number, a directory of that group is the user's own.
fn reason(found: &Metadata) -> Option<&'static str> {
    if !is_trusted_owner(found.uid()) {
        return Some("belongs to another user");
    }
    if found.mode() & STICKY != 0 {
        return None;
    }
    if found.mode() & 0o002 != 0 {
        return Some("may be changed by every user");
    }
    (found.mode() & 0o020 != 0 && !is_trusted_owner(found.gid()))
        .then_some("may be changed by a group of users")
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
        set_mode(&dir, 0o775);
        assert_eq!(complaint(), "", "of our own group");
        set_mode(&dir, 0o755);
        chown(&dir, None, Some(12345)).expect("given away");
        assert_eq!(complaint(), "");
        set_mode(&dir, 0o775);
        assert!(complaint().contains("a group"), "{}", complaint());
        chown(&dir, Some(12345), None).expect("given away");
        assert!(complaint().contains("another user"), "{}", complaint());
    }
}
