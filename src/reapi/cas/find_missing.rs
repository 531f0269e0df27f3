//! `FindMissingBlobs`: asks which digests the CAS lacks. Asking also keeps the others alive.

use std::collections::HashSet;

use crate::digest::Digest;
use crate::pb::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::pb::reapi::{FindMissingBlobsRequest, FindMissingBlobsResponse};
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::{LARGEST_MESSAGE, SMALLEST_LEARNED};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::Service;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;

/// The subset of `digests` that must be uploaded. A list that the server finds too long is asked
/// about in halves.
pub(crate) async fn find_missing(
    session: &Session,
    digests: &[Digest],
) -> Result<HashSet<Digest>, Failure> {
    let mut missing = HashSet::new();
    let mut rest = digests;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(session.limits.digests.get()));
        match ask(session, chunk).await {
            Ok(answer) => {
                collect(&answer, &mut missing)?;
                rest = after;
            }
            Err(failure) if failure.kind == FailureKind::TooLarge && may_halve(session, chunk) => {
                session.limits.digests.refuse(chunk.len());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(missing)
}

fn may_halve(session: &Session, chunk: &[Digest]) -> bool {
    chunk.len() > 1 && session.limits.digests.get() > SMALLEST_LEARNED
}

async fn ask(session: &Session, digests: &[Digest]) -> Result<FindMissingBlobsResponse, Failure> {
    let message = FindMissingBlobsRequest {
        instance_name: session.transport.instance.clone(),
        blob_digests: digests.iter().map(Digest::to_pb).collect(),
        digest_function: session.function().to_pb(),
    };
    let (service, class, rpc) = (Service::Cache, TrafficClass::Calls, Rpc::FindMissingBlobs);
    let context = RequestContext::default();
    session
        .transport
        .call(service, class, rpc, &context, |call| {
            let message = message.clone();
            async move {
                let mut client = ContentAddressableStorageClient::new(call.channel())
                    .max_decoding_message_size(LARGEST_MESSAGE);
                let request = call.request(message);
                call.answer(client.find_missing_blobs(request)).await
            }
        })
        .await
}

fn collect(
    answer: &FindMissingBlobsResponse,
    missing: &mut HashSet<Digest>,
) -> Result<(), Failure> {
    for digest in &answer.missing_blob_digests {
        let digest = Digest::from_pb(digest)
            .map_err(|error| Failure::corrupt(Rpc::FindMissingBlobs, error.to_string()))?;
        missing.insert(digest);
    }
    Ok(())
}
