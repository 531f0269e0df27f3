//! Keeps the cached and the fresh outputs of a wrong result side by side, for the user to inspect.
//!
//! The directory is private and bounded: a cache full of wrong results must not fill a disk.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;

use crate::digest::is_hex;
use crate::fs::{OwnDir, open_private_file};

/// Name of the directory in the user's directory for state.
const DIR: &str = "differing";
/// Of a pair that is being written.
const UNFINISHED: &str = ".new-";

/// Pairs that are kept, and their bytes together; the oldest go first.
const MOST: usize = 16;
const MOST_BYTES: u64 = 1 << 30;

/// A file of a pair: its name and contents.
pub(super) type Evidence<'a> = (String, &'a [u8]);

/// Stands in the name of a directory for a result that this machine does not make.
pub(super) const NOTHING: &str = "none";

/// Writes `files` into the directory `name` below `dir` and returns it. A directory of that name
/// holds them already.
pub(super) fn keep(dir: &Path, name: &str, files: &[Evidence<'_>]) -> io::Result<PathBuf> {
    let parent = OwnDir::make_below(dir, Path::new(DIR))?;
    let place = parent.path().join(name);
    if parent.child(name).is_ok() {
        return Ok(place);
    }
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent.path())?;
    for (name, contents) in files {
        open_private_file(&unfinished.path().join(name))?.write_all(contents)?;
    }
    match fs::rename(unfinished.path(), &place) {
        // Another link has found the same.
        Err(_) if parent.child(name).is_ok() => {}
        renamed => renamed?,
    }
    forget_oldest(&parent, name);
    Ok(place)
}

/// Removes what is too much, except for `newest`. What cannot be removed stays.
fn forget_oldest(parent: &OwnDir, newest: &str) {
    let names = parent.names().into_iter().flatten();
    let others = names.filter(|name| name != newest && is_name(name));
    let mut pairs: Vec<(SystemTime, u64, String)> = others
        .filter_map(|name| {
            let dir = parent.child(&name).ok()?;
            Some((dir.modified(), size(&dir), name))
        })
        .collect();
    pairs.sort_unstable_by(|a, b| b.cmp(a));
    let newest = parent.child(newest);
    let (mut count, mut bytes) = (1, newest.map_or(0, |newest| size(&newest)));
    for (_, size, name) in pairs {
        count += 1;
        bytes += size;
        if count > MOST || bytes > MOST_BYTES {
            let _ = remove(parent, &name);
        }
    }
}

/// As [`WrongResult::name`](super::wrong::WrongResult::name) gives.
fn is_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let is_part = |part: &str, length| part.len() == length && is_hex(part);
    match parts[..] {
        [action, cached, fresh] => {
            let is_fresh = fresh == NOTHING || is_part(fresh, 8);
            is_part(action, 16) && is_part(cached, 8) && is_fresh
        }
        _ => false,
    }
}

fn size(dir: &OwnDir) -> u64 {
    let names = dir.names().into_iter().flatten();
    let found = names.filter_map(|name| dir.regular(&name));
    found.map(|found| found.st_size.unsigned_abs()).sum()
}

/// There are only files in it.
fn remove(parent: &OwnDir, name: &str) -> io::Result<()> {
    let dir = parent.child(name)?;
    for file in dir.names()? {
        dir.remove(&file)?;
    }
    parent.remove_dir(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use fs_err::os::unix::fs::symlink;

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
            let fresh = if number % 2 == 0 { "cdef4567" } else { NOTHING };
            let name = format!("{number:016x}-0123abcd-{fresh}");
            newest = keep(dir.path(), &name, &[]).expect("kept");
        }
        let parent = newest.parent().expect("a parent");
        assert_eq!(fs::read_dir(parent).expect("listed").count(), MOST);
        assert!(newest.is_dir());
    }

    #[test]
    fn neither_directories_of_other_names_nor_what_links_lead_to_are_removed() {
        let top = tempfile::tempdir().expect("a directory");
        let (home, state) = (top.path().join("home"), top.path().join("state"));
        fs::create_dir_all(home.join("photos")).expect("made");
        fs::create_dir_all(state.join(DIR).join("photos")).expect("made");
        let name = |number: usize| format!("{number:016x}-0123abcd-cdef4567");
        symlink(&home, state.join(DIR).join(name(1000))).expect("linked");
        for number in 0..MOST + 4 {
            keep(&state, &name(number), &[]).expect("kept");
        }
        assert!(state.join(DIR).join("photos").is_dir() && home.join("photos").is_dir());

        fs::rename(state.join(DIR), top.path().join("old")).expect("moved");
        symlink(top.path().join("old"), state.join(DIR)).expect("linked");
        keep(&state, &name(MOST + 4), &[]).expect_err("a link");
    }
}
