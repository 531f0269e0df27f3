//! Marks a directory as a cache of relto, and knows which files in it are relto's.
//!
//! Trimming deletes files that have not been used for a long time. A wrong setting, or one made by
//! someone else, may name any directory; so relto trims marked directories only, and deletes only
//! files with names that it creates itself.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;

use super::CacheError;
use super::disk::is_shared;
use crate::digest::is_hash;
use crate::fs::{OwnDir, PRIVATE_UMASK, write_whole_for};

/// <https://bford.info/cachedir/>: backup programs skip such directories.
const TAG: &str = "CACHEDIR.TAG";
const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55";
/// The layout of the cache, so that a later relto knows what it may remove.
const VERSION: &str = "# relto disk cache, layout 1";

/// No mark is this long.
const LONGEST: u64 = 64 << 10;

/// Start of the names of files that are being written.
pub(super) const TEMPORARY: &str = "relto-";

/// The name that relto gives its directory by default.
const DEFAULT_NAME: &str = "relto";

/// The names in the root of a cache that only relto gives.
const OWN: [&str; 6] = [
    "ahead",
    "daemon",
    "slots",
    "state.db",
    "throttle",
    "trim.lock",
];

/// The names there that Bazel gives too, which keeps what it has built in such a directory, without
/// a limit of its size.
const OF_ANY_CACHE: [&str; 6] = [TAG, "ac", "blake3", "cas", "gc", "tmp"];

/// What is in a directory without a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Nothing, or what relto has put there.
    Own,
    /// A cache, and nothing that shows it to be relto's.
    OtherCache,
    /// Files that no cache has.
    Others,
}

/// Marks the directory `root` if it is new, or has lost its mark in a crash. One that holds files
/// of the user, or a cache of another program, is used as it is.
pub(super) fn write(root: &Path) {
    let tag = root.join(TAG);
    let is_wanted = match fs::symlink_metadata(&tag) {
        Ok(found) => is_own_file(&found) && is_damaged(root),
        Err(_) => true,
    };
    if !is_wanted || contents(root) != Contents::Own {
        return;
    }
    let umask = (!is_shared(root)).then_some(PRIVATE_UMASK);
    // At once, for another process may look meanwhile. Without a mark the cache works, but is not
    // trimmed.
    let _ = write_whole_for(umask, &tag, mark().as_bytes());
}

fn mark() -> String {
    format!("{SIGNATURE}\n# This directory can be removed at any time.\n{VERSION}\n")
}

fn is_own_file(found: &Metadata) -> bool {
    found.is_file() && found.uid() == rustix::process::geteuid().as_raw()
}

/// Whether the tag is what a crash may leave of a mark: nothing, its beginning, or zeros in the
/// place of what did not reach the disk. The bare signature is a tag of whoever wrote it.
fn is_damaged(root: &Path) -> bool {
    let tag = OwnDir::named_by_user(root).and_then(|root| root.read(TAG, LONGEST));
    tag.is_ok_and(|tag| {
        let written = tag.iter().rposition(|byte| *byte != 0);
        let written = &tag[..written.map_or(0, |last| last + 1)];
        let mark = mark();
        written.len() < mark.len()
            && mark.as_bytes().starts_with(written)
            && written.trim_ascii_end() != SIGNATURE.as_bytes()
    })
}

/// Whether files in `root` may be removed.
///
/// # Errors
/// It is not marked as a cache of relto, or this user may not read the mark.
pub(super) fn check(root: &OwnDir) -> Result<(), CacheError> {
    let path = root.path().to_owned();
    match root.read(TAG, LONGEST) {
        Ok(text) if is_mark(&String::from_utf8_lossy(&text)) => Ok(()),
        Err(reason) if reason.kind() == io::ErrorKind::PermissionDenied => {
            Err(CacheError::UnreadableMark { path, reason })
        }
        _ => Err(CacheError::NotMarked {
            contents: contents(&path),
            path,
        }),
    }
}

fn is_mark(text: &str) -> bool {
    text.starts_with(SIGNATURE) && text.lines().any(|line| line == VERSION)
}

fn contents(root: &Path) -> Contents {
    if root.file_name().is_some_and(|name| name == DEFAULT_NAME) {
        return Contents::Own;
    }
    let Ok(entries) = fs::read_dir(root) else {
        return Contents::Others;
    };
    let (mut is_own, mut is_cache) = (false, false);
    for entry in entries.flatten() {
        match entry.file_name().to_str() {
            // The tag may be anybody's.
            Some(TAG) => {}
            Some(name) if OWN.contains(&name) || name.starts_with("state.db") => is_own = true,
            Some(name) if OF_ANY_CACHE.contains(&name) => is_cache = true,
            _ => return Contents::Others,
        }
    }
    if is_own || !is_cache {
        Contents::Own
    } else {
        Contents::OtherCache
    }
}

/// Whether a file has the name that relto and Bazel use: the hex of its digest, in a directory of
/// the first two digits.
pub(super) fn is_entry(shard: &str, name: &str) -> bool {
    is_hash(name) && *shard == name[..2]
}

/// Whether a file in `tmp/` is one that relto was writing.
pub(super) fn is_temporary(name: &str) -> bool {
    name.strip_prefix(TEMPORARY).is_some_and(|rest| {
        rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_at(root: &Path) -> Result<(), CacheError> {
        check(&OwnDir::named_by_user(root).expect("opened"))
    }

    /// What `check` says of a directory with these files, after relto has opened it.
    fn opened_with(files: &[&str]) -> Result<(), CacheError> {
        let dir = tempfile::tempdir().expect("a directory");
        for file in files {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().expect("a directory")).expect("made");
            fs::write(file, "").expect("written");
        }
        write(dir.path());
        let checked = check_at(dir.path());
        assert_eq!(checked.is_ok(), dir.path().join(TAG).exists());
        checked
    }

    #[test]
    fn only_a_new_directory_and_one_with_names_that_only_relto_gives_are_marked() {
        opened_with(&[]).expect("marked");
        let results = ["ac/ab/x", "cas/cd/y", "tmp/z"];
        for own in ["state.db-wal", "slots/1", "trim.lock"] {
            opened_with(&[&results[..], &[own]].concat()).expect("marked");
        }
        let refused = |files: &[&str]| match opened_with(files) {
            Err(CacheError::NotMarked { contents, .. }) => contents,
            other => panic!("{files:?}: {other:?}"),
        };
        assert_eq!(refused(&results), Contents::OtherCache);
        assert_eq!(refused(&["cas/cd/y", "gc/lock"]), Contents::OtherCache);
        assert_eq!(refused(&["blake3/cas/cd/y"]), Contents::OtherCache);
        assert_eq!(refused(&["thesis.tex"]), Contents::Others);
        assert_eq!(refused(&["trim.lock", "thesis.tex"]), Contents::Others);
    }

    #[test]
    fn the_directory_of_reltos_own_name_is_marked_whatever_it_holds() {
        let top = tempfile::tempdir().expect("a directory");
        let root = top.path().join(DEFAULT_NAME);
        fs::create_dir_all(root.join("cas")).expect("made");
        write(&root);
        check_at(&root).expect("marked");
    }

    #[test]
    fn a_crash_that_cuts_off_the_mark_makes_no_cache_of_another_program_reltos_own() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("cas")).expect("made");
        fs::write(dir.path().join(TAG), "").expect("written");
        write(dir.path());
        check_at(dir.path()).expect_err("it may be Bazel's");
        fs::write(dir.path().join("trim.lock"), "").expect("written");
        write(dir.path());
        check_at(dir.path()).expect("relto has trimmed it before");
    }

    #[test]
    fn a_tag_of_another_program_is_not_a_mark() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(TAG), format!("{SIGNATURE}\n# cargo\n")).expect("written");
        write(dir.path());
        assert!(check_at(dir.path()).is_err());
    }

    #[test]
    fn a_mark_that_a_crash_has_damaged_is_written_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let (tag, text) = (dir.path().join(TAG), mark());
        let text = text.as_bytes();
        let zeros = [0; 100];
        let half = [&text[..20], &zeros].concat();
        for left in [b"", &text[..20], &text[..text.len() - 1], &zeros, &half] {
            fs::write(&tag, left).expect("written");
            write(dir.path());
            check_at(dir.path()).expect("marked");
            assert_eq!(fs::read(&tag).expect("read"), text);
        }
        // The tag of another program, files of the user, a link.
        fs::write(&tag, format!("{SIGNATURE}\n")).expect("written");
        write(dir.path());
        assert!(check_at(dir.path()).is_err());
        fs::write(&tag, "").expect("written");
        fs::write(dir.path().join("thesis.tex"), "").expect("written");
        write(dir.path());
        assert!(check_at(dir.path()).is_err());
        fs::rename(&tag, dir.path().join("tmp")).expect("moved");
        fs::remove_file(dir.path().join("thesis.tex")).expect("removed");
        fs_err::os::unix::fs::symlink("tmp", &tag).expect("linked");
        write(dir.path());
        assert!(check_at(dir.path()).is_err());
        assert_eq!(fs::read(dir.path().join("tmp")).expect("read"), b"");
    }

    #[test]
    fn only_names_that_relto_creates_are_entries() {
        let hex = "ab".repeat(32);
        assert!(is_entry("ab", &hex));
        for (dir, name) in [("ac", &hex[..]), ("photos", "1.jpg"), ("ab", &hex[2..])] {
            assert!(!is_entry(dir, name), "{dir}/{name}");
        }
        assert!(is_temporary("relto-a1B2c3") && !is_temporary(".tmpa1B2c3"));
        assert!(!is_temporary("thesis.tex") && !is_temporary("relto-notes.txt"));
    }
}
