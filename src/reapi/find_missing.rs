//! `FindMissingBlobs`: which of these digests does the CAS lack? To be asked is also what keeps the
//! others alive.

use std::collections::HashSet;

use super::channel::Lane;
use super::farm::Farm;
use super::metadata::RequestContext;
use super::rpc::Rpc;
use super::status::{Failure, FailureKind};
use super::wire::{LARGEST_ANSWER, Role};
use crate::digest::Digest;
use crate::pb::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::pb::reapi::{FindMissingBlobsRequest, FindMissingBlobsResponse};

/// The subset of `digests` that must be uploaded. A list that the server finds too long is asked in
/// halves.
pub(super) async fn find_missing(
    farm: &Farm,
    digests: &[Digest],
) -> Result<HashSet<Digest>, Failure> {
    let mut missing = HashSet::new();
    let mut rest = digests;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(farm.limits.digests.get()));
        match ask(farm, chunk).await {
            Ok(answer) => {
                collect(&answer, &mut missing)?;
                rest = after;
            }
            Err(failure) if failure.kind == FailureKind::TooLarge && may_halve(farm, chunk) => {
                farm.limits.digests.refuse(chunk.len());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(missing)
}

fn may_halve(farm: &Farm, chunk: &[Digest]) -> bool {
    chunk.len() > 1 && farm.limits.digests.get() > 1024
}

async fn ask(farm: &Farm, digests: &[Digest]) -> Result<FindMissingBlobsResponse, Failure> {
    let message = FindMissingBlobsRequest {
        instance_name: farm.wire.instance.clone(),
        blob_digests: digests.iter().map(Digest::to_pb).collect(),
        digest_function: farm.function().to_pb(),
    };
    let (role, lane, rpc) = (Role::Cache, Lane::Calls, Rpc::FindMissingBlobs);
    let context = RequestContext::default();
    farm.wire
        .call(role, lane, rpc, &context, |call| {
            let message = message.clone();
            async move {
                let mut client = ContentAddressableStorageClient::new(call.channel())
                    .max_decoding_message_size(LARGEST_ANSWER);
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
