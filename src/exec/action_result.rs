//! The result of an Action that this machine has run, as a worker would have left it.

use bytes::Bytes;

use crate::action::canonical::CanonicalJob;
use crate::digest::Digest;
use crate::pb::reapi::{ActionResult, ExecutedActionMetadata, OutputFile};

/// Who made a result: the worker that says so, else relto.
pub(super) fn execution_metadata(
    made_by: Option<&ExecutedActionMetadata>,
) -> ExecutedActionMetadata {
    let by_relto = || ExecutedActionMetadata {
        worker: "relto".to_owned(),
        ..ExecutedActionMetadata::default()
    };
    made_by.cloned().unwrap_or_else(by_relto)
}

/// Describes what `job` wrote. `keep` stores each blob and returns its digest. Without `made_by`
/// the result is relto's own.
///
/// # Errors
/// Those of `keep`.
pub fn action_result<E>(
    job: &CanonicalJob,
    outputs: &[Bytes],
    stderr: &Bytes,
    made_by: Option<&ExecutedActionMetadata>,
    mut keep: impl FnMut(&Bytes) -> Result<Digest, E>,
) -> Result<ActionResult, E> {
    let mut result = ActionResult {
        execution_metadata: Some(execution_metadata(made_by)),
        ..ActionResult::default()
    };
    for (declared, contents) in job.outputs.iter().zip(outputs) {
        result.output_files.push(OutputFile {
            path: declared.tree_path.clone(),
            digest: Some(keep(contents)?.to_pb()),
            ..OutputFile::default()
        });
    }
    if !stderr.is_empty() {
        result.stderr_digest = Some(keep(stderr)?.to_pb());
    }
    Ok(result)
}
