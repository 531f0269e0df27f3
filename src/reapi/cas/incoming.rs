//! Bytes that arrive, held against the digest that they should have.
//!
//! Enters: pieces as they come, compressed or not. Leaves: the whole blob, verified. Memory is
//! bounded by what the digest says, and no server's word makes it larger than what has really come.

use std::io::{self, Write};

use bytes::Bytes;

use crate::digest::{Digest, DigestFunction, Hasher};
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::failure::Failure;
use crate::reapi::rpc::Rpc;

/// The largest output that is taken into memory.
pub(crate) const LARGEST_OUTPUT: u64 = 2 << 30;
/// Memory taken in advance, on the word of a server.
const FIRST_GUESS: u64 = 8 << 20;

pub(crate) struct IncomingBlob {
    rpc: Rpc,
    digest: Digest,
    sink: Sink,
}

enum Sink {
    Plain(VerifyingWriter),
    Zstd(Box<zstd::stream::write::Decoder<'static, VerifyingWriter>>),
}

/// Takes no more bytes than it expects.
struct VerifyingWriter {
    bytes: Vec<u8>,
    hasher: Hasher,
    expected: u64,
}

impl Write for VerifyingWriter {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.hasher.size() + piece.len() as u64 > self.expected {
            return Err(io::Error::other("more bytes came than the digest names"));
        }
        self.hasher.update(piece);
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl IncomingBlob {
    pub(crate) fn new(
        digest: Digest,
        function: DigestFunction,
        encoding: Encoding,
        rpc: Rpc,
    ) -> Result<Self, Failure> {
        if digest.size > LARGEST_OUTPUT {
            let message = format!("`{digest}` is larger than any output can be");
            return Err(Failure::corrupt(rpc, message));
        }
        let guess = usize::try_from(digest.size.min(FIRST_GUESS)).unwrap_or_default();
        let checked = VerifyingWriter {
            bytes: Vec::with_capacity(guess),
            hasher: function.hasher(),
            expected: digest.size,
        };
        let sink = match encoding {
            Encoding::Identity => Sink::Plain(checked),
            Encoding::Zstd => zstd::stream::write::Decoder::new(checked)
                .map(|decoder| Sink::Zstd(Box::new(decoder)))
                .map_err(|error| Failure::corrupt(rpc, error.to_string()))?,
        };
        Ok(Self { rpc, digest, sink })
    }

    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Failure> {
        match &mut self.sink {
            Sink::Plain(checked) => checked.write_all(piece),
            Sink::Zstd(decoder) => decoder.write_all(piece),
        }
        .map_err(|error| self.corrupt(&error.to_string()))
    }

    /// The blob, if it is the right one.
    pub(crate) fn finish(mut self) -> Result<Bytes, Failure> {
        if let Sink::Zstd(decoder) = &mut self.sink {
            let flushed = decoder.flush();
            flushed.map_err(|error| self.corrupt(&error.to_string()))?;
        }
        let (digest, rpc) = (self.digest, self.rpc);
        let checked = match self.sink {
            Sink::Plain(checked) => checked,
            Sink::Zstd(decoder) => decoder.into_inner(),
        };
        let found = checked.hasher.finish();
        if found == digest {
            return Ok(Bytes::from(checked.bytes));
        }
        Err(Failure::corrupt(rpc, wrong(&digest, &found.to_string())))
    }

    fn corrupt(&self, reason: &str) -> Failure {
        Failure::corrupt(self.rpc, wrong(&self.digest, reason))
    }
}

fn wrong(digest: &Digest, found: &str) -> String {
    format!("the server gave something else than `{digest}`: {found}")
}

/// Verifies bytes that came whole.
pub(crate) fn verify(
    digest: Digest,
    function: DigestFunction,
    encoding: Encoding,
    data: Bytes,
    rpc: Rpc,
) -> Result<Bytes, Failure> {
    if encoding == Encoding::Identity {
        let found = function.digest(&data);
        return if found == digest {
            Ok(data)
        } else {
            Err(Failure::corrupt(rpc, wrong(&digest, &found.to_string())))
        };
    }
    let mut incoming = IncomingBlob::new(digest, function, encoding, rpc)?;
    incoming.push(&data)?;
    incoming.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: DigestFunction = DigestFunction::Sha256;

    fn take(digest: Digest, encoding: Encoding, pieces: &[&[u8]]) -> Result<Bytes, Failure> {
        let mut incoming = IncomingBlob::new(digest, SHA, encoding, Rpc::Read)?;
        for piece in pieces {
            incoming.push(piece)?;
        }
        incoming.finish()
    }

    #[test]
    fn whole_blobs_pass_in_both_encodings() {
        let text = b"one two three".repeat(1000);
        let digest = SHA.digest(&text);
        let (a, b) = text.split_at(77);
        assert_eq!(
            take(digest, Encoding::Identity, &[a, b]).expect("good"),
            text
        );
        let packed = zstd::bulk::compress(&text, 1).expect("compressed");
        let (a, b) = packed.split_at(10);
        assert_eq!(take(digest, Encoding::Zstd, &[a, b]).expect("good"), text);
    }

    #[test]
    fn short_long_and_wrong_ones_do_not() {
        let text = b"one two three".repeat(1000);
        let digest = SHA.digest(&text);
        let mut wrong = text.clone();
        wrong[5] ^= 1;
        let mut long = text.clone();
        long.push(0);
        for bad in [&text[1..], &wrong, &long, b""] {
            assert!(take(digest, Encoding::Identity, &[bad]).is_err());
            let packed = zstd::bulk::compress(bad, 1).expect("compressed");
            assert!(take(digest, Encoding::Zstd, &[&packed]).is_err());
        }
        assert!(take(digest, Encoding::Zstd, &[b"not zstd"]).is_err());
    }

    #[test]
    fn a_bomb_is_stopped_at_the_size_of_the_digest() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).expect("compressed");
        let digest = SHA.digest(&[0; 10]);
        let failure = take(digest, Encoding::Zstd, &[&bomb]).expect_err("too much");
        assert!(failure.message.contains("more bytes"), "{failure}");
    }

    #[test]
    fn a_digest_of_impossible_size_takes_no_memory() {
        let digest = Digest {
            hash: [0; 32],
            size: u64::MAX,
        };
        assert!(IncomingBlob::new(digest, SHA, Encoding::Identity, Rpc::Read).is_err());
    }
}
