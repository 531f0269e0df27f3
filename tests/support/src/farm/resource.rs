//! Resource names of `ByteStream`, by the letter of the standard. Stricter than any one server:
//! what this accepts, all known servers accept.

use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) instance: String,
    pub(super) digest: Digest,
    pub(super) function: DigestFunction,
    pub(super) is_zstd: bool,
    /// The name is for a write.
    pub(super) is_upload: bool,
}

impl Resource {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("resource name `{name}`: {why}");
        let parts: Vec<&str> = name.split('/').collect();
        let is_start = |part: &&str| ["uploads", "blobs", "compressed-blobs"].contains(part);
        let start = parts
            .iter()
            .position(is_start)
            .ok_or_else(|| wrong("no `blobs`"))?;
        let instance = parts[..start].join("/");
        if parts[..start].iter().any(|part| part.is_empty()) {
            return Err(wrong("an empty segment in the instance name"));
        }
        let mut rest = &parts[start..];
        let is_upload = rest[0] == "uploads";
        if is_upload {
            let uuid = rest.get(1).copied().unwrap_or_default();
            if !is_lower_case_uuid(uuid) {
                return Err(wrong("not a lower-case UUID after `uploads`"));
            }
            rest = &rest[2..];
        }
        let is_zstd = match rest {
            ["blobs", tail @ ..] => {
                rest = tail;
                false
            }
            ["compressed-blobs", "zstd", tail @ ..] => {
                rest = tail;
                true
            }
            _ => return Err(wrong("neither `blobs` nor `compressed-blobs/zstd`")),
        };
        let function = match rest {
            ["blake3", tail @ ..] => {
                rest = tail;
                DigestFunction::Blake3
            }
            ["sha256", ..] => return Err(wrong("SHA256 has no segment of its own")),
            _ => DigestFunction::Sha256,
        };
        let [hash, size] = rest else {
            return Err(wrong("not a hash and a size at the end"));
        };
        Ok(Self {
            instance,
            digest: digest(hash, size).ok_or_else(|| wrong("malformed digest"))?,
            function,
            is_zstd,
            is_upload,
        })
    }
}

/// A size has no sign and no leading zeros.
fn digest(hash: &str, size: &str) -> Option<Digest> {
    let size_bytes = size.parse().ok()?;
    let digest = Digest::from_pb(&reapi::Digest {
        hash: hash.to_owned(),
        size_bytes,
    });
    digest.ok().filter(|_| size == size_bytes.to_string())
}

fn is_lower_case_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}
