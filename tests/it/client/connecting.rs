//! Connecting: addresses, headers, TLS, and servers that are dead, silent or say little.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use relto::internals::digest::DigestFunction;
use relto::internals::error::Hinted as _;
use relto::internals::events::Events;
use relto::internals::reapi::{
    Address, CapabilityError, Client, ClientOptions, ConnectError, FailureKind, Header,
    RequestContext,
};
use tonic::Code;

use crate::support::farm::{Effect, Farm, Fault, Method, Profile};
use crate::support::tls::Tls;

async fn try_connect(options: &ClientOptions) -> Result<Client, ConnectError> {
    Client::connect(options, Events::discarded()).await
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn address_of(text: &str) -> Address {
    text.parse().expect("an address")
}

/// The error with its causes and hints.
fn text_of(error: &ConnectError) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        parts.push(error.to_string());
        cause = error.source();
    }
    parts.extend(error.hints());
    parts.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_has_its_address_and_its_headers() {
    let farms = [(); 2].map(|()| Farm::start(Profile::plain()));
    let [cache, executor] = &farms;
    let options = ClientOptions {
        cache: Some(address_of(&cache.address())),
        executor: Some(address_of(&executor.address())),
        headers: vec![header("X-All", "all")],
        cache_headers: vec![header("x-cache", "cache")],
        exec_headers: vec![header("x-exec", "exec")],
        ..ClientOptions::default()
    };
    let client = try_connect(&options).await.expect("connected");
    let action = DigestFunction::Sha256.digest(b"action");
    let context = RequestContext::default();
    let found = client.action_result(&action, &[], &context).await;
    assert!(found.expect("an answer").is_none());
    for (farm, method, present, absent) in [
        (cache, Method::GetCapabilities, "x-cache", "x-exec"),
        (cache, Method::GetActionResult, "x-cache", "x-exec"),
        (executor, Method::GetCapabilities, "x-exec", "x-cache"),
    ] {
        let record = farm.record();
        let headers = &record.of(method).next().expect("a call").headers;
        assert_eq!(headers["x-all"], "all");
        assert!(headers.contains_key(present), "{method:?} {present}");
        assert!(!headers.contains_key(absent), "{method:?} {absent}");
        let agent = &headers["user-agent"];
        assert!(agent.starts_with("relto/"), "{agent}");
        let metadata = "build.bazel.remote.execution.v2.requestmetadata-bin";
        assert!(headers.contains_key(metadata));
    }
    assert_eq!(executor.record().count(Method::GetActionResult), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_an_address() {
    let farm = Farm::start(Profile::plain());
    let options = ClientOptions {
        executor: Some(address_of(&farm.unix_address())),
        ..ClientOptions::default()
    };
    let client = try_connect(&options).await.expect("connected");
    assert!(client.capabilities().can_execute);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_the_right_authority_and_a_client_certificate_where_the_server_requests_one() {
    let (tls, dir) = (Tls::new(), tempfile::tempdir().expect("a directory"));
    let farm = Farm::start(Profile {
        tls: Some(tls.server_config(true)),
        ..Profile::plain()
    });
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        Some(path)
    };
    let mut options = ClientOptions {
        executor: Some(address_of(&format!("grpcs://localhost:{}", farm.port()))),
        ..ClientOptions::default()
    };
    let stranger = try_connect(&options).await;
    let text = text_of(&stranger.expect_err("an unknown authority"));
    assert!(text.contains("ertificate"), "{text}");
    options.tls.certificate = file("ca.pem", &tls.authority);
    let anonymous = try_connect(&options).await;
    anonymous.expect_err("no client certificate");
    options.tls.client_certificate = file("client.pem", &tls.client.certificate);
    options.tls.client_key = file("client.key", &tls.client.key);
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
    let text = text_of(&error);
    for part in [&address.to_string(), "refused", "`relto doctor`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_fails_in_seconds() {
    let farm = Farm::in_memory(Profile::plain());
    farm.fault(Fault::at(Method::GetCapabilities, Effect::Hang));
    let began = tokio::time::Instant::now();
    let connected = super::connect(&farm, &ClientOptions::default()).await;
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
            set(|options| {
                options.executor = Some(address_of("grpcs://127.0.0.1:1"));
                options.tls.client_key = Some(Path::new("k").to_owned());
            }),
            "set both `tls_client_certificate`",
        ),
    ] {
        let text = text_of(&try_connect(&options).await.expect_err(says));
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn a_server_without_capabilities_is_a_plain_one() {
    let farm = Farm::in_memory(Profile::plain());
    let unknown = Effect::fail(Code::Unimplemented, "no");
    farm.fault(Fault::at(Method::GetCapabilities, unknown));
    let connected = super::connect(&farm, &ClientOptions::default()).await;
    let client = connected.expect("connected");
    assert!(client.capabilities().can_execute && !client.capabilities().zstd_streams);
    assert_eq!(client.digest_function(), DigestFunction::Sha256);
}
