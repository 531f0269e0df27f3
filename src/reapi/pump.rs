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

use super::batch::{cost, take_front};
use super::batch_update;
use super::blob::Blob;
use super::bytestream;
use super::farm::Farm;
use super::find_missing::find_missing;
use super::known::{Arrival, Known, Outcome, Slot};
use super::rpc::Rpc;
use super::status::Failure;
use crate::digest::Digest;

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
pub(super) struct Ask {
    pub(super) blob: Blob,
    pub(super) slot: Slot,
    /// Sent without asking first: the server has named it as missing.
    pub(super) forced: bool,
}

impl Ask {
    fn settle(&self, known: &Known, outcome: Outcome) {
        known.settle(&self.blob.digest, &self.slot, outcome);
    }

    fn cost(&self) -> usize {
        cost(self.blob.digest.size)
    }
}

/// The work under way, and the queues before it.
pub(super) struct Pump {
    farm: Arc<Farm>,
    known: Arc<Known>,
    unasked: Queue,
    small: Queue,
    large: Queue,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    finding: usize,
    sending: Vec<Sending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Batch,
    Stream,
}

/// A batch or a stream that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sending {
    way: Way,
    urgency: u64,
    bytes: usize,
}

enum Done {
    /// Blobs that the farm lacks.
    Asked(Vec<Ask>),
    Sent(Sending),
}

impl Pump {
    pub(super) fn new(farm: Arc<Farm>, known: Arc<Known>) -> Self {
        Self {
            farm,
            known,
            unasked: Queue::default(),
            small: Queue::default(),
            large: Queue::default(),
            work: FuturesUnordered::new(),
            finding: 0,
            sending: Vec::new(),
        }
    }

    /// Runs until nobody can ask any more.
    pub(super) async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Ask>) {
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
            self.unasked.push(ask);
        }
    }

    fn queue_to_send(&mut self, ask: Ask) {
        if self.farm.limits.upload.admits(ask.cost()) {
            self.small.push(ask);
        } else {
            self.large.push(ask);
        }
    }

    fn end(&mut self, done: Done) {
        match done {
            Done::Asked(missing) => {
                self.finding -= 1;
                for ask in missing {
                    self.queue_to_send(ask);
                }
            }
            Done::Sent(sent) => {
                let same = self.sending.iter().position(|sending| *sending == sent);
                same.map(|at| self.sending.swap_remove(at));
            }
        }
    }

    fn start(&mut self) {
        let hurried = self.known.take_hurried();
        for queue in [&mut self.unasked, &mut self.small, &mut self.large] {
            queue.sort(hurried);
        }
        while self.finding < FINDING && !self.unasked.asks.is_empty() {
            let asks = self.unasked.take(usize::MAX, MOST_IN_QUESTION, |_| 1);
            self.launch_question(asks);
        }
        let limit = self.farm.limits.upload.get();
        while let Some(way) = self.next(limit) {
            let asks = match way {
                Way::Batch => self.small.take(limit, MOST_IN_BATCH, Ask::cost),
                Way::Stream => self.large.take(usize::MAX, 1, |_| 1),
            };
            self.launch(way, asks);
        }
    }

    /// How the most urgent of all blobs goes out, if it may. One call that is less urgent than
    /// others always goes on: the jobs of two links know nothing of each other.
    fn next(&self, limit: usize) -> Option<Way> {
        let under_way = |way| self.sending.iter().filter(|it| it.way == way).count();
        let may_batch = under_way(Way::Batch) < BATCHING && self.batch_is_due(limit);
        let may_stream = under_way(Way::Stream) < STREAMING;
        let batch = self.small.urgency().filter(|_| may_batch);
        let stream = self.large.urgency().filter(|_| may_stream);
        let urgency = batch.max(stream)?;
        let bytes: usize = self.sending.iter().map(|other| other.bytes).sum();
        let urgencies = || self.sending.iter().map(|other| other.urgency);
        let most = urgencies().max().unwrap_or(0);
        let may = bytes < ON_THE_LINE || most <= urgency || urgencies().all(|it| it == most);
        let way = if stream == Some(urgency) {
            Way::Stream
        } else {
            Way::Batch
        };
        may.then_some(way)
    }

    /// A batch that is not full waits while another is under way.
    fn batch_is_due(&self, limit: usize) -> bool {
        let first = self.sending.iter().all(|other| other.way != Way::Batch);
        first || self.small.bytes >= limit
    }

    fn launch_question(&mut self, asks: Vec<Ask>) {
        if asks.is_empty() {
            return;
        }
        self.finding += 1;
        let (farm, known) = (Arc::clone(&self.farm), Arc::clone(&self.known));
        let finding = async move { Done::Asked(find(&farm, &known, asks).await) };
        self.work.push(Box::pin(finding));
    }

    fn launch(&mut self, way: Way, asks: Vec<Ask>) {
        let Some(first) = asks.first() else { return };
        let bytes: usize = asks.iter().map(Ask::cost).sum();
        let sending = Sending {
            way,
            urgency: first.slot.urgency(),
            bytes: bytes.min(OF_A_STREAM),
        };
        self.sending.push(sending);
        let (farm, known) = (Arc::clone(&self.farm), Arc::clone(&self.known));
        self.work.push(Box::pin(async move {
            match way {
                Way::Batch => batch(&farm, &known, &asks).await,
                Way::Stream => stream(&farm, &known, &asks).await,
            }
            Done::Sent(sending)
        }));
    }
}

/// Blobs that wait, the most urgent first once it is sorted; of equals the one that was asked for
/// first.
#[derive(Default)]
struct Queue {
    asks: VecDeque<Ask>,
    /// What they take in batches.
    bytes: usize,
    unsorted: bool,
}

impl Queue {
    fn push(&mut self, ask: Ask) {
        self.bytes = self.bytes.saturating_add(ask.cost());
        self.asks.push_back(ask);
        self.unsorted = true;
    }

    fn sort(&mut self, hurried: bool) {
        if self.unsorted || hurried {
            let asks = self.asks.make_contiguous();
            // Jobs hurry their blobs meanwhile: a sort that looked twice could find no order, and
            // panic.
            asks.sort_by_cached_key(|ask| Reverse(ask.slot.urgency()));
            self.unsorted = false;
        }
    }

    fn urgency(&self) -> Option<u64> {
        self.asks.front().map(|ask| ask.slot.urgency())
    }

    /// As [`take_front`], without those that nobody wants any more.
    fn take(&mut self, limit: usize, most: usize, cost: impl Fn(&Ask) -> usize) -> Vec<Ask> {
        let mut asks = take_front(&mut self.asks, limit, most, cost);
        let taken: usize = asks.iter().map(Ask::cost).sum();
        self.bytes = self.bytes.saturating_sub(taken);
        asks.retain(|ask| !ask.slot.is_unwanted());
        asks
    }
}

async fn find(farm: &Arc<Farm>, known: &Known, asks: Vec<Ask>) -> Vec<Ask> {
    let digests: Vec<Digest> = asks.iter().map(|ask| ask.blob.digest).collect();
    let mut to_send = Vec::new();
    match find_missing(farm, &digests).await {
        Ok(missing) => {
            for ask in asks {
                if missing.contains(&ask.blob.digest) {
                    to_send.push(ask);
                } else {
                    ask.settle(known, Ok(Arrival::Found));
                }
            }
        }
        Err(failure) => {
            for ask in &asks {
                ask.settle(known, Err(failure.clone()));
            }
        }
    }
    to_send
}

async fn batch(farm: &Arc<Farm>, known: &Known, asks: &[Ask]) {
    let blobs = asks.iter().map(|ask| ask.blob.clone()).collect();
    let mut outcomes = batch_update::send(farm, blobs).await;
    for ask in asks {
        let unanswered = || Failure::corrupt(Rpc::BatchUpdateBlobs, "a blob got no answer");
        let outcome = outcomes
            .remove(&ask.blob.digest)
            .unwrap_or_else(|| Err(unanswered()));
        ask.settle(known, outcome.map(|()| Arrival::Sent));
    }
}

async fn stream(farm: &Arc<Farm>, known: &Known, asks: &[Ask]) {
    for ask in asks {
        tokio::select! {
            outcome = bytestream::write(farm, &ask.blob) => {
                ask.settle(known, outcome.map(|()| Arrival::Sent));
            }
            // All who waited have left: their jobs ended otherwise.
            () = ask.slot.unwanted() => {}
        }
    }
}

#[cfg(test)]
#[path = "tests/pump.rs"]
mod tests;
