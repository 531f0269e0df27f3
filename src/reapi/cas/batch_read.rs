//! `BatchReadBlobs`: many small blobs in one call, each verified.
//!
//! A blob that a batch does not deliver is read in a stream of its own, whose outcome counts.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::digest::{Digest, DigestFunction};
use crate::pb::reapi::batch_read_blobs_response::Response;
use crate::pb::reapi::compressor::Value as Compressor;
use crate::pb::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::pb::reapi::{BatchReadBlobsRequest, BatchReadBlobsResponse};
use crate::reapi::cas::batch::{Recovery, cost, recover};
use crate::reapi::cas::bytestream;
use crate::reapi::cas::incoming::verify;
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::{BATCH_FALLBACK_READS, LARGEST_MESSAGE};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::Service;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;
use crate::task;

pub(crate) type Answers = HashMap<Digest, Result<Bytes, Failure>>;

/// Reads `digests`, which are distinct.
pub(crate) async fn read(session: &Session, digests: Vec<Digest>) -> Answers {
    let mut answers = Answers::new();
    let mut batches = vec![digests];
    while let Some(batch) = batches.pop() {
        let failure = match ask(session, &batch).await {
            Ok(answer) => {
                settle(session, batch, answer, &mut answers).await;
                continue;
            }
            Err(failure) => failure,
        };
        let total = batch.iter().map(|digest| cost(digest.size)).sum();
        match recover(batch, total, failure, &session.limits.download) {
            Recovery::Split(halves) => batches.extend(halves),
            Recovery::Stream(batch) => stream_all(session, batch, &mut answers).await,
            Recovery::Fail(batch, failure) => {
                let failed = batch.into_iter().map(|it| (it, Err(failure.clone())));
                answers.extend(failed);
            }
        }
    }
    answers
}

async fn ask(session: &Session, digests: &[Digest]) -> Result<BatchReadBlobsResponse, Failure> {
    let zstd = session.capabilities.zstd_streams;
    let volume = digests.iter().map(|digest| digest.size).sum();
    let message = BatchReadBlobsRequest {
        instance_name: session.transport.instance.clone(),
        digests: digests.iter().map(Digest::to_pb).collect(),
        acceptable_compressors: zstd
            .then_some(Compressor::Zstd as i32)
            .into_iter()
            .collect(),
        digest_function: session.function().to_pb(),
    };
    let (service, class, rpc) = (Service::Cache, TrafficClass::Calls, Rpc::BatchReadBlobs);
    session
        .transport
        .call(service, class, rpc, &RequestContext::default(), |call| {
            let message = message.clone();
            async move {
                let mut client = ContentAddressableStorageClient::new(call.channel())
                    .max_decoding_message_size(LARGEST_MESSAGE);
                call.moves(volume);
                let request = call.request(message);
                call.answer(client.batch_read_blobs(request)).await
            }
        })
        .await
}

/// Ignores blobs that were not asked for. Those that did not come, or came wrong, are read in
/// streams.
async fn settle(
    session: &Session,
    batch: Vec<Digest>,
    answer: BatchReadBlobsResponse,
    answers: &mut Answers,
) {
    let function = session.function();
    let asked: HashSet<Digest> = batch.iter().copied().collect();
    // Hashing megabytes would hold up everything else on this thread.
    let opened = task::spawn_blocking(move || open_all(function, &asked, answer));
    let mut opened = opened.await;
    let mut again = Vec::new();
    for digest in batch {
        match opened.remove(&digest) {
            Some(Err(failure)) if failure.kind != FailureKind::NotFound => again.push(digest),
            Some(opened) => {
                answers.insert(digest, opened);
            }
            None => again.push(digest),
        }
    }
    stream_all(session, again, answers).await;
}

/// Only `asked` blobs are opened: another one could name any size to be decompressed to.
fn open_all(
    function: DigestFunction,
    asked: &HashSet<Digest>,
    answer: BatchReadBlobsResponse,
) -> Answers {
    let mut opened = Answers::new();
    for response in answer.responses {
        if let Some(Ok(digest)) = response.digest.as_ref().map(Digest::from_pb)
            && asked.contains(&digest)
        {
            opened.insert(digest, open(function, &digest, response));
        }
    }
    opened
}

fn open(function: DigestFunction, digest: &Digest, response: Response) -> Result<Bytes, Failure> {
    let rpc = Rpc::BatchReadBlobs;
    if let Some(failure) = Failure::from_blob(rpc, response.status.as_ref()) {
        return Err(failure);
    }
    let encoding = match Compressor::try_from(response.compressor) {
        Ok(Compressor::Identity) => Encoding::Identity,
        Ok(Compressor::Zstd) => Encoding::Zstd,
        _ => return Err(Failure::corrupt(rpc, "a compressor that was not asked for")),
    };
    verify(*digest, function, encoding, response.data, rpc)
}

async fn stream_all(session: &Session, digests: Vec<Digest>, answers: &mut Answers) {
    let reads = digests.into_iter().map(|digest| async move {
        let read = bytestream::read(session, &digest, None, &RequestContext::default()).await;
        (digest, read)
    });
    let mut reads = futures_util::stream::iter(reads).buffer_unordered(BATCH_FALLBACK_READS);
    while let Some((digest, read)) = reads.next().await {
        answers.insert(digest, read);
    }
}
