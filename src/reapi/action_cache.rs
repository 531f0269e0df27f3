//! The action cache: `GetActionResult` and `UpdateActionResult`.
//!
//! A hit says nothing about its outputs still being there, nor about their being sound: both are
//! for the caller to find out, who then executes with `skip_cache_lookup`.

use crate::digest::Digest;
use crate::pb::reapi::action_cache_client::ActionCacheClient;
use crate::pb::reapi::{
    ActionResult, GetActionResultRequest, ResultsCachePolicy, UpdateActionResultRequest,
};
use crate::reapi::capabilities::clamp_priority;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;
use crate::reapi::transport::{LARGEST_ANSWER, Service};

/// The result that is kept for `action`; `None` if there is none. `inline` are output paths whose
/// contents are wanted in the answer, which the server may heed.
pub(super) async fn get(
    session: &Session,
    action: &Digest,
    inline: &[String],
    context: &RequestContext,
) -> Result<Option<ActionResult>, Failure> {
    let message = GetActionResultRequest {
        instance_name: session.transport.instance.clone(),
        action_digest: Some(action.to_pb()),
        inline_stdout: true,
        inline_stderr: true,
        inline_output_files: inline.to_vec(),
        digest_function: session.function().to_pb(),
    };
    let (service, class, rpc) = (Service::Cache, TrafficClass::Calls, Rpc::GetActionResult);
    let found = session
        .transport
        .call(service, class, rpc, context, |call| {
            let message = message.clone();
            async move {
                let mut client = ActionCacheClient::new(call.channel())
                    .max_decoding_message_size(LARGEST_ANSWER);
                let request = call.request(message);
                call.answer(client.get_action_result(request)).await
            }
        });
    match found.await {
        Ok(result) => Ok(Some(result)),
        // Some farms execute and keep no results.
        Err(failure) if is_miss(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn is_miss(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::NotFound | FailureKind::Unsupported
    )
}

/// Stores `result`. Its outputs, the Action and the Command must have been uploaded before.
pub(super) async fn update(
    session: &Session,
    action: &Digest,
    result: ActionResult,
    priority: i32,
    context: &RequestContext,
) -> Result<(), Failure> {
    let priority = clamp_priority(priority, &session.capabilities.cache_priorities);
    let message = UpdateActionResultRequest {
        instance_name: session.transport.instance.clone(),
        action_digest: Some(action.to_pb()),
        action_result: Some(result),
        results_cache_policy: priority.map(|priority| ResultsCachePolicy { priority }),
        digest_function: session.function().to_pb(),
    };
    let (service, class, rpc) = (Service::Cache, TrafficClass::Calls, Rpc::UpdateActionResult);
    session
        .transport
        .call(service, class, rpc, context, |call| {
            let message = message.clone();
            async move {
                let mut client = ActionCacheClient::new(call.channel())
                    .max_decoding_message_size(LARGEST_ANSWER);
                let request = call.request(message);
                call.answer(client.update_action_result(request)).await
            }
        })
        .await?;
    Ok(())
}
