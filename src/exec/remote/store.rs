//! Uploads what this machine has compiled to the farm's action cache.
//!
//! Outputs, Command and Action go into the CAS and an entry names them, as a worker would have left
//! them. A farm that rejects the upload costs the link only the attempt.

use bytes::Bytes;

use super::{RemoteExecutor, request_context};
use crate::events::Origin;
use crate::exec::{Compiled, Hermetic, Planned, PlannedForm};
use crate::pb::reapi::{ActionResult, ExecutedActionMetadata, OutputFile};
use crate::reapi::{Blob, Failure};

impl RemoteExecutor {
    /// Whether `compiled`, made on this machine, may and should be stored on the farm.
    pub fn wants(&self, compiled: &Compiled) -> bool {
        compiled.storable
            && compiled.origin == Origin::Local
            && self.config.upload_local_results
            && self.client.capabilities().can_update_action_cache
            // An object of our compiler is not a result of the worker's compiler.
            && self.config.toolchain_is_ours()
    }

    /// Stores `compiled` under the job's action.
    ///
    /// # Errors
    /// The farm rejected the upload; the result itself stays good.
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
            add(&compiled.stderr)
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
