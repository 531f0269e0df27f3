//! Generated clients without any logic, for tests of the support code and for looking at a server's
//! own answers.

use bytes::Bytes;
use prost::Message as _;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::bytestream::byte_stream_client::ByteStreamClient;
use relto::internals::pb::bytestream::{ReadRequest, WriteRequest};
use relto::internals::pb::longrunning::{Operation, operation};
use relto::internals::pb::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use relto::internals::pb::reapi::execution_client::ExecutionClient;
use relto::internals::pb::reapi::{
    Action, BatchReadBlobsRequest, BatchUpdateBlobsRequest, Command, Directory, ExecuteRequest,
    ExecuteResponse, FindMissingBlobsRequest, RequestMetadata, ToolDetails,
    batch_read_blobs_response, batch_update_blobs_request, batch_update_blobs_response,
};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::farm::Farm;

pub const SHA256: DigestFunction = DigestFunction::Sha256;
const UUID: &str = "2f1b6a2c-6c2b-4a3a-9d53-0123456789ab";

/// A request as relto's own would look to a server.
pub fn request<T>(message: T) -> Request<T> {
    let metadata = RequestMetadata {
        tool_details: Some(ToolDetails {
            tool_name: "raw".to_owned(),
            tool_version: "1".to_owned(),
        }),
        tool_invocation_id: UUID.to_owned(),
        ..RequestMetadata::default()
    };
    let mut request = Request::new(message);
    request.metadata_mut().insert_bin(
        "build.bazel.remote.execution.v2.requestmetadata-bin",
        MetadataValue::from_bytes(&metadata.encode_to_vec()),
    );
    request
}

/// Digests that the server lacks.
pub async fn find_missing(channel: &Channel, digests: &[Digest]) -> Result<Vec<Digest>, Status> {
    let message = FindMissingBlobsRequest {
        blob_digests: digests.iter().map(Digest::to_pb).collect(),
        digest_function: SHA256.to_pb(),
        ..FindMissingBlobsRequest::default()
    };
    let mut client = ContentAddressableStorageClient::new(channel.clone());
    let response = client.find_missing_blobs(request(message)).await?;
    let missing = response.into_inner().missing_blob_digests;
    Ok(missing.iter().flat_map(Digest::from_pb).collect())
}

pub async fn batch_update(
    channel: &Channel,
    blobs: &[&[u8]],
) -> Result<Vec<batch_update_blobs_response::Response>, Status> {
    let one = |blob: &&[u8]| batch_update_blobs_request::Request {
        digest: Some(SHA256.digest(blob).to_pb()),
        data: Bytes::copy_from_slice(blob),
        compressor: 0,
    };
    let message = BatchUpdateBlobsRequest {
        requests: blobs.iter().map(one).collect(),
        digest_function: SHA256.to_pb(),
        ..BatchUpdateBlobsRequest::default()
    };
    let mut client = ContentAddressableStorageClient::new(channel.clone());
    let response = client.batch_update_blobs(request(message)).await?;
    Ok(response.into_inner().responses)
}

pub async fn batch_read(
    channel: &Channel,
    digests: &[Digest],
) -> Result<Vec<batch_read_blobs_response::Response>, Status> {
    let message = BatchReadBlobsRequest {
        digests: digests.iter().map(Digest::to_pb).collect(),
        digest_function: SHA256.to_pb(),
        ..BatchReadBlobsRequest::default()
    };
    let mut client = ContentAddressableStorageClient::new(channel.clone());
    let response = client.batch_read_blobs(request(message)).await?;
    Ok(response.into_inner().responses)
}

/// Uploads in messages of 1000 bytes; gives the committed size.
pub async fn write(channel: &Channel, name: &str, bytes: &[u8]) -> Result<i64, Status> {
    let mut messages = Vec::new();
    for (index, chunk) in bytes.chunks(1000).enumerate() {
        messages.push(WriteRequest {
            resource_name: name.to_owned(),
            write_offset: i64::try_from(index * 1000).expect("a small blob"),
            finish_write: (index + 1) * 1000 >= bytes.len(),
            data: Bytes::copy_from_slice(chunk),
        });
    }
    let mut client = ByteStreamClient::new(channel.clone());
    let response = client.write(request(tokio_stream::iter(messages))).await?;
    Ok(response.into_inner().committed_size)
}

/// `uploads/UUID/blobs/HASH/SIZE`.
pub fn upload_name(digest: Digest) -> String {
    format!("uploads/{UUID}/blobs/{digest}")
}

/// Reads a blob whole, as far as the server gives it.
pub async fn read(channel: &Channel, name: &str) -> Result<Vec<u8>, Status> {
    let message = ReadRequest {
        resource_name: name.to_owned(),
        ..ReadRequest::default()
    };
    let mut client = ByteStreamClient::new(channel.clone());
    let mut stream = client.read(request(message)).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(response) = stream.message().await? {
        bytes.extend_from_slice(&response.data);
    }
    Ok(bytes)
}

pub async fn execute(channel: &Channel, action: Digest) -> Result<Streaming<Operation>, Status> {
    let message = ExecuteRequest {
        action_digest: Some(action.to_pb()),
        digest_function: SHA256.to_pb(),
        ..ExecuteRequest::default()
    };
    let mut client = ExecutionClient::new(channel.clone());
    Ok(client.execute(request(message)).await?.into_inner())
}

/// Executes and gives the response of the last message.
pub async fn run(channel: &Channel, action: Digest) -> Result<ExecuteResponse, Status> {
    let mut stream = execute(channel, action).await?;
    while let Some(message) = stream.message().await? {
        match message.result {
            Some(operation::Result::Response(any)) => {
                return Ok(ExecuteResponse::decode(any.value.as_slice()).expect("a response"));
            }
            Some(operation::Result::Error(error)) => {
                return Err(Status::new(error.code.into(), error.message));
            }
            None => {}
        }
    }
    Err(Status::data_loss("the stream ended without a response"))
}

/// An action that runs `arguments` on an empty tree, stored in `farm`; the output is `out`.
pub fn put_action(farm: &Farm, arguments: &[&str]) -> Digest {
    put_action_on(farm, arguments, &Directory::default())
}

/// The same on a tree of one directory.
pub fn put_action_on(farm: &Farm, arguments: &[&str], root: &Directory) -> Digest {
    let mut command = Command {
        arguments: arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect(),
        ..Command::default()
    };
    if farm.profile().speaks_2_0 {
        command.output_files = vec!["out".to_owned()];
    } else {
        command.output_paths = vec!["out".to_owned()];
    }
    let action = Action {
        command_digest: Some(farm.put_message(&command).to_pb()),
        input_root_digest: Some(farm.put_message(root).to_pb()),
        ..Action::default()
    };
    farm.put_message(&action)
}
