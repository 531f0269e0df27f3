//! Uploads blobs for a whole link: each digest is asked about once, and sent at most once, for all
//! jobs that need it.
//!
//! [`tracker`] knows which blobs are in the CAS or being uploaded, [`scheduler`] makes the calls.

mod scheduler;
mod tracker;

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::digest::Digest;
use crate::reapi::cas::blob::Blob;
use crate::reapi::cas::upload::scheduler::{UploadRequest, UploadScheduler};
use crate::reapi::cas::upload::tracker::{BlobOrigin, BlobTracker, Wait};
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::task::{self, Task};

pub(crate) struct Uploader {
    session: Arc<Session>,
    requests: mpsc::UnboundedSender<UploadRequest>,
    tracker: Arc<BlobTracker>,
    /// Ends with the last link.
    scheduler: Arc<Task<()>>,
}

impl Uploader {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        let (requests, requested) = mpsc::unbounded_channel();
        let tracker = Arc::new(BlobTracker::default());
        let calls = UploadScheduler::new(Arc::clone(&session), Arc::clone(&tracker));
        Self {
            session,
            requests,
            tracker,
            scheduler: Arc::new(task::spawn(calls.run(requested))),
        }
    }

    /// The same for another link, whose `session` makes the calls for what it needs first.
    pub(crate) fn for_link(&self, session: Arc<Session>) -> Self {
        Self {
            session,
            requests: self.requests.clone(),
            tracker: Arc::clone(&self.tracker),
            scheduler: Arc::clone(&self.scheduler),
        }
    }

    /// Resolves when the CAS has all of `blobs`, to those that it did not have before. Blobs of
    /// greater `urgency` are sent first.
    pub(crate) async fn ensure(
        &self,
        blobs: &[Blob],
        urgency: u64,
    ) -> Result<HashSet<Digest>, Failure> {
        self.settle(blobs, &HashSet::new(), urgency).await
    }

    /// The server lacked blobs of `closure` at `began`: sends those that it `named` and asks again
    /// about the others. Returns what has been sent since, by this job or by another one with the
    /// same failure.
    pub(crate) async fn repair(
        &self,
        closure: &[Blob],
        named: &HashSet<Digest>,
        began: Instant,
    ) -> Result<HashSet<Digest>, Failure> {
        let mut sent = self.tracker.forget(closure, began);
        sent.extend(self.settle(closure, named, u64::MAX).await?);
        Ok(sent)
    }

    /// The CAS is asked again about `digests`, unless it has been since then.
    pub(crate) fn doubt(&self, digests: &[Digest], since: Instant) {
        self.tracker.doubt(digests, since);
    }

    async fn settle(
        &self,
        blobs: &[Blob],
        known_missing: &HashSet<Digest>,
        urgency: u64,
    ) -> Result<HashSet<Digest>, Failure> {
        let mut waits = Vec::new();
        for blob in blobs.iter().filter(|blob| !blob.digest.is_empty()) {
            self.check_size(&blob.digest)?;
            if let Some(wait) = self.join(blob, known_missing.contains(&blob.digest), urgency) {
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
                        None => BlobOrigin::Found,
                    }
                }
                outcome => outcome.map_err(|(failure, _)| failure)?,
            };
            if arrival == BlobOrigin::Sent {
                sent.insert(blob.digest);
            }
        }
        Ok(sent)
    }

    fn check_size(&self, digest: &Digest) -> Result<(), Failure> {
        match self.session.capabilities.largest_blob {
            Some(limit) if digest.size > limit => {
                let message =
                    format!("`{digest}` is larger than the {limit} bytes that the farm accepts");
                Err(Failure::new(FailureKind::TooLarge, Rpc::Write, message))
            }
            _ => Ok(()),
        }
    }

    /// `None` if the blob is there.
    fn join(&self, blob: &Blob, known_missing: bool, urgency: u64) -> Option<Wait> {
        let (outcome, new) = self.tracker.join(&blob.digest, urgency)?;
        let ours = new.is_some();
        if let Some(completion) = new {
            let request = UploadRequest {
                session: Arc::clone(&self.session),
                blob: blob.clone(),
                completion,
                known_missing,
            };
            // The task that receives these lives as long as `self`.
            let _ = self.requests.send(request);
        }
        Some(Wait { outcome, ours })
    }
}
