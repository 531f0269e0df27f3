use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use fs_err as fs;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use std::time::Duration;

use super::*;
use crate::digest::DigestFunction;
use crate::error::Rendered;
use crate::events::Events;
use crate::pb::reapi::action_cache_server::{ActionCache, ActionCacheServer};
use crate::pb::reapi::capabilities_server::{Capabilities, CapabilitiesServer};
use crate::pb::reapi::{
    ActionResult, GetActionResultRequest, GetCapabilitiesRequest, ServerCapabilities,
};
use crate::reapi::fixture::{Fake, able, connect_to};
use crate::reapi::{Client, FailureKind, RequestContext};
use crate::task::{self, Task};

/// Answers capabilities, and remembers headers by method.
#[derive(Clone, Default)]
struct Plain(Arc<Mutex<HashMap<&'static str, HashMap<String, String>>>>);

impl Plain {
    fn note<T>(&self, method: &'static str, request: &Request<T>) {
        let headers = request.metadata().clone().into_headers();
        let text = headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        });
        self.0
            .lock()
            .expect("not poisoned")
            .insert(method, text.collect());
    }

    fn header(&self, method: &str, name: &str) -> Option<String> {
        let seen = self.0.lock().expect("not poisoned");
        seen.get(method)?.get(name).cloned()
    }
}

#[tonic::async_trait]
impl Capabilities for Plain {
    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<ServerCapabilities>, Status> {
        self.note("capabilities", &request);
        Ok(Response::new(able()))
    }
}

#[tonic::async_trait]
impl ActionCache for Plain {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        self.note("result", &request);
        Err(Status::not_found("none"))
    }
}

async fn listen(plain: &Plain, tls: Option<ServerTlsConfig>) -> (SocketAddr, Task<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).expect("good certificates");
    }
    let router = server
        .add_service(CapabilitiesServer::new(plain.clone()))
        .add_service(ActionCacheServer::new(plain.clone()));
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let task = task::spawn(async move {
        router.serve_with_incoming(incoming).await.expect("served");
    });
    (address, task)
}

async fn try_connect(options: &ClientOptions) -> Result<Client, ConnectError> {
    Client::connect(options, Events::discarded()).await
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

#[tokio::test]
async fn each_role_has_its_address_and_its_headers() {
    let (cache, executor) = (Plain::default(), Plain::default());
    let (cache_at, _a) = listen(&cache, None).await;
    let (executor_at, _b) = listen(&executor, None).await;
    let options = ClientOptions {
        cache: Some(address_of(&format!("grpc://{cache_at}"))),
        executor: Some(address_of(&format!("grpc://{executor_at}"))),
        headers: vec![header("X-All", "all")],
        cache_headers: vec![header("x-cache", "cache")],
        exec_headers: vec![header("x-exec", "exec")],
        ..ClientOptions::default()
    };
    let client = try_connect(&options).await.expect("connected");
    let action = DigestFunction::Sha256.digest(b"action");
    let found = client
        .action_result(&action, &[], &RequestContext::default())
        .await;
    assert!(found.expect("an answer").is_none());
    for (server, method, present, absent) in [
        (&cache, "capabilities", "x-cache", "x-exec"),
        (&cache, "result", "x-cache", "x-exec"),
        (&executor, "capabilities", "x-exec", "x-cache"),
    ] {
        assert_eq!(server.header(method, "x-all").as_deref(), Some("all"));
        assert!(
            server.header(method, present).is_some(),
            "{method} {present}"
        );
        assert!(server.header(method, absent).is_none(), "{method} {absent}");
        let agent = server.header(method, "user-agent").expect("a user agent");
        assert!(agent.starts_with("relto/"), "{agent}");
        let metadata = "build.bazel.remote.execution.v2.requestmetadata-bin";
        assert!(server.header(method, metadata).is_some());
    }
    assert!(executor.header("result", "x-all").is_none());
}

fn address_of(text: &str) -> Address {
    text.parse().expect("an address")
}

#[tokio::test]
async fn a_unix_socket_is_an_address() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("farm.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let incoming = futures_util::stream::poll_fn(move |cx| {
        listener
            .poll_accept(cx)
            .map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    });
    let router = Server::builder().add_service(CapabilitiesServer::new(Plain::default()));
    let _server = task::spawn(async move {
        router.serve_with_incoming(incoming).await.expect("served");
    });
    let options = ClientOptions {
        executor: Some(address_of(&format!("unix:{}", path.display()))),
        ..ClientOptions::default()
    };
    assert!(
        try_connect(&options)
            .await
            .expect("connected")
            .capabilities()
            .can_execute
    );
}

/// An authority, and what it signed, as files.
struct Certificates {
    ca: String,
    server: Identity,
}

fn certificates(dir: &Path) -> Certificates {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let signed = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = key();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &ca).expect("signed");
        (certificate.pem(), key.serialize_pem())
    };
    let (pem, key) = signed(&["localhost"]);
    let (client_pem, client_key) = signed(&["user"]);
    fs::write(dir.join("ca.pem"), ca.pem()).expect("written");
    fs::write(dir.join("client.pem"), client_pem).expect("written");
    fs::write(dir.join("client.key"), client_key).expect("written");
    Certificates {
        ca: ca.pem(),
        server: Identity::from_pem(pem, key),
    }
}

#[tokio::test]
async fn tls_needs_the_right_authority_and_a_client_certificate_where_the_server_requests_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = certificates(dir.path());
    // The tests' own TLS library brings a second provider, between which the server would not
    // choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = ServerTlsConfig::new()
        .identity(made.server)
        .client_ca_root(Certificate::from_pem(made.ca));
    let (address, _server) = listen(&Plain::default(), Some(tls)).await;
    let mut options = ClientOptions {
        executor: Some(address_of(&format!("grpcs://localhost:{}", address.port()))),
        ..ClientOptions::default()
    };
    let file = |name: &str| Some(dir.path().join(name));
    let stranger = try_connect(&options)
        .await
        .expect_err("an unknown authority");
    let text = Rendered(&stranger).to_string();
    assert!(text.contains("ertificate"), "{text}");
    options.tls.certificate = file("ca.pem");
    try_connect(&options)
        .await
        .expect_err("no client certificate");
    options.tls.client_certificate = file("client.pem");
    options.tls.client_key = file("client.key");
    try_connect(&options).await.expect("connected");
}

#[tokio::test]
async fn a_dead_address_fails_soon_and_says_how_to_look_closer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let options = ClientOptions {
        executor: Some(address_of(&format!("grpc://{address}"))),
        ..ClientOptions::default()
    };
    let error = try_connect(&options).await.expect_err("nobody listens");
    let text = Rendered(&error).to_string();
    assert!(
        text.contains(&address.to_string()) && text.contains("refused"),
        "{text}"
    );
    assert!(text.contains("hint: `relto doctor`"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_fails_in_seconds() {
    let fake = Fake::default();
    fake.state().silent = u32::MAX;
    let began = tokio::time::Instant::now();
    let (connected, _server) = connect_to(&fake, &ClientOptions::default()).await;
    let ConnectError::Capabilities { source, .. } = connected.expect_err("silence") else {
        panic!("another error");
    };
    let CapabilityError::Unanswered(failure) = source else {
        panic!("another error: {source}");
    };
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(11));
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_before_any_call() {
    let set = |change: fn(&mut ClientOptions)| {
        let mut options = ClientOptions {
            executor: Some(address_of("grpc://127.0.0.1:1")),
            ..ClientOptions::default()
        };
        change(&mut options);
        options
    };
    for (options, says) in [
        (set(|options| options.executor = None), "remote_executor"),
        (
            set(|options| options.instance_name = "a/blobs".to_owned()),
            "a/blobs",
        ),
        (
            set(|options| options.headers = vec![header("a b", "x")]),
            "a b",
        ),
        (
            set(|options| options.tls.client_key = Some("k".into())),
            "refused",
        ),
    ] {
        let error = try_connect(&options).await.expect_err(says);
        let text = Rendered(&error).to_string();
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn a_server_without_capabilities_is_a_plain_one() {
    let fake = Fake::default();
    fake.fault(
        crate::reapi::Rpc::GetCapabilities,
        Status::unimplemented("no"),
    );
    let (connected, _server) = connect_to(&fake, &ClientOptions::default()).await;
    let client = connected.expect("connected");
    assert!(client.capabilities().can_execute && !client.capabilities().zstd_streams);
    assert_eq!(client.digest_function(), DigestFunction::Sha256);
}
