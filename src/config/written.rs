//! What a source tree has relto write is allowed by where it leads: a link in the tree, which may come
//! with the next change of its sources, could lead to any directory of the user.

use std::path::{Path, PathBuf};

use super::covered::{CoveredFile, FileKind};
use super::environment::Environment;
use super::options::Written;
use super::source::ConfigEntry;
use super::value::located_path;
use crate::fs::dir_of;

/// Where the paths lead that `entries` of the tree name.
pub(super) fn covered<'a>(
    entries: impl Iterator<Item = &'a ConfigEntry>,
    environment: &Environment,
) -> Vec<CoveredFile> {
    let of_entry = |entry: &'a ConfigEntry| {
        let written = entry.option.written.filter(|_| entry.source.is_tree());
        let base = entry.source.base(environment.current_dir());
        let texts = entry.values.iter().filter(|text| !text.is_empty());
        let paths = texts.map(|text| located_path(text, base, environment));
        let files = written.map(|written| paths.map(move |path| file(&path, written)));
        files.into_iter().flatten().collect::<Vec<_>>()
    };
    entries.flat_map(of_entry).collect()
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
