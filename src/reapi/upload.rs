//! Uploads for a whole link: each digest is asked about once, and sent once, for all jobs that need it.
//!
//! Enters: lists of blobs, from many jobs at a time. Leaves: the certainty that the CAS has them. One task collects what
//! jobs ask for, and while a call is under way the next one fills up. What is urgent goes first: the line is full for a
//! while, and a job that takes long must not wait for all others' inputs. What nobody waits for any more is not sent.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batch::{cost, take_front};
use super::batch_update;
use super::blob::Blob;
use super::bytestream;
use super::farm::Farm;
use super::find_missing::find_missing;
use super::known::{Arrival, Known, Outcome, Slot, Wait};
use super::rpc::Rpc;
use super::status::{Failure, FailureKind};
use crate::digest::Digest;
use crate::task::{self, Task};

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

struct Ask {
    blob: Blob,
    slot: Slot,
    urgency: u64,
    /// Sent without asking first: the server has named it as missing.
    forced: bool,
}

pub(super) struct Uploader {
    farm: Arc<Farm>,
    asks: mpsc::UnboundedSender<Ask>,
    known: Arc<Known>,
    _pump: Task<()>,
}

impl Uploader {
    pub(super) fn new(farm: Arc<Farm>) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let known = Arc::new(Known::default());
        let pump = Pump {
            farm: Arc::clone(&farm),
            known: Arc::clone(&known),
            unasked: VecDeque::new(),
            small: VecDeque::new(),
            large: VecDeque::new(),
            work: FuturesUnordered::new(),
            running: [0; 3],
        };
        Self {
            farm,
            asks,
            known,
            _pump: task::spawn(pump.run(asked)),
        }
    }

    /// Bytes sent and received so far, by all that goes over this farm's counters.
    pub(super) fn moved(&self) -> (u64, u64) {
        let counters = &self.farm.wire.counters;
        (counters.bytes_up(), counters.bytes_down())
    }

    pub(super) fn belongs_to(&self, farm: &Arc<Farm>) -> bool {
        Arc::ptr_eq(&self.farm, farm)
    }

    /// Returns when the CAS has all of `blobs`, and gives those that it had not before. Those of greater `urgency` are sent
    /// first.
    pub(super) async fn ensure(
        &self,
        blobs: &[Blob],
        urgency: u64,
    ) -> Result<HashSet<Digest>, Failure> {
        self.settle(blobs, &HashSet::new(), urgency).await
    }

    /// The server lacked blobs of `closure` at `began`: sends those that it named, asks anew about the others. Gives what
    /// has been sent since, by this job or by another one that had the same trouble.
    pub(super) async fn repair(
        &self,
        closure: &[Blob],
        named: &HashSet<Digest>,
        began: Instant,
    ) -> Result<HashSet<Digest>, Failure> {
        let mut sent = self.known.forget(closure, began);
        sent.extend(self.settle(closure, named, u64::MAX).await?);
        Ok(sent)
    }

    async fn settle(
        &self,
        blobs: &[Blob],
        forced: &HashSet<Digest>,
        urgency: u64,
    ) -> Result<HashSet<Digest>, Failure> {
        let mut waits = Vec::new();
        for blob in blobs.iter().filter(|blob| !blob.digest.is_empty()) {
            self.check_size(&blob.digest)?;
            if let Some(wait) = self.join(blob, forced.contains(&blob.digest), urgency) {
                waits.push((blob, wait));
            }
        }
        let mut sent = HashSet::new();
        for (blob, wait) in waits {
            let arrival = match wait.outcome().await {
                // Another job's copy of the file is bad; ours may be good.
                Err((failure, false)) if failure.kind == FailureKind::Source => {
                    match self.join(blob, true, urgency) {
                        Some(wait) => wait.outcome().await.map_err(|(failure, _)| failure)?,
                        None => Arrival::Found,
                    }
                }
                outcome => outcome.map_err(|(failure, _)| failure)?,
            };
            if arrival == Arrival::Sent {
                sent.insert(blob.digest);
            }
        }
        Ok(sent)
    }

    fn check_size(&self, digest: &Digest) -> Result<(), Failure> {
        match self.farm.capabilities.largest_blob {
            Some(limit) if digest.size > limit => {
                let message =
                    format!("`{digest}` is larger than the {limit} bytes that the farm takes");
                Err(Failure::new(FailureKind::Rejected, Rpc::Write, message))
            }
            _ => Ok(()),
        }
    }

    /// `None` if the blob is there.
    fn join(&self, blob: &Blob, forced: bool, urgency: u64) -> Option<Wait> {
        let (outcome, new) = self.known.join(&blob.digest)?;
        let ours = new.is_some();
        if let Some(slot) = new {
            let ask = Ask {
                blob: blob.clone(),
                slot,
                urgency,
                forced,
            };
            // The task that takes these lives as long as `self`.
            let _ = self.asks.send(ask);
        }
        Some(Wait { outcome, ours })
    }
}

impl Ask {
    fn is_unwanted(&self) -> bool {
        self.slot.receiver_count() == 0
    }

    fn settle(&self, known: &Known, outcome: Outcome) {
        known.settle(&self.blob.digest, &self.slot, outcome);
    }

    fn cost(&self) -> usize {
        cost(self.blob.digest.size)
    }
}

/// The work under way, and the queues before it.
struct Pump {
    farm: Arc<Farm>,
    known: Arc<Known>,
    unasked: VecDeque<Ask>,
    small: VecDeque<Ask>,
    large: VecDeque<Ask>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// By `Kind`.
    running: [usize; 3],
}

#[derive(Clone, Copy)]
enum Kind {
    Find,
    Batch,
    Stream,
}

/// Blobs to send, after a question; nothing after the rest.
struct Done(Kind, Vec<Ask>);

impl Pump {
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Ask>) {
        loop {
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => self.take(ask, &mut asked).await,
                    None => return,
                },
                Some(Done(kind, missing)) = self.work.next() => {
                    self.running[kind as usize] -= 1;
                    for ask in missing {
                        self.queue_to_send(ask);
                    }
                }
            }
            self.start();
        }
    }

    /// Takes what other jobs are just about to ask as well.
    async fn take(&mut self, first: Ask, asked: &mut mpsc::UnboundedReceiver<Ask>) {
        self.queue(first);
        for _ in 0..TURNS {
            while let Ok(ask) = asked.try_recv() {
                self.queue(ask);
            }
            tokio::task::yield_now().await;
        }
    }

    fn queue(&mut self, ask: Ask) {
        if ask.forced {
            self.queue_to_send(ask);
        } else {
            put(&mut self.unasked, ask);
        }
    }

    fn queue_to_send(&mut self, ask: Ask) {
        if self.farm.limits.upload.admits(ask.cost()) {
            put(&mut self.small, ask);
        } else {
            put(&mut self.large, ask);
        }
    }

    fn start(&mut self) {
        while self.running[Kind::Find as usize] < FINDING && !self.unasked.is_empty() {
            let asks = take_front(&mut self.unasked, usize::MAX, MOST_IN_QUESTION, |_| 1);
            self.launch(Kind::Find, asks);
        }
        let limit = self.farm.limits.upload.get();
        while self.running[Kind::Batch as usize] < BATCHING && self.batch_is_due(limit) {
            let asks = take_front(&mut self.small, limit, MOST_IN_BATCH, Ask::cost);
            self.launch(Kind::Batch, asks);
        }
        while self.running[Kind::Stream as usize] < STREAMING {
            let Some(ask) = self.large.pop_front() else {
                break;
            };
            self.launch(Kind::Stream, vec![ask]);
        }
    }

    /// A batch that is not full waits while another is under way.
    fn batch_is_due(&self, limit: usize) -> bool {
        let full = || self.small.iter().map(Ask::cost).sum::<usize>() >= limit;
        !self.small.is_empty() && (self.running[Kind::Batch as usize] == 0 || full())
    }

    fn launch(&mut self, kind: Kind, mut asks: Vec<Ask>) {
        asks.retain(|ask| !ask.is_unwanted());
        if asks.is_empty() {
            return;
        }
        self.running[kind as usize] += 1;
        let (farm, known) = (Arc::clone(&self.farm), Arc::clone(&self.known));
        self.work.push(match kind {
            Kind::Find => Box::pin(find(farm, known, asks)),
            Kind::Batch => Box::pin(batch(farm, known, asks)),
            Kind::Stream => Box::pin(stream(farm, known, asks)),
        });
    }
}

/// Behind all that are as urgent. Jobs come with the longest first, so that is the end of the queue mostly.
fn put(queue: &mut VecDeque<Ask>, ask: Ask) {
    let at = queue.partition_point(|other| other.urgency >= ask.urgency);
    queue.insert(at, ask);
}

async fn find(farm: Arc<Farm>, known: Arc<Known>, asks: Vec<Ask>) -> Done {
    let digests: Vec<Digest> = asks.iter().map(|ask| ask.blob.digest).collect();
    let mut to_send = Vec::new();
    match find_missing(&farm, &digests).await {
        Ok(missing) => {
            for ask in asks {
                if missing.contains(&ask.blob.digest) {
                    to_send.push(ask);
                } else {
                    ask.settle(&known, Ok(Arrival::Found));
                }
            }
        }
        Err(failure) => {
            for ask in &asks {
                ask.settle(&known, Err(failure.clone()));
            }
        }
    }
    Done(Kind::Find, to_send)
}

async fn batch(farm: Arc<Farm>, known: Arc<Known>, asks: Vec<Ask>) -> Done {
    let blobs = asks.iter().map(|ask| ask.blob.clone()).collect();
    let mut outcomes = batch_update::send(&farm, blobs).await;
    for ask in &asks {
        let unanswered = || Failure::corrupt(Rpc::BatchUpdateBlobs, "a blob got no answer");
        let outcome = outcomes
            .remove(&ask.blob.digest)
            .unwrap_or_else(|| Err(unanswered()));
        ask.settle(&known, outcome.map(|()| Arrival::Sent));
    }
    Done(Kind::Batch, Vec::new())
}

async fn stream(farm: Arc<Farm>, known: Arc<Known>, asks: Vec<Ask>) -> Done {
    for ask in &asks {
        tokio::select! {
            outcome = bytestream::write(&farm, &ask.blob) => {
                ask.settle(&known, outcome.map(|()| Arrival::Sent));
            }
            // All who waited have left: their jobs ended otherwise.
            () = ask.slot.closed() => {}
        }
    }
    Done(Kind::Stream, Vec::new())
}

#[cfg(test)]
#[path = "tests/upload.rs"]
mod tests;
