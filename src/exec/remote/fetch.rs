//! Turns a server's [`ActionResult`] into outputs that may be given to the linker.
//!
//! The result may come from the action cache or from an execution: either way its outputs are
//! fetched, verified and checked to be of the right kind.

use std::sync::Arc;

use bytes::Bytes;

use super::job::RemoteJob;
use crate::action::canonical::CanonicalJob;
use crate::exec::{PlannedForm, UnsoundResult, check_kind, check_result};
use crate::pb::reapi::{ActionResult, ExecutedActionMetadata};
use crate::reapi::limits::{LARGEST_OUTPUT, LARGEST_STDERR, RESULT_BYTES, STDERR_OF_WAITING};
use crate::reapi::{
    DeclaredOutput, Failure, FailureKind, HeadCheck, Printed, ResultMemory, Rpc, declared_outputs,
    stderr,
};
use crate::text;

#[derive(Debug)]
pub(super) struct VerifiedResult {
    /// In the order of the job's outputs.
    pub(super) outputs: Vec<Bytes>,
    pub(super) stderr: Bytes,
    pub(super) made_by: Option<Box<ExecutedActionMetadata>>,
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

/// What a job keeps of a result. The message may hold more, as much as the server likes.
pub(super) struct ReceivedResult {
    pub(super) exit_code: i32,
    /// None, if the compiler failed.
    pub(super) outputs: Vec<DeclaredOutput>,
    pub(super) stderr: Printed,
    pub(super) made_by: Option<Box<ExecutedActionMetadata>>,
    pub(super) memory: ResultMemory,
}

impl RemoteJob<'_> {
    /// Fetches and checks the outputs that `result` names.
    pub(super) async fn fetch(&self, result: ActionResult) -> Result<VerifiedResult, ResultError> {
        let declared = output_paths(&self.hermetic.job);
        let mut received = self.receive(result, &declared, 1).await?;
        let stderr = self.printed(&received).await?;
        if received.exit_code != 0 {
            return Err(ResultError::Exit(received.exit_code, stderr));
        }
        let mut outputs = self.outputs(&mut received).await?;
        check_result(&self.hermetic.job, 0, &stderr, &outputs)
            .map_err(|unsound: UnsoundResult| ResultError::Bad(unsound.to_string()))?;
        Ok(VerifiedResult {
            outputs: outputs.iter_mut().filter_map(Option::take).collect(),
            stderr,
            made_by: received.made_by,
        })
    }

    /// Takes what the job needs out of `result`, with memory for so many copies of all of it.
    pub(super) async fn receive(
        &self,
        mut result: ActionResult,
        declared: &[String],
        copies: u64,
    ) -> Result<ReceivedResult, ResultError> {
        let exit_code = result.exit_code;
        let mut stderr = stderr(&result);
        let mut outputs = Vec::new();
        if exit_code == 0 {
            // The digests may come from an execution or from a cached result: the message alone
            // says what is wrong.
            outputs = declared_outputs(&result, declared)
                .map_err(|failure| ResultError::Bad(failure.message))?;
        }
        let made_by = result.execution_metadata.take().map(made_by);
        drop(result);
        let size = size_of(&outputs, &stderr)? * copies;
        let client = &self.executor.client;
        let memory = if let Some(memory) = client.try_reserve(size) {
            memory
        } else {
            // Contents that came along are fetched later: they share the memory of the message.
            for output in &mut outputs {
                output.inline = None;
            }
            stderr.inline = waiting_stderr(&stderr.inline)?;
            client.reserve(size).await
        };
        for output in &mut outputs {
            let size = output.digest.size;
            let inline = output.inline.take();
            let inline = inline.filter(|bytes| bytes.len() as u64 == size);
            output.inline = inline.map(|bytes| Bytes::copy_from_slice(&bytes));
        }
        stderr.inline = Bytes::copy_from_slice(&stderr.inline);
        Ok(ReceivedResult {
            exit_code,
            outputs,
            stderr,
            made_by,
            memory,
        })
    }

    async fn outputs(
        &self,
        received: &mut ReceivedResult,
    ) -> Result<Vec<Option<Bytes>>, ResultError> {
        let job = &self.hermetic.job;
        let fetches = received.outputs.iter_mut().map(|output| {
            let position = job
                .outputs
                .iter()
                .position(|declared| declared.tree_path == output.path)
                .expect("only declared outputs are found");
            let (is_sound, inline) = (self.head_check(position), output.inline.take());
            let (client, digest) = (&self.executor.client, output.digest);
            async move {
                let fetching =
                    client.fetch_checked(&digest, inline, Some(&is_sound), &self.context);
                Ok((position, fetching.await?))
            }
        });
        let contents = futures_util::future::try_join_all(fetches)
            .await
            .map_err(result_error)?;
        let mut outputs = vec![None; job.outputs.len()];
        for (position, contents) in contents {
            outputs[position] = Some(received.memory.hold(contents));
        }
        Ok(outputs)
    }

    /// Checks the first bytes of the job's output at `position`.
    pub(super) fn head_check(&self, position: usize) -> HeadCheck {
        let job = Arc::clone(self.job);
        Arc::new(move |head| match &job.form {
            PlannedForm::Hermetic(hermetic) => {
                check_kind(&hermetic.job, position, head).map_err(|unsound| unsound.to_string())
            }
            PlannedForm::InPlace(_) => Ok(()),
        })
    }

    async fn printed(&self, received: &ReceivedResult) -> Result<Bytes, ResultError> {
        let client = &self.executor.client;
        let printed = client.printed(&received.stderr, &self.context).await;
        Ok(received.memory.hold(printed.map_err(result_error)?))
    }
}

/// What a result says of its worker, without what may be of any size and is for the farm's own
/// tools.
fn made_by(mut metadata: ExecutedActionMetadata) -> Box<ExecutedActionMetadata> {
    const WORKER_NAME_CHARS: usize = 200;
    metadata.worker = text::one_line(&metadata.worker, WORKER_NAME_CHARS);
    metadata.auxiliary_metadata = Vec::new();
    Box::new(metadata)
}

/// The memory that a result takes.
fn size_of(outputs: &[DeclaredOutput], stderr: &Printed) -> Result<u64, ResultError> {
    for output in outputs {
        check_size(&output.path, output.digest.size, LARGEST_OUTPUT)?;
    }
    let printed = stderr.digest.map_or(0, |digest| digest.size);
    check_size("stderr", printed, LARGEST_STDERR)?;
    let outputs: u64 = outputs.iter().map(|output| output.digest.size).sum();
    let size = outputs + printed + stderr.inline.len() as u64;
    check_size("all outputs", size, RESULT_BYTES)?;
    Ok(size)
}

/// A copy of what was printed, for a job that waits for memory.
fn waiting_stderr(inline: &Bytes) -> Result<Bytes, ResultError> {
    if inline.len() <= STDERR_OF_WAITING {
        return Ok(Bytes::copy_from_slice(inline));
    }
    let limit = RESULT_BYTES >> 20;
    let message = format!("the results under way are too large: more than {limit} MiB");
    let failure = Failure::new(FailureKind::TooLarge, Rpc::GetActionResult, message);
    Err(ResultError::Failed(failure))
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
pub(super) fn result_error(failure: Failure) -> ResultError {
    match failure.kind {
        FailureKind::NotFound | FailureKind::Corrupt => ResultError::Bad(failure.to_string()),
        _ => ResultError::Failed(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn output(size: u64) -> DeclaredOutput {
        DeclaredOutput {
            path: "a.o".to_owned(),
            digest: Digest {
                hash: [0; 32],
                size,
            },
            inline: None,
        }
    }

    #[test]
    fn all_outputs_of_a_job_count_together() {
        let printed = Printed {
            inline: Bytes::from_static(b"warning"),
            digest: None,
        };
        let size = size_of(&[output(600), output(40)], &printed).expect("small");
        assert_eq!(size, 647);
        let most = LARGEST_OUTPUT / 2 + 1;
        size_of(&[output(most)], &printed).expect("one may be large");
        let error = size_of(&[output(most), output(most)], &printed).expect_err("too much");
        assert!(matches!(error, ResultError::Bad(reason) if reason.contains("all outputs")));
        size_of(&[output(u64::MAX), output(u64::MAX)], &printed).expect_err("each is too large");
    }

    #[test]
    fn a_job_that_waits_for_memory_keeps_few_of_the_servers_words() {
        assert!(waiting_stderr(&Bytes::from(vec![b'x'; STDERR_OF_WAITING])).is_ok());
        assert!(waiting_stderr(&Bytes::from(vec![b'x'; STDERR_OF_WAITING + 1])).is_err());
    }
}
