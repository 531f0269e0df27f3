//! Uploads what this machine has compiled to the farm's action cache.
//!
//! Outputs, Command and Action go into the CAS and an entry names them, as a worker would have left
//! them. A farm that rejects the upload costs the link only the attempt.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::fetch::output_paths;
use super::{RemoteExecutor, request_context};
use crate::digest::Digest;
use crate::events::Origin;
use crate::exec::{Compiled, Hermetic, Planned, action_result};
use crate::pb::reapi::ActionResult;
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

impl RemoteExecutor {
    /// Replaces the farm's cached result of `job` if it has other outputs than `fresh`, which this
    /// machine made.
    pub async fn mend(self: &Arc<Self>, job: &Arc<Planned>, fresh: &Compiled) -> CachedAtFarm {
        match self.cached_like(job, fresh).await {
            Ok(Some(true)) => return CachedAtFarm::Equal,
            Ok(Some(false)) => {}
            Ok(None) => return CachedAtFarm::Absent,
            Err(failure) => return CachedAtFarm::Unknown(failure.to_string()),
        }
        if !self.config.upload_local_results {
            return CachedAtFarm::Stays("`remote_upload_local_results` is off".to_owned());
        }
        if !self.client.capabilities().can_update_action_cache {
            return CachedAtFarm::Stays("clients may not write it".to_owned());
        }
        if let Err(failure) = self.store(job, fresh).await {
            return CachedAtFarm::Stays(failure.to_string());
        }
        // Some servers take an update and keep what they have.
        match self.cached_like(job, fresh).await {
            Ok(Some(false)) => CachedAtFarm::Stays("it does not take another one".to_owned()),
            Ok(_) => CachedAtFarm::Replaced,
            Err(failure) => CachedAtFarm::Unknown(failure.to_string()),
        }
    }

    /// Whether the farm's cached result of `job` has the outputs of `fresh`; `None` if there is
    /// none.
    async fn cached_like(&self, job: &Planned, fresh: &Compiled) -> Result<Option<bool>, Failure> {
        let Some(hermetic) = job.hermetic() else {
            return Ok(None);
        };
        let Ok(action) = self.action(hermetic, self.worker_size(hermetic)) else {
            return Ok(None);
        };
        let key = action.digest();
        let context = request_context(job, key);
        let Some(cached) = self.client.action_result(&key, &[], &context).await? else {
            return Ok(None);
        };
        let theirs = declared_outputs(&cached, &output_paths(&hermetic.job))?;
        let function = self.template.function;
        let ours = fresh.outputs.iter().map(|output| function.digest(output));
        Ok(Some(
            cached.exit_code == 0 && ours.eq(theirs.iter().map(|it| it.digest)),
        ))
    }

    /// Whether `compiled`, made on this machine, may and should be stored on the farm.
    pub fn wants(&self, compiled: &Compiled) -> bool {
        compiled.storable
            && compiled.origin == Origin::Local
            && self.config.upload_local_results
            && self.client.capabilities().can_update_action_cache
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
        let mut blobs = Vec::new();
        let mut entries = Vec::new();
        if compiled.origin == Origin::Local {
            entries.extend(self.whole_entry(job, compiled, &mut blobs));
        }
        if let Some(entry) = self.slice_entry(job, compiled).await {
            blobs.extend(entry.blobs);
            entries.push((entry.key, entry.result));
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.client.ensure_uploaded(&blobs).await?;
        let updates = entries.into_iter().map(|(key, result)| async move {
            let context = request_context(job, key);
            let update = self.client.update_action_result(&key, result, &context);
            update.await
        });
        try_join_all(updates).await.map(drop)
    }

    /// What is stored under the job's action; adds the blobs that this needs.
    fn whole_entry(
        &self,
        job: &Planned,
        compiled: &Compiled,
        blobs: &mut Vec<Blob>,
    ) -> Option<(Digest, ActionResult)> {
        let hermetic = job.hermetic()?;
        let action = self.action(hermetic, self.worker_size(hermetic)).ok()?;
        let (result, outputs) = self.result(hermetic, compiled);
        blobs.extend(outputs);
        for encoded in [&action.command, &action.message] {
            blobs.push(Blob::from_bytes(encoded.digest, encoded.bytes.clone()));
        }
        Some((action.digest(), result))
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
