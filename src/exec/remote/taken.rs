//! From a server's `ActionResult` to outputs that may be given to the linker.
//!
//! Enters: a result, from the action cache or from an execution. Leaves: the declared outputs,
//! fetched, verified and of the right kind; or in which way the result is none.

use bytes::Bytes;

use super::RemoteExecutor;
use crate::action::canonical::CanonicalJob;
use crate::exec::{UnsoundResult, check_result};
use crate::pb::reapi::ActionResult;
use crate::reapi::{Failure, FailureKind, Printed, RequestContext, declared_outputs, stderr};

/// No object and no messages are that large; a server that says otherwise does not get the memory
/// for it.
const LARGEST_OUTPUT: u64 = 2 << 30;
const LARGEST_STDERR: u64 = 64 << 20;

/// A sound result.
#[derive(Debug)]
pub(super) struct Taken {
    /// In the order of the job's outputs.
    pub(super) outputs: Vec<Bytes>,
    pub(super) stderr: Bytes,
}

/// Why a result is not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The compiler said no.
    Exit(i32, Bytes),
    /// It is there and wrong, or what it names is gone.
    Bad(String),
    /// Nobody can say: the farm failed.
    Failed(Failure),
}

impl RemoteExecutor {
    /// Fetches and checks what `result` says of `job`.
    pub(super) async fn take(
        &self,
        job: &CanonicalJob,
        result: &ActionResult,
        context: &RequestContext,
    ) -> Result<Taken, Refusal> {
        let stderr = self.printed(&stderr(result), context).await?;
        if result.exit_code != 0 {
            return Err(Refusal::Exit(result.exit_code, stderr));
        }
        let mut outputs = self.outputs(job, result, context).await?;
        check_result(job, 0, &stderr, &outputs)
            .map_err(|unsound: UnsoundResult| Refusal::Bad(unsound.to_string()))?;
        Ok(Taken {
            outputs: outputs.iter_mut().filter_map(Option::take).collect(),
            stderr,
        })
    }

    async fn outputs(
        &self,
        job: &CanonicalJob,
        result: &ActionResult,
        context: &RequestContext,
    ) -> Result<Vec<Option<Bytes>>, Refusal> {
        let declared: Vec<String> = paths(job);
        // The digests may be those of an execution or of a cached result: the message alone says
        // what is wrong.
        let mut found =
            declared_outputs(result, &declared).map_err(|failure| Refusal::Bad(failure.message))?;
        for output in &found {
            check_size(&output.path, output.digest.size, LARGEST_OUTPUT)?;
        }
        let fetches = found.iter_mut().map(|output| {
            self.client
                .fetch(&output.digest, output.inline.take(), context)
        });
        let contents = futures_util::future::try_join_all(fetches)
            .await
            .map_err(refusal)?;
        let mut outputs = vec![None; declared.len()];
        for (output, contents) in found.iter().zip(contents) {
            let place = declared.iter().position(|path| *path == output.path);
            outputs[place.expect("only declared outputs are found")] = Some(contents);
        }
        Ok(outputs)
    }

    async fn printed(&self, printed: &Printed, context: &RequestContext) -> Result<Bytes, Refusal> {
        if let Some(digest) = &printed.digest {
            check_size("stderr", digest.size, LARGEST_STDERR)?;
        }
        self.client.printed(printed, context).await.map_err(refusal)
    }
}

/// The outputs as the Command declares them.
pub(super) fn paths(job: &CanonicalJob) -> Vec<String> {
    let outputs = job.outputs.iter();
    outputs.map(|output| output.tree_path.clone()).collect()
}

fn check_size(what: &str, size: u64, limit: u64) -> Result<(), Refusal> {
    if size > limit {
        return Err(Refusal::Bad(format!(
            "`{what}` is said to have {size} bytes"
        )));
    }
    Ok(())
}

/// A blob that is gone or wrong spoils the result that names it; all else spoils nothing but this
/// attempt.
fn refusal(failure: Failure) -> Refusal {
    match failure.kind {
        FailureKind::NotFound | FailureKind::Corrupt => Refusal::Bad(failure.to_string()),
        _ => Refusal::Failed(failure),
    }
}
