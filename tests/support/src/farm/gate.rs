//! What every call passes before its service sees it.
//!
//! An [`Entry`] holds the effects of the faults that are meant for a call. The call is recorded
//! from its start until the entry is dropped, which for streams is their end.

use std::time::Instant;

use prost::Message;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi::{self, RequestMetadata, digest_function};
use relto::internals::task::lock;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::connection::Peer;
use super::fault::{Effect, Effects};
use super::record::{Call, Method};
use super::store::Store;
use super::{Service, serve};

const METADATA_HEADER: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// What a call says of itself.
#[derive(Debug, Default)]
pub(super) struct RequestContext {
    instance: Option<String>,
    function: Option<i32>,
    digests: Vec<reapi::Digest>,
    size: usize,
}

impl RequestContext {
    pub(super) fn new(message: &impl Message) -> Self {
        Self {
            size: message.encoded_len(),
            ..Self::default()
        }
    }

    pub(super) fn instance(mut self, name: &str) -> Self {
        self.instance = Some(name.to_owned());
        self
    }

    /// The number in the request's `digest_function`.
    pub(super) fn function(mut self, number: i32) -> Self {
        self.function = Some(number);
        self
    }

    pub(super) fn digests<'a>(
        mut self,
        digests: impl IntoIterator<Item = &'a reapi::Digest>,
    ) -> Self {
        self.digests = digests.into_iter().cloned().collect();
        self
    }
}

/// A call that goes on.
pub(super) struct Entry {
    service: Service,
    /// In the record, if there is one.
    number: Option<usize>,
    method: Method,
    pub(super) peer: Option<Peer>,
    pub(super) effects: Effects,
    pub(super) digests: Vec<Digest>,
    pub(super) function: DigestFunction,
    code: Option<Code>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            lock(&self.service.record).end(number, self.method, self.code);
        }
    }
}

impl Entry {
    /// Ends the call.
    pub(super) fn answer<T>(mut self, result: Result<T, Status>) -> Result<Response<T>, Status> {
        self.end_with(result.as_ref().err().map_or(Code::Ok, Status::code));
        result.map(Response::new)
    }

    /// How a stream ended.
    pub(super) fn end_with(&mut self, code: Code) {
        self.code = Some(code);
    }

    /// The client broke a rule of the standard: noted for the test, and refused.
    pub(super) fn violation(&self, text: impl Into<String>) -> Status {
        self.service.violation(text)
    }

    /// Waits until so many bytes of a blob have been sent to the client.
    pub(super) async fn send(&self, bytes: usize) {
        self.service.network.down.pass(bytes).await;
    }

    pub(super) fn add_request_bytes(&self, bytes: usize) {
        let Some(number) = self.number else { return };
        if let Some(call) = lock(&self.service.record).call(number) {
            call.request_bytes += bytes;
        }
    }

    /// Carries out `Effect::Evict`; `related` is what an empty list means.
    pub(super) fn evict(&self, related: &[Digest]) {
        self.effects.evict(&mut lock(&self.service.store), related);
    }

    /// The server starts anew, and remembers nothing.
    async fn restart<T>(&self) -> T {
        *lock(&self.service.store) = Store::default();
        lock(&self.service.operations).clear();
        serve::cut_all(&self.service);
        self.cut().await
    }

    /// The connection goes away and the call with it.
    pub(super) async fn cut<T>(&self) -> T {
        if let Some(peer) = &self.peer {
            peer.cut();
        }
        std::future::pending().await
    }
}

impl Service {
    /// Records the call, checks its headers, and lets the first faults strike.
    pub(super) async fn enter<T>(
        &self,
        method: Method,
        request: &Request<T>,
        about: RequestContext,
    ) -> Result<Entry, Status> {
        let peer = Peer::of(request);
        self.enter_with(method, request.metadata(), peer, about)
            .await
    }

    pub(super) async fn enter_with(
        &self,
        method: Method,
        headers: &MetadataMap,
        peer: Option<Peer>,
        about: RequestContext,
    ) -> Result<Entry, Status> {
        let parsed: Result<Vec<_>, _> = about.digests.iter().map(Digest::from_pb).collect();
        let digests = parsed.clone().unwrap_or_default();
        let mut entry = self.record_begin(method, headers, peer, &about, digests);
        let checked = self
            .check_crowd()
            .and_then(|()| self.check_headers(headers))
            .and_then(|()| self.check_about(&about))
            .and_then(|()| parsed.map_err(|error| self.violation(error.to_string())));
        match method {
            Method::Execute => self.network.one_way().await,
            _ => self.network.round_trip().await,
        }
        let struck = match checked {
            Ok(_) => strike(&entry).await,
            Err(status) => Err(status),
        };
        match struck {
            Ok(()) => Ok(entry),
            Err(status) => {
                entry.end_with(status.code());
                Err(status)
            }
        }
    }

    pub(super) fn violation(&self, text: impl Into<String>) -> Status {
        let text = text.into();
        lock(&self.record).violations.push(text.clone());
        Status::invalid_argument(text)
    }

    fn record_begin(
        &self,
        method: Method,
        headers: &MetadataMap,
        peer: Option<Peer>,
        about: &RequestContext,
        digests: Vec<Digest>,
    ) -> Entry {
        let call = || Call {
            method,
            began: Instant::now(),
            ended: None,
            connection: peer.as_ref().map_or(0, |peer| peer.number),
            digests: digests.clone(),
            request_bytes: about.size,
            code: None,
            metadata: request_metadata(headers),
            headers: headers
                .clone()
                .into_headers()
                .iter()
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    (name.to_string(), value.into_owned())
                })
                .collect(),
        };
        let number = self
            .profile
            .records
            .then(|| lock(&self.record).begin(call()));
        let blake3 = about.function == Some(digest_function::Value::Blake3 as i32);
        Entry {
            service: self.clone(),
            number,
            method,
            peer,
            effects: lock(&self.faults).strike(method, &digests),
            digests,
            function: if blake3 {
                DigestFunction::Blake3
            } else {
                DigestFunction::Sha256
            },
            code: None,
        }
    }

    fn check_crowd(&self) -> Result<(), Status> {
        if lock(&self.record).open_calls() <= self.profile.most_calls {
            return Ok(());
        }
        Err(Status::resource_exhausted("Concurrent RPC limit exceeded!"))
    }

    fn check_headers(&self, headers: &MetadataMap) -> Result<(), Status> {
        if let Some(wanted) = &self.profile.header {
            let given = headers
                .get(wanted.name)
                .and_then(|value| value.to_str().ok());
            if given != Some(wanted.value.as_str()) {
                let text = format!("header `{}` is not the one expected", wanted.name);
                return Err(Status::unauthenticated(text));
            }
        }
        if !self.profile.strict {
            return Ok(());
        }
        match request_metadata(headers) {
            Some(metadata)
                if metadata.tool_details.is_some() && !metadata.tool_invocation_id.is_empty() =>
            {
                Ok(())
            }
            _ => Err(self.violation(format!(
                "no tool details or invocation id in header `{METADATA_HEADER}`"
            ))),
        }
    }

    fn check_about(&self, about: &RequestContext) -> Result<(), Status> {
        self.check_size(about.size)?;
        if let (Some(served), Some(asked)) = (self.profile.instance, &about.instance)
            && served != asked
        {
            let text = format!("instance name `{asked}` is not served, only `{served}`");
            return Err(Status::invalid_argument(text));
        }
        let Some(number) = about.function else {
            return Ok(());
        };
        let supported = &self.profile.digest_functions;
        if supported.iter().any(|function| function.to_pb() == number) {
            return Ok(());
        }
        let unset = number == digest_function::Value::Unknown as i32;
        match (unset, self.profile.strict) {
            (true, false) => Ok(()),
            (true, true) => Err(self.violation("`digest_function` is unset")),
            (false, _) => Err(Status::invalid_argument("unsupported digest function")),
        }
    }

    /// One message against the limit, in the words of grpc-go.
    pub(super) fn check_size(&self, size: usize) -> Result<(), Status> {
        let limit = self.profile.message_limit;
        if size <= limit {
            return Ok(());
        }
        let text = format!("grpc: received message larger than max ({size} vs. {limit})");
        Err(Status::resource_exhausted(text))
    }
}

/// The effects that need no knowledge of the service.
async fn strike(entry: &Entry) -> Result<(), Status> {
    for effect in entry.effects.iter() {
        match effect {
            Effect::Delay(time) => tokio::time::sleep(*time).await,
            Effect::Call(hook) => hook(),
            Effect::EvictAll => lock(&entry.service.store).evict_all(),
            Effect::Restart => return entry.restart().await,
            Effect::Hang => std::future::pending().await,
            Effect::DropConnection => entry.cut().await,
            Effect::Fail(failure) => return Err(failure.to_call()),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn request_metadata(headers: &MetadataMap) -> Option<RequestMetadata> {
    let value = headers.get_bin(METADATA_HEADER)?.to_bytes().ok()?;
    RequestMetadata::decode(value).ok()
}
