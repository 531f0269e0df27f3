//! Turns a server's [`ActionResult`] into outputs that may be given to the linker.
//!
//! The result may come from the action cache or from an execution: either way its outputs are
//! fetched, verified and checked to be of the right kind.

use std::sync::Arc;

use bytes::Bytes;

use super::job::RemoteJob;
use crate::action::canonical::CanonicalJob;
use crate::action::kind::check_output;
use crate::exec::{UnsoundResult, check_result};
use crate::pb::reapi::ActionResult;
use crate::reapi::limits::{LARGEST_OUTPUT, LARGEST_STDERR};
use crate::reapi::{Failure, FailureKind, HeadCheck, Printed, declared_outputs, stderr};

#[derive(Debug)]
pub(super) struct VerifiedResult {
    /// In the order of the job's outputs.
    pub(super) outputs: Vec<Bytes>,
    pub(super) stderr: Bytes,
}

/// Why a result cannot be used.
#[derive(Debug)]
pub(super) enum ResultError {
    /// The compiler failed.
    Exit(i32, Bytes),
    /// The result is wrong, or a blob that it names is gone.
    Bad(String),
    /// The farm failed, so the result's state is unknown.
    Failed(Failure),
}

impl RemoteJob<'_> {
    /// Fetches and checks the outputs that `result` names.
    pub(super) async fn fetch(&self, result: &ActionResult) -> Result<VerifiedResult, ResultError> {
        let stderr = self.printed(&stderr(result)).await?;
        if result.exit_code != 0 {
            return Err(ResultError::Exit(result.exit_code, stderr));
        }
        let mut outputs = self.outputs(result).await?;
        check_result(&self.hermetic.job, 0, &stderr, &outputs)
            .map_err(|unsound: UnsoundResult| ResultError::Bad(unsound.to_string()))?;
        Ok(VerifiedResult {
            outputs: outputs.iter_mut().filter_map(Option::take).collect(),
            stderr,
        })
    }

    async fn outputs(&self, result: &ActionResult) -> Result<Vec<Option<Bytes>>, ResultError> {
        let job = &self.hermetic.job;
        let declared: Vec<String> = output_paths(job);
        // The digests may come from an execution or from a cached result: the message alone says
        // what is wrong.
        let mut found = declared_outputs(result, &declared)
            .map_err(|failure| ResultError::Bad(failure.message))?;
        for output in &found {
            check_size(&output.path, output.digest.size, LARGEST_OUTPUT)?;
        }
        let kind = job.kind;
        let is_sound: HeadCheck = Arc::new(move |head| {
            check_output(kind, head)
                .map_err(|wrong| UnsoundResult::WrongOutput(wrong.to_string()).to_string())
        });
        let fetches = found.iter_mut().map(|output| {
            // Only the first output is known by its kind.
            let check = (declared.first() == Some(&output.path)).then_some(&is_sound);
            let inline = output.inline.take();
            let client = &self.executor.client;
            client.fetch_checked(&output.digest, inline, check, &self.context)
        });
        let contents = futures_util::future::try_join_all(fetches)
            .await
            .map_err(result_error)?;
        let mut outputs = vec![None; declared.len()];
        for (output, contents) in found.iter().zip(contents) {
            let position = declared.iter().position(|path| *path == output.path);
            outputs[position.expect("only declared outputs are found")] = Some(contents);
        }
        Ok(outputs)
    }

    async fn printed(&self, printed: &Printed) -> Result<Bytes, ResultError> {
        if let Some(digest) = &printed.digest {
            check_size("stderr", digest.size, LARGEST_STDERR)?;
        }
        let printed = self.executor.client.printed(printed, &self.context);
        printed.await.map_err(result_error)
    }
}

/// The output paths as the Command declares them.
pub(super) fn output_paths(job: &CanonicalJob) -> Vec<String> {
    let outputs = job.outputs.iter();
    outputs.map(|output| output.tree_path.clone()).collect()
}

fn check_size(what: &str, size: u64, limit: u64) -> Result<(), ResultError> {
    if size > limit {
        return Err(ResultError::Bad(format!(
            "`{what}` is said to have {size} bytes"
        )));
    }
    Ok(())
}

/// A missing or wrong blob makes the result bad; any other failure says nothing about it.
fn result_error(failure: Failure) -> ResultError {
    match failure.kind {
        FailureKind::NotFound | FailureKind::Corrupt => ResultError::Bad(failure.to_string()),
        _ => ResultError::Failed(failure),
    }
}
