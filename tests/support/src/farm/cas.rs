//! `ContentAddressableStorage`: which blobs are there, and small ones in batches.

use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi::content_addressable_storage_server::ContentAddressableStorage;
use relto::internals::pb::reapi::{
    BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest,
    BatchUpdateBlobsResponse, FindMissingBlobsRequest, FindMissingBlobsResponse,
    batch_read_blobs_response, batch_update_blobs_request, batch_update_blobs_response, compressor,
};
use relto::internals::pb::rpc;
use relto::internals::task::lock;
use tonic::{Code, Request, Response, Status};

use super::Service;
use super::failure::Failure;
use super::fault::{Effect, Effects};
use super::gate::{Entry, RequestContext};
use super::profile::BatchCount;
use super::record::Method;

const ZSTD: i32 = compressor::Value::Zstd as i32;

#[tonic::async_trait]
impl ContentAddressableStorage for Service {
    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Result<Response<FindMissingBlobsResponse>, Status> {
        let message = request.get_ref();
        let about = RequestContext::new(message)
            .instance(&message.instance_name)
            .function(message.digest_function)
            .digests(&message.blob_digests);
        let entry = self
            .enter(Method::FindMissingBlobs, &request, about)
            .await?;
        let answer = self.find_missing(&entry);
        entry.answer(answer)
    }

    async fn batch_update_blobs(
        &self,
        request: Request<BatchUpdateBlobsRequest>,
    ) -> Result<Response<BatchUpdateBlobsResponse>, Status> {
        let message = request.get_ref();
        let about = RequestContext::new(message)
            .instance(&message.instance_name)
            .function(message.digest_function)
            .digests(message.requests.iter().flat_map(|request| &request.digest));
        let entry = self
            .enter(Method::BatchUpdateBlobs, &request, about)
            .await?;
        let message = request.into_inner();
        let bytes = message.requests.iter().map(|blob| blob.data.len()).sum();
        self.network.up.pass(bytes).await;
        let answer = self.update_all(&entry, message);
        entry.answer(answer)
    }

    async fn batch_read_blobs(
        &self,
        request: Request<BatchReadBlobsRequest>,
    ) -> Result<Response<BatchReadBlobsResponse>, Status> {
        let message = request.get_ref();
        let about = RequestContext::new(message)
            .instance(&message.instance_name)
            .function(message.digest_function)
            .digests(&message.digests);
        let entry = self.enter(Method::BatchReadBlobs, &request, about).await?;
        let wants_zstd = message.acceptable_compressors.contains(&ZSTD);
        let answer = self.read_all(&entry, wants_zstd && self.profile.batch_zstd);
        let blobs = answer.iter().flat_map(|answer| &answer.responses);
        let bytes = blobs.map(|blob| blob.data.len()).sum();
        self.network.down.pass(bytes).await;
        entry.answer(answer)
    }
}

impl Service {
    fn find_missing(&self, entry: &Entry) -> Result<FindMissingBlobsResponse, Status> {
        if entry.digests.len() > self.profile.find_missing_limit {
            return Err(Status::invalid_argument("too many digests in one request"));
        }
        if self.profile.strict {
            check_unique(entry)?;
            if entry.digests.iter().any(Digest::is_empty) {
                return Err(entry.violation("the empty blob is always there: no need to ask"));
            }
        }
        let missing = {
            let store = lock(&self.store);
            let is_missing =
                |digest: &&Digest| !store.has(digest) && !forgets(&entry.effects, **digest);
            entry
                .digests
                .iter()
                .filter(is_missing)
                .map(Digest::to_pb)
                .collect()
        };
        entry.evict(&entry.digests);
        Ok(FindMissingBlobsResponse {
            missing_blob_digests: shuffled(&entry.effects, missing),
        })
    }

    fn update_all(
        &self,
        entry: &Entry,
        request: BatchUpdateBlobsRequest,
    ) -> Result<BatchUpdateBlobsResponse, Status> {
        let size = match self.profile.batch_count {
            BatchCount::BlobSizes => entry.digests.iter().map(|digest| digest.size).sum(),
            BatchCount::Request => request.encoded_len() as u64,
        };
        check_limit(size, self.profile.batch_limit)?;
        if self.profile.strict {
            check_unique(entry)?;
        }
        if request.requests.len() != entry.digests.len() {
            return Err(entry.violation("an upload without a digest"));
        }
        let mut responses = Vec::new();
        for (one, digest) in request.requests.into_iter().zip(&entry.digests) {
            if forgets(&entry.effects, *digest) {
                continue;
            }
            let stored = match blob_failure(&entry.effects, *digest) {
                Some(failure) => failure.to_pb(),
                None => self.update_one(entry, &one, *digest),
            };
            responses.push(batch_update_blobs_response::Response {
                digest: one.digest,
                status: Some(stored),
            });
        }
        entry.evict(&entry.digests);
        Ok(BatchUpdateBlobsResponse {
            responses: shuffled(&entry.effects, responses),
        })
    }

    fn update_one(
        &self,
        entry: &Entry,
        request: &batch_update_blobs_request::Request,
        digest: Digest,
    ) -> rpc::Status {
        if !self.profile.checks_uploads {
            lock(&self.store).claim([digest]);
            return rpc::Status::default();
        }
        let is_zstd = request.compressor == ZSTD && self.profile.batch_zstd;
        let stored = if is_zstd {
            decompress(&request.data, digest)
        } else {
            Ok(request.data.clone())
        }
        .and_then(|bytes| self.store_blob(entry.function, digest, bytes));
        match stored {
            Ok(()) => rpc::Status::default(),
            Err(status) => Failure::new(status.code(), status.message()).to_pb(),
        }
    }

    /// Takes a whole blob in, if it is the one that the digest names.
    pub(super) fn store_blob(
        &self,
        function: DigestFunction,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<(), Status> {
        let found = function.digest(&bytes);
        if found != digest {
            return Err(self.violation(format!("the bytes of `{digest}` are `{found}`")));
        }
        let limit = self.profile.max_blob_size;
        if limit != 0 && digest.size > limit {
            return Err(Status::invalid_argument(
                "the blob is larger than this server stores",
            ));
        }
        *lock(&self.record).uploads.entry(digest).or_default() += 1;
        if !self.profile.pretends_to_store {
            lock(&self.store).put(function, bytes);
        }
        Ok(())
    }

    fn read_all(&self, entry: &Entry, zstd: bool) -> Result<BatchReadBlobsResponse, Status> {
        check_limit(
            entry.digests.iter().map(|d| d.size).sum(),
            self.profile.batch_read_limit,
        )?;
        if self.profile.strict {
            check_unique(entry)?;
        }
        let mut responses = Vec::new();
        for digest in &entry.digests {
            if forgets(&entry.effects, *digest) {
                continue;
            }
            let blob = match blob_failure(&entry.effects, *digest) {
                Some(failure) => Err(failure.to_pb()),
                None => self.send_blob(*digest).ok_or_else(not_found),
            };
            let mut response = batch_read_blobs_response::Response {
                digest: Some(digest.to_pb()),
                ..batch_read_blobs_response::Response::default()
            };
            match blob {
                // bazel-remote leaves the status of a compressed blob unset: unset is OK.
                Ok(bytes) if zstd => {
                    response.data = self.compress(*digest, &spoil(&entry.effects, *digest, bytes));
                    response.compressor = ZSTD;
                }
                Ok(bytes) => {
                    response.data = spoil(&entry.effects, *digest, bytes);
                    response.status = Some(rpc::Status::default());
                }
                Err(status) => response.status = Some(status),
            }
            responses.push(response);
        }
        entry.evict(&entry.digests);
        Ok(BatchReadBlobsResponse {
            responses: shuffled(&entry.effects, responses),
        })
    }

    /// The blob, counted as sent.
    pub(super) fn send_blob(&self, digest: Digest) -> Option<Bytes> {
        let blob = lock(&self.store).blob(&digest)?;
        if self.profile.records {
            *lock(&self.record).downloads.entry(digest).or_default() += 1;
        }
        Some(blob)
    }

    /// The blob `digest`, spoiled or not, as it travels. A farm that does not check uploads
    /// compresses each blob once.
    pub(super) fn compress(&self, digest: Digest, bytes: &Bytes) -> Bytes {
        if self.profile.checks_uploads {
            return compress(bytes);
        }
        let mut all = lock(&self.compressed);
        all.entry(digest).or_insert_with(|| compress(bytes)).clone()
    }
}

fn check_unique(entry: &Entry) -> Result<(), Status> {
    let mut seen = HashSet::new();
    match entry.digests.iter().find(|digest| !seen.insert(**digest)) {
        Some(twice) => Err(entry.violation(format!("`{twice}` stands twice in one request"))),
        None => Ok(()),
    }
}

fn check_limit(size: u64, limit: u64) -> Result<(), Status> {
    if limit == 0 || size <= limit {
        return Ok(());
    }
    let text = format!("a total of at least {size} bytes, while a maximum of {limit} is permitted");
    Err(Status::invalid_argument(text))
}

fn forgets(effects: &Effects, digest: Digest) -> bool {
    let forget = |effect: &Effect| matches!(effect, Effect::ForgetBlob).then_some(());
    effects.on(digest, forget).is_some()
}

fn blob_failure(effects: &Effects, digest: Digest) -> Option<&Failure> {
    effects.on(digest, |effect| match effect {
        Effect::FailBlob(failure) => Some(failure),
        _ => None,
    })
}

fn not_found() -> rpc::Status {
    Failure::new(Code::NotFound, "no such blob").to_pb()
}

fn shuffled<T>(effects: &Effects, mut entries: Vec<T>) -> Vec<T> {
    let shuffle = |effect: &Effect| matches!(effect, Effect::Shuffle).then_some(());
    if effects.find(shuffle).is_some() {
        entries.reverse();
    }
    entries
}

/// The blob as the faults want it to arrive.
pub(super) fn spoil(effects: &Effects, digest: Digest, bytes: Bytes) -> Bytes {
    effects
        .on(digest, |effect| {
            let mut changed = bytes.to_vec();
            match effect {
                Effect::WrongBytes => *changed.first_mut()? ^= 1,
                Effect::Shorten(by) => changed.truncate(changed.len().saturating_sub(*by)),
                Effect::Lengthen(by) => changed.extend(std::iter::repeat_n(0, *by)),
                _ => return None,
            }
            Some(Bytes::from(changed))
        })
        .unwrap_or(bytes)
}

/// At zstd's own level, as servers have it.
fn compress(bytes: &[u8]) -> Bytes {
    zstd::encode_all(bytes, zstd::DEFAULT_COMPRESSION_LEVEL)
        .expect("memory compresses")
        .into()
}

/// Never more bytes than the digest says.
pub(super) fn decompress(bytes: &[u8], digest: Digest) -> Result<Bytes, Status> {
    use std::io::Read as _;
    let wrong = |error: std::io::Error| Status::invalid_argument(format!("zstd: {error}"));
    let mut plain = Vec::new();
    let decoder = zstd::Decoder::new(bytes).map_err(wrong)?;
    decoder
        .take(digest.size + 1)
        .read_to_end(&mut plain)
        .map_err(wrong)?;
    Ok(plain.into())
}
