//! Verifies the bytes of a blob while they arrive.
//!
//! Memory is bounded by the size that the digest names, and grows only with bytes that have
//! arrived: a server's word alone costs nothing. A [`HeadCheck`] sees the first bytes before the
//! rest is fetched.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

use crate::digest::{Digest, DigestFunction, Hasher};
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::failure::Failure;
use crate::reapi::limits::{FIRST_ALLOCATION, HEAD, LARGEST_OUTPUT, ZSTD_WINDOW_LOG};
use crate::reapi::rpc::Rpc;

/// Looks at the first bytes of a large blob and says what is wrong with them.
pub type HeadCheck = Arc<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

pub(crate) struct IncomingBlob {
    rpc: Rpc,
    digest: Digest,
    decoder: BlobDecoder,
    /// Until it has been made.
    check: Option<HeadCheck>,
}

enum BlobDecoder {
    Identity(VerifyingWriter),
    Zstd(Box<zstd::stream::write::Decoder<'static, VerifyingWriter>>),
}

/// Collects no more bytes than it expects.
struct VerifyingWriter {
    bytes: Vec<u8>,
    hasher: Hasher,
    expected: u64,
}

impl VerifyingWriter {
    /// Doubles the memory, but not beyond what is expected.
    fn grow(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let expected = usize::try_from(self.expected).unwrap_or(usize::MAX);
            let wanted = self.bytes.capacity().saturating_mul(2).min(expected);
            self.bytes
                .reserve_exact(wanted.max(needed) - self.bytes.len());
        }
    }
}

impl Write for VerifyingWriter {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.hasher.size() + piece.len() as u64 > self.expected {
            return Err(io::Error::other("more bytes came than the digest names"));
        }
        self.grow(piece.len());
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
        let first = usize::try_from(digest.size.min(FIRST_ALLOCATION)).unwrap_or_default();
        let writer = VerifyingWriter {
            bytes: Vec::with_capacity(first),
            hasher: function.hasher(),
            expected: digest.size,
        };
        let decoder = match encoding {
            Encoding::Identity => BlobDecoder::Identity(writer),
            Encoding::Zstd => BlobDecoder::Zstd(Box::new(
                zstd_decoder(writer).map_err(|error| Failure::corrupt(rpc, error.to_string()))?,
            )),
        };
        Ok(Self {
            rpc,
            digest,
            decoder,
            check: None,
        })
    }

    #[must_use]
    pub(crate) fn with_check(mut self, check: Option<HeadCheck>) -> Self {
        self.check = check;
        self
    }

    /// Bytes of the blob so far, decompressed.
    pub(crate) fn received(&self) -> u64 {
        self.writer().hasher.size()
    }

    /// Bytes of the whole blob.
    pub(crate) fn size(&self) -> u64 {
        self.digest.size
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.received() == self.digest.size
    }

    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Failure> {
        match &mut self.decoder {
            BlobDecoder::Identity(writer) => writer.write_all(piece),
            // The decoder keeps up to a buffer of decompressed bytes until it is flushed.
            BlobDecoder::Zstd(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
        }
        .map_err(|error| self.corrupt(&error.to_string()))?;
        // A blob that is complete is held against its digest, which says more.
        if self.received() >= HEAD && !self.is_complete() {
            self.check_head()?;
        }
        Ok(())
    }

    fn check_head(&mut self) -> Result<(), Failure> {
        let Some(check) = self.check.take() else {
            return Ok(());
        };
        let bytes = &self.writer().bytes;
        let head = usize::try_from(HEAD).unwrap_or(usize::MAX);
        let head = &bytes[..bytes.len().min(head)];
        check(head).map_err(|reason| Failure::corrupt(self.rpc, reason))
    }

    /// The blob, if it is the right one.
    pub(crate) fn finish(mut self) -> Result<Bytes, Failure> {
        if let BlobDecoder::Zstd(decoder) = &mut self.decoder {
            let flushed = decoder.flush();
            flushed.map_err(|error| self.corrupt(&error.to_string()))?;
        }
        let (digest, rpc) = (self.digest, self.rpc);
        let writer = match self.decoder {
            BlobDecoder::Identity(writer) => writer,
            BlobDecoder::Zstd(decoder) => decoder.into_inner(),
        };
        let found = writer.hasher.finish();
        if found == digest {
            return Ok(Bytes::from(writer.bytes));
        }
        Err(Failure::corrupt(rpc, wrong(&digest, &found.to_string())))
    }

    fn writer(&self) -> &VerifyingWriter {
        match &self.decoder {
            BlobDecoder::Identity(writer) => writer,
            BlobDecoder::Zstd(decoder) => decoder.get_ref(),
        }
    }

    fn corrupt(&self, reason: &str) -> Failure {
        Failure::corrupt(self.rpc, wrong(&self.digest, reason))
    }
}

fn zstd_decoder(
    writer: VerifyingWriter,
) -> io::Result<zstd::stream::write::Decoder<'static, VerifyingWriter>> {
    let mut decoder = zstd::stream::write::Decoder::new(writer)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

fn wrong(digest: &Digest, found: &str) -> String {
    format!("the server sent something other than `{digest}`: {found}")
}

/// Verifies bytes that arrived whole.
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

    #[test]
    fn the_head_is_checked_once_before_the_rest_arrives() {
        let text = b"no object".repeat(1000);
        let digest = SHA.digest(&text);
        let check: HeadCheck = Arc::new(|head| {
            assert_eq!(head.len() as u64, HEAD);
            Err(format!("it starts with {:?}", &head[..2]))
        });
        for encoding in [Encoding::Identity, Encoding::Zstd] {
            let incoming = IncomingBlob::new(digest, SHA, encoding, Rpc::Read).expect("small");
            let mut incoming = incoming.with_check(Some(Arc::clone(&check)));
            let sent = match encoding {
                Encoding::Identity => text[..5000].to_vec(),
                Encoding::Zstd => zstd::bulk::compress(&text[..5000], 1).expect("compressed"),
            };
            let failure = incoming.push(&sent).expect_err("the wrong head");
            assert!(failure.message.contains("it starts with"), "{failure}");
        }
    }

    #[test]
    fn frames_without_content_are_no_progress() {
        let digest = SHA.digest(b"text");
        let incoming = IncomingBlob::new(digest, SHA, Encoding::Zstd, Rpc::Read);
        let mut incoming = incoming.expect("small");
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
        let empty = zstd::bulk::compress(b"", 1).expect("compressed");
        for _ in 0..100 {
            incoming.push(&skippable).expect("legal");
            incoming.push(&empty).expect("legal");
            incoming.push(b"").expect("legal");
        }
        assert_eq!(incoming.received(), 0);
        incoming
            .push(&zstd::bulk::compress(b"text", 1).expect("compressed"))
            .expect("the blob");
        assert!(incoming.is_complete());
        assert_eq!(incoming.finish().expect("verified"), "text");
    }

    #[test]
    fn a_frame_that_wants_a_huge_window_is_refused() {
        let text = vec![7; 64 << 20];
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
        encoder.window_log(26).expect("a window");
        encoder.write_all(&text).expect("compressed");
        let packed = encoder.finish().expect("compressed");
        let digest = SHA.digest(&text);
        assert!(take(digest, Encoding::Zstd, &[&packed]).is_err());
    }
}
