//! The certificates of authorities that a source tree names are allowed by their content, as its
//! `.relto.toml` is: whoever could exchange them could stand in the place of the farm, and would get
//! the credentials that the user allowed for its address.

use std::path::{Path, PathBuf};

use super::covered::{CoveredFile, FileKind, named_paths};
use super::environment::Environment;
use super::source::ConfigEntry;
use crate::digest::{Digest, DigestFunction};
use crate::fs::open_regular;

const OPTION: &str = "tls_certificate";

/// Where only the administrator writes: what a system update brings need not be allowed again.
const OF_THE_MACHINE: [&str; 2] = ["/etc", "/usr"];

/// The files of authorities that `entries` of the tree name.
pub(super) fn covered<'a>(
    entries: impl Iterator<Item = &'a ConfigEntry>,
    environment: &Environment,
) -> Vec<CoveredFile> {
    let named = entries.filter(|entry| entry.source.is_tree() && entry.option.name == OPTION);
    let of_entry = |entry: &'a ConfigEntry| {
        let paths = named_paths(entry, environment).into_iter();
        let files = paths.filter_map(|path| {
            let content = digest(&path)?;
            let kind = FileKind::Authorities;
            Some(CoveredFile {
                kind,
                path,
                content,
            })
        });
        files.collect::<Vec<_>>()
    };
    named.flat_map(of_entry).collect()
}

/// `None` for a file of the machine's own. One that cannot be read is no authority and counts as an
/// empty one; if it can be read later, it has changed.
fn digest(path: &Path) -> Option<Digest> {
    let real = fs_err::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    if OF_THE_MACHINE.iter().any(|dir| real.starts_with(dir)) {
        return None;
    }
    let content = open_regular(&real).and_then(|file| DigestFunction::Sha256.digest_reader(file));
    Some(content.unwrap_or_else(|_| DigestFunction::Sha256.digest(b"")))
}
