//! The certificates of authorities that a source tree names are allowed by their content, as its
//! `.relto.toml` is: whoever could exchange them could stand in the place of the farm, and would get
//! the credentials that the user allowed for its address.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::source::ConfigEntry;
use super::trust::TreeFile;
use super::value::located_path;
use crate::digest::DigestFunction;
use crate::fs::open_regular;

const OPTION: &str = "tls_certificate";

/// Where only the administrator writes: what a system update brings need not be allowed again.
const OF_THE_MACHINE: [&str; 2] = ["/etc", "/usr"];

/// `tree` with what is in the files of authorities that its `entries` name.
pub(super) fn covered<'a>(
    tree: TreeFile,
    entries: impl Iterator<Item = &'a ConfigEntry>,
    environment: &Environment,
) -> TreeFile {
    let named = entries.filter(|entry| entry.source.is_tree() && entry.option.name == OPTION);
    let mut digests = String::new();
    for entry in named {
        let base = entry.source.base(environment.current_dir());
        let texts = entry.values.iter().filter(|text| !text.is_empty());
        let paths = texts.map(|text| located_path(text, base, environment));
        digests.extend(paths.filter_map(|path| digest(&path)));
    }
    if digests.is_empty() {
        tree
    } else {
        tree.with(&digests)
    }
}

/// `None` for a file of the machine's own. One that cannot be read is no authority and counts as an
/// empty one; if it can be read later, it has changed.
fn digest(path: &Path) -> Option<String> {
    let real = fs_err::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    if OF_THE_MACHINE.iter().any(|dir| real.starts_with(dir)) {
        return None;
    }
    let content = open_regular(&real).and_then(|file| DigestFunction::Sha256.digest_reader(file));
    let digest = content.unwrap_or_else(|_| DigestFunction::Sha256.digest(b""));
    Some(digest.hex())
}
