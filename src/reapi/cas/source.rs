//! Reads blobs for sending, and checks that they still are what was hashed.
//!
//! Runs on blocking threads. A file that has changed fails before its last chunk is sent, so no
//! server can take the upload for complete. One that has become a pipe fails at once: nothing could
//! interrupt a thread that waits for its writer.

use std::io::{self, Read, Write as _};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::digest::{Digest, DigestFunction};
use crate::fs::open_regular;
use crate::reapi::cas::blob::{Blob, BlobSource};
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::CHUNK;
use crate::reapi::rpc::Rpc;

/// The fastest level; bitcode gains little from slower ones.
const ZSTD_LEVEL: i32 = 1;

/// The part of a blob that one message carries.
pub(crate) struct Chunk {
    pub(crate) data: Bytes,
    pub(crate) last: bool,
}

/// The whole blob, for a batch.
pub(crate) fn read_whole(
    blob: &Blob,
    function: DigestFunction,
    encoding: Encoding,
) -> Result<Bytes, Failure> {
    let bytes = match &blob.source {
        BlobSource::Bytes(bytes) => bytes.clone(),
        BlobSource::File(path) => {
            let mut file = open_regular(path).map_err(|error| unreadable(&error))?;
            let mut bytes = Vec::with_capacity(usize::try_from(blob.digest.size).unwrap_or(0));
            // One byte more than expected shows that the file has grown.
            Read::take(&mut file, blob.digest.size.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(|error| unreadable(&error))?;
            Bytes::from(bytes)
        }
    };
    check(blob, &function.digest(&bytes))?;
    match encoding {
        Encoding::Identity => Ok(bytes),
        Encoding::Zstd => zstd::bulk::compress(&bytes, ZSTD_LEVEL)
            .map(Bytes::from)
            .map_err(|error| unreadable(&error)),
    }
}

/// Sends the blob chunk by chunk. Stops early, without an error, when the receiver is gone.
pub(crate) fn read_chunks(
    blob: &Blob,
    function: DigestFunction,
    encoding: Encoding,
    out: &mpsc::Sender<Result<Chunk, Failure>>,
) {
    if let Err(ReadStopped::Failed(failure)) = try_read_chunks(blob, function, encoding, out) {
        // The receiver may be gone by now; then the failure does not matter.
        let _ = out.blocking_send(Err(failure));
    }
}

enum ReadStopped {
    Failed(Failure),
    ReceiverGone,
}

fn try_read_chunks(
    blob: &Blob,
    function: DigestFunction,
    encoding: Encoding,
    out: &mpsc::Sender<Result<Chunk, Failure>>,
) -> Result<(), ReadStopped> {
    let mut chunks =
        Chunker::new(encoding, out).map_err(|e| ReadStopped::Failed(unreadable(&e)))?;
    let mut hasher = function.hasher();
    match &blob.source {
        BlobSource::Bytes(bytes) => {
            hasher.update(bytes);
            for start in (0..bytes.len()).step_by(CHUNK) {
                chunks.push(bytes.slice(start..bytes.len().min(start + CHUNK)))?;
            }
        }
        BlobSource::File(path) => {
            let failed = |error: &io::Error| ReadStopped::Failed(unreadable(error));
            let mut file = open_regular(path).map_err(|e| failed(&e))?;
            while hasher.size() <= blob.digest.size {
                let mut chunk = Vec::with_capacity(CHUNK);
                let limit = CHUNK as u64;
                let read = Read::take(&mut file, limit).read_to_end(&mut chunk);
                if read.map_err(|e| failed(&e))? == 0 {
                    break;
                }
                hasher.update(&chunk);
                chunks.push(Bytes::from(chunk))?;
            }
        }
    }
    check(blob, &hasher.finish()).map_err(ReadStopped::Failed)?;
    chunks.finish()
}

/// Holds one chunk back, so that the last one can be marked, and compresses what passes.
struct Chunker<'a> {
    out: &'a mpsc::Sender<Result<Chunk, Failure>>,
    encoder: Option<zstd::stream::write::Encoder<'static, Vec<u8>>>,
    held: Option<Bytes>,
}

impl<'a> Chunker<'a> {
    fn new(encoding: Encoding, out: &'a mpsc::Sender<Result<Chunk, Failure>>) -> io::Result<Self> {
        let encoder = match encoding {
            Encoding::Identity => None,
            Encoding::Zstd => Some(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        };
        Ok(Self {
            out,
            encoder,
            held: None,
        })
    }

    fn push(&mut self, raw: Bytes) -> Result<(), ReadStopped> {
        let Some(encoder) = &mut self.encoder else {
            return self.hold(raw);
        };
        encoder
            .write_all(&raw)
            .map_err(|error| ReadStopped::Failed(unreadable(&error)))?;
        if encoder.get_ref().len() < CHUNK {
            return Ok(());
        }
        let full = std::mem::take(encoder.get_mut());
        self.hold(Bytes::from(full))
    }

    fn hold(&mut self, next: Bytes) -> Result<(), ReadStopped> {
        match self.held.replace(next) {
            Some(data) => self.send(Chunk { data, last: false }),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(), ReadStopped> {
        if let Some(encoder) = self.encoder.take() {
            let tail = encoder
                .finish()
                .map_err(|error| ReadStopped::Failed(unreadable(&error)))?;
            self.hold(Bytes::from(tail))?;
        }
        let data = self.held.take().unwrap_or_default();
        self.send(Chunk { data, last: true })
    }

    fn send(&self, chunk: Chunk) -> Result<(), ReadStopped> {
        self.out
            .blocking_send(Ok(chunk))
            .map_err(|_| ReadStopped::ReceiverGone)
    }
}

fn check(blob: &Blob, found: &Digest) -> Result<(), Failure> {
    if *found == blob.digest {
        return Ok(());
    }
    let message = match &blob.source {
        BlobSource::File(path) => format!("`{}` changed after it was hashed", path.display()),
        BlobSource::Bytes(_) => format!("bytes given as `{}` are `{found}`", blob.digest),
    };
    Err(Failure::new(FailureKind::Source, Rpc::Write, message))
}

/// `fs_err` names the path in its messages.
fn unreadable(error: &io::Error) -> Failure {
    Failure::new(FailureKind::Source, Rpc::Write, error.to_string())
}

#[cfg(test)]
mod tests;
