//! CAS and `ByteStream` of the farm in memory.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::Rpc;
use crate::digest::Digest;
use crate::pb::bytestream::byte_stream_server::ByteStream;
use crate::pb::bytestream::{ReadRequest, ReadResponse, WriteRequest, WriteResponse};
use crate::pb::reapi::batch_read_blobs_response::Response as ReadBlob;
use crate::pb::reapi::batch_update_blobs_response::Response as UpdateBlob;
use crate::pb::reapi::content_addressable_storage_server::ContentAddressableStorage;
use crate::pb::reapi::*;
use crate::pb::{reapi, rpc};
use crate::reapi::fixture::{Fake, SHA, read};

#[tonic::async_trait]
impl ContentAddressableStorage for Fake {
    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Result<Response<FindMissingBlobsResponse>, Status> {
        self.enter(Rpc::FindMissingBlobs, &request).await?;
        let asked: Vec<Digest> = request
            .get_ref()
            .blob_digests
            .iter()
            .map(|d| read(Some(d)))
            .collect();
        let mut state = self.state();
        let missing = asked
            .iter()
            .filter(|digest| !state.blobs.contains_key(digest));
        let missing_blob_digests = missing.map(Digest::to_pb).collect();
        state.asked.push(asked);
        Ok(Response::new(FindMissingBlobsResponse {
            missing_blob_digests,
        }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<BatchUpdateBlobsRequest>,
    ) -> Result<Response<BatchUpdateBlobsResponse>, Status> {
        self.enter(Rpc::BatchUpdateBlobs, &request).await?;
        let mut state = self.state();
        let requests = request.into_inner().requests;
        let total: usize = requests.iter().map(|blob| blob.data.len()).sum();
        if state.batch_limit.is_some_and(|limit| total > limit) {
            return Err(Status::invalid_argument("too much at once"));
        }
        let mut responses = Vec::new();
        for blob in requests {
            let digest = read(blob.digest.as_ref());
            let code = state.blob_codes.remove(&digest).unwrap_or(0);
            let data = match blob.compressor {
                0 => blob.data,
                _ => zstd::stream::decode_all(blob.data.as_ref())
                    .expect("zstd")
                    .into(),
            };
            assert_eq!(SHA.digest(&data), digest);
            if code == 0 && !state.swallow {
                state.blobs.insert(digest, data);
            }
            let status = rpc::Status {
                code,
                ..rpc::Status::default()
            };
            responses.push(UpdateBlob {
                digest: blob.digest,
                status: Some(status),
            });
        }
        responses.reverse();
        Ok(Response::new(BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<BatchReadBlobsRequest>,
    ) -> Result<Response<BatchReadBlobsResponse>, Status> {
        self.enter(Rpc::BatchReadBlobs, &request).await?;
        let state = self.state();
        let request = request.into_inner();
        let total: i64 = request.digests.iter().map(|digest| digest.size_bytes).sum();
        if state
            .batch_limit
            .is_some_and(|limit| total > i64::try_from(limit).expect("small"))
        {
            return Err(Status::invalid_argument("too much at once"));
        }
        let zstd = !request.acceptable_compressors.is_empty();
        let give = |digest: reapi::Digest| {
            let found = state.blobs.get(&read(Some(&digest)));
            let code = if found.is_some() { 0 } else { 5 };
            let mut data = found.cloned().unwrap_or_default().to_vec();
            if state.damage {
                data[0] ^= 1;
            }
            ReadBlob {
                digest: Some(digest),
                data: if zstd {
                    zstd::bulk::compress(&data, 1).expect("zstd")
                } else {
                    data
                }
                .into(),
                status: Some(rpc::Status {
                    code,
                    ..rpc::Status::default()
                }),
                compressor: i32::from(zstd),
            }
        };
        let mut responses: Vec<_> = request.digests.into_iter().map(give).collect();
        responses.reverse();
        Ok(Response::new(BatchReadBlobsResponse { responses }))
    }
}

#[tonic::async_trait]
impl ByteStream for Fake {
    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<BoxStream<'static, Result<ReadResponse, Status>>>, Status> {
        self.enter(Rpc::Read, &request).await?;
        let name = &request.get_ref().resource_name;
        let digest = subject(name);
        let state = self.state();
        let found = state
            .blobs
            .get(&digest)
            .ok_or_else(|| Status::not_found("no blob"))?;
        let mut data = found.to_vec();
        if state.damage {
            data[0] ^= 1;
        }
        if name.contains("compressed-blobs/zstd/") {
            data = zstd::bulk::compress(&data, 1).expect("zstd");
        }
        let pieces = data.chunks(64 << 10).map(|piece| {
            Ok(ReadResponse {
                data: Bytes::copy_from_slice(piece),
            })
        });
        let pieces: Vec<_> = pieces.collect();
        Ok(Response::new(futures_util::stream::iter(pieces).boxed()))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        self.enter(Rpc::Write, &request).await?;
        let mut stream = request.into_inner();
        let (mut name, mut data, mut finished) = (String::new(), BytesMut::new(), false);
        while let Some(message) = stream.next().await {
            let Ok(message) = message else { break };
            assert_eq!(
                usize::try_from(message.write_offset).expect("not negative"),
                data.len()
            );
            if name.is_empty() {
                name = message.resource_name;
            }
            data.extend_from_slice(&message.data);
            finished |= message.finish_write;
            if self.state().early_return {
                let committed_size = i64::try_from(subject(&name).size).expect("small");
                return Ok(Response::new(WriteResponse { committed_size }));
            }
        }
        if !finished {
            self.state().truncated += 1;
            return Err(Status::invalid_argument("half a blob"));
        }
        let digest = subject(&name);
        let compressed = name.contains("compressed-blobs/zstd/");
        let blob = if compressed {
            zstd::stream::decode_all(data.as_ref()).expect("zstd")
        } else {
            data.to_vec()
        };
        assert_eq!(SHA.digest(&blob), digest);
        self.state().blobs.insert(digest, blob.into());
        let committed_size = if compressed {
            -1
        } else {
            i64::try_from(digest.size).expect("small")
        };
        Ok(Response::new(WriteResponse { committed_size }))
    }
}

fn subject(name: &str) -> Digest {
    let plain = name.replace("compressed-blobs/zstd/", "blobs/");
    crate::reapi::cas::resource_name::parse_subject(&plain).expect("a resource name")
}
