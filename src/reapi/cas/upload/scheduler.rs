//! Schedules the calls of an upload: which blobs are asked about and sent, and which go first.
//!
//! While a call is under way the next one fills up. Urgent blobs go first: the line is full for a
//! while, and a long job must not wait for the inputs of all others. Blobs that no job waits for
//! any more are not sent.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::digest::Digest;
use crate::reapi::cas::batch::{cost, take_front};
use crate::reapi::cas::batch_update;
use crate::reapi::cas::blob::Blob;
use crate::reapi::cas::bytestream;
use crate::reapi::cas::find_missing::find_missing;
use crate::reapi::cas::upload::tracker::{BlobOrigin, BlobTracker, Completion, UploadOutcome};
use crate::reapi::failure::Failure;
use crate::reapi::limits::{
    BATCH_UPDATE_CALLS, BLOBS_IN_UPDATE, BYTES_OF_A_STREAM, BYTES_ON_THE_LINE, DIGESTS_IN_QUESTION,
    FIND_MISSING_CALLS, WRITE_STREAMS,
};
use crate::reapi::options::CallerIdentity;
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;

/// How often other tasks may run to add to a question before it is sent.
const YIELDS: usize = 3;

/// A blob that jobs wait for.
pub(crate) struct UploadRequest {
    /// Makes the calls, in the name of the caller that asked first.
    pub(crate) session: Arc<Session>,
    pub(crate) blob: Blob,
    pub(crate) completion: Completion,
    /// The server has reported it missing: it is sent without asking.
    pub(crate) known_missing: bool,
}

impl UploadRequest {
    fn settle(&self, tracker: &BlobTracker, outcome: UploadOutcome) {
        tracker.settle(&self.blob.digest, &self.completion, outcome);
    }

    fn cost(&self) -> usize {
        cost(self.blob.digest.size)
    }

    /// Whether one call can carry both blobs.
    fn has_caller_of(&self, other: &Self) -> bool {
        self.session.caller == other.session.caller
    }
}

/// The calls under way, and the queues in front of them.
pub(crate) struct UploadScheduler {
    /// Knows the limits, which all links share.
    session: Arc<Session>,
    tracker: Arc<BlobTracker>,
    unqueried: UploadQueue,
    small: UploadQueue,
    large: UploadQueue,
    work: FuturesUnordered<BoxFuture<'static, FinishedCall>>,
    queries: usize,
    sending: Vec<InFlightUpload>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UploadMethod {
    Batch,
    Stream,
}

/// A batch or a stream under way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InFlightUpload {
    way: UploadMethod,
    caller: Arc<CallerIdentity>,
    urgency: u64,
    bytes: usize,
}

enum FinishedCall {
    /// Returns the blobs that the farm lacks.
    Question(Vec<UploadRequest>),
    Upload(InFlightUpload),
}

impl UploadScheduler {
    pub(crate) fn new(session: Arc<Session>, tracker: Arc<BlobTracker>) -> Self {
        Self {
            session,
            tracker,
            unqueried: UploadQueue::default(),
            small: UploadQueue::default(),
            large: UploadQueue::default(),
            work: FuturesUnordered::new(),
            queries: 0,
            sending: Vec::new(),
        }
    }

    /// Runs until all senders of requests are gone.
    pub(crate) async fn run(mut self, mut requested: mpsc::UnboundedReceiver<UploadRequest>) {
        loop {
            tokio::select! {
                request = requested.recv() => match request {
                    Some(request) => self.take(request, &mut requested).await,
                    None => return,
                },
                Some(done) = self.work.next() => self.end(done),
            }
            self.start();
        }
    }

    /// Queues `first` and what other jobs are about to request as well.
    async fn take(
        &mut self,
        first: UploadRequest,
        requested: &mut mpsc::UnboundedReceiver<UploadRequest>,
    ) {
        self.queue(first);
        for _ in 0..YIELDS {
            while let Ok(request) = requested.try_recv() {
                self.queue(request);
            }
            tokio::task::yield_now().await;
        }
    }

    fn queue(&mut self, request: UploadRequest) {
        if request.known_missing {
            self.queue_to_send(request);
        } else {
            self.unqueried.push(request);
        }
    }

    fn queue_to_send(&mut self, request: UploadRequest) {
        if self.session.limits.upload.admits(request.cost()) {
            self.small.push(request);
        } else {
            self.large.push(request);
        }
    }

    fn end(&mut self, done: FinishedCall) {
        match done {
            FinishedCall::Question(missing) => {
                self.queries -= 1;
                for request in missing {
                    self.queue_to_send(request);
                }
            }
            FinishedCall::Upload(sent) => {
                let same = self.sending.iter().position(|sending| *sending == sent);
                same.map(|at| self.sending.swap_remove(at));
            }
        }
    }

    fn start(&mut self) {
        let reprioritized = self.tracker.take_reprioritized();
        for queue in [&mut self.unqueried, &mut self.small, &mut self.large] {
            queue.sort(reprioritized);
        }
        while self.queries < FIND_MISSING_CALLS && !self.unqueried.requests.is_empty() {
            let requests = self.unqueried.take(usize::MAX, DIGESTS_IN_QUESTION, |_| 1);
            self.query(requests);
        }
        let limit = self.session.limits.upload.get();
        while let Some(way) = self.next(limit) {
            let requests = match way {
                UploadMethod::Batch => self.small.take(limit, BLOBS_IN_UPDATE, UploadRequest::cost),
                UploadMethod::Stream => self.large.take(usize::MAX, 1, |_| 1),
            };
            self.launch(way, requests);
        }
    }

    /// How to send the most urgent blob, if it may be sent now. One call that is less urgent than
    /// the others always goes on: the urgencies of two links cannot be compared.
    fn next(&self, limit: usize) -> Option<UploadMethod> {
        let under_way = |way| self.sending.iter().filter(|it| it.way == way).count();
        let may_batch =
            under_way(UploadMethod::Batch) < BATCH_UPDATE_CALLS && self.batch_is_due(limit);
        let may_stream = under_way(UploadMethod::Stream) < WRITE_STREAMS;
        let batch = self.small.urgency().filter(|_| may_batch);
        let stream = self.large.urgency().filter(|_| may_stream);
        let urgency = batch.max(stream)?;
        let bytes: usize = self.sending.iter().map(|other| other.bytes).sum();
        let urgencies = || self.sending.iter().map(|other| other.urgency);
        let most = urgencies().max().unwrap_or(0);
        let may = bytes < BYTES_ON_THE_LINE || most <= urgency || urgencies().all(|it| it == most);
        let way = if stream == Some(urgency) {
            UploadMethod::Stream
        } else {
            UploadMethod::Batch
        };
        may.then_some(way)
    }

    /// A batch that is not full waits while another one of its caller is under way. It does not
    /// where blobs of another caller would wait with it.
    fn batch_is_due(&self, limit: usize) -> bool {
        let Some(next) = self.small.requests.front() else {
            return false;
        };
        let caller = &next.session.caller;
        let is_ahead = |it: &InFlightUpload| it.way == UploadMethod::Batch && it.caller == *caller;
        let first = !self.sending.iter().any(is_ahead);
        first || self.small.mixed || self.small.bytes >= limit
    }

    fn query(&mut self, requests: Vec<UploadRequest>) {
        let Some(first) = requests.first() else {
            return;
        };
        self.queries += 1;
        let (session, tracker) = (Arc::clone(&first.session), Arc::clone(&self.tracker));
        let query = async move { FinishedCall::Question(find(&session, &tracker, requests).await) };
        self.work.push(Box::pin(query));
    }

    fn launch(&mut self, way: UploadMethod, requests: Vec<UploadRequest>) {
        let Some(first) = requests.first() else {
            return;
        };
        let bytes: usize = requests.iter().map(UploadRequest::cost).sum();
        let sending = InFlightUpload {
            way,
            caller: Arc::clone(&first.session.caller),
            urgency: first.completion.urgency(),
            bytes: bytes.min(BYTES_OF_A_STREAM),
        };
        self.sending.push(sending.clone());
        let (session, tracker) = (Arc::clone(&first.session), Arc::clone(&self.tracker));
        self.work.push(Box::pin(async move {
            match way {
                UploadMethod::Batch => batch(&session, &tracker, &requests).await,
                UploadMethod::Stream => stream(&session, &tracker, &requests).await,
            }
            FinishedCall::Upload(sending)
        }));
    }
}

/// Waiting blobs. Once sorted, the most urgent come first, equals in the order of their requests.
#[derive(Default)]
struct UploadQueue {
    requests: VecDeque<UploadRequest>,
    /// What they take up in batches.
    bytes: usize,
    unsorted: bool,
    /// Some are of another caller than the others.
    mixed: bool,
}

impl UploadQueue {
    fn push(&mut self, request: UploadRequest) {
        self.bytes = self.bytes.saturating_add(request.cost());
        let last = self.requests.back();
        self.mixed |= last.is_some_and(|last| !last.has_caller_of(&request));
        self.requests.push_back(request);
        self.unsorted = true;
    }

    fn sort(&mut self, reprioritized: bool) {
        if self.unsorted || reprioritized {
            let requests = self.requests.make_contiguous();
            // Jobs raise urgencies meanwhile: a sort that read one twice could find no order, and
            // panic.
            requests.sort_by_cached_key(|request| Reverse(request.completion.urgency()));
            self.unsorted = false;
        }
    }

    fn urgency(&self) -> Option<u64> {
        self.requests
            .front()
            .map(|request| request.completion.urgency())
    }

    /// As [`take_front`], without blobs that no job waits for any more. All are of one caller, in
    /// whose name the call is made.
    fn take(
        &mut self,
        limit: usize,
        most: usize,
        cost: impl Fn(&UploadRequest) -> usize,
    ) -> Vec<UploadRequest> {
        let others = if self.mixed && most > 1 {
            self.set_others_aside()
        } else {
            VecDeque::new()
        };
        let mut requests = take_front(&mut self.requests, limit, most, cost);
        if !others.is_empty() {
            self.requests.extend(others);
            self.unsorted = true;
            self.mixed = self.is_mixed();
        }
        let taken: usize = requests.iter().map(UploadRequest::cost).sum();
        self.bytes = self.bytes.saturating_sub(taken);
        requests.retain(|request| !request.completion.is_abandoned());
        requests
    }

    /// Takes out what belongs to other callers than the most urgent request.
    fn set_others_aside(&mut self) -> VecDeque<UploadRequest> {
        let first = self.requests.front();
        let Some(caller) = first.map(|first| Arc::clone(&first.session.caller)) else {
            return VecDeque::new();
        };
        let all = std::mem::take(&mut self.requests).into_iter();
        let (ours, others) = all.partition(|request| request.session.caller == caller);
        self.requests = ours;
        others
    }

    fn is_mixed(&self) -> bool {
        let mut requests = self.requests.iter();
        let first = requests.next();
        first.is_some_and(|first| !requests.all(|request| request.has_caller_of(first)))
    }
}

async fn find(
    session: &Arc<Session>,
    tracker: &BlobTracker,
    requests: Vec<UploadRequest>,
) -> Vec<UploadRequest> {
    let digests: Vec<Digest> = requests.iter().map(|request| request.blob.digest).collect();
    let mut to_send = Vec::new();
    match find_missing(session, &digests).await {
        Ok(missing) => {
            for request in requests {
                if missing.contains(&request.blob.digest) {
                    to_send.push(request);
                } else {
                    request.settle(tracker, Ok(BlobOrigin::Found));
                }
            }
        }
        Err(failure) => {
            for request in &requests {
                request.settle(tracker, Err(failure.clone()));
            }
        }
    }
    to_send
}

async fn batch(session: &Arc<Session>, tracker: &BlobTracker, requests: &[UploadRequest]) {
    let blobs = requests
        .iter()
        .map(|request| request.blob.clone())
        .collect();
    let mut outcomes = batch_update::send(session, blobs).await;
    for request in requests {
        let unanswered = || Failure::corrupt(Rpc::BatchUpdateBlobs, "a blob got no answer");
        let outcome = outcomes
            .remove(&request.blob.digest)
            .unwrap_or_else(|| Err(unanswered()));
        request.settle(tracker, outcome.map(|()| BlobOrigin::Sent));
    }
}

async fn stream(session: &Arc<Session>, tracker: &BlobTracker, requests: &[UploadRequest]) {
    for request in requests {
        tokio::select! {
            outcome = bytestream::write(session, &request.blob) => {
                request.settle(tracker, outcome.map(|()| BlobOrigin::Sent));
            }
            // All jobs that waited have ended otherwise.
            () = request.completion.abandoned() => {}
        }
    }
}

#[cfg(test)]
mod tests;
