//! Gives the farm's action cache what this machine has compiled.
//!
//! Enters: a job and its good local result. Leaves: outputs, Command and Action in the CAS and an
//! entry that names them, as a worker would have left it. A farm that does not want it costs the
//! link nothing but the attempt.

use bytes::Bytes;

use super::{RemoteExecutor, request_context};
use crate::events::Origin;
use crate::exec::{Compiled, Hermetic, Planned, PlannedForm};
use crate::pb::reapi::{ActionResult, ExecutedActionMetadata, OutputFile};
use crate::reapi::{Blob, Failure};

impl RemoteExecutor {
    /// Whether `compiled`, made here, may and should be given to the farm.
    pub fn wants(&self, job: &Planned, compiled: &Compiled) -> bool {
        let would_be_taken = job.fallen.get().is_none_or(|fallen| fallen.store);
        would_be_taken
            && compiled.storable
            && compiled.origin == Origin::Local
            && self.shared.upload_local_results
            && self.client.capabilities().can_update_action_cache
            // What our compiler makes is no result of the worker's.
            && self.shared.toolchain_is_ours()
    }

    /// Stores `compiled` under the job's action.
    ///
    /// # Errors
    /// What the farm said; the result itself is as good as before.
    pub async fn store(&self, job: &Planned, compiled: &Compiled) -> Result<(), Failure> {
        let PlannedForm::Hermetic(hermetic) = &job.form else {
            return Ok(());
        };
        let Ok(action) = self.action(hermetic) else {
            return Ok(());
        };
        let (result, mut blobs) = self.result(hermetic, compiled);
        for encoded in [&action.command, &action.message] {
            blobs.push(Blob::from_bytes(encoded.digest, encoded.bytes.clone()));
        }
        self.client.ensure_uploaded(&blobs).await?;
        let key = action.digest();
        let context = request_context(job, key);
        self.client
            .update_action_result(&key, result, &context)
            .await
    }

    fn result(&self, hermetic: &Hermetic, compiled: &Compiled) -> (ActionResult, Vec<Blob>) {
        let mut blobs = Vec::new();
        let mut add = |contents: &Bytes| {
            let digest = self.template.function.digest(contents);
            blobs.push(Blob::from_bytes(digest, contents.clone()));
            Some(digest.to_pb())
        };
        let outputs = hermetic.job.outputs.iter().zip(&compiled.outputs);
        let output_files = outputs
            .map(|(declared, contents)| OutputFile {
                path: declared.tree_path.clone(),
                digest: add(contents),
                ..OutputFile::default()
            })
            .collect();
        let stderr_digest = if compiled.stderr.is_empty() {
            None
        } else {
            add(&Bytes::from(compiled.stderr.clone()))
        };
        let result = ActionResult {
            output_files,
            stderr_digest,
            execution_metadata: Some(ExecutedActionMetadata {
                worker: "relto".to_owned(),
                ..ExecutedActionMetadata::default()
            }),
            ..ActionResult::default()
        };
        (result, blobs)
    }
}
