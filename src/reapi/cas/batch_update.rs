//! `BatchUpdateBlobs`: many small blobs in one call.
//!
//! A blob that a batch cannot carry is written in a stream of its own, whose outcome counts.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use prost::Message as _;

use crate::digest::{Digest, DigestFunction};
use crate::pb::reapi::batch_update_blobs_request::Request;
use crate::pb::reapi::compressor::Value as Compressor;
use crate::pb::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::pb::reapi::{BatchUpdateBlobsRequest, BatchUpdateBlobsResponse};
use crate::reapi::cas::batch::{Recovery, cost, recover};
use crate::reapi::cas::blob::Blob;
use crate::reapi::cas::bytestream;
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::cas::source::read_whole;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::{BATCH_FALLBACK_WRITES, LARGEST_MESSAGE};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::Service;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;
use crate::task;

pub(crate) type Outcomes = HashMap<Digest, Result<(), Failure>>;

/// Sends `blobs`, whose digests are distinct.
pub(crate) async fn send(session: &Arc<Session>, blobs: Vec<Blob>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut batches = vec![blobs];
    while let Some(batch) = batches.pop() {
        let (entries, unreadable) = read_all(session, &batch).await;
        outcomes.extend(unreadable);
        if entries.is_empty() {
            continue;
        }
        let failure = match ask(session, entries).await {
            Ok(answer) => {
                settle(session, &batch, &answer, &mut outcomes).await;
                continue;
            }
            Err(failure) => failure,
        };
        let total = batch.iter().map(|blob| cost(blob.digest.size)).sum();
        match recover(batch, total, failure, &session.limits.upload) {
            Recovery::Split(halves) => batches.extend(halves),
            Recovery::Stream(batch) => stream_all(session, batch, &mut outcomes).await,
            Recovery::Fail(batch, failure) => {
                let failed = batch.iter().map(|it| (it.digest, Err(failure.clone())));
                outcomes.extend(failed);
            }
        }
    }
    outcomes
}

/// Reads and verifies on a blocking thread. A blob that cannot be read has its outcome already.
async fn read_all(session: &Session, batch: &[Blob]) -> (Vec<Request>, Outcomes) {
    let function = session.function();
    let wanted: Vec<(Blob, Encoding)> = batch
        .iter()
        .map(|blob| (blob.clone(), session.batch_encoding(&blob.digest)))
        .collect();
    task::spawn_blocking(move || {
        let mut entries = Vec::with_capacity(wanted.len());
        let mut unreadable = Outcomes::new();
        for (blob, encoding) in wanted {
            match entry(&blob, function, encoding) {
                Ok(entry) => entries.push(entry),
                Err(failure) => {
                    unreadable.insert(blob.digest, Err(failure));
                }
            }
        }
        (entries, unreadable)
    })
    .await
}

fn entry(blob: &Blob, function: DigestFunction, encoding: Encoding) -> Result<Request, Failure> {
    let compressor = match encoding {
        Encoding::Identity => Compressor::Identity,
        Encoding::Zstd => Compressor::Zstd,
    };
    Ok(Request {
        digest: Some(blob.digest.to_pb()),
        data: read_whole(blob, function, encoding)?,
        compressor: compressor as i32,
    })
}

async fn ask(
    session: &Session,
    requests: Vec<Request>,
) -> Result<BatchUpdateBlobsResponse, Failure> {
    let message = BatchUpdateBlobsRequest {
        instance_name: session.transport.instance.clone(),
        requests,
        digest_function: session.function().to_pb(),
    };
    let (service, class, rpc) = (Service::Cache, TrafficClass::Calls, Rpc::BatchUpdateBlobs);
    session
        .transport
        .call(service, class, rpc, &RequestContext::default(), |call| {
            let message = message.clone();
            async move {
                let mut client = ContentAddressableStorageClient::new(call.channel())
                    .max_decoding_message_size(LARGEST_MESSAGE);
                call.moves(message.encoded_len() as u64);
                let request = call.request(message);
                call.answer(client.batch_update_blobs(request)).await
            }
        })
        .await
}

/// Reads the status of each blob, in any order.
async fn settle(
    session: &Session,
    batch: &[Blob],
    answer: &BatchUpdateBlobsResponse,
    outcomes: &mut Outcomes,
) {
    let mut answered = HashMap::new();
    for response in &answer.responses {
        if let Some(Ok(digest)) = response.digest.as_ref().map(Digest::from_pb) {
            let failure = Failure::from_blob(Rpc::BatchUpdateBlobs, response.status.as_ref());
            answered.insert(digest, failure);
        }
    }
    let mut again = Vec::new();
    for blob in batch {
        if outcomes.contains_key(&blob.digest) {
            continue;
        }
        match answered.remove(&blob.digest) {
            Some(None) => {
                outcomes.insert(blob.digest, Ok(()));
            }
            Some(Some(failure)) if is_final(&failure) => {
                outcomes.insert(blob.digest, Err(failure));
            }
            _ => again.push(blob.clone()),
        }
    }
    stream_all(session, again, outcomes).await;
}

fn is_final(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Denied | FailureKind::Unauthenticated
    )
}

async fn stream_all(session: &Session, mut blobs: Vec<Blob>, outcomes: &mut Outcomes) {
    blobs.retain(|blob| !outcomes.contains_key(&blob.digest));
    let writes = blobs.into_iter().map(|blob| async move {
        let written = bytestream::write(session, &blob).await;
        (blob.digest, written)
    });
    let mut writes = futures_util::stream::iter(writes).buffer_unordered(BATCH_FALLBACK_WRITES);
    while let Some((digest, written)) = writes.next().await {
        outcomes.insert(digest, written);
    }
}
