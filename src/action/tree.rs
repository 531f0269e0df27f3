//! Encodes `Directory` messages straight from names and digests.
//!
//! A link with many imports has hundreds of thousands of entries, so no message is built first. The
//! encoding is the one that REAPI calls canonical: entries sorted by the bytes of their names,
//! fields in order, defaults omitted. [`canonical`](super::canonical) and
//! [`toolchain_tree`](super::toolchain_tree) decide which files an Action needs and what they are
//! called.

use bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::digest::{Digest, DigestFunction};

/// A blob that exists only in memory: a message in canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub digest: Digest,
    pub bytes: Bytes,
}

impl Encoded {
    /// Digests `bytes`.
    pub fn new(function: DigestFunction, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = function.digest(&bytes);
        Self { digest, bytes }
    }
}

/// A file in a directory.
#[derive(Debug, Clone, Copy)]
pub struct FileNode<'a> {
    pub name: &'a str,
    pub digest: Digest,
    pub executable: bool,
}

/// A directory in a directory.
#[derive(Debug, Clone, Copy)]
pub struct DirectoryNode<'a> {
    pub name: &'a str,
    pub digest: Digest,
}

// Field numbers of remote_execution.proto.
const DIRECTORY_FILES: u32 = 1;
const DIRECTORY_DIRECTORIES: u32 = 2;
const NODE_NAME: u32 = 1;
const NODE_DIGEST: u32 = 2;
const FILE_EXECUTABLE: u32 = 4;
const DIGEST_HASH: u32 = 1;
const DIGEST_SIZE: u32 = 2;

/// Encodes one directory. The names must differ; this function sorts both slices.
pub fn directory(
    function: DigestFunction,
    files: &mut [FileNode<'_>],
    dirs: &mut [DirectoryNode<'_>],
) -> Encoded {
    files.sort_unstable_by_key(|entry| entry.name.as_bytes());
    dirs.sort_unstable_by_key(|entry| entry.name.as_bytes());
    let mut out = Vec::with_capacity((files.len() + dirs.len()) * 96);
    for entry in files.iter() {
        node(
            &mut out,
            DIRECTORY_FILES,
            entry.name,
            entry.digest,
            entry.executable,
        );
    }
    for entry in dirs.iter() {
        node(
            &mut out,
            DIRECTORY_DIRECTORIES,
            entry.name,
            entry.digest,
            false,
        );
    }
    Encoded::new(function, out)
}

/// Encodes one node; [`FileNode`] and [`DirectoryNode`] use the same field numbers for what both
/// have.
fn node(out: &mut Vec<u8>, field: u32, name: &str, digest: Digest, executable: bool) {
    let digest_length = digest_length(digest);
    let length = delimited_length(name.len())
        + delimited_length(digest_length)
        + if executable { 2 } else { 0 };
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
    encode_key(NODE_NAME, WireType::LengthDelimited, out);
    encode_varint(name.len() as u64, out);
    out.extend_from_slice(name.as_bytes());
    encode_key(NODE_DIGEST, WireType::LengthDelimited, out);
    encode_varint(digest_length as u64, out);
    encode_digest(out, digest);
    if executable {
        encode_key(FILE_EXECUTABLE, WireType::Varint, out);
        encode_varint(1, out);
    }
}

/// Length of a field: one byte of key (all field numbers here are below 16), the length, the
/// contents.
fn delimited_length(contents: usize) -> usize {
    1 + encoded_len_varint(contents as u64) + contents
}

fn digest_length(digest: Digest) -> usize {
    let size = if digest.size == 0 {
        0
    } else {
        1 + encoded_len_varint(digest.size)
    };
    delimited_length(64) + size
}

fn encode_digest(out: &mut Vec<u8>, digest: Digest) {
    encode_key(DIGEST_HASH, WireType::LengthDelimited, out);
    encode_varint(64, out);
    crate::digest::push_hex(out, &digest.hash);
    if digest.size != 0 {
        encode_key(DIGEST_SIZE, WireType::Varint, out);
        encode_varint(digest.size, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::pb::reapi;

    fn by_prost(files: &[FileNode<'_>], dirs: &[DirectoryNode<'_>]) -> Vec<u8> {
        let mut directory = reapi::Directory {
            files: files
                .iter()
                .map(|entry| reapi::FileNode {
                    name: entry.name.to_owned(),
                    digest: Some(entry.digest.to_pb()),
                    is_executable: entry.executable,
                })
                .collect(),
            directories: dirs
                .iter()
                .map(|entry| reapi::DirectoryNode {
                    name: entry.name.to_owned(),
                    digest: Some(entry.digest.to_pb()),
                })
                .collect(),
        };
        directory.files.sort_by(|a, b| a.name.cmp(&b.name));
        directory.directories.sort_by(|a, b| a.name.cmp(&b.name));
        directory.encode_to_vec()
    }

    proptest! {
        #[test]
        fn the_encoding_equals_that_of_prost(
            entries in prop::collection::btree_map("[a-z0-9.é🙂]{1,140}", (any::<u32>(), any::<bool>(), any::<bool>()), 0..12),
        ) {
            let digest = |seed: &u32| Digest { hash: *blake3::hash(&seed.to_le_bytes()).as_bytes(), size: u64::from(*seed >> (seed % 32)) };
            let mut files: Vec<_> = entries.iter().filter(|(_, entry)| entry.2)
                .map(|(name, entry)| FileNode { name, digest: digest(&entry.0), executable: entry.1 }).collect();
            let mut dirs: Vec<_> = entries.iter().filter(|(_, entry)| !entry.2)
                .map(|(name, entry)| DirectoryNode { name, digest: digest(&entry.0) }).collect();
            files.reverse();
            let wanted = by_prost(&files, &dirs);
            let encoded = directory(DigestFunction::Sha256, &mut files, &mut dirs);
            prop_assert_eq!(&encoded.bytes[..], &wanted[..]);
            prop_assert_eq!(encoded.digest, DigestFunction::Sha256.digest(&wanted));
        }
    }

    #[test]
    fn an_empty_directory_is_the_empty_blob() {
        assert!(
            directory(DigestFunction::Sha256, &mut [], &mut [])
                .digest
                .is_empty()
        );
    }
}
