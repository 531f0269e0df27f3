//! The certificates of authorities that a source tree names are allowed by their content, as its
//! `.relto.toml` is: whoever could exchange them could stand in the place of the farm, and would get
//! the credentials that the user allowed for its address.

use std::path::{Path, PathBuf};

use super::covered::{CoveredFile, FileKind, named_paths};
use super::environment::Environment;
use super::source::ConfigEntry;
use crate::digest::{Digest, DigestFunction};
use crate::fs::read_regular_at_most;
use crate::reapi::limits::LARGEST_TLS_FILE;

const OPTION: &str = "tls_certificate";

/// Where only the administrator puts authorities: what a system update brings need not be allowed again.
/// Source trees are elsewhere, also those below `/usr/src`.
const OF_THE_MACHINE: [&str; 6] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/lib/ssl",
    "/usr/share",
    "/usr/local/share",
];

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

/// `None` for a file of the machine's own that the tree names as such: a link in the tree may lead
/// elsewhere later. One that cannot be read is no authority and counts as an
/// empty one; if it can be read later, it has changed.
fn digest(path: &Path) -> Option<Digest> {
    let real = fs_err::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let is_there = |path: &Path| OF_THE_MACHINE.iter().any(|dir| path.starts_with(dir));
    if is_there(path) && is_there(&real) {
        return None;
    }
    let content = read_regular_at_most(&real, LARGEST_TLS_FILE).unwrap_or_default();
    Some(DigestFunction::Sha256.digest(&content))
}
