//! Downloads for a whole link: small blobs share calls, large ones have a stream each, all are
//! verified.
//!
//! Enters: digests, with what the server sent along inline. Leaves: bytes that have that digest.
//! What nobody waits for any more is not asked.

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
use crate::reapi::cas::incoming::verify;
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::metadata::RequestContext;
use crate::task::{self, Task};

/// Calls under way at a time, and blobs in one.
const READING: usize = 4;
const MOST_IN_BATCH: usize = 1000;
/// Streams at a time: each may hold a large object in memory.
const STREAMS: usize = 8;
/// Turns that other tasks get to add to a batch before it goes out.
const TURNS: usize = 3;

struct DownloadRequest {
    digest: Digest,
    reply: oneshot::Sender<Result<Bytes, Failure>>,
}

pub(crate) struct Downloader {
    session: Arc<Session>,
    wants: mpsc::UnboundedSender<DownloadRequest>,
    streams: Semaphore,
    _pump: Task<()>,
}

impl Downloader {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        let (wants, wanted) = mpsc::unbounded_channel();
        let pump = task::spawn(pump(Arc::clone(&session), wanted));
        Self {
            session,
            wants,
            streams: Semaphore::new(STREAMS),
            _pump: pump,
        }
    }

    /// The blob `digest`. `inline` is what came with the result; if that is not the blob, the blob
    /// is fetched.
    pub(crate) async fn fetch(
        &self,
        digest: &Digest,
        inline: Option<Bytes>,
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
        let _turn = self.streams.acquire().await;
        bytestream::read(&self.session, digest, context).await
    }

    async fn fetch_small(&self, digest: &Digest) -> Result<Bytes, Failure> {
        let (reply, answer) = oneshot::channel();
        let want = DownloadRequest {
            digest: *digest,
            reply,
        };
        let gone = || Failure::new(FailureKind::GivenUp, Rpc::Read, "the client was closed");
        self.wants.send(want).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn pump(session: Arc<Session>, mut wanted: mpsc::UnboundedReceiver<DownloadRequest>) {
    let mut queue: VecDeque<DownloadRequest> = VecDeque::new();
    let mut work: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            want = wanted.recv() => match want {
                Some(want) => take(&mut queue, want, &mut wanted).await,
                None => return,
            },
            Some(()) = work.next() => {}
        }
        queue.retain(|want| !want.reply.is_closed());
        let limit = session.limits.download.get();
        let waiting =
            |queue: &VecDeque<DownloadRequest>| queue.iter().map(want_cost).sum::<usize>();
        while !queue.is_empty()
            && work.len() < READING
            && (work.is_empty() || waiting(&queue) >= limit)
        {
            let batch = take_front(&mut queue, limit, MOST_IN_BATCH, want_cost);
            work.push(Box::pin(read(Arc::clone(&session), batch)));
        }
    }
}

async fn take(
    queue: &mut VecDeque<DownloadRequest>,
    first: DownloadRequest,
    wanted: &mut mpsc::UnboundedReceiver<DownloadRequest>,
) {
    queue.push_back(first);
    for _ in 0..TURNS {
        while let Ok(want) = wanted.try_recv() {
            queue.push_back(want);
        }
        tokio::task::yield_now().await;
    }
}

fn want_cost(want: &DownloadRequest) -> usize {
    cost(want.digest.size)
}

/// Two jobs may want one blob: it is asked once.
async fn read(session: Arc<Session>, batch: Vec<DownloadRequest>) {
    let mut wants: HashMap<Digest, Vec<DownloadRequest>> = HashMap::new();
    for want in batch {
        wants.entry(want.digest).or_default().push(want);
    }
    let digests: Vec<Digest> = wants.keys().copied().collect();
    let mut answers: Answers = batch_read::read(&session, digests).await;
    for (digest, wants) in wants {
        let unanswered = || Failure::corrupt(Rpc::BatchReadBlobs, "a blob got no answer");
        let answer = answers.remove(&digest).unwrap_or_else(|| Err(unanswered()));
        for want in wants {
            // Who has left needs no answer.
            let _ = want.reply.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests;
