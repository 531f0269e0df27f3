//! `BatchReadBlobs`: small blobs, many in one call, each verified.
//!
//! Enters: digests that should fit into one answer. Leaves: bytes or a failure for each. Several
//! servers answer with less than they advertise: then the batch is halved and the limit remembered.
//! A blob that a batch does not give is asked for in a stream of its own, whose word is the last.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::digest::{Digest, DigestFunction};
use crate::pb::reapi::batch_read_blobs_response::Response;
use crate::pb::reapi::compressor::Value as Compressor;
use crate::pb::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::pb::reapi::{BatchReadBlobsRequest, BatchReadBlobsResponse};
use crate::reapi::cas::batch::{cost, may_shrink};
use crate::reapi::cas::bytestream;
use crate::reapi::cas::incoming::verify;
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;
use crate::reapi::transport::{LARGEST_ANSWER, Service};
use crate::task;

/// Streams at a time, for what a batch did not give.
const STREAMS: usize = 8;

pub(crate) type Answers = HashMap<Digest, Result<Bytes, Failure>>;

/// Reads `digests`, which differ.
pub(crate) async fn read(session: &Session, digests: Vec<Digest>) -> Answers {
    let mut answers = Answers::new();
    let mut batches = vec![digests];
    while let Some(mut batch) = batches.pop() {
        match ask(session, &batch).await {
            Ok(answer) => settle(session, &batch, answer, &mut answers).await,
            Err(failure) if may_shrink(&failure) && batch.len() > 1 => {
                let total = batch.iter().map(|digest| cost(digest.size)).sum();
                session.limits.download.refuse(total);
                batches.push(batch.split_off(batch.len() / 2));
                batches.push(batch);
            }
            Err(failure) if may_shrink(&failure) => {
                if failure.kind == FailureKind::Unsupported {
                    session.limits.download.close();
                }
                stream_all(session, batch, &mut answers).await;
            }
            Err(failure) => {
                answers.extend(
                    batch
                        .into_iter()
                        .map(|digest| (digest, Err(failure.clone()))),
                );
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
                    .max_decoding_message_size(LARGEST_ANSWER);
                call.moves(volume);
                let request = call.request(message);
                call.answer(client.batch_read_blobs(request)).await
            }
        })
        .await
}

/// What was not asked for is ignored; what was asked for and did not come, or came wrong, is asked
/// for again.
async fn settle(
    session: &Session,
    batch: &[Digest],
    answer: BatchReadBlobsResponse,
    answers: &mut Answers,
) {
    let function = session.function();
    // Hashing megabytes would hold up everything else on this thread.
    let opened = task::spawn_blocking(move || open_all(function, answer));
    let mut opened = opened.await;
    let mut again = Vec::new();
    for digest in batch {
        match opened.remove(digest) {
            Some(Err(failure)) if failure.kind != FailureKind::NotFound => again.push(*digest),
            Some(opened) => {
                answers.insert(*digest, opened);
            }
            None => again.push(*digest),
        }
    }
    stream_all(session, again, answers).await;
}

fn open_all(function: DigestFunction, answer: BatchReadBlobsResponse) -> Answers {
    let mut opened = Answers::new();
    for response in answer.responses {
        if let Some(Ok(digest)) = response.digest.as_ref().map(Digest::from_pb) {
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
        let read = bytestream::read(session, &digest, &RequestContext::default()).await;
        (digest, read)
    });
    let mut reads = futures_util::stream::iter(reads).buffer_unordered(STREAMS);
    while let Some((digest, read)) = reads.next().await {
        answers.insert(digest, read);
    }
}
