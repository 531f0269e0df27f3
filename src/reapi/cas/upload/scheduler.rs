//! The calls of an upload: what is asked, what is sent, and what goes first.
//!
//! Enters: blobs that jobs wait for, one by one. Leaves: each settled. While a call is under way
//! the next one fills up. What is urgent goes first: the line is full for a while, and a job that
//! takes long must not wait for all others' inputs. What nobody waits for any more is not sent.

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
use crate::reapi::cas::upload::tracker::{BlobOrigin, BlobTracker, Completion, Outcome};
use crate::reapi::failure::Failure;
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;

/// Calls of each kind that are under way at a time.
const FINDING: usize = 2;
const BATCHING: usize = 4;
const STREAMING: usize = 8;
/// Blobs in one batch.
const MOST_IN_BATCH: usize = 4000;
/// Digests taken for one `FindMissingBlobs`.
const MOST_IN_QUESTION: usize = 10_000;
/// Turns that other tasks get to add to a question before it goes out.
const TURNS: usize = 3;
/// Bytes on the line at a time, from which on less urgent blobs wait: on a full line each more
/// makes all others later. A line of 1 Gbit/s takes a fifteenth of a second for them, and one that
/// is 100 ms long stays busy with what may come on top.
const ON_THE_LINE: usize = 8 << 20;
/// What a large blob counts there. It shares the line with others however large it is, and where
/// the server lets a stream go on slowly only, others must fill the gap.
const OF_A_STREAM: usize = ON_THE_LINE / 2;

/// One blob that jobs wait for.
pub(crate) struct UploadRequest {
    pub(crate) blob: Blob,
    pub(crate) completion: Completion,
    /// Sent without asking first: the server has named it as missing.
    pub(crate) known_missing: bool,
}

impl UploadRequest {
    fn settle(&self, tracker: &BlobTracker, outcome: Outcome) {
        tracker.settle(&self.blob.digest, &self.completion, outcome);
    }

    fn cost(&self) -> usize {
        cost(self.blob.digest.size)
    }
}

/// The work under way, and the queues before it.
pub(crate) struct UploadScheduler {
    session: Arc<Session>,
    tracker: Arc<BlobTracker>,
    unasked: Queue,
    small: Queue,
    large: Queue,
    work: FuturesUnordered<BoxFuture<'static, Finished>>,
    finding: usize,
    sending: Vec<InFlightUpload>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UploadMethod {
    Batch,
    Stream,
}

/// A batch or a stream that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InFlightUpload {
    way: UploadMethod,
    urgency: u64,
    bytes: usize,
}

enum Finished {
    /// Blobs that the farm lacks.
    Asked(Vec<UploadRequest>),
    Sent(InFlightUpload),
}

impl UploadScheduler {
    pub(crate) fn new(session: Arc<Session>, tracker: Arc<BlobTracker>) -> Self {
        Self {
            session,
            tracker,
            unasked: Queue::default(),
            small: Queue::default(),
            large: Queue::default(),
            work: FuturesUnordered::new(),
            finding: 0,
            sending: Vec::new(),
        }
    }

    /// Runs until nobody can ask any more.
    pub(crate) async fn run(mut self, mut asked: mpsc::UnboundedReceiver<UploadRequest>) {
        loop {
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => self.take(ask, &mut asked).await,
                    None => return,
                },
                Some(done) = self.work.next() => self.end(done),
            }
            self.start();
        }
    }

    /// Takes what other jobs are just about to ask as well.
    async fn take(
        &mut self,
        first: UploadRequest,
        asked: &mut mpsc::UnboundedReceiver<UploadRequest>,
    ) {
        self.queue(first);
        for _ in 0..TURNS {
            while let Ok(ask) = asked.try_recv() {
                self.queue(ask);
            }
            tokio::task::yield_now().await;
        }
    }

    fn queue(&mut self, ask: UploadRequest) {
        if ask.known_missing {
            self.queue_to_send(ask);
        } else {
            self.unasked.push(ask);
        }
    }

    fn queue_to_send(&mut self, ask: UploadRequest) {
        if self.session.limits.upload.admits(ask.cost()) {
            self.small.push(ask);
        } else {
            self.large.push(ask);
        }
    }

    fn end(&mut self, done: Finished) {
        match done {
            Finished::Asked(missing) => {
                self.finding -= 1;
                for ask in missing {
                    self.queue_to_send(ask);
                }
            }
            Finished::Sent(sent) => {
                let same = self.sending.iter().position(|sending| *sending == sent);
                same.map(|at| self.sending.swap_remove(at));
            }
        }
    }

    fn start(&mut self) {
        let reprioritized = self.tracker.take_reprioritized();
        for queue in [&mut self.unasked, &mut self.small, &mut self.large] {
            queue.sort(reprioritized);
        }
        while self.finding < FINDING && !self.unasked.requests.is_empty() {
            let requests = self.unasked.take(usize::MAX, MOST_IN_QUESTION, |_| 1);
            self.launch_question(requests);
        }
        let limit = self.session.limits.upload.get();
        while let Some(way) = self.next(limit) {
            let requests = match way {
                UploadMethod::Batch => self.small.take(limit, MOST_IN_BATCH, UploadRequest::cost),
                UploadMethod::Stream => self.large.take(usize::MAX, 1, |_| 1),
            };
            self.launch(way, requests);
        }
    }

    /// How the most urgent of all blobs goes out, if it may. One call that is less urgent than
    /// others always goes on: the jobs of two links know nothing of each other.
    fn next(&self, limit: usize) -> Option<UploadMethod> {
        let under_way = |way| self.sending.iter().filter(|it| it.way == way).count();
        let may_batch = under_way(UploadMethod::Batch) < BATCHING && self.batch_is_due(limit);
        let may_stream = under_way(UploadMethod::Stream) < STREAMING;
        let batch = self.small.urgency().filter(|_| may_batch);
        let stream = self.large.urgency().filter(|_| may_stream);
        let urgency = batch.max(stream)?;
        let bytes: usize = self.sending.iter().map(|other| other.bytes).sum();
        let urgencies = || self.sending.iter().map(|other| other.urgency);
        let most = urgencies().max().unwrap_or(0);
        let may = bytes < ON_THE_LINE || most <= urgency || urgencies().all(|it| it == most);
        let way = if stream == Some(urgency) {
            UploadMethod::Stream
        } else {
            UploadMethod::Batch
        };
        may.then_some(way)
    }

    /// A batch that is not full waits while another is under way.
    fn batch_is_due(&self, limit: usize) -> bool {
        let first = self
            .sending
            .iter()
            .all(|other| other.way != UploadMethod::Batch);
        first || self.small.bytes >= limit
    }

    fn launch_question(&mut self, requests: Vec<UploadRequest>) {
        if requests.is_empty() {
            return;
        }
        self.finding += 1;
        let (session, tracker) = (Arc::clone(&self.session), Arc::clone(&self.tracker));
        let finding = async move { Finished::Asked(find(&session, &tracker, requests).await) };
        self.work.push(Box::pin(finding));
    }

    fn launch(&mut self, way: UploadMethod, requests: Vec<UploadRequest>) {
        let Some(first) = requests.first() else {
            return;
        };
        let bytes: usize = requests.iter().map(UploadRequest::cost).sum();
        let sending = InFlightUpload {
            way,
            urgency: first.completion.urgency(),
            bytes: bytes.min(OF_A_STREAM),
        };
        self.sending.push(sending);
        let (session, tracker) = (Arc::clone(&self.session), Arc::clone(&self.tracker));
        self.work.push(Box::pin(async move {
            match way {
                UploadMethod::Batch => batch(&session, &tracker, &requests).await,
                UploadMethod::Stream => stream(&session, &tracker, &requests).await,
            }
            Finished::Sent(sending)
        }));
    }
}

/// Blobs that wait, the most urgent first once it is sorted; of equals the one that was asked for
/// first.
#[derive(Default)]
struct Queue {
    requests: VecDeque<UploadRequest>,
    /// What they take in batches.
    bytes: usize,
    unsorted: bool,
}

impl Queue {
    fn push(&mut self, ask: UploadRequest) {
        self.bytes = self.bytes.saturating_add(ask.cost());
        self.requests.push_back(ask);
        self.unsorted = true;
    }

    fn sort(&mut self, reprioritized: bool) {
        if self.unsorted || reprioritized {
            let requests = self.requests.make_contiguous();
            // Jobs hurry their blobs meanwhile: a sort that looked twice could find no order, and
            // panic.
            requests.sort_by_cached_key(|ask| Reverse(ask.completion.urgency()));
            self.unsorted = false;
        }
    }

    fn urgency(&self) -> Option<u64> {
        self.requests.front().map(|ask| ask.completion.urgency())
    }

    /// As [`take_front`], without those that nobody wants any more.
    fn take(
        &mut self,
        limit: usize,
        most: usize,
        cost: impl Fn(&UploadRequest) -> usize,
    ) -> Vec<UploadRequest> {
        let mut requests = take_front(&mut self.requests, limit, most, cost);
        let taken: usize = requests.iter().map(UploadRequest::cost).sum();
        self.bytes = self.bytes.saturating_sub(taken);
        requests.retain(|ask| !ask.completion.is_unwanted());
        requests
    }
}

async fn find(
    session: &Arc<Session>,
    tracker: &BlobTracker,
    requests: Vec<UploadRequest>,
) -> Vec<UploadRequest> {
    let digests: Vec<Digest> = requests.iter().map(|ask| ask.blob.digest).collect();
    let mut to_send = Vec::new();
    match find_missing(session, &digests).await {
        Ok(missing) => {
            for ask in requests {
                if missing.contains(&ask.blob.digest) {
                    to_send.push(ask);
                } else {
                    ask.settle(tracker, Ok(BlobOrigin::Found));
                }
            }
        }
        Err(failure) => {
            for ask in &requests {
                ask.settle(tracker, Err(failure.clone()));
            }
        }
    }
    to_send
}

async fn batch(session: &Arc<Session>, tracker: &BlobTracker, requests: &[UploadRequest]) {
    let blobs = requests.iter().map(|ask| ask.blob.clone()).collect();
    let mut outcomes = batch_update::send(session, blobs).await;
    for ask in requests {
        let unanswered = || Failure::corrupt(Rpc::BatchUpdateBlobs, "a blob got no answer");
        let outcome = outcomes
            .remove(&ask.blob.digest)
            .unwrap_or_else(|| Err(unanswered()));
        ask.settle(tracker, outcome.map(|()| BlobOrigin::Sent));
    }
}

async fn stream(session: &Arc<Session>, tracker: &BlobTracker, requests: &[UploadRequest]) {
    for ask in requests {
        tokio::select! {
            outcome = bytestream::write(session, &ask.blob) => {
                ask.settle(tracker, outcome.map(|()| BlobOrigin::Sent));
            }
            // All who waited have left: their jobs ended otherwise.
            () = ask.completion.unwanted() => {}
        }
    }
}

#[cfg(test)]
mod tests;
