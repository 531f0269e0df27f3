//! Uploads for a whole link: each digest is asked about once, and sent once, for all jobs that need
//! it.
//!
//! Enters: lists of blobs, from many jobs at a time. Leaves: the certainty that the CAS has them.
//! Which calls are made for that, and in what order, is the business of `pump`.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::blob::Blob;
use super::farm::Farm;
use super::known::{Arrival, Known, Wait};
use super::pump::{Ask, Pump};
use super::rpc::Rpc;
use super::status::{Failure, FailureKind};
use crate::digest::Digest;
use crate::task::{self, Task};

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
        let pump = Pump::new(Arc::clone(&farm), Arc::clone(&known));
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

    /// Returns when the CAS has all of `blobs`, and gives those that it had not before. Those of
    /// greater `urgency` are sent first.
    pub(super) async fn ensure(
        &self,
        blobs: &[Blob],
        urgency: u64,
    ) -> Result<HashSet<Digest>, Failure> {
        self.settle(blobs, &HashSet::new(), urgency).await
    }

    /// The server lacked blobs of `closure` at `began`: sends those that it named, asks anew about
    /// the others. Gives what has been sent since, by this job or by another one that had the same
    /// trouble.
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
        let (outcome, new) = self.known.join(&blob.digest, urgency)?;
        let ours = new.is_some();
        if let Some(slot) = new {
            let ask = Ask {
                blob: blob.clone(),
                slot,
                forced,
            };
            // The task that takes these lives as long as `self`.
            let _ = self.asks.send(ask);
        }
        Some(Wait { outcome, ours })
    }
}

#[cfg(test)]
#[path = "tests/upload.rs"]
mod tests;
