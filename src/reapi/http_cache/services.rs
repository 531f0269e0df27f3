//! REAPI's services for an HTTP cache.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::requests::Kind;
use super::{HttpCache, NO_RESULT};
use crate::digest::Digest;
use crate::pb;
use crate::pb::bytestream::byte_stream_server::ByteStream;
use crate::pb::bytestream::{ReadRequest, ReadResponse, WriteRequest, WriteResponse};
use crate::pb::reapi::action_cache_server::ActionCache;
use crate::pb::reapi::batch_read_blobs_response::Response as ReadBlob;
use crate::pb::reapi::batch_update_blobs_request::Request as BlobToStore;
use crate::pb::reapi::batch_update_blobs_response::Response as StoredBlob;
use crate::pb::reapi::capabilities_server::Capabilities;
use crate::pb::reapi::content_addressable_storage_server::ContentAddressableStorage;
use crate::pb::reapi::digest_function::Value as Function;
use crate::pb::reapi::{
    ActionCacheUpdateCapabilities, ActionResult, BatchReadBlobsRequest, BatchReadBlobsResponse,
    BatchUpdateBlobsRequest, BatchUpdateBlobsResponse, CacheCapabilities, FindMissingBlobsRequest,
    FindMissingBlobsResponse, GetActionResultRequest, GetCapabilitiesRequest, ServerCapabilities,
    UpdateActionResultRequest,
};
use crate::pb::semver::SemVer;
use crate::reapi::cas::resource_name::parse_subject;
use crate::reapi::limits::{HTTP_REQUESTS_OF_BATCH, LARGEST_MESSAGE};

/// Where no cache has anything: what no SHA256 of an action is.
const NOWHERE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[tonic::async_trait]
impl Capabilities for HttpCache {
    /// What every HTTP cache can do, once this one has answered a question.
    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<ServerCapabilities>, Status> {
        self.requests.probe(NOWHERE, request.metadata()).await?;
        let version = |minor| {
            Some(SemVer {
                major: 2,
                minor,
                ..SemVer::default()
            })
        };
        Ok(Response::new(ServerCapabilities {
            cache_capabilities: Some(CacheCapabilities {
                digest_functions: vec![Function::Sha256 as i32],
                action_cache_update_capabilities: Some(ActionCacheUpdateCapabilities {
                    update_enabled: true,
                }),
                ..CacheCapabilities::default()
            }),
            low_api_version: version(0),
            high_api_version: version(3),
            ..ServerCapabilities::default()
        }))
    }
}

#[tonic::async_trait]
impl ActionCache for HttpCache {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        let (of_call, _, message) = request.into_parts();
        let action = hash_of(message.action_digest.as_ref())?;
        let found = self
            .requests
            .get_whole(Kind::ActionResult, &action, LARGEST_MESSAGE, &of_call)
            .await?;
        // A miss: then what is there is replaced by what this machine compiles.
        let result = pb::bounded::decode(found)
            .map_err(|error| Status::not_found(format!("{NO_RESULT}: {error}")))?;
        Ok(Response::new(result))
    }

    async fn update_action_result(
        &self,
        request: Request<UpdateActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        let (of_call, _, message) = request.into_parts();
        let action = hash_of(message.action_digest.as_ref())?;
        let result = message.action_result.unwrap_or_default();
        let bytes = Bytes::from(result.encode_to_vec());
        let size = bytes.len() as u64;
        self.requests
            .put(Kind::ActionResult, &action, size, bytes.into(), &of_call)
            .await?;
        Ok(Response::new(result))
    }
}

#[tonic::async_trait]
impl ContentAddressableStorage for HttpCache {
    /// HTTP has no such question. As with Bazel, all blobs are sent.
    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Result<Response<FindMissingBlobsResponse>, Status> {
        Ok(Response::new(FindMissingBlobsResponse {
            missing_blob_digests: request.into_inner().blob_digests,
        }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<BatchUpdateBlobsRequest>,
    ) -> Result<Response<BatchUpdateBlobsResponse>, Status> {
        let (of_call, _, message) = request.into_parts();
        let stored = message.requests.into_iter();
        let stored = stored.map(|blob| self.store(blob, &of_call));
        let responses = stream::iter(stored)
            .buffered(HTTP_REQUESTS_OF_BATCH)
            .collect();
        Ok(Response::new(BatchUpdateBlobsResponse {
            responses: responses.await,
        }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<BatchReadBlobsRequest>,
    ) -> Result<Response<BatchReadBlobsResponse>, Status> {
        let (of_call, _, message) = request.into_parts();
        let read = message.digests.into_iter();
        let read = read.map(|digest| self.read(digest, &of_call));
        let responses = stream::iter(read)
            .buffered(HTTP_REQUESTS_OF_BATCH)
            .collect();
        Ok(Response::new(BatchReadBlobsResponse {
            responses: responses.await,
        }))
    }
}

#[tonic::async_trait]
impl ByteStream for HttpCache {
    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<BoxStream<ReadResponse>>, Status> {
        let (of_call, _, message) = request.into_parts();
        let digest = named(&message.resource_name)?;
        let answer = self
            .requests
            .get(Kind::Blob, &digest.hex(), &of_call)
            .await?;
        let pieces = answer.bytes_stream().map(|piece| match piece {
            Ok(data) => Ok(ReadResponse { data }),
            Err(error) => Err(Status::unavailable(error.to_string())),
        });
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        let (of_call, _, mut messages) = request.into_parts();
        let first = messages.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("a write without a message"))?;
        let digest = named(&first.resource_name)?;
        let rest = messages.map(|message| message.map(|message| message.data));
        let pieces = stream::iter([Ok(first.data)]).chain(rest);
        let contents = reqwest::Body::wrap_stream(pieces);
        self.requests
            .put(Kind::Blob, &digest.hex(), digest.size, contents, &of_call)
            .await?;
        Ok(Response::new(WriteResponse {
            committed_size: i64::try_from(digest.size).unwrap_or(i64::MAX),
        }))
    }
}

impl HttpCache {
    async fn store(&self, blob: BlobToStore, of_call: &MetadataMap) -> StoredBlob {
        let size = blob.data.len() as u64;
        let stored = match hash_of(blob.digest.as_ref()) {
            Ok(hash) => {
                let data = blob.data.into();
                self.requests
                    .put(Kind::Blob, &hash, size, data, of_call)
                    .await
            }
            Err(status) => Err(status),
        };
        StoredBlob {
            digest: blob.digest,
            status: Some(blob_status(stored.err())),
        }
    }

    async fn read(&self, digest: pb::reapi::Digest, of_call: &MetadataMap) -> ReadBlob {
        let limit = usize::try_from(digest.size_bytes).unwrap_or_default();
        let found = match hash_of(Some(&digest)) {
            Ok(hash) => {
                let requests = &self.requests;
                requests.get_whole(Kind::Blob, &hash, limit, of_call).await
            }
            Err(status) => Err(status),
        };
        let (data, fault) = match found {
            Ok(data) => (data, None),
            Err(status) => (Bytes::new(), Some(status)),
        };
        ReadBlob {
            digest: Some(digest),
            data,
            status: Some(blob_status(fault)),
            ..ReadBlob::default()
        }
    }
}

fn hash_of(digest: Option<&pb::reapi::Digest>) -> Result<String, Status> {
    let digest = digest.and_then(|digest| Digest::from_pb(digest).ok());
    let digest = digest.ok_or_else(|| Status::invalid_argument("no digest"))?;
    Ok(digest.hex())
}

fn named(resource: &str) -> Result<Digest, Status> {
    let unknown = || Status::invalid_argument("an unknown resource name");
    parse_subject(resource).ok_or_else(unknown)
}

fn blob_status(fault: Option<Status>) -> pb::rpc::Status {
    let Some(fault) = fault else {
        return pb::rpc::Status::default();
    };
    // What the cache answered is in there.
    let details = pb::bounded::decode::<pb::rpc::Status>(Bytes::copy_from_slice(fault.details()));
    pb::rpc::Status {
        code: fault.code().into(),
        message: fault.message().to_owned(),
        details: details.map(|status| status.details).unwrap_or_default(),
    }
}
