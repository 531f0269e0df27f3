//! The services of the benchmark's farm: each does the least that a client needs to go on.

use bytes::Bytes;
use futures_util::StreamExt as _;
use prost::Message as _;
use prost_types::{Any, Timestamp};
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::bytestream::byte_stream_server::ByteStream;
use relto::internals::pb::bytestream::{ReadRequest, ReadResponse, WriteRequest, WriteResponse};
use relto::internals::pb::longrunning::{Operation, operation};
use relto::internals::pb::reapi::action_cache_server::ActionCache;
use relto::internals::pb::reapi::capabilities_server::Capabilities;
use relto::internals::pb::reapi::compressor::Value as Compressor;
use relto::internals::pb::reapi::content_addressable_storage_server::ContentAddressableStorage;
use relto::internals::pb::reapi::execution_server::Execution;
use relto::internals::pb::reapi::execution_stage::Value as Stage;
use relto::internals::pb::reapi::{
    ActionCacheUpdateCapabilities, ActionResult, BatchReadBlobsRequest, BatchReadBlobsResponse,
    BatchUpdateBlobsRequest, BatchUpdateBlobsResponse, CacheCapabilities, ExecuteOperationMetadata,
    ExecuteRequest, ExecuteResponse, ExecutedActionMetadata, ExecutionCapabilities,
    FindMissingBlobsRequest, FindMissingBlobsResponse, GetActionResultRequest,
    GetCapabilitiesRequest, OutputFile, RequestMetadata, ServerCapabilities,
    UpdateActionResultRequest, WaitExecutionRequest, batch_read_blobs_response,
    batch_update_blobs_response,
};
use relto::internals::pb::semver::SemVer;
use tokio::time::sleep;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::server::{Made, Service, lock};

const METADATA: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";
/// Bytes of one message of a download.
const PIECE: usize = 256 << 10;

type Answer<T> = Result<Response<T>, Status>;

fn module<T>(request: &Request<T>) -> String {
    let header = request.metadata().get_bin(METADATA);
    let bytes = header.and_then(|value| value.to_bytes().ok());
    let metadata = bytes.and_then(|bytes| RequestMetadata::decode(bytes).ok());
    metadata
        .map(|metadata| metadata.target_id)
        .unwrap_or_default()
}

pub(super) fn digest(from: Option<&relto::internals::pb::reapi::Digest>) -> Result<Digest, Status> {
    let from = from.ok_or_else(|| Status::invalid_argument("no digest"))?;
    Digest::from_pb(from).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn result(made: &Made, paths: &[String]) -> ActionResult {
    let at = |nanos: u128| {
        let seconds = i64::try_from(nanos / 1_000_000_000).expect("a job's time");
        let nanos = i32::try_from(nanos % 1_000_000_000).expect("less than a second");
        Some(Timestamp { seconds, nanos })
    };
    ActionResult {
        output_files: paths
            .iter()
            .map(|path| OutputFile {
                path: path.clone(),
                digest: Some(made.digest.to_pb()),
                ..OutputFile::default()
            })
            .collect(),
        execution_metadata: Some(ExecutedActionMetadata {
            execution_start_timestamp: at(0),
            execution_completed_timestamp: at(made.takes.as_nanos().max(1)),
            ..ExecutedActionMetadata::default()
        }),
        ..ActionResult::default()
    }
}

#[tonic::async_trait]
impl Capabilities for Service {
    async fn get_capabilities(
        &self,
        _: Request<GetCapabilitiesRequest>,
    ) -> Answer<ServerCapabilities> {
        self.round_trip().await;
        let functions = vec![DigestFunction::Sha256.to_pb()];
        let compressors = if self.0.template.zstd {
            vec![Compressor::Zstd as i32]
        } else {
            Vec::new()
        };
        let version = |minor| SemVer {
            major: 2,
            minor,
            ..SemVer::default()
        };
        Ok(Response::new(ServerCapabilities {
            cache_capabilities: Some(CacheCapabilities {
                digest_functions: functions.clone(),
                action_cache_update_capabilities: Some(ActionCacheUpdateCapabilities {
                    update_enabled: true,
                }),
                supported_compressors: compressors.clone(),
                supported_batch_update_compressors: compressors,
                ..CacheCapabilities::default()
            }),
            execution_capabilities: Some(ExecutionCapabilities {
                digest_function: functions[0],
                exec_enabled: true,
                digest_functions: functions,
                ..ExecutionCapabilities::default()
            }),
            low_api_version: Some(version(0)),
            high_api_version: Some(version(3)),
            ..ServerCapabilities::default()
        }))
    }
}

#[tonic::async_trait]
impl ActionCache for Service {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Answer<ActionResult> {
        self.round_trip().await;
        if !self.0.template.remembers {
            return Err(Status::not_found("never seen"));
        }
        let made = self.make(&module(&request));
        let paths = &request.get_ref().inline_output_files;
        Ok(Response::new(result(&made, paths)))
    }

    async fn update_action_result(
        &self,
        request: Request<UpdateActionResultRequest>,
    ) -> Answer<ActionResult> {
        let result = request.into_inner().action_result.unwrap_or_default();
        Ok(Response::new(result))
    }
}

#[tonic::async_trait]
impl ContentAddressableStorage for Service {
    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Answer<FindMissingBlobsResponse> {
        self.round_trip().await;
        let mut missing_blob_digests = request.into_inner().blob_digests;
        let known = lock(&self.0.blobs);
        missing_blob_digests
            .retain(|asked| digest(Some(asked)).is_ok_and(|asked| !known.contains(&asked)));
        Ok(Response::new(FindMissingBlobsResponse {
            missing_blob_digests,
        }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<BatchUpdateBlobsRequest>,
    ) -> Answer<BatchUpdateBlobsResponse> {
        let requests = request.into_inner().requests;
        self.up(requests.iter().map(|blob| blob.data.len()).sum())
            .await;
        self.round_trip().await;
        let mut known = lock(&self.0.blobs);
        let mut responses = Vec::with_capacity(requests.len());
        for blob in requests {
            known.insert(digest(blob.digest.as_ref())?);
            responses.push(batch_update_blobs_response::Response {
                digest: blob.digest,
                ..batch_update_blobs_response::Response::default()
            });
        }
        Ok(Response::new(BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<BatchReadBlobsRequest>,
    ) -> Answer<BatchReadBlobsResponse> {
        let (mut responses, request) = (Vec::new(), request.into_inner());
        let zstd = Compressor::Zstd as i32;
        let packed = request.acceptable_compressors.contains(&zstd);
        for asked in request.digests {
            responses.push(batch_read_blobs_response::Response {
                data: self.object(&digest(Some(&asked))?, packed)?,
                digest: Some(asked),
                compressor: if packed { zstd } else { 0 },
                ..batch_read_blobs_response::Response::default()
            });
        }
        self.down(responses.iter().map(|blob| blob.data.len()).sum())
            .await;
        self.round_trip().await;
        Ok(Response::new(BatchReadBlobsResponse { responses }))
    }
}

/// The digest in `[instance/]uploads/UUID/blobs/HASH/SIZE` or `[instance/]blobs/HASH/SIZE`, or with
/// `compressed-blobs/zstd` instead of `blobs`.
pub(super) fn named(resource: &str) -> Result<Digest, Status> {
    let wrong = || Status::invalid_argument("no blob's name");
    let (_, rest) = resource.rsplit_once("blobs/").ok_or_else(wrong)?;
    let rest = rest.strip_prefix("zstd/").unwrap_or(rest);
    let (hash, size) = rest.split_once('/').ok_or_else(wrong)?;
    digest(Some(&relto::internals::pb::reapi::Digest {
        hash: hash.to_owned(),
        size_bytes: size.parse().map_err(|_| wrong())?,
    }))
}

fn is_packed(resource: &str) -> bool {
    resource.contains("compressed-blobs/")
}

#[tonic::async_trait]
impl ByteStream for Service {
    async fn read(&self, request: Request<ReadRequest>) -> Answer<BoxStream<ReadResponse>> {
        self.round_trip().await;
        let name = &request.get_ref().resource_name;
        let object: Bytes = self.object(&named(name)?, is_packed(name))?;
        let service = self.clone();
        let stream = futures_util::stream::unfold(object, move |mut rest| {
            let service = service.clone();
            async move {
                if rest.is_empty() {
                    return None;
                }
                let data = rest.split_to(rest.len().min(PIECE));
                service.down(data.len()).await;
                Some((Ok(ReadResponse { data }), rest))
            }
        });
        Ok(Response::new(stream.boxed()))
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Answer<WriteResponse> {
        let mut messages = request.into_inner();
        let (mut blob, mut size, mut packed) = (None, 0, false);
        while let Some(message) = messages.message().await? {
            if blob.is_none() {
                blob = Some(named(&message.resource_name)?);
                packed = is_packed(&message.resource_name);
            }
            size += message.data.len();
            self.up(message.data.len()).await;
        }
        let blob = blob.ok_or_else(|| Status::invalid_argument("an empty upload"))?;
        if !packed && blob.size != size as u64 {
            return Err(Status::invalid_argument("not all of the blob"));
        }
        lock(&self.0.blobs).insert(blob);
        self.round_trip().await;
        let committed_size = i64::try_from(size).expect("a small blob");
        Ok(Response::new(WriteResponse { committed_size }))
    }
}

#[tonic::async_trait]
impl Execution for Service {
    async fn execute(&self, request: Request<ExecuteRequest>) -> Answer<BoxStream<Operation>> {
        sleep(self.0.template.round_trip / 2).await;
        let made = self.make(&module(&request));
        let request = request.into_inner();
        let name = request
            .action_digest
            .map(|action| action.hash)
            .unwrap_or_default();
        let paths = request.inline_output_files;
        let queued = operation(&name, Stage::Queued, None);
        let service = self.clone();
        let rest = futures_util::stream::once(async move {
            let _slot = service.0.slots.acquire().await.expect("never closed");
            sleep(made.takes).await;
            drop(_slot);
            sleep(service.0.template.round_trip / 2).await;
            Ok(operation(
                &name,
                Stage::Completed,
                Some(result(&made, &paths)),
            ))
        });
        let begin = futures_util::stream::iter([Ok(queued)]);
        Ok(Response::new(begin.chain(rest).boxed()))
    }

    async fn wait_execution(
        &self,
        _: Request<WaitExecutionRequest>,
    ) -> Answer<BoxStream<Operation>> {
        Err(Status::not_found("no such operation"))
    }
}

fn operation(name: &str, stage: Stage, result: Option<ActionResult>) -> Operation {
    let any = |name: &str, value: Vec<u8>| Any {
        type_url: format!("type.googleapis.com/build.bazel.remote.execution.v2.{name}"),
        value,
    };
    let metadata = ExecuteOperationMetadata {
        stage: stage as i32,
        ..ExecuteOperationMetadata::default()
    };
    Operation {
        name: name.to_owned(),
        metadata: Some(any("ExecuteOperationMetadata", metadata.encode_to_vec())),
        done: result.is_some(),
        result: result.map(|result| {
            let response = ExecuteResponse {
                result: Some(result),
                ..ExecuteResponse::default()
            };
            operation::Result::Response(any("ExecuteResponse", response.encode_to_vec()))
        }),
    }
}
