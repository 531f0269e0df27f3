//! The toolchain as a subtree that all jobs of a link share.
//!
//! Holds the `Directory` messages below `relto/tc` and the words that start the compiler there.
//! [`toolchain`](crate::toolchain) finds the files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::tree::{DirectoryNode, Encoded, FileNode, directory};
use crate::digest::{Digest, DigestFunction};
use crate::hash_cache::Identity;
use crate::process::ExpectedFile;

/// Path of the toolchain in the input root.
pub const ROOT: &str = "relto/tc";

/// A file of the toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolFile {
    /// Below [`ROOT`], as in `lib/libLLVM.so.22.1`.
    pub tree_path: String,
    pub host: PathBuf,
    pub digest: Digest,
    /// The state of the file when `digest` was computed.
    pub identity: Identity,
    pub executable: bool,
}

impl ToolFile {
    /// What a sandbox is to find under its name.
    #[must_use]
    pub fn expected(&self) -> ExpectedFile {
        ExpectedFile {
            path: self.host.clone(),
            id: self.identity.file_id(),
        }
    }
}

/// The toolchain's tree, ready to become part of an input root.
#[derive(Debug, Clone)]
pub struct ToolchainTree {
    pub root: Digest,
    /// All directories of the tree, including the root.
    pub directories: Vec<Encoded>,
    /// Empty if the worker has the compiler; then there is nothing below [`ROOT`].
    pub files: Vec<ToolFile>,
    /// The words before the compiler's arguments: loader, library path and compiler, or just the
    /// compiler where it is static.
    pub launch_prefix: Vec<String>,
    /// Arguments that make the compiler read the configuration files that it would read in place.
    pub configuration: Vec<String>,
}

impl ToolchainTree {
    /// Builds the tree of `files`; `launch_prefix` and `configuration` are stored as they are.
    pub fn new(
        function: DigestFunction,
        files: Vec<ToolFile>,
        launch_prefix: Vec<String>,
        configuration: Vec<String>,
    ) -> Self {
        let mut dir = Dir::default();
        for file in &files {
            dir.insert(&file.tree_path, file.digest, file.executable);
        }
        let mut directories = Vec::new();
        let root = dir.encode(function, &mut directories);
        Self {
            root,
            directories,
            files,
            launch_prefix,
            configuration,
        }
    }
}

#[derive(Default)]
struct Dir<'a> {
    files: BTreeMap<&'a str, (Digest, bool)>,
    dirs: BTreeMap<&'a str, Dir<'a>>,
}

impl<'a> Dir<'a> {
    fn insert(&mut self, path: &'a str, digest: Digest, executable: bool) {
        match path.split_once('/') {
            Some((first, rest)) => self
                .dirs
                .entry(first)
                .or_default()
                .insert(rest, digest, executable),
            None => {
                self.files.insert(path, (digest, executable));
            }
        }
    }

    fn encode(&self, function: DigestFunction, out: &mut Vec<Encoded>) -> Digest {
        let mut dirs: Vec<_> = self
            .dirs
            .iter()
            .map(|(name, dir)| DirectoryNode {
                name,
                digest: dir.encode(function, out),
            })
            .collect();
        let mut files: Vec<_> = self
            .files
            .iter()
            .map(|(name, &(digest, executable))| FileNode {
                name,
                digest,
                executable,
            })
            .collect();
        let encoded = directory(function, &mut files, &mut dirs);
        let digest = encoded.digest;
        out.push(encoded);
        digest
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::pb::reapi;

    #[test]
    fn files_are_in_their_directories() {
        let file = |tree_path: &str, executable| ToolFile {
            tree_path: tree_path.to_owned(),
            host: PathBuf::new(),
            digest: DigestFunction::Sha256.digest(tree_path.as_bytes()),
            identity: Identity {
                device: 0,
                inode: 0,
                size: 0,
                mtime_ns: 0,
                ctime_ns: 0,
            },
            executable,
        };
        let tree = ToolchainTree::new(
            DigestFunction::Sha256,
            vec![
                file("lib/libc.so.6", false),
                file("bin/clang", true),
                file("lib/ld.so", true),
            ],
            Vec::new(),
            Vec::new(),
        );
        let decode = |digest: Digest| {
            let found = tree
                .directories
                .iter()
                .find(|encoded| encoded.digest == digest);
            reapi::Directory::decode(&found.expect("in the tree").bytes[..]).expect("a directory")
        };
        let root = decode(tree.root);
        let names: Vec<_> = root
            .directories
            .iter()
            .map(|node| node.name.as_str())
            .collect();
        assert_eq!(names, ["bin", "lib"]);
        let lib = root.directories[1].digest.as_ref().expect("a digest");
        let lib = decode(Digest::from_pb(lib).expect("well-formed"));
        let files: Vec<_> = lib
            .files
            .iter()
            .map(|node| (node.name.as_str(), node.is_executable))
            .collect();
        assert_eq!(files, [("ld.so", true), ("libc.so.6", false)]);
    }
}
