//! The client with real servers, also behind a proxy with TLS and credentials.

use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use fs_err as fs;
use relto::internals::digest::DigestFunction;
use relto::internals::events::Events;
use relto::internals::pb::reapi;
use relto::internals::reapi::{
    Address, Blob, Client, ClientOptions, FailureKind, Header, RequestContext, Rpc, Stage,
    declared_outputs, stderr,
};

use crate::client::action::{ActionShape, job, prepare};
use crate::support::servers::nginx::{BASIC, Demand, Nginx, WRONG_BASIC};
use crate::support::servers::{Kind, Server, Setup};

fn options(server: &Server, executes: bool) -> ClientOptions {
    let address: Option<Address> = format!("grpc://127.0.0.1:{}", server.port()).parse().ok();
    ClientOptions {
        executor: address.clone().filter(|_| executes),
        cache: address,
        ..ClientOptions::default()
    }
}

async fn connect(options: &ClientOptions) -> Client {
    Client::connect(options, Events::discarded())
        .await
        .expect("connected")
}

/// Bytes that do not compress to nothing.
fn noise(seed: u64, size: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes = (0..size).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3] & 0x3f
    });
    bytes.collect::<Vec<u8>>().into()
}

/// Small and large blobs, from memory and from files, go up once and come down the same.
async fn blobs_travel(client: &Client, dir: &Path) {
    let function = client.digest_function();
    let mut blobs = Vec::new();
    let mut contents = Vec::new();
    let sizes = [0, 1, 100, 5000, 900_000, 1_100_000, 3_000_000, 9_000_000];
    for (seed, size) in sizes
        .into_iter()
        .chain((0..300).map(|n| 20 + n))
        .enumerate()
    {
        let bytes = noise(seed as u64, size);
        let digest = function.digest(&bytes);
        if seed % 2 == 0 {
            blobs.push(Blob::from_bytes(digest, bytes.clone()));
        } else {
            let path = dir.join(format!("blob-{seed}"));
            fs::write(&path, &bytes).expect("written");
            blobs.push(Blob::from_file(digest, path));
        }
        contents.push((digest, bytes));
    }
    client.ensure_uploaded(&blobs).await.expect("uploaded");
    client.ensure_uploaded(&blobs).await.expect("known");
    assert_eq!(client.counters().requests(Rpc::FindMissingBlobs), 1);
    assert!(client.counters().requests(Rpc::BatchUpdateBlobs) <= 4);
    let about = RequestContext::default();
    let fetches = contents.iter().map(|(digest, bytes)| {
        let about = &about;
        async move {
            let fetched = client.fetch(digest, None, about).await.expect("fetched");
            assert_eq!(fetched, bytes, "{digest}");
        }
    });
    futures_util::future::join_all(fetches).await;
    assert!(client.counters().requests(Rpc::BatchReadBlobs) <= 8);
    let unknown = function.digest(b"never uploaded");
    let failure = client
        .fetch(&unknown, None, &about)
        .await
        .expect_err("not there");
    assert_eq!(failure.kind, FailureKind::NotFound, "{failure}");
}

async fn an_action_runs(client: &Client) {
    let script = "relto/bin/busybox cat relto/in > relto/out; echo warned >&2";
    let prepared = prepare(&ActionShape::linux(client), script, "the input");
    let about = RequestContext::default();
    let before = client.action_result(&prepared.action, &[], &about).await;
    assert!(before.expect("an answer").is_none());
    client
        .ensure_uploaded(&prepared.blobs)
        .await
        .expect("uploaded");
    let stages = Mutex::new(Vec::new());
    let progress = |stage: Stage| stages.lock().expect("not poisoned").push(stage);
    let executed = client
        .execute(&job(&prepared), &progress)
        .await
        .expect("executed");
    assert_eq!(executed.result.exit_code, 0);
    let outputs = declared_outputs(&executed.result, &["relto/out".to_owned()]).expect("good");
    let fetched = client
        .fetch(&outputs[0].digest, None, &about)
        .await
        .expect("fetched");
    assert_eq!(&fetched[..], b"the input");
    let printed = client
        .printed(&stderr(&executed.result), &about)
        .await
        .expect("fetched");
    assert_eq!(&printed[..], b"warned\n");
    let after = client.action_result(&prepared.action, &[], &about).await;
    assert!(after.expect("an answer").is_some());
}

/// Nothing is uploaded before: the server's own complaint must be enough to send everything.
async fn lost_inputs_are_sent(client: &Client) {
    let prepared = prepare(&ActionShape::linux(client), "exit 3", "lost and found");
    let executed = client
        .execute(&job(&prepared), &|_| ())
        .await
        .expect("executed");
    assert_eq!(executed.result.exit_code, 3);
}

#[tokio::test]
async fn casd_stores_and_executes() {
    let Some(server) = Kind::Casd.private(&Setup::default()) else {
        return;
    };
    let client = connect(&options(&server, true)).await;
    blobs_travel(&client, server.dir()).await;
    an_action_runs(&client).await;
    lost_inputs_are_sent(&client).await;
    a_dropped_execution_is_cancelled(&client).await;
}

/// Its action cache is written by executions alone, and it has no service for operations.
#[tokio::test]
async fn just_stores_and_executes() {
    let Some(server) = Kind::Just.private(&Setup::default()) else {
        return;
    };
    let client = connect(&options(&server, true)).await;
    assert!(!client.capabilities().can_update_action_cache);
    blobs_travel(&client, server.dir()).await;
    an_action_runs(&client).await;
    lost_inputs_are_sent(&client).await;
}

#[tokio::test]
async fn nativelink_stores_and_executes() {
    let Some(server) = Kind::Nativelink.private(&Setup::default()) else {
        return;
    };
    let options = ClientOptions {
        instance_name: "main".to_owned(),
        ..options(&server, true)
    };
    let client = connect(&options).await;
    blobs_travel(&client, server.dir()).await;
    an_action_runs(&client).await;
    lost_inputs_are_sent(&client).await;
}

#[tokio::test]
async fn buildgrid_stores_and_executes() {
    let Some(server) = Kind::Buildgrid.private(&Setup::default()) else {
        return;
    };
    let client = connect(&options(&server, true)).await;
    blobs_travel(&client, server.dir()).await;
    an_action_runs(&client).await;
    lost_inputs_are_sent(&client).await;
}

/// casd stops only by `CancelOperation`: the call must have gone out by the time that `close`
/// returns.
async fn a_dropped_execution_is_cancelled(client: &Client) {
    let prepared = prepare(
        &ActionShape::linux(client),
        "relto/bin/busybox sleep 100",
        "asleep",
    );
    client
        .ensure_uploaded(&prepared.blobs)
        .await
        .expect("uploaded");
    let started = tokio::sync::Notify::new();
    let job = job(&prepared);
    let progress = |_| started.notify_one();
    tokio::select! {
        ended = client.execute(&job, &progress) => panic!("{ended:?}"),
        () = started.notified() => {}
    }
    client.close().await;
    assert_eq!(client.counters().requests(Rpc::CancelOperation), 1);
}

#[tokio::test]
async fn buildbarn_stores_and_executes() {
    let Some(server) = Kind::Buildbarn.private(&Setup::default()) else {
        return;
    };
    for digest_function in [DigestFunction::Sha256, DigestFunction::Blake3] {
        let options = ClientOptions {
            digest_function: Some(digest_function),
            ..options(&server, true)
        };
        let client = connect(&options).await;
        assert!(client.capabilities().zstd_streams && !client.capabilities().zstd_batches);
        blobs_travel(&client, server.dir()).await;
        an_action_runs(&client).await;
        lost_inputs_are_sent(&client).await;
    }
}

#[tokio::test]
async fn buildbarn_without_a_worker_for_the_platform_is_discovered_once() {
    let Some(server) = Kind::Buildbarn.private(&Setup::default()) else {
        return;
    };
    let client = connect(&options(&server, true)).await;
    let prepared = prepare(
        &ActionShape::of_system("plan9", &client),
        "exit 0",
        "unserved",
    );
    client
        .ensure_uploaded(&prepared.blobs)
        .await
        .expect("uploaded");
    let failure = client
        .execute(&job(&prepared), &|_| ())
        .await
        .expect_err("no worker");
    // A scheduler that has just started says UNAVAILABLE, an older one FAILED_PRECONDITION.
    assert!(failure.message.contains("No workers exist"), "{failure}");
    let asked = client.counters().requests(Rpc::Execute);
    assert!(asked <= 6);
    client
        .execute(&job(&prepared), &|_| ())
        .await
        .expect_err("no worker");
    assert!(client.counters().requests(Rpc::Execute) <= asked + 1);
}

/// `server` used as a cache only: results go up and come down.
async fn takes_results(client: &Client, dir: &Path) {
    assert!(!client.capabilities().can_execute && client.capabilities().can_update_action_cache);
    blobs_travel(client, dir).await;
    let prepared = prepare(&ActionShape::linux(client), "true", "cached");
    let object = Bytes::from_static(b"an object");
    let digest = client.digest_function().digest(&object);
    let mut blobs = prepared.blobs;
    blobs.push(Blob::from_bytes(digest, object));
    client.ensure_uploaded(&blobs).await.expect("uploaded");
    let result = reapi::ActionResult {
        output_files: vec![reapi::OutputFile {
            path: "relto/out".to_owned(),
            digest: Some(digest.to_pb()),
            ..reapi::OutputFile::default()
        }],
        ..reapi::ActionResult::default()
    };
    let (action, about) = (&prepared.action, RequestContext::default());
    client
        .update_action_result(action, result, &about)
        .await
        .expect("stored");
    let inline = ["relto/out".to_owned()];
    let found = client
        .action_result(action, &inline, &about)
        .await
        .expect("an answer");
    let outputs = declared_outputs(&found.expect("a hit"), &inline).expect("good");
    assert_eq!(outputs[0].digest, digest);
}

#[tokio::test]
async fn bazel_remote_is_a_cache_that_takes_results() {
    let Some(server) = Kind::BazelRemote.private(&Setup::default()) else {
        return;
    };
    let client = connect(&options(&server, false)).await;
    assert!(client.capabilities().zstd_streams && client.capabilities().zstd_batches);
    takes_results(&client, server.dir()).await;
}

#[tokio::test]
async fn casd_is_a_cache_that_takes_results() {
    let Some(server) = Kind::Casd.private(&Setup::default()) else {
        return;
    };
    let client = connect(&options(&server, false)).await;
    takes_results(&client, server.dir()).await;
}

/// The header of HTTP's basic authentication.
fn basic(value: &str) -> Header {
    Header {
        name: "Authorization".to_owned(),
        value: value.to_owned(),
    }
}

#[tokio::test]
async fn a_password_and_trust_in_the_certificate_are_both_needed() {
    let Some(server) = Kind::Casd.shared() else {
        return;
    };
    let nginx = Nginx::in_front_of(server, Demand::Password);
    let mut options = ClientOptions {
        cache: nginx.address().parse().ok(),
        headers: vec![basic(BASIC)],
        ..ClientOptions::default()
    };
    let untrusted = Client::connect(&options, Events::discarded()).await;
    let error = untrusted.expect_err("a certificate that no known authority signed");
    assert!(format!("{error:?}").contains("ertificate"), "{error:?}");
    options.tls.certificate = Some(nginx.authority());
    let client = connect(&options).await;
    blobs_travel(&client, nginx.dir()).await;
    options.headers = vec![basic(WRONG_BASIC)];
    let refused = Client::connect(&options, Events::discarded()).await;
    let error = format!("{:?}", refused.expect_err("a wrong password"));
    assert!(error.contains("Unauthenticated"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_opens_a_farm_that_demands_one_for_every_call() {
    let Some(server) = Kind::Casd.shared() else {
        return;
    };
    let nginx = Nginx::in_front_of(server, Demand::ClientCertificate);
    let mut options = ClientOptions {
        executor: nginx.address().parse().ok(),
        ..ClientOptions::default()
    };
    options.tls.certificate = Some(nginx.authority());
    let refused = Client::connect(&options, Events::discarded()).await;
    refused.expect_err("no certificate was shown");
    let (certificate, key) = nginx.client();
    (options.tls.client_certificate, options.tls.client_key) = (Some(certificate), Some(key));
    let client = connect(&options).await;
    blobs_travel(&client, nginx.dir()).await;
    an_action_runs(&client).await;
    lost_inputs_are_sent(&client).await;
}

/// bazel-remote's own TLS and passwords.
#[tokio::test]
async fn bazel_remote_behind_tls_and_a_password() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str| dir.path().join(name);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
    fs::write(file("server.pem"), made.cert.pem()).expect("written");
    fs::write(file("server.key"), made.signing_key.serialize_pem()).expect("written");
    // "open sesame", as `htpasswd -s` writes it.
    let line = "relto:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n";
    fs::write(file("passwords"), line).expect("written");
    let flags = [
        ("tls_cert_file", "server.pem"),
        ("tls_key_file", "server.key"),
        ("htpasswd_file", "passwords"),
    ];
    let flags = flags.map(|(flag, name)| format!("--{flag}={}", file(name).display()));
    let setup = Setup {
        arguments: flags.to_vec(),
        ..Setup::default()
    };
    let Some(server) = Kind::BazelRemote.private(&setup) else {
        return;
    };
    let mut options = ClientOptions {
        cache: format!("grpcs://127.0.0.1:{}", server.port()).parse().ok(),
        headers: vec![basic(BASIC)],
        ..ClientOptions::default()
    };
    let untrusted = Client::connect(&options, Events::discarded()).await;
    let error = untrusted.expect_err("a certificate that no known authority signed");
    assert!(format!("{error:?}").contains("ertificate"), "{error:?}");
    options.tls.certificate = Some(file("server.pem"));
    let client = connect(&options).await;
    blobs_travel(&client, server.dir()).await;
    options.headers = vec![basic(WRONG_BASIC)];
    let refused = Client::connect(&options, Events::discarded()).await;
    let error = format!("{:?}", refused.expect_err("a wrong password"));
    assert!(error.contains("Unauthenticated"), "{error}");
}
