//! Tracks which blobs are in the CAS and which are being uploaded.
//!
//! The first job that needs a blob uploads it; the others wait for the outcome. A blob is as urgent
//! as the most urgent job that waits for it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::digest::Digest;
use crate::reapi::cas::blob::Blob;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::PRESENT_FOR;
use crate::reapi::rpc::Rpc;
use crate::task::lock;

/// How a blob got into the CAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlobOrigin {
    Found,
    Sent,
}

pub(crate) type UploadOutcome = Result<BlobOrigin, Failure>;
pub(crate) type Listener = watch::Receiver<Option<UploadOutcome>>;

/// Passes the outcome to the jobs that wait for a blob, and knows how urgent they are.
#[derive(Debug, Clone)]
pub(crate) struct Completion {
    outcome: watch::Sender<Option<UploadOutcome>>,
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

    pub(crate) fn is_abandoned(&self) -> bool {
        self.outcome.receiver_count() == 0
    }

    /// Resolves when no job waits for the blob any more.
    pub(crate) async fn abandoned(&self) {
        self.outcome.closed().await;
    }
}

enum BlobState {
    /// Since when, and how it got there.
    Present(Instant, BlobOrigin),
    InFlight(Completion),
}

/// The state of every blob that jobs have needed.
#[derive(Default)]
pub(crate) struct BlobTracker {
    states: Mutex<HashMap<Digest, BlobState>>,
    reprioritized: AtomicBool,
}

/// A wait for one blob.
pub(crate) struct Wait {
    pub(crate) outcome: Listener,
    /// Whether this job's own copy is being sent.
    pub(crate) ours: bool,
}

impl Wait {
    /// A failure comes with whether it concerns this job's own copy.
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
    /// `None` if the blob is there; else where to wait, and the completion to fill in if the caller
    /// is the first and has to request the upload.
    pub(crate) fn join(
        &self,
        digest: &Digest,
        urgency: u64,
    ) -> Option<(Listener, Option<Completion>)> {
        let mut states = self.states();
        match states.get(digest) {
            Some(BlobState::Present(since, _)) if since.elapsed() < PRESENT_FOR => None,
            Some(BlobState::InFlight(completion)) if !completion.is_abandoned() => {
                if completion.urgency.fetch_max(urgency, Ordering::Relaxed) < urgency {
                    self.reprioritized.store(true, Ordering::Relaxed);
                }
                Some((completion.outcome.subscribe(), None))
            }
            // New, or all jobs that waited have left; the old request, if it is still queued, is
            // skipped as abandoned.
            _ => {
                let (completion, listener) = Completion::new(urgency);
                states.insert(*digest, BlobState::InFlight(completion.clone()));
                Some((listener, Some(completion)))
            }
        }
    }

    /// Whether a blob in flight has become more urgent since the last call.
    pub(crate) fn take_reprioritized(&self) -> bool {
        self.reprioritized.swap(false, Ordering::Relaxed)
    }

    /// Forgets what was known before `began`. Returns what has been sent since.
    pub(crate) fn forget(&self, blobs: &[Blob], began: Instant) -> HashSet<Digest> {
        let mut states = self.states();
        let mut sent = HashSet::new();
        for blob in blobs {
            match states.get(&blob.digest) {
                Some(BlobState::Present(since, BlobOrigin::Sent)) if *since > began => {
                    sent.insert(blob.digest);
                }
                Some(BlobState::Present(..)) => {
                    states.remove(&blob.digest);
                }
                _ => {}
            }
        }
        sent
    }

    /// Forgets what was known of `digests` before `since`.
    pub(crate) fn doubt(&self, digests: &[Digest], since: Instant) {
        let mut states = self.states();
        for digest in digests {
            if matches!(states.get(digest), Some(BlobState::Present(at, _)) if *at < since) {
                states.remove(digest);
            }
        }
    }

    /// Records the outcome for `digest`, which was requested with `completion`.
    pub(crate) fn settle(&self, digest: &Digest, completion: &Completion, outcome: UploadOutcome) {
        let mut states = self.states();
        let current = matches!(states.get(digest),
            Some(BlobState::InFlight(in_flight)) if in_flight.outcome.same_channel(&completion.outcome));
        if let Ok(arrival) = outcome {
            let present = BlobState::Present(Instant::now(), arrival);
            states.insert(*digest, present);
        } else if current {
            states.remove(digest);
        }
        completion.outcome.send_replace(Some(outcome));
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Digest, BlobState>> {
        lock(&self.states)
    }
}
