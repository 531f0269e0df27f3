//! `ByteStream`: blobs of any size, in chunks.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use relto::internals::pb::bytestream::byte_stream_server::ByteStream;
use relto::internals::pb::bytestream::{ReadRequest, ReadResponse, WriteRequest, WriteResponse};
use relto::internals::task::lock;
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::Service;
use super::cas::{decompress, spoil};
use super::connection::Peer;
use super::fault::{Break, Effect};
use super::gate::{Entry, RequestContext};
use super::profile::Committed;
use super::record::Method;
use super::resource::Resource;

#[tonic::async_trait]
impl ByteStream for Service {
    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<BoxStream<ReadResponse>>, Status> {
        let name = self.resource(&request.get_ref().resource_name, false);
        let about = Self::about(request.get_ref(), &name);
        let entry = self.enter(Method::Read, &request, about).await?;
        let message = entry.effects.find(|effect| match effect {
            Effect::Repeat(message) => Some(message.clone()),
            _ => None,
        });
        if let Some(message) = message {
            return Ok(Response::new(repeat(entry, message)));
        }
        match name.and_then(|resource| self.open(&entry, &resource, request.get_ref())) {
            Ok(bytes) => Ok(Response::new(stream(entry, bytes, self.profile.read_chunk))),
            Err(status) => entry.answer(Err(status)),
        }
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        let peer = Peer::of(&request);
        let headers = request.metadata().clone();
        let mut messages = request.into_inner();
        let Some(first) = messages.message().await? else {
            // A link that ends has given it up before anything was sent.
            return Err(Status::cancelled("nothing was sent"));
        };
        let name = self.resource(&first.resource_name, true);
        let about = Self::about(&first, &name);
        let entry = self
            .enter_with(Method::Write, &headers, peer, about)
            .await?;
        let committed = match name {
            Ok(resource) => self.take(&entry, &resource, first, messages).await,
            Err(status) => Err(status),
        };
        entry.answer(committed.map(|committed_size| WriteResponse { committed_size }))
    }
}

impl Service {
    fn resource(&self, name: &str, upload: bool) -> Result<Resource, Status> {
        let resource = Resource::parse(name).map_err(|why| self.violation(why))?;
        if resource.is_upload != upload {
            return Err(self.violation(format!("`{name}` is for the other direction")));
        }
        if resource.is_zstd && !self.profile.stream_zstd {
            return Err(self.violation(format!("`{name}`: zstd was not offered")));
        }
        Ok(resource)
    }

    fn about(message: &impl prost::Message, name: &Result<Resource, Status>) -> RequestContext {
        let about = RequestContext::new(message);
        match name {
            Ok(resource) => about
                .instance(&resource.instance)
                .function(resource.function.to_pb())
                .digests([&resource.digest.to_pb()]),
            Err(_) => about,
        }
    }

    /// What a read sends, from its offset on.
    fn open(
        &self,
        entry: &Entry,
        resource: &Resource,
        request: &ReadRequest,
    ) -> Result<Bytes, Status> {
        if request.read_limit != 0 {
            return Err(Status::unimplemented("read_limit is not supported"));
        }
        let offset = usize::try_from(request.read_offset)
            .map_err(|_| Status::out_of_range("a negative offset"))?;
        if resource.is_zstd && offset != 0 {
            return Err(entry.violation("a compressed read starts at 0: not all servers skip"));
        }
        let blob = self
            .send_blob(resource.digest)
            .ok_or_else(|| Status::not_found(format!("no blob `{}`", resource.digest)))?;
        let mut bytes = spoil(&entry.effects, resource.digest, blob);
        if offset > bytes.len() {
            return Err(Status::out_of_range("the offset is past the end"));
        }
        entry.evict(&entry.digests);
        let rest = bytes.split_off(offset);
        Ok(if resource.is_zstd {
            self.compress(resource.digest, &rest)
        } else {
            rest
        })
    }

    /// Takes an upload in and gives the committed size.
    async fn take(
        &self,
        entry: &Entry,
        resource: &Resource,
        first: WriteRequest,
        mut messages: Streaming<WriteRequest>,
    ) -> Result<i64, Status> {
        let digest = resource.digest;
        let full = i64::try_from(digest.size).unwrap_or(i64::MAX);
        let early = entry.effects.find(|effect| match effect {
            Effect::EarlyReturn(size) => Some(size.unwrap_or(full)),
            _ => None,
        });
        if let Some(early) = early {
            return Ok(early);
        }
        if self.profile.returns_early && lock(&self.store).has(&digest) {
            return Ok(if resource.is_zstd { -1 } else { full });
        }
        let (sent, bytes) = self.collect(entry, first, &mut messages).await?;
        let sent = i64::try_from(sent).unwrap_or(i64::MAX);
        if self.profile.checks_uploads {
            let plain = if resource.is_zstd {
                decompress(&bytes, digest)?
            } else {
                bytes
            };
            self.store_blob(resource.function, digest, plain)?;
        } else if resource.is_zstd || sent == full {
            lock(&self.store).claim([digest]);
        } else {
            return Err(Status::invalid_argument("not all of the blob"));
        }
        entry.evict(&entry.digests);
        let committed = match (resource.is_zstd, self.profile.committed) {
            (true, Committed::Compressed) => sent,
            (true, Committed::MinusOne) => -1,
            _ => full,
        };
        let claimed = entry.effects.find(|effect| match effect {
            Effect::CommittedSize(size) => Some(*size),
            _ => None,
        });
        Ok(claimed.unwrap_or(committed))
    }

    /// The size of an upload, and what it was, unless it is not checked.
    async fn collect(
        &self,
        entry: &Entry,
        first: WriteRequest,
        messages: &mut Streaming<WriteRequest>,
    ) -> Result<(usize, Bytes), Status> {
        let name = first.resource_name.clone();
        let (mut sent, mut bytes) = (0, BytesMut::new());
        let mut message = first;
        loop {
            self.check_size(message.encoded_len())?;
            if usize::try_from(message.write_offset) != Ok(sent) {
                return Err(entry.violation("`write_offset` is not where the last message ended"));
            }
            if !message.resource_name.is_empty() && message.resource_name != name {
                return Err(entry.violation("the resource name changes inside the upload"));
            }
            self.network.up.pass(message.data.len()).await;
            sent += message.data.len();
            if self.profile.checks_uploads {
                bytes.extend_from_slice(&message.data);
            }
            if message.finish_write {
                return Ok((sent, bytes.freeze()));
            }
            let Some(next) = messages.message().await? else {
                return Err(entry.violation("the upload ends without `finish_write`"));
            };
            entry.add_request_bytes(next.encoded_len());
            message = next;
        }
    }
}

/// `message` for ever, a thousand times a second at most.
fn repeat(entry: Entry, message: Bytes) -> BoxStream<ReadResponse> {
    Box::pin(futures_util::stream::unfold(entry, move |entry| {
        let data = message.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok(ReadResponse { data }), entry))
        }
    }))
}

/// A read on its way out.
struct Reading {
    entry: Entry,
    bytes: Bytes,
    chunk: usize,
    sent: usize,
    is_endless: bool,
    end: Option<(usize, Break)>,
    is_over: bool,
}

fn stream(entry: Entry, bytes: Bytes, chunk: usize) -> BoxStream<ReadResponse> {
    let is_endless = entry
        .effects
        .find(|effect| matches!(effect, Effect::Endless).then_some(()))
        .is_some();
    let reading = Reading {
        end: break_of(&entry),
        entry,
        bytes,
        chunk,
        sent: 0,
        is_endless,
        is_over: false,
    };
    Box::pin(futures_util::stream::unfold(reading, Reading::next))
}

/// Where the stream breaks, and how.
pub(super) fn break_of(entry: &Entry) -> Option<(usize, Break)> {
    entry.effects.find(|effect| match effect {
        Effect::BreakAfter(after, how) => Some((*after, how.clone())),
        _ => None,
    })
}

/// Breaks a stream: gives the last item, if there is one.
pub(super) async fn break_off(entry: &mut Entry, how: Break) -> Option<Status> {
    match how {
        Break::End => {
            entry.end_with(Code::Ok);
            None
        }
        Break::Fail(failure) => {
            entry.end_with(failure.code);
            Some(failure.to_call())
        }
        Break::Drop => entry.cut().await,
        Break::Stall => std::future::pending().await,
    }
}

impl Reading {
    async fn next(mut self) -> Option<(Result<ReadResponse, Status>, Self)> {
        if self.is_over {
            return None;
        }
        let mut size = self.chunk;
        if let Some((after, how)) = self.end.clone() {
            size = size.min(after - self.sent);
            if size == 0 {
                self.is_over = true;
                let status = break_off(&mut self.entry, how).await?;
                return Some((Err(status), self));
            }
        }
        let at = if self.is_endless {
            self.sent % self.bytes.len().max(1)
        } else {
            self.sent
        };
        let data = self.bytes.slice(at..self.bytes.len().min(at + size));
        if data.is_empty() {
            self.entry.end_with(Code::Ok);
            return None;
        }
        self.entry.send(data.len()).await;
        self.sent += data.len();
        Some((Ok(ReadResponse { data }), self))
    }
}
