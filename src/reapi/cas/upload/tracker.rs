//! What a link knows of the CAS: which blobs are there, and which are on their way.
//!
//! Enters: digests that jobs need, how urgent they are, and how each went. Leaves: whether the one
//! who asks must see to it, or where to wait. A blob is as urgent as the most urgent of the jobs
//! that wait for it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::digest::Digest;
use crate::reapi::cas::blob::Blob;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::rpc::Rpc;

/// How long a blob is taken to be there. Servers keep what they were asked about for much longer.
const FRESH: Duration = Duration::from_mins(10);

/// How a blob came to be in the CAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlobOrigin {
    Found,
    Sent,
}

pub(crate) type Outcome = Result<BlobOrigin, Failure>;
pub(crate) type Listener = watch::Receiver<Option<Outcome>>;

/// Tells those who wait for a blob how it went, and how urgent they are.
#[derive(Debug, Clone)]
pub(crate) struct Completion {
    outcome: watch::Sender<Option<Outcome>>,
    urgency: Arc<AtomicU64>,
}

impl Completion {
    pub(crate) fn new(urgency: u64) -> (Self, Listener) {
        let (outcome, listener) = watch::channel(None);
        let urgency = Arc::new(AtomicU64::new(urgency));
        (Self { outcome, urgency }, listener)
    }

    pub(crate) fn urgency(&self) -> u64 {
        self.urgency.load(Ordering::Relaxed)
    }

    pub(crate) fn is_unwanted(&self) -> bool {
        self.outcome.receiver_count() == 0
    }

    /// Waits until nobody waits for the blob.
    pub(crate) async fn unwanted(&self) {
        self.outcome.closed().await;
    }
}

enum State {
    /// Since when, and whether it was we who sent it.
    Present(Instant, BlobOrigin),
    InFlight(Completion),
}

/// What this link knows of the CAS.
#[derive(Default)]
pub(crate) struct BlobTracker {
    states: Mutex<HashMap<Digest, State>>,
    reprioritized: AtomicBool,
}

/// A place in the queue for one blob.
pub(crate) struct Wait {
    pub(crate) outcome: Listener,
    /// Whether it is our own copy that is sent.
    pub(crate) ours: bool,
}

impl Wait {
    /// A failure comes with whether it is that of our own copy.
    pub(crate) async fn outcome(mut self) -> Result<BlobOrigin, (Failure, bool)> {
        let settled = match self.outcome.wait_for(Option::is_some).await {
            Ok(settled) => settled.clone(),
            Err(_) => None,
        };
        let gone = || Failure::new(FailureKind::GivenUp, Rpc::Write, "the client was closed");
        settled
            .unwrap_or_else(|| Err(gone()))
            .map_err(|failure| (failure, self.ours))
    }
}

impl BlobTracker {
    /// `None` if the blob is there; else where to wait, and the slot to fill if the caller is the
    /// first and has to ask.
    pub(crate) fn join(
        &self,
        digest: &Digest,
        urgency: u64,
    ) -> Option<(Listener, Option<Completion>)> {
        let mut states = self.states();
        match states.get(digest) {
            Some(State::Present(since, _)) if since.elapsed() < FRESH => None,
            Some(State::InFlight(completion)) if !completion.is_unwanted() => {
                if completion.urgency.fetch_max(urgency, Ordering::Relaxed) < urgency {
                    self.reprioritized.store(true, Ordering::Relaxed);
                }
                Some((completion.outcome.subscribe(), None))
            }
            // New, or left by all who waited; if its old ask is still in a queue, that one is
            // skipped as unwanted.
            _ => {
                let (completion, listener) = Completion::new(urgency);
                states.insert(*digest, State::InFlight(completion.clone()));
                Some((listener, Some(completion)))
            }
        }
    }

    /// Whether a blob that is under way became more urgent since this was asked last.
    pub(crate) fn take_reprioritized(&self) -> bool {
        self.reprioritized.swap(false, Ordering::Relaxed)
    }

    /// Forgets what was known before `began` and gives what has been sent since.
    pub(crate) fn forget(&self, blobs: &[Blob], began: Instant) -> HashSet<Digest> {
        let mut states = self.states();
        let mut sent = HashSet::new();
        for blob in blobs {
            match states.get(&blob.digest) {
                Some(State::Present(since, BlobOrigin::Sent)) if *since > began => {
                    sent.insert(blob.digest);
                }
                Some(State::Present(..)) => {
                    states.remove(&blob.digest);
                }
                _ => {}
            }
        }
        sent
    }

    /// Tells how it went with `digest`, which was asked for through `slot`.
    pub(crate) fn settle(&self, digest: &Digest, completion: &Completion, outcome: Outcome) {
        let mut states = self.states();
        let current = matches!(states.get(digest),
            Some(State::InFlight(underway)) if underway.outcome.same_channel(&completion.outcome));
        if let Ok(arrival) = outcome {
            let present = State::Present(Instant::now(), arrival);
            states.insert(*digest, present);
        } else if current {
            states.remove(digest);
        }
        completion.outcome.send_replace(Some(outcome));
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Digest, State>> {
        self.states.lock().expect("nothing panics while it is held")
    }
}

#[cfg(test)]
mod tests;
