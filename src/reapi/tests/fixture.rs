//! A farm in memory, for the client's own tests: it stores, answers from scripts, and remembers
//! what it was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

use super::{Address, Blob, Client, ClientOptions, ConnectError, Rpc};
use crate::digest::{Digest, DigestFunction};
use crate::events::Events;
use crate::pb::bytestream::byte_stream_server::ByteStreamServer;
use crate::pb::longrunning::operations_server::{Operations, OperationsServer};
use crate::pb::longrunning::{CancelOperationRequest, Operation};
use crate::pb::reapi;
use crate::pb::reapi::action_cache_server::{ActionCache, ActionCacheServer};
use crate::pb::reapi::capabilities_server::{Capabilities, CapabilitiesServer};
use crate::pb::reapi::content_addressable_storage_server::ContentAddressableStorageServer;
use crate::pb::reapi::execution_server::{Execution, ExecutionServer};
use crate::pb::reapi::*;
use crate::reapi::connect::{Dials, connect_with};
use crate::reapi::transport::pool::Dial;
use crate::task::{self, Task};

pub(super) const SHA: DigestFunction = DigestFunction::Sha256;

type Updates = BoxStream<'static, Result<Operation, Status>>;

/// What an `Execute` or `WaitExecution` answers.
pub(super) enum Script {
    /// The call itself fails.
    Refuse(Status),
    /// These messages, then the end of the stream, or the status.
    Send(Vec<Operation>, Option<Status>),
    /// These messages, then silence.
    Hang(Vec<Operation>),
}

#[derive(Default)]
pub(super) struct State {
    pub(super) capabilities: ServerCapabilities,
    pub(super) blobs: HashMap<Digest, Bytes>,
    pub(super) results: HashMap<Digest, ActionResult>,
    /// Statuses that the next calls of a method get instead of an answer.
    pub(super) faults: HashMap<Rpc, VecDeque<Status>>,
    pub(super) scripts: VecDeque<Script>,
    /// Blobs that batches pretend to take and forget.
    pub(super) swallow: bool,
    /// Blobs that are given out damaged.
    pub(super) damage: bool,
    /// Largest sum of blobs that a batch may have, whatever the capabilities say.
    pub(super) batch_limit: Option<usize>,
    /// Per-blob code of the next batch update.
    pub(super) blob_codes: HashMap<Digest, i32>,
    pub(super) early_return: bool,
    pub(super) calls: Vec<Rpc>,
    pub(super) asked: Vec<Vec<Digest>>,
    pub(super) cancelled: Vec<String>,
    pub(super) waited: Vec<String>,
    pub(super) authorizations: Vec<String>,
    /// Uploads that ended without `finish_write`.
    pub(super) truncated: usize,
    /// So many calls get no answer.
    pub(super) silent: u32,
    /// Connections that were opened.
    pub(super) dialled: usize,
}

#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

/// The farm and the way to it.
pub(super) struct Fixture {
    pub(super) fake: Fake,
    pub(super) client: Client,
    _server: Task<()>,
}

impl Fake {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    pub(super) fn count(&self, rpc: Rpc) -> usize {
        self.state()
            .calls
            .iter()
            .filter(|call| **call == rpc)
            .count()
    }

    pub(super) fn has_all(&self, blobs: &[Blob]) -> bool {
        let state = self.state();
        blobs
            .iter()
            .all(|blob| state.blobs.contains_key(&blob.digest))
    }

    pub(super) fn put(&self, bytes: &[u8]) -> Digest {
        let digest = SHA.digest(bytes);
        let bytes = Bytes::copy_from_slice(bytes);
        self.state().blobs.insert(digest, bytes);
        digest
    }

    pub(super) fn fault(&self, rpc: Rpc, status: Status) {
        self.state()
            .faults
            .entry(rpc)
            .or_default()
            .push_back(status);
    }

    pub(super) fn script(&self, script: Script) {
        self.state().scripts.push_back(script);
    }

    pub(super) async fn enter<T>(&self, rpc: Rpc, request: &Request<T>) -> Result<(), Status> {
        let silent = {
            let mut state = self.state();
            state.calls.push(rpc);
            let header = request.metadata().get("authorization");
            let text = header.map(|value| value.to_str().expect("text").to_owned());
            state.authorizations.extend(text);
            if let Some(fault) = state.faults.get_mut(&rpc).and_then(VecDeque::pop_front) {
                return Err(fault);
            }
            let silent = state.silent > 0;
            state.silent = state.silent.saturating_sub(1);
            silent
        };
        if silent {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// Small blobs of which no two are alike.
pub(super) fn many(count: usize) -> Vec<Blob> {
    let blob = |number| {
        let bytes = Bytes::from(format!("blob {number}"));
        Blob::from_bytes(SHA.digest(&bytes), bytes)
    };
    (0..count).map(blob).collect()
}

/// A server that can do everything.
pub(super) fn able() -> ServerCapabilities {
    ServerCapabilities {
        cache_capabilities: Some(CacheCapabilities {
            digest_functions: vec![SHA.to_pb()],
            ..CacheCapabilities::default()
        }),
        execution_capabilities: Some(ExecutionCapabilities {
            exec_enabled: true,
            ..ExecutionCapabilities::default()
        }),
        high_api_version: Some(crate::pb::semver::SemVer {
            major: 2,
            minor: 12,
            ..crate::pb::semver::SemVer::default()
        }),
        ..ServerCapabilities::default()
    }
}

pub(super) async fn farm() -> Fixture {
    farm_with(able(), &ClientOptions::default()).await
}

pub(super) async fn farm_with(
    capabilities: ServerCapabilities,
    options: &ClientOptions,
) -> Fixture {
    let fake = Fake::default();
    fake.state().capabilities = capabilities;
    let (client, server) = connect_to(&fake, options).await;
    Fixture {
        fake,
        client: client.expect("connected"),
        _server: server,
    }
}

pub(super) async fn connect_to(
    fake: &Fake,
    options: &ClientOptions,
) -> (Result<Client, ConnectError>, Task<()>) {
    let (dial, server) = serve(fake);
    let address = || Address::Tcp {
        tls: false,
        host: "farm.test".to_owned(),
        port: 80,
    };
    let dials = Dials {
        cache: (address(), dial),
        execution: Some((address(), None)),
    };
    let farm = connect_with(dials, options).await;
    let client = farm.map(|farm| Client::from_session(farm, Events::discarded()));
    (client, server)
}

fn serve(fake: &Fake) -> (Dial, Task<()>) {
    let (open, mut opened) = mpsc::unbounded_channel::<DuplexStream>();
    let counting = fake.clone();
    let dial: Dial = Arc::new(move || {
        counting.state().dialled += 1;
        let open = open.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let (near, far) = tokio::io::duplex(1 << 16);
            let sent = open.send(far).map_err(std::io::Error::other);
            async move { sent.map(|()| TokioIo::new(near)) }
        });
        Endpoint::from_static("http://farm.test").connect_with_connector_lazy(connector)
    });
    let incoming =
        futures_util::stream::poll_fn(move |cx| opened.poll_recv(cx)).map(Ok::<_, std::io::Error>);
    let most = 64 << 20;
    let router = Server::builder()
        .add_service(CapabilitiesServer::new(fake.clone()))
        .add_service(ActionCacheServer::new(fake.clone()))
        .add_service(
            ContentAddressableStorageServer::new(fake.clone()).max_decoding_message_size(most),
        )
        .add_service(ByteStreamServer::new(fake.clone()))
        .add_service(ExecutionServer::new(fake.clone()))
        .add_service(OperationsServer::new(fake.clone()));
    let server = task::spawn(async move {
        router.serve_with_incoming(incoming).await.expect("served");
    });
    (dial, server)
}

pub(super) fn read(digest: Option<&reapi::Digest>) -> Digest {
    Digest::from_pb(digest.expect("a digest")).expect("well formed")
}

#[tonic::async_trait]
impl Capabilities for Fake {
    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<ServerCapabilities>, Status> {
        self.enter(Rpc::GetCapabilities, &request).await?;
        Ok(Response::new(self.state().capabilities.clone()))
    }
}

#[tonic::async_trait]
impl ActionCache for Fake {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        self.enter(Rpc::GetActionResult, &request).await?;
        let action = read(request.get_ref().action_digest.as_ref());
        let found = self.state().results.get(&action).cloned();
        found
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no result"))
    }

    async fn update_action_result(
        &self,
        request: Request<UpdateActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        self.enter(Rpc::UpdateActionResult, &request).await?;
        let message = request.into_inner();
        let result = message.action_result.unwrap_or_default();
        let action = read(message.action_digest.as_ref());
        self.state().results.insert(action, result.clone());
        Ok(Response::new(result))
    }
}

impl Fake {
    fn play(&self) -> Result<Response<Updates>, Status> {
        let script = self.state().scripts.pop_front();
        match script.expect("a script for each call") {
            Script::Refuse(status) => Err(status),
            Script::Send(messages, end) => {
                let messages = messages.into_iter().map(Ok).chain(end.map(Err));
                let messages: Vec<_> = messages.collect();
                Ok(Response::new(futures_util::stream::iter(messages).boxed()))
            }
            Script::Hang(messages) => {
                let messages: Vec<_> = messages.into_iter().map(Ok).collect();
                let silence = futures_util::stream::pending();
                Ok(Response::new(
                    futures_util::stream::iter(messages).chain(silence).boxed(),
                ))
            }
        }
    }
}

#[tonic::async_trait]
impl Execution for Fake {
    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<Updates>, Status> {
        self.enter(Rpc::Execute, &request).await?;
        self.play()
    }

    async fn wait_execution(
        &self,
        request: Request<WaitExecutionRequest>,
    ) -> Result<Response<Updates>, Status> {
        self.enter(Rpc::WaitExecution, &request).await?;
        self.state().waited.push(request.into_inner().name);
        self.play()
    }
}

#[tonic::async_trait]
impl Operations for Fake {
    async fn cancel_operation(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> Result<Response<()>, Status> {
        self.enter(Rpc::CancelOperation, &request).await?;
        self.state().cancelled.push(request.into_inner().name);
        Ok(Response::new(()))
    }
}
