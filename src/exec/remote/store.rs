//! Uploads what this machine has compiled to the farm's action cache.
//!
//! Outputs, Command and Action go into the CAS and an entry names them, as a worker would have left
//! them. A farm that rejects the upload costs the link only the attempt.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::{RemoteExecutor, request_context};
use crate::digest::Digest;
use crate::events::Origin;
use crate::exec::{Compiled, Hermetic, Planned, action_result};
use crate::pb::reapi::{ActionResult, OutputFile};
use crate::reapi::{Blob, Failure, declared_outputs};

/// What a farm's action cache holds of a job whose right result is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachedAtFarm {
    Absent,
    /// The right result.
    Equal,
    /// The right result instead of another.
    Replaced,
    /// Another result, and why.
    Stays(String),
    /// The farm does not answer.
    Unknown(String),
}

/// An entry for the action cache, and the blobs that it needs.
pub(super) struct CacheEntry {
    pub(super) key: Digest,
    pub(super) result: ActionResult,
    pub(super) blobs: Vec<Blob>,
}

impl RemoteExecutor {
    /// Replaces the farm's cached result of `job` if it has other outputs than `fresh`, which this
    /// machine made.
    pub async fn mend(&self, job: &Planned, fresh: &Compiled) -> CachedAtFarm {
        match self.whole_entry(job, fresh) {
            Some(entry) => self.replace(job, entry).await,
            None => CachedAtFarm::Absent,
        }
    }

    /// Puts `entry` in the place of one with other outputs.
    pub(super) async fn replace(&self, job: &Planned, entry: CacheEntry) -> CachedAtFarm {
        let (key, context) = (entry.key, request_context(job, entry.key));
        let expected = entry.result.output_files.clone();
        match self.holds(job, key, &expected).await {
            Ok(Some(true)) => return CachedAtFarm::Equal,
            Ok(Some(false)) => {}
            Ok(None) => return CachedAtFarm::Absent,
            Err(failure) => return CachedAtFarm::Unknown(failure.to_string()),
        }
        if let Some(reason) = self.forbids_updates() {
            return CachedAtFarm::Stays(reason.to_owned());
        }
        let stored = async {
            self.upload_for_entry(&entry.blobs).await?;
            let update = self
                .client
                .update_action_result(&key, entry.result, &context);
            update.await
        };
        if let Err(failure) = stored.await {
            return CachedAtFarm::Stays(failure.to_string());
        }
        // Some servers take an update and keep what they have.
        match self.holds(job, key, &expected).await {
            Ok(Some(false)) => CachedAtFarm::Stays("it does not take another one".to_owned()),
            Ok(_) => CachedAtFarm::Replaced,
            Err(failure) => CachedAtFarm::Unknown(failure.to_string()),
        }
    }

    /// Why no entry is replaced.
    pub(super) fn forbids_updates(&self) -> Option<&'static str> {
        if !self.config.upload_local_results {
            return Some("`remote_upload_local_results` is off");
        }
        let may_update = self.client.capabilities().can_update_action_cache;
        (!may_update).then_some("clients may not write it")
    }

    /// Whether the entry of `key` has the outputs that are `expected`; `None` if there is none.
    pub(super) async fn holds(
        &self,
        job: &Planned,
        key: Digest,
        expected: &[OutputFile],
    ) -> Result<Option<bool>, Failure> {
        let context = request_context(job, key);
        let Some(held) = self.client.action_result(&key, &[], &context).await? else {
            return Ok(None);
        };
        let paths: Vec<String> = expected.iter().map(|output| output.path.clone()).collect();
        let held_outputs = declared_outputs(&held, &paths)?;
        let held_digests = held_outputs
            .iter()
            .map(|output| Some(output.digest.to_pb()));
        let digests = expected.iter().map(|output| output.digest.clone());
        Ok(Some(held.exit_code == 0 && digests.eq(held_digests)))
    }

    /// Whether `compiled`, made on this machine, may and should be stored on the farm.
    pub fn wants(&self, compiled: &Compiled) -> bool {
        compiled.storable
            && compiled.origin == Origin::Local
            && self.forbids_updates().is_none()
            // An object of our compiler is not a result of the worker's compiler.
            && self.config.toolchain_is_ours()
    }

    /// Stores `compiled` under the job's action if this machine made it, and under its slice key if
    /// that is wanted.
    ///
    /// # Errors
    /// The farm rejected the upload; the result itself stays good.
    pub async fn store(
        self: &Arc<Self>,
        job: &Arc<Planned>,
        compiled: &Compiled,
    ) -> Result<(), Failure> {
        let mut entries = Vec::new();
        if compiled.origin == Origin::Local {
            entries.extend(self.whole_entry(job, compiled));
        }
        entries.extend(self.slice_entry(job, compiled).await);
        if entries.is_empty() {
            return Ok(());
        }
        let blobs = entries.iter_mut().flat_map(|entry| entry.blobs.drain(..));
        let blobs: Vec<Blob> = blobs.collect();
        self.upload_for_entry(&blobs).await?;
        let updates = entries.into_iter().map(|entry| async move {
            let context = request_context(job, entry.key);
            let update = self
                .client
                .update_action_result(&entry.key, entry.result, &context);
            update.await
        });
        try_join_all(updates).await.map(drop)
    }

    /// An entry whose blobs are gone would be worse than none, and nobody reports these. So another
    /// link's knowledge of the CAS does not count.
    async fn upload_for_entry(&self, blobs: &[Blob]) -> Result<(), Failure> {
        let digests: Vec<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        self.client.doubt(&digests, self.began);
        self.client.ensure_uploaded(blobs).await
    }

    /// What is stored under the job's action.
    fn whole_entry(&self, job: &Planned, compiled: &Compiled) -> Option<CacheEntry> {
        let hermetic = job.hermetic()?;
        let action = self.action(hermetic, self.worker_size(hermetic)).ok()?;
        let (result, mut blobs) = self.result(hermetic, compiled);
        for encoded in [&action.command, &action.message] {
            blobs.push(Blob::from_bytes(encoded.digest, encoded.bytes.clone()));
        }
        Some(CacheEntry {
            key: action.digest(),
            result,
            blobs,
        })
    }

    fn result(&self, hermetic: &Hermetic, compiled: &Compiled) -> (ActionResult, Vec<Blob>) {
        let mut blobs = Vec::new();
        let keep = |contents: &Bytes| {
            let digest = self.template.function.digest(contents);
            blobs.push(Blob::from_bytes(digest, contents.clone()));
            Ok::<_, Infallible>(digest)
        };
        let (outputs, stderr) = (&compiled.outputs, &compiled.stderr);
        let Ok(result) = action_result(&hermetic.job, outputs, stderr, None, keep);
        (result, blobs)
    }
}
