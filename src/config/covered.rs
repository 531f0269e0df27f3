//! What one decision of the user covers: the `.relto.toml` of a tree, and the files that it leads to.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::source::ConfigEntry;
use super::value::located_path;
use crate::digest::{Digest, DigestFunction};

/// What a file means to relto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A `.relto.toml`.
    Settings,
    Bazelrc,
    /// Certificates of authorities that may sign the farm's.
    Authorities,
    /// relto writes there; what counts in the place of its content is where it leads.
    Written,
}

/// The content of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CoveredFile {
    pub(super) kind: FileKind,
    /// Where it was named.
    pub(super) path: PathBuf,
    pub(super) content: Digest,
}

impl CoveredFile {
    pub(super) fn new(kind: FileKind, path: &Path, content: &[u8]) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            content: DigestFunction::Sha256.digest(content),
        }
    }
}

/// The paths that an entry of an option for paths names.
pub(super) fn named_paths(entry: &ConfigEntry, environment: &Environment) -> Vec<PathBuf> {
    let base = entry.source.base(environment.current_dir());
    let texts = entry.values.iter().filter(|text| !text.is_empty());
    let paths = texts.map(|text| located_path(text, base, environment));
    paths.collect()
}

/// The file of a tree, and what is allowed together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    pub path: PathBuf,
    pub(super) covered: Vec<CoveredFile>,
}

impl TreeFile {
    /// One digest for all that is covered. Every part of it has its length or a fixed one: no content
    /// can stand for another part, and none can move from one file to another.
    pub(super) fn digest(&self) -> String {
        let mut parts = Vec::new();
        for file in &self.covered {
            let path = file.path.as_os_str().as_encoded_bytes();
            parts.push(match file.kind {
                FileKind::Settings => b'S',
                FileKind::Bazelrc => b'B',
                FileKind::Authorities => b'A',
                FileKind::Written => b'W',
            });
            parts.extend((path.len() as u64).to_le_bytes());
            parts.extend(path);
            parts.extend(file.content.hash);
        }
        DigestFunction::Sha256.digest(&parts).hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_place_and_content_of_each_file_count() {
        let digest = |files: &[(FileKind, &str, &str)]| {
            let files = files.iter();
            let covered = files.map(|(kind, path, text)| {
                CoveredFile::new(*kind, Path::new(path), text.as_bytes())
            });
            let path = PathBuf::from("/t/.relto.toml");
            let covered = covered.collect();
            TreeFile { path, covered }.digest()
        };
        let first = (FileKind::Settings, "/t/a", "x");
        let second = (FileKind::Bazelrc, "/t/b", "y");
        let all = [
            digest(&[]),
            digest(&[first]),
            digest(&[first, second]),
            digest(&[second, first]),
            digest(&[first, first]),
            digest(&[first, (FileKind::Authorities, "/t/b", "y")]),
            digest(&[first, (FileKind::Bazelrc, "/t/c", "y")]),
            digest(&[first, (FileKind::Bazelrc, "/t/b", "x")]),
            digest(&[
                (FileKind::Settings, "/t/a", "y"),
                (FileKind::Bazelrc, "/t/b", "x"),
            ]),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(digest(&[first, second]), all[2]);
    }
}
