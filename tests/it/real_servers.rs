//! Real servers as the support code starts them: they answer, they can be stopped, killed and
//! started again, and what the scripted farm says of their capabilities is what they say
//! themselves.

use relto::internals::pb::reapi::capabilities_client::CapabilitiesClient;
use relto::internals::pb::reapi::{GetCapabilitiesRequest, ServerCapabilities};
use tonic::transport::{Channel, Endpoint};

use crate::support::farm::Profile;
use crate::support::raw::{self, SHA256};
use crate::support::servers::{Kind, Server, Setup};

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

#[tokio::test]
async fn every_server_that_is_named_answers() {
    for server in Kind::ALL.into_iter().filter_map(Kind::shared) {
        let answer = capabilities(server).await;
        assert!(
            answer.cache_capabilities.is_some(),
            "{}",
            server.kind().name()
        );
        let executes = answer.execution_capabilities.is_some();
        assert_eq!(
            executes,
            server.kind().executes(),
            "{}",
            server.kind().name()
        );
        let again = server.kind().shared().expect("named");
        assert_eq!(again.port(), server.port(), "one for all tests");
    }
}

#[tokio::test]
async fn the_profiles_say_what_the_servers_say() {
    let pairs = [
        (Kind::Buildbarn, Profile::buildbarn()),
        (Kind::BazelRemote, Profile::bazel_remote()),
    ];
    for (kind, profile) in pairs {
        let Some(server) = kind.shared() else {
            continue;
        };
        let real = capabilities(server).await;
        let ours = profile.capabilities();
        assert_eq!(
            real.low_api_version,
            ours.low_api_version,
            "{}",
            kind.name()
        );
        assert_eq!(
            real.high_api_version,
            ours.high_api_version,
            "{}",
            kind.name()
        );
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
            zstd(&ours.supported_batch_update_compressors),
            "{}",
            kind.name()
        );
    }
}

#[tokio::test]
async fn a_private_server_is_killed_and_started_again_with_what_it_stored() {
    let Some(mut server) = Kind::BazelRemote.private(&Setup::default()) else {
        return;
    };
    let digest = SHA256.digest(b"kept");
    raw::batch_update(&channel(&server), &[b"kept"])
        .await
        .expect("stored");
    server.kill();
    let dead = raw::find_missing(&channel(&server), &[digest]).await;
    dead.expect_err("nobody answers");
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
