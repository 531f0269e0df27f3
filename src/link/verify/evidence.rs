//! Keeps the cached and the fresh outputs of a wrong result side by side, for the user to inspect.
//!
//! The directory is private and bounded: a cache full of wrong results must not fill a disk.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;

use crate::fs::{create_private_dir, open_private_file};

/// Name of the directory in the user's directory for state.
const DIR: &str = "differing";
/// Of a pair that is being written.
const UNFINISHED: &str = ".new-";

/// Pairs that are kept, and their bytes together; the oldest go first.
const MOST: usize = 16;
const MOST_BYTES: u64 = 1 << 30;

/// A file of a pair: its name and contents.
pub(super) type Evidence<'a> = (String, &'a [u8]);

/// Writes `files` into the directory `name` below `dir` and returns it. A directory of that name
/// holds them already.
pub(super) fn keep(dir: &Path, name: &str, files: &[Evidence<'_>]) -> io::Result<PathBuf> {
    let parent = dir.join(DIR);
    let place = parent.join(name);
    if place.is_dir() {
        return Ok(place);
    }
    create_private_dir(&parent)?;
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(&parent)?;
    for (name, contents) in files {
        open_private_file(&unfinished.path().join(name))?.write_all(contents)?;
    }
    match fs::rename(unfinished.path(), &place) {
        // Another link has found the same.
        Err(_) if place.is_dir() => {}
        renamed => renamed?,
    }
    forget_oldest(&parent, &place);
    Ok(place)
}

/// Removes what is too much, except for `newest`. What cannot be removed stays.
fn forget_oldest(parent: &Path, newest: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut pairs: Vec<(SystemTime, u64, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter(|path| path != newest && path.is_dir())
        .map(|path| (written(&path), size(&path), path))
        .collect();
    pairs.sort_unstable_by(|a, b| b.cmp(a));
    let (mut count, mut bytes) = (1, size(newest));
    for (_, size, path) in pairs {
        count += 1;
        bytes += size;
        if count > MOST || bytes > MOST_BYTES {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn written(dir: &Path) -> SystemTime {
    let found = fs::symlink_metadata(dir).and_then(|found| found.modified());
    found.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| entry.metadata().ok());
    found.map(|found| found.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_pair_is_private_whole_and_kept_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = [
            ("cached-out.o".to_owned(), b"bad".as_slice()),
            ("fresh-out.o".to_owned(), b"good".as_slice()),
        ];
        let place = keep(dir.path(), "a-b", &files).expect("kept");
        assert_eq!(keep(dir.path(), "a-b", &[]).expect("there"), place);
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!(mode(&place), 0o700);
        for (name, contents) in files {
            assert_eq!(mode(&place.join(&name)), 0o600);
            assert_eq!(fs::read(place.join(name)).expect("read"), contents);
        }
        let parent = place.parent().expect("a parent");
        assert_eq!(fs::read_dir(parent).expect("listed").count(), 1);
    }

    #[test]
    fn only_a_few_pairs_are_kept_and_the_newest_is_among_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut newest = PathBuf::new();
        for number in 0..MOST + 4 {
            newest = keep(dir.path(), &number.to_string(), &[]).expect("kept");
        }
        let parent = newest.parent().expect("a parent");
        assert_eq!(fs::read_dir(parent).expect("listed").count(), MOST);
        assert!(newest.is_dir());
    }
}
