//! What a source tree has relto write is allowed by where it leads: a link in the tree, which may come
//! with the next change of its sources, could lead to any directory of the user.

use std::path::{Path, PathBuf};

use super::covered::{CoveredFile, FileKind, named_paths};
use super::environment::Environment;
use super::options::Written;
use super::source::ConfigEntry;
use crate::fs::dir_of;

/// Where the paths lead that `entries` of the tree name.
pub(super) fn covered<'a>(
    entries: impl Iterator<Item = &'a ConfigEntry>,
    environment: &Environment,
) -> Vec<CoveredFile> {
    let of_entry = |entry: &'a ConfigEntry| {
        let written = entry.option.written.filter(|_| entry.source.is_tree())?;
        let paths = named_paths(entry, environment).into_iter();
        Some(paths.map(move |path| file(&path, written)))
    };
    entries.filter_map(of_entry).flatten().collect()
}

fn file(path: &Path, written: Written) -> CoveredFile {
    let dir = match written {
        Written::File => dir_of(path),
        Written::Dir => path,
    };
    let place = real(dir);
    CoveredFile::new(
        FileKind::Written,
        path,
        place.as_os_str().as_encoded_bytes(),
    )
}

/// `dir` without links, as far as it is there.
fn real(dir: &Path) -> PathBuf {
    let found = dir.ancestors().find_map(|above| {
        let mut real = fs_err::canonicalize(above).ok()?;
        real.extend(dir.strip_prefix(above).ok()?);
        Some(real)
    });
    found.unwrap_or_else(|| dir.to_owned())
}
