//! Downloads for a whole link: small blobs share calls, large ones have a stream each, and all are
//! verified. Blobs that no job waits for any more are not fetched.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::digest::Digest;
use crate::reapi::cas::batch::{cost, take_front};
use crate::reapi::cas::batch_read::{self, Answers};
use crate::reapi::cas::bytestream;
use crate::reapi::cas::incoming::{HeadCheck, verify};
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::{BATCH_READ_CALLS, BLOBS_IN_READ, READ_STREAMS};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::metadata::RequestContext;
use crate::task::{self, Task};

/// How often other tasks may run to add to a batch before it is sent.
const YIELDS: usize = 3;

struct DownloadRequest {
    digest: Digest,
    reply: oneshot::Sender<Result<Bytes, Failure>>,
}

pub(crate) struct Downloader {
    session: Arc<Session>,
    requests: mpsc::UnboundedSender<DownloadRequest>,
    streams: Semaphore,
    _batches: Task<()>,
}

impl Downloader {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        let (requests, requested) = mpsc::unbounded_channel();
        let batches = task::spawn(run_batches(Arc::clone(&session), requested));
        Self {
            session,
            requests,
            streams: Semaphore::new(READ_STREAMS),
            _batches: batches,
        }
    }

    /// Fetches the blob `digest`, unless `inline`, which came with the result, is that blob. A
    /// large blob whose head fails `check` is not fetched further.
    pub(crate) async fn fetch(
        &self,
        digest: &Digest,
        inline: Option<Bytes>,
        check: Option<&HeadCheck>,
        context: &RequestContext,
    ) -> Result<Bytes, Failure> {
        let function = self.session.function();
        if digest.is_empty() {
            return verify(
                *digest,
                function,
                Encoding::Identity,
                Bytes::new(),
                Rpc::Read,
            );
        }
        // Empty contents are how "not inlined" looks.
        if let Some(bytes) = inline.filter(|bytes| !bytes.is_empty())
            && let Ok(bytes) = verify(*digest, function, Encoding::Identity, bytes, Rpc::Read)
        {
            return Ok(bytes);
        }
        if self.session.limits.download.admits(cost(digest.size)) {
            return self.fetch_small(digest).await;
        }
        let _permit = self.streams.acquire().await;
        bytestream::read(&self.session, digest, check, context).await
    }

    async fn fetch_small(&self, digest: &Digest) -> Result<Bytes, Failure> {
        let (reply, answer) = oneshot::channel();
        let request = DownloadRequest {
            digest: *digest,
            reply,
        };
        let gone = || Failure::new(FailureKind::GivenUp, Rpc::Read, "the client was closed");
        self.requests.send(request).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn run_batches(
    session: Arc<Session>,
    mut requested: mpsc::UnboundedReceiver<DownloadRequest>,
) {
    let mut queue: VecDeque<DownloadRequest> = VecDeque::new();
    let mut calls: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            request = requested.recv() => match request {
                Some(request) => collect(&mut queue, request, &mut requested).await,
                None => return,
            },
            Some(()) = calls.next() => {}
        }
        queue.retain(|request| !request.reply.is_closed());
        let limit = session.limits.download.get();
        let waiting = |queue: &VecDeque<_>| queue.iter().map(request_cost).sum::<usize>();
        while !queue.is_empty()
            && calls.len() < BATCH_READ_CALLS
            && (calls.is_empty() || waiting(&queue) >= limit)
        {
            let batch = take_front(&mut queue, limit, BLOBS_IN_READ, request_cost);
            calls.push(Box::pin(read(Arc::clone(&session), batch)));
        }
    }
}

/// Queues `first` and what other jobs are about to request as well.
async fn collect(
    queue: &mut VecDeque<DownloadRequest>,
    first: DownloadRequest,
    requested: &mut mpsc::UnboundedReceiver<DownloadRequest>,
) {
    queue.push_back(first);
    for _ in 0..YIELDS {
        while let Ok(request) = requested.try_recv() {
            queue.push_back(request);
        }
        tokio::task::yield_now().await;
    }
}

fn request_cost(request: &DownloadRequest) -> usize {
    cost(request.digest.size)
}

/// Two jobs may need one blob: it is read once.
async fn read(session: Arc<Session>, batch: Vec<DownloadRequest>) {
    let mut requests: HashMap<Digest, Vec<DownloadRequest>> = HashMap::new();
    for request in batch {
        requests.entry(request.digest).or_default().push(request);
    }
    let digests: Vec<Digest> = requests.keys().copied().collect();
    let mut answers: Answers = batch_read::read(&session, digests).await;
    for (digest, requests) in requests {
        let unanswered = || Failure::corrupt(Rpc::BatchReadBlobs, "a blob got no answer");
        let answer = answers.remove(&digest).unwrap_or_else(|| Err(unanswered()));
        for request in requests {
            // A job that has ended needs no answer.
            let _ = request.reply.send(answer.clone());
        }
    }
}
