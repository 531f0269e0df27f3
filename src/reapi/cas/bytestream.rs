//! `ByteStream`: one blob in one stream, written or read.
//!
//! A write that breaks starts again with another upload id: servers differ too much in how they
//! resume one. A server may end a write early because the blob is already there.

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::digest::{Digest, DigestFunction};
use crate::pb::bytestream::byte_stream_client::ByteStreamClient;
use crate::pb::bytestream::{ReadRequest, WriteRequest};
use crate::reapi::cas::blob::Blob;
use crate::reapi::cas::incoming::{HeadCheck, IncomingBlob};
use crate::reapi::cas::resource_name::{Encoding, read_name, write_name};
use crate::reapi::cas::source::{Chunk, read_chunks};
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::health::idle::IdleTimer;
use crate::reapi::limits::{BUFFERED, CHUNKS_READ_AHEAD, LARGEST_MESSAGE, SLOWEST_STREAM};
use crate::reapi::rpc::{Counters, Rpc};
use crate::reapi::session::Session;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;
use crate::reapi::transport::{Call, Service};
use crate::task;

/// Uploads one blob.
pub(crate) async fn write(session: &Session, blob: &Blob) -> Result<(), Failure> {
    let encoding = session.stream_encoding(&blob.digest);
    match write_as(session, blob, encoding).await {
        // The refusal may be meant for the compressed form only.
        Err(failure) if encoding == Encoding::Zstd && failure.kind == FailureKind::Rejected => {
            write_as(session, blob, Encoding::Identity).await
        }
        written => written,
    }
}

async fn write_as(session: &Session, blob: &Blob, encoding: Encoding) -> Result<(), Failure> {
    let function = session.function();
    let (service, class, rpc) = (Service::Cache, TrafficClass::Bulk, Rpc::Write);
    session
        .transport
        .call(service, class, rpc, &RequestContext::default(), |call| {
            let upload = Uuid::new_v4();
            let instance = &session.transport.instance;
            let name = write_name(instance, upload, function, &blob.digest, encoding);
            write_once(call, name, blob.clone(), function, encoding)
        })
        .await
}

async fn write_once(
    call: Call,
    name: String,
    blob: Blob,
    function: DigestFunction,
    encoding: Encoding,
) -> Result<(), Failure> {
    let size = blob.digest.size;
    let (pieces, read) = mpsc::channel(CHUNKS_READ_AHEAD);
    let _reader = task::spawn_blocking(move || read_chunks(&blob, function, encoding, &pieces));
    let (broken, unreadable) = oneshot::channel();
    call.moves(size.min(BUFFERED));
    let idle = IdleTimer::new(call.timeout());
    let counters = std::sync::Arc::clone(call.counters());
    let requests = write_requests(name, read, broken, idle.clone(), counters);
    let mut client = ByteStreamClient::new(call.channel());
    let answer = tokio::select! {
        // Dropping the call resets the stream, so that the server cannot take half a blob for a
        // whole one.
        Ok(failure) = unreadable => return Err(failure),
        answer = client.write(call.stream_request(requests)) => answer,
        () = idle.expired() => return Err(call.timed_out()),
        // An upload that goes on and on never lets the timer expire.
        () = call.deadline_passed() => return Err(call.timed_out()),
    };
    match answer {
        Ok(answer) => check_committed(answer.into_inner().committed_size, size, encoding),
        Err(status) if status.code() == tonic::Code::AlreadyExists => Ok(()),
        Err(status) => Err(Failure::from_call(Rpc::Write, &status)),
    }
}

/// Uncompressed, the server must have all of it. Compressed, servers answer with -1, with either
/// size, or with what they took so far.
fn check_committed(committed: i64, size: u64, encoding: Encoding) -> Result<(), Failure> {
    if encoding == Encoding::Zstd || u64::try_from(committed) == Ok(size) || committed == -1 {
        return Ok(());
    }
    let message = format!("the server accepted {committed} bytes of {size}");
    let kind = FailureKind::Transient { retry_after: None };
    Err(Failure::new(kind, Rpc::Write, message))
}

struct WriteRequests {
    name: String,
    offset: usize,
    read: mpsc::Receiver<Result<Chunk, Failure>>,
    broken: Option<oneshot::Sender<Failure>>,
    idle: IdleTimer,
    counters: std::sync::Arc<Counters>,
    done: bool,
}

impl WriteRequests {
    async fn next(&mut self) -> Option<WriteRequest> {
        if self.done {
            return None;
        }
        self.idle.reset();
        match self.read.recv().await {
            Some(Ok(piece)) => Some(self.request(piece)),
            Some(Err(failure)) => {
                if let Some(broken) = self.broken.take() {
                    let _ = broken.send(failure);
                }
                // Ending the stream here would say that the blob is complete.
                std::future::pending().await
            }
            None => std::future::pending().await,
        }
    }

    fn request(&mut self, piece: Chunk) -> WriteRequest {
        let offset = i64::try_from(self.offset).unwrap_or(i64::MAX);
        self.offset += piece.data.len();
        self.counters.sent(piece.data.len());
        self.done = piece.last;
        WriteRequest {
            resource_name: std::mem::take(&mut self.name),
            write_offset: offset,
            finish_write: piece.last,
            data: piece.data,
        }
    }
}

/// The first message alone carries the name; offsets count what was sent.
fn write_requests(
    name: String,
    read: mpsc::Receiver<Result<Chunk, Failure>>,
    broken: oneshot::Sender<Failure>,
    idle: IdleTimer,
    counters: std::sync::Arc<Counters>,
) -> impl Stream<Item = WriteRequest> + Send + 'static {
    let writing = WriteRequests {
        name,
        offset: 0,
        read,
        broken: Some(broken),
        idle,
        counters,
        done: false,
    };
    futures_util::stream::unfold(writing, |mut writing| async move {
        let request = writing.next().await?;
        Some((request, writing))
    })
}

/// Downloads one blob and verifies it, its head first.
pub(crate) async fn read(
    session: &Session,
    digest: &Digest,
    check: Option<&HeadCheck>,
    context: &RequestContext,
) -> Result<Bytes, Failure> {
    let function = session.function();
    let encoding = session.stream_encoding(digest);
    match read_as(session, digest, encoding, check, context).await {
        // A damaged or refused compressed form says nothing about the blob itself.
        Err(failure)
            if encoding == Encoding::Zstd
                && matches!(failure.kind, FailureKind::Corrupt | FailureKind::Rejected) =>
        {
            read_as(session, digest, Encoding::Identity, check, context).await
        }
        read => read,
    }
    .map_err(|failure| Failure {
        message: format!("{} (blob `{digest}`, {function})", failure.message),
        ..failure
    })
}

async fn read_as(
    session: &Session,
    digest: &Digest,
    encoding: Encoding,
    check: Option<&HeadCheck>,
    context: &RequestContext,
) -> Result<Bytes, Failure> {
    let function = session.function();
    let (service, class, rpc) = (Service::Cache, TrafficClass::Bulk, Rpc::Read);
    session
        .transport
        .call(service, class, rpc, context, |call| {
            let request = ReadRequest {
                resource_name: read_name(&session.transport.instance, function, digest, encoding),
                ..ReadRequest::default()
            };
            let incoming = IncomingBlob::new(*digest, function, encoding, rpc);
            let incoming = incoming.map(|incoming| incoming.with_check(check.cloned()));
            async move { read_once(call, request, incoming?).await }
        })
        .await
}

async fn read_once(
    call: Call,
    request: ReadRequest,
    mut incoming: IncomingBlob,
) -> Result<Bytes, Failure> {
    let mut client =
        ByteStreamClient::new(call.channel()).max_decoding_message_size(LARGEST_MESSAGE);
    let answer = call.begun(client.read(call.request(request))).await?;
    let mut stream = answer.into_inner();
    let mut progress = ReadProgress::new(call.timeout());
    loop {
        let message = tokio::select! {
            message = call.message(&mut stream) => message?,
            // Only the end of the stream is still missing.
            () = progress.idle.expired(), if incoming.is_complete() => return incoming.finish(),
            () = progress.idle.expired() => return Err(call.timed_out()),
            () = call.deadline_passed() => return Err(call.timed_out()),
        };
        let Some(message) = message else {
            return incoming.finish();
        };
        incoming.push(&message.data)?;
        progress.received(&incoming);
    }
}

/// Counts bytes of the blob, not messages: empty messages and compressed frames without content
/// could go on forever.
struct ReadProgress {
    idle: IdleTimer,
    /// Bytes that count as progress.
    step: u64,
    next: u64,
}

impl ReadProgress {
    fn new(timeout: Duration) -> Self {
        let step = timeout.as_secs().saturating_mul(SLOWEST_STREAM).max(1);
        Self {
            idle: IdleTimer::new(timeout),
            step,
            next: 1,
        }
    }

    fn received(&mut self, blob: &IncomingBlob) {
        if blob.received() >= self.next {
            self.idle.reset();
            let last_step = blob.size().max(blob.received() + 1);
            self.next = (blob.received() + self.step).min(last_step);
        }
    }
}
