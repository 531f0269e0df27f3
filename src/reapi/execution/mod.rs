//! Executions: from `Execute` to their result, through broken streams and lost inputs.

pub(crate) mod cancel;
pub(crate) mod operation;
mod repair;
pub(crate) mod result;
mod run;
mod stage;

use std::fmt;
use std::sync::Arc;

use cancel::Canceller;
pub(super) use run::ExecutionRun;

use crate::digest::Digest;
use crate::pb::reapi::{ExecuteRequest, ExecutionPolicy, ResultsCachePolicy};
use crate::reapi::cas::blob::ActionClosure;
use crate::reapi::cas::upload::Uploader;
use crate::reapi::session::Session;
use crate::reapi::transport::metadata::RequestContext;

/// What to execute.
#[derive(Clone)]
pub struct ExecuteJob {
    pub action: Digest,
    /// Run it even if the action cache has a result: that one turned out to be bad.
    pub skip_cache_lookup: bool,
    /// Everything that must be in the CAS, in case the server loses some of it.
    pub closure: Arc<dyn ActionClosure>,
    /// Output paths whose contents the server may send along with the result.
    pub inline_outputs: Vec<String>,
    pub context: RequestContext,
}

impl fmt::Debug for ExecuteJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecuteJob({}, {:?})", self.action, self.context.target)
    }
}

/// The services that executions use.
#[derive(Clone, Copy)]
pub(super) struct ExecutionContext<'a> {
    pub(super) session: &'a Session,
    pub(super) uploader: &'a Uploader,
    pub(super) canceller: &'a Canceller,
}

impl ExecutionContext<'_> {
    fn request(&self, job: &ExecuteJob) -> ExecuteRequest {
        let caller = &self.session.caller;
        // A server without priorities need not see any.
        let policy = |priority: i32| (priority != 0).then_some(priority);
        ExecuteRequest {
            instance_name: self.session.transport.instance.clone(),
            skip_cache_lookup: job.skip_cache_lookup,
            action_digest: Some(job.action.to_pb()),
            execution_policy: policy(caller.execution_priority)
                .map(|priority| ExecutionPolicy { priority }),
            results_cache_policy: policy(caller.result_cache_priority)
                .map(|priority| ResultsCachePolicy { priority }),
            digest_function: self.session.function().to_pb(),
            inline_stdout: true,
            inline_stderr: true,
            inline_output_files: job.inline_outputs.clone(),
        }
    }
}
