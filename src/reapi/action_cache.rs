//! The action cache: `GetActionResult` and `UpdateActionResult`.
//!
//! A hit says nothing about its outputs still being there, nor about their being sound: both are
//! for the caller to find out, who then executes with `skip_cache_lookup`.

use super::capabilities::clamp_priority;
use super::channel::Lane;
use super::farm::Farm;
use super::metadata::RequestContext;
use super::rpc::Rpc;
use super::status::{Failure, FailureKind};
use super::wire::{LARGEST_ANSWER, Role};
use crate::digest::Digest;
use crate::pb::reapi::action_cache_client::ActionCacheClient;
use crate::pb::reapi::{
    ActionResult, GetActionResultRequest, ResultsCachePolicy, UpdateActionResultRequest,
};

/// The result that is kept for `action`; `None` if there is none. `inline` are output paths whose
/// contents are wanted in the answer, which the server may heed.
pub(super) async fn get(
    farm: &Farm,
    action: &Digest,
    inline: &[String],
    context: &RequestContext,
) -> Result<Option<ActionResult>, Failure> {
    let message = GetActionResultRequest {
        instance_name: farm.wire.instance.clone(),
        action_digest: Some(action.to_pb()),
        inline_stdout: true,
        inline_stderr: true,
        inline_output_files: inline.to_vec(),
        digest_function: farm.function().to_pb(),
    };
    let (role, lane, rpc) = (Role::Cache, Lane::Calls, Rpc::GetActionResult);
    let found = farm.wire.call(role, lane, rpc, context, |call| {
        let message = message.clone();
        async move {
            let mut client =
                ActionCacheClient::new(call.channel()).max_decoding_message_size(LARGEST_ANSWER);
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
    farm: &Farm,
    action: &Digest,
    result: ActionResult,
    priority: i32,
    context: &RequestContext,
) -> Result<(), Failure> {
    let priority = clamp_priority(priority, &farm.capabilities.cache_priorities);
    let message = UpdateActionResultRequest {
        instance_name: farm.wire.instance.clone(),
        action_digest: Some(action.to_pb()),
        action_result: Some(result),
        results_cache_policy: priority.map(|priority| ResultsCachePolicy { priority }),
        digest_function: farm.function().to_pb(),
    };
    let (role, lane, rpc) = (Role::Cache, Lane::Calls, Rpc::UpdateActionResult);
    farm.wire
        .call(role, lane, rpc, context, |call| {
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
