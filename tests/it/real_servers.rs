//! Real servers as the support code starts them: they answer, can be killed and started again, and
//! have the capabilities that the scripted farm's profiles give them.

use relto::internals::pb::reapi::capabilities_client::CapabilitiesClient;
use relto::internals::pb::reapi::{GetCapabilitiesRequest, ServerCapabilities};
use tonic::transport::{Channel, Endpoint};

use crate::support::farm::Profile;
use crate::support::raw::{self, SHA256};
use crate::support::servers::{Kind, Server, Setup, on_each_server};

fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(format!("http://127.0.0.1:{}", server.port()))
        .expect("an address")
        .connect_lazy()
}

async fn capabilities(server: &Server) -> ServerCapabilities {
    let request = raw::request(GetCapabilitiesRequest::default());
    let mut client = CapabilitiesClient::new(channel(server));
    let answer = client.get_capabilities(request).await;
    answer.expect("the server answers").into_inner()
}

#[tokio::main(flavor = "current_thread")]
async fn says_what_it_is(server: &Server) {
    let answer = capabilities(server).await;
    assert!(answer.cache_capabilities.is_some());
    let executes = answer.execution_capabilities.is_some();
    assert_eq!(executes, server.kind().executes());
}

on_each_server!(every_server_that_is_named_answers => says_what_it_is);

#[test]
fn tests_share_a_server() {
    if let Some(server) = Kind::Casd.shared() {
        let again = Kind::Casd.shared().expect("it is there");
        assert_eq!(again.port(), server.port());
    }
}

async fn says_what_its_profile_says(kind: Kind, profile: Profile) {
    let Some(server) = kind.shared() else {
        return;
    };
    let real = capabilities(server).await;
    let ours = profile.capabilities();
    assert_eq!(real.low_api_version, ours.low_api_version);
    assert_eq!(real.high_api_version, ours.high_api_version);
    let real = real.cache_capabilities.expect("a cache");
    let ours = ours.cache_capabilities.expect("a cache");
    assert_eq!(
        real.max_batch_total_size_bytes,
        ours.max_batch_total_size_bytes
    );
    let zstd = |compressors: &[i32]| compressors.contains(&1);
    assert_eq!(
        zstd(&real.supported_compressors),
        zstd(&ours.supported_compressors)
    );
    assert_eq!(
        zstd(&real.supported_batch_update_compressors),
        zstd(&ours.supported_batch_update_compressors)
    );
}

#[tokio::test]
async fn the_profile_of_buildbarn_equals_the_capabilities_of_buildbarn() {
    says_what_its_profile_says(Kind::Buildbarn, Profile::buildbarn()).await;
}

#[tokio::test]
async fn the_profile_of_bazel_remote_equals_the_capabilities_of_bazel_remote() {
    says_what_its_profile_says(Kind::BazelRemote, Profile::bazel_remote()).await;
}

#[tokio::test]
async fn the_profile_of_casd_equals_the_capabilities_of_casd() {
    says_what_its_profile_says(Kind::Casd, Profile::casd()).await;
}

#[tokio::test]
async fn a_private_server_is_killed_and_started_again_with_what_it_stored() {
    let Some(mut server) = Kind::Casd.private(&Setup::default()) else {
        return;
    };
    let digest = SHA256.digest(b"kept");
    raw::batch_update(&channel(&server), &[b"kept"])
        .await
        .expect("stored");
    server.kill();
    let dead = raw::find_missing(&channel(&server), &[digest]).await;
    dead.expect_err("it was killed");
    server.restart();
    let missing = raw::find_missing(&channel(&server), &[digest]).await;
    assert_eq!(missing.expect("answered"), []);
    let pids = server.pids().to_vec();
    drop(server);
    for pid in pids {
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    }
}
