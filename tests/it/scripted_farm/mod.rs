//! The scripted farm itself: it keeps the rules, notices clients that do not, and breaks them when
//! a test says so.

mod blobs;
mod cheap;
mod execution;

use std::time::Duration;

use prost::Message as _;
use relto::internals::digest::Digest;
use relto::internals::pb::reapi::capabilities_client::CapabilitiesClient;
use relto::internals::pb::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use relto::internals::pb::reapi::{FileNode, FindMissingBlobsRequest, GetCapabilitiesRequest};
use relto::internals::pb::rpc;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};

use crate::support::farm::{Effect, Failure, Farm, Fault, Method, Profile};
use crate::support::raw::{self, SHA256};
use crate::support::tls::Tls;

fn file(name: &str, digest: Digest) -> FileNode {
    FileNode {
        name: name.to_owned(),
        digest: Some(digest.to_pb()),
        is_executable: false,
    }
}

fn code(status: &rpc::Status) -> Code {
    status.code.into()
}

#[tokio::test]
async fn the_unix_socket_is_the_same_farm() {
    let farm = Farm::start(Profile::plain());
    let digest = farm.put("here");
    let path = farm.unix_address().replacen("unix:", "unix://", 1);
    let endpoint = Endpoint::from_shared(path).expect("an address");
    let channel = endpoint.connect().await.expect("connected");
    let missing = raw::find_missing(&channel, &[digest]).await;
    assert_eq!(missing.expect("answered"), []);
}

#[tokio::test]
async fn sloppy_requests_are_refused_and_noted() {
    let farm = Farm::start(Profile::plain());
    let channel = farm.channel();
    let digest = SHA256.digest(b"x");
    let upper = raw::upload_name(digest).replace("2f1b6a2c", "2F1B6A2C");
    raw::write(&channel, &upper, b"x")
        .await
        .expect_err("an upper-case UUID");
    let infix = format!("blobs/sha256/{digest}");
    raw::read(&channel, &infix)
        .await
        .expect_err("an infix for SHA256");
    raw::find_missing(&channel, &[digest, digest])
        .await
        .expect_err("asked twice");
    let wrong = raw::upload_name(digest);
    raw::write(&channel, &wrong, b"y")
        .await
        .expect_err("other bytes");
    let bare = Request::new(FindMissingBlobsRequest::default());
    let mut client = ContentAddressableStorageClient::new(channel);
    client
        .find_missing_blobs(bare)
        .await
        .expect_err("no metadata header");
    assert_eq!(
        farm.record().violations.len(),
        5,
        "{:#?}",
        farm.record().violations
    );
}

#[tokio::test]
async fn a_call_fails_as_often_as_scripted_and_with_its_details() {
    let farm = Farm::start(Profile::plain());
    let channel = farm.channel();
    let digest = farm.put("x");
    let busy = Failure::new(Code::Unavailable, "busy").retry_after(Duration::from_secs(2));
    farm.fault(Fault::at(Method::FindMissingBlobs, Effect::Fail(busy)).call(2));
    let other = Effect::fail(Code::Internal, "another blob's");
    farm.fault(Fault::at(Method::FindMissingBlobs, other).digest(SHA256.digest(b"other")));
    for nth in 1..=3 {
        let answer = raw::find_missing(&channel, &[digest]).await;
        let Err(status) = answer else {
            assert_ne!(nth, 2);
            continue;
        };
        assert_eq!((nth, status.code()), (2, Code::Unavailable));
        let details = rpc::Status::decode(status.details()).expect("details");
        let retry = rpc::RetryInfo::decode(details.details[0].value.as_slice());
        assert_eq!(
            retry.expect("a delay").retry_delay.map(|d| d.seconds),
            Some(2)
        );
    }
}

#[tokio::test]
async fn every_kind_of_server_announces_its_capabilities_to_known_clients() {
    for profile in Profile::all() {
        let farm = Farm::start(profile);
        let mut client = CapabilitiesClient::new(farm.channel());
        let instance_name = farm.profile().instance.unwrap_or("any").to_owned();
        let mut request = raw::request(GetCapabilitiesRequest { instance_name });
        if let Some(header) = &farm.profile().header {
            let refused = client
                .get_capabilities(raw::request(request.get_ref().clone()))
                .await;
            assert_eq!(refused.expect_err("no key").code(), Code::Unauthenticated);
            let value = header.value.parse().expect("a header");
            request.metadata_mut().insert(header.name, value);
        }
        let answer = client
            .get_capabilities(request)
            .await
            .expect("answered")
            .into_inner();
        assert_eq!(
            answer.execution_capabilities.is_some(),
            farm.profile().executes
        );
    }
}

#[tokio::test]
async fn a_killed_farm_does_not_answer() {
    let mut farm = Farm::start(Profile::plain());
    let channel = farm.channel();
    let digest = farm.put("x");
    raw::find_missing(&channel, &[digest])
        .await
        .expect("answered");
    farm.kill();
    // tonic says UNKNOWN while the old connection breaks, UNAVAILABLE once it is gone.
    raw::find_missing(&channel, &[digest])
        .await
        .expect_err("dead");
}

#[tokio::test]
async fn a_call_that_hangs_is_open_until_its_client_leaves() {
    let farm = Farm::start(Profile::plain());
    let digest = farm.put("x");
    farm.fault(Fault::at(Method::Read, Effect::Hang));
    farm.fault(Fault::at(Method::FindMissingBlobs, Effect::DropConnection));
    let channel = farm.channel();
    let name = format!("blobs/{digest}");
    let read = relto::internals::task::spawn({
        let channel = channel.clone();
        async move { raw::read(&channel, &name).await }
    });
    while farm.record().open_calls() == 0 {
        tokio::task::yield_now().await;
    }
    // The cut takes the connection of both.
    raw::find_missing(&channel, &[digest])
        .await
        .expect_err("cut");
    read.await.expect_err("cut as well");
    while farm.record().open_calls() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_farm_that_speaks_tls_only_wants_the_right_certificates() {
    let tls = Tls::new();
    let mut profile = Profile::plain();
    profile.tls = Some(tls.server_config(true));
    let farm = Farm::start(profile);
    let digest = farm.put("x");
    raw::find_missing(&farm.channel(), &[digest])
        .await
        .expect_err("plain text");
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.authority));
    let known = Identity::from_pem(&tls.client.certificate, &tls.client.key);
    let channel = |config| {
        let endpoint = Endpoint::from_shared(format!("https://localhost:{}", farm.port()));
        let endpoint = endpoint.expect("an address").tls_config(config);
        endpoint.expect("good certificates").connect_lazy()
    };
    let stranger = channel(trusting.clone());
    raw::find_missing(&stranger, &[digest])
        .await
        .expect_err("no certificate");
    let known = channel(trusting.identity(known));
    let missing = raw::find_missing(&known, &[digest]).await;
    assert_eq!(missing.expect("answered"), []);
    farm.fault(Fault::at(Method::FindMissingBlobs, Effect::DropConnection).call(1));
    raw::find_missing(&known, &[digest])
        .await
        .expect_err("cut through TLS");
}

#[tokio::test]
async fn a_connection_gets_go_away_at_its_maximum_age() {
    let mut profile = Profile::plain();
    profile.connection_age = Some(Duration::from_millis(20));
    let farm = Farm::start(profile);
    let digest = farm.put("x");
    let channel = farm.channel();
    while farm.record().connections < 3 {
        // Now and then a call falls between two connections: UNAVAILABLE or UNKNOWN, for the client
        // to repeat.
        let _ = raw::find_missing(&channel, &[digest]).await;
    }
}
