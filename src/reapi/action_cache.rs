//! The action cache: `GetActionResult` and `UpdateActionResult`.
//!
//! A hit does not mean that its outputs still exist or are sound: the caller finds out, and
//! executes with `skip_cache_lookup` if they are not.

use crate::digest::Digest;
use crate::pb::reapi::action_cache_client::ActionCacheClient;
use crate::pb::reapi::{ActionResult, GetActionResultRequest, UpdateActionResultRequest};
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::http_cache::NO_RESULT;
use crate::reapi::limits::LARGEST_MESSAGE;
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::Service;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;

/// The cached result of `action`; `None` if there is none. The server may send the contents of the
/// `inline` output paths along. `strange` hears of an entry that is no result, which is a miss.
pub(super) async fn get(
    session: &Session,
    action: &Digest,
    inline: &[String],
    context: &RequestContext,
    strange: &(dyn Fn(&Failure) + Sync),
) -> Result<Option<ActionResult>, Failure> {
    let found = match ask(session, action, inline, context).await {
        // Some servers inline more than a message may hold.
        Err(failure) if failure.kind == FailureKind::TooLarge && !inline.is_empty() => {
            ask(session, action, &[], context).await
        }
        found => found,
    };
    match found {
        Ok(result) => Ok(Some(result)),
        Err(failure) if is_miss(&failure) => {
            if failure.message.contains(NO_RESULT) {
                strange(&failure);
            }
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

async fn ask(
    session: &Session,
    action: &Digest,
    inline: &[String],
    context: &RequestContext,
) -> Result<ActionResult, Failure> {
    let message = GetActionResultRequest {
        instance_name: session.transport.instance.clone(),
        action_digest: Some(action.to_pb()),
        inline_stdout: true,
        inline_stderr: true,
        inline_output_files: inline.to_vec(),
        digest_function: session.function().to_pb(),
    };
    let (service, class, rpc) = (Service::Cache, TrafficClass::Calls, Rpc::GetActionResult);
    session
        .transport
        .call(service, class, rpc, context, |call| {
            let message = message.clone();
            async move {
                let mut client = ActionCacheClient::new(call.channel())
                    .max_decoding_message_size(LARGEST_MESSAGE);
                let request = call.request(message);
                call.answer(client.get_action_result(request)).await
            }
        })
        .await
}

/// Some farms execute and keep no results. A web server that does not know the path is not a farm.
fn is_miss(failure: &Failure) -> bool {
    failure.kind == FailureKind::NotFound
        || (failure.kind == FailureKind::Unsupported && failure.http.is_none())
}

/// Stores `result`. Its outputs, the Action and the Command must have been uploaded before.
pub(super) async fn update(
    session: &Session,
    action: &Digest,
    result: ActionResult,
    context: &RequestContext,
) -> Result<(), Failure> {
    let message = UpdateActionResultRequest {
        instance_name: session.transport.instance.clone(),
        action_digest: Some(action.to_pb()),
        action_result: Some(result),
        results_cache_policy: None,
        digest_function: session.function().to_pb(),
    };
    let (service, class, rpc) = (Service::Cache, TrafficClass::Calls, Rpc::UpdateActionResult);
    session
        .transport
        .call(service, class, rpc, context, |call| {
            let message = message.clone();
            async move {
                let mut client = ActionCacheClient::new(call.channel())
                    .max_decoding_message_size(LARGEST_MESSAGE);
                let request = call.request(message);
                call.answer(client.update_action_result(request)).await
            }
        })
        .await?;
    Ok(())
}
