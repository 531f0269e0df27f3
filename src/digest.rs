//! Content digests as REAPI defines them: a hash and the number of bytes.

use std::fmt;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::pb;

/// Size of the reads when a file is hashed. Larger ones gain nothing over the page cache.
const READ_SIZE: usize = 256 * 1024;

/// The hash functions that relto can compute; a farm must offer at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DigestFunction {
    Sha256,
    Blake3,
}

/// Whether `text` is of the digits of which [`Digest::hex`] is.
#[must_use]
pub fn is_hex(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.bytes().all(is_digit)
}

/// Whether `text` is a whole hash as [`Digest::hex`] gives it.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

impl DigestFunction {
    /// The number that REAPI requests carry in `digest_function`.
    #[must_use]
    pub fn to_pb(self) -> i32 {
        match self {
            Self::Sha256 => pb::reapi::digest_function::Value::Sha256 as i32,
            Self::Blake3 => pb::reapi::digest_function::Value::Blake3 as i32,
        }
    }

    /// The segment between `blobs/` and the hash in a resource name. The seven oldest functions,
    /// SHA256 among them, have none, and several servers refuse a name that carries one for them.
    #[must_use]
    pub fn resource_infix(self) -> &'static str {
        match self {
            Self::Sha256 => "",
            Self::Blake3 => "blake3/",
        }
    }

    /// A hasher that has seen no bytes yet.
    #[must_use]
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher {
                state: HashState::Sha256(sha2::Sha256::new()),
                size: 0,
            },
            Self::Blake3 => Hasher {
                state: HashState::Blake3(Box::new(blake3::Hasher::new())),
                size: 0,
            },
        }
    }

    /// Digest of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Digest {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Digest of everything that `reader` still gives.
    ///
    /// # Errors
    /// The reader's own error.
    pub fn digest_reader(self, mut reader: impl Read) -> io::Result<Digest> {
        let mut hasher = self.hasher();
        let mut buffer = vec![0; READ_SIZE];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(n) => hasher.update(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl fmt::Display for DigestFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SHA256",
            Self::Blake3 => "BLAKE3",
        })
    }
}

enum HashState {
    Sha256(sha2::Sha256),
    Blake3(Box<blake3::Hasher>),
}

/// Hashes bytes as they come; both functions give 32 bytes.
pub struct Hasher {
    state: HashState,
    size: u64,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({} bytes so far)", self.size)
    }
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.state {
            HashState::Sha256(state) => state.update(bytes),
            HashState::Blake3(state) => {
                state.update(bytes);
            }
        }
    }

    /// Bytes hashed so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    #[must_use]
    pub fn finish(self) -> Digest {
        let hash = match self.state {
            HashState::Sha256(state) => state.finalize().into(),
            HashState::Blake3(state) => state.finalize().into(),
        };
        Digest {
            hash,
            size: self.size,
        }
    }
}

/// The name of a blob. Which function made the hash is known from where the digest stands, never
/// mixed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digest {
    pub hash: [u8; 32],
    /// Bytes of the blob itself, whatever compression it travels in.
    pub size: u64,
}

/// A digest from outside that is not 64 lower-case hex digits and a size of zero or more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed digest `{hash}/{size}`")]
pub struct MalformedDigest {
    pub hash: String,
    pub size: i64,
}

impl Digest {
    /// Lower-case hex of the hash, as in resource names and cache paths.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.hash)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The message form.
    #[must_use]
    pub fn to_pb(&self) -> pb::reapi::Digest {
        pb::reapi::Digest {
            hash: self.hex(),
            size_bytes: i64::try_from(self.size).unwrap_or(i64::MAX),
        }
    }

    /// Reads the message form.
    ///
    /// # Errors
    /// The hash is not 64 lower-case hex digits, or the size is negative.
    pub fn from_pb(digest: &pb::reapi::Digest) -> Result<Self, MalformedDigest> {
        let malformed = || MalformedDigest {
            hash: digest.hash.clone(),
            size: digest.size_bytes,
        };
        let hash = unhex(&digest.hash).ok_or_else(malformed)?;
        let size = u64::try_from(digest.size_bytes).map_err(|_| malformed())?;
        Ok(Self { hash, size })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hex(), self.size)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends the lower-case hex of `bytes` to `out`.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut hash = [0; 32];
    for (out, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
        *out = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_blob_has_the_well_known_names() {
        assert_eq!(
            DigestFunction::Sha256.digest(b"").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0"
        );
        assert_eq!(
            DigestFunction::Blake3.digest(b"").hex(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn a_digest_survives_its_message_form_and_malformed_ones_do_not() {
        let digest = DigestFunction::Sha256.digest(b"relto");
        assert_eq!(Digest::from_pb(&digest.to_pb()), Ok(digest));
        for (hash, size) in [
            ("", 0),
            ("E3B0", 0),
            (digest.hex().to_uppercase().as_str(), 5),
            (digest.hex().as_str(), -1),
        ] {
            let message = pb::reapi::Digest {
                hash: hash.to_owned(),
                size_bytes: size,
            };
            assert!(Digest::from_pb(&message).is_err(), "{message:?}");
        }
    }

    #[test]
    fn a_reader_has_the_same_digest_as_its_bytes() {
        let bytes = vec![7; READ_SIZE * 2 + 3];
        for function in [DigestFunction::Sha256, DigestFunction::Blake3] {
            let read = function
                .digest_reader(bytes.as_slice())
                .expect("a slice reads");
            assert_eq!(read, function.digest(&bytes));
        }
    }
}
