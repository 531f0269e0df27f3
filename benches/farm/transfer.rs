//! `transfer`: large blobs both ways, against a loop that does nothing but gRPC, and against
//! hashing alone.
//!
//! Client and server share the processors, so it is the client's processor time that counts. Each
//! client is a process of its own: this program again, told which one to be.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use fs_err as fs;
use futures_util::StreamExt as _;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::events::Events;
use relto::internals::pb::bytestream::byte_stream_client::ByteStreamClient;
use relto::internals::pb::bytestream::{ReadRequest, WriteRequest};
use relto::internals::pb::reapi;
use relto::internals::reapi::{Blob, Client, ClientOptions, RequestContext};
use tempfile::TempDir;

use crate::reset;
use relto_testing::farm::{Farm, Profile};
use relto_testing::measure::{Comparison, HEAD, Sample, median, run, show};

const SIZE: usize = 16 << 20;
const UP: usize = 128;
const DOWN: usize = 64;
/// Blobs under way at a time, and bytes of a message, as relto has them.
const AT_ONCE: usize = 8;
const PIECE: usize = 128 << 10;
/// Any UUID: the farm does not resume uploads.
const UPLOAD: &str = "00000000-0000-4000-8000-000000000000";

pub(crate) fn transfer(runs: usize) {
    let dir = TempDir::new().expect("a directory");
    let blobs: Vec<_> = (0..UP).map(blob).collect();
    for (digest, bytes) in &blobs {
        let path = dir.path().join(name(digest));
        fs::write(path, bytes).expect("written");
    }
    let farm = Farm::start(Profile::cheap());
    show(&format!(
        "{} MiB to the farm and {} MiB from it, in blobs of {} MiB; processor time of the client, s\n\
         against (theirs): a bare loop and hashing; the bar is 1.15\n{HEAD}",
        (UP * SIZE) >> 20,
        (DOWN * SIZE) >> 20,
        SIZE >> 20
    ));
    for (way, count) in [("upload", UP), ("download", DOWN)] {
        let list: String = blobs[..count]
            .iter()
            .map(|(digest, _)| name(digest) + "\n")
            .collect();
        fs::write(dir.path().join("list"), list).expect("written");
        let client = |kind: &str| {
            reset(&farm, HashSet::new());
            if way == "download" {
                for (digest, bytes) in &blobs[..count] {
                    farm.put_named(*digest, bytes.clone());
                }
            }
            run(
                &child(&format!("{way}-{kind}"), &farm.address(), dir.path()),
                1,
            )
        };
        let both = Comparison::of(
            runs,
            || client("relto"),
            || sum(client("bare"), run(&child("hash", "-", dir.path()), 1)),
        );
        show(&both.line(&format!("{way}, processor"), |sample| sample.cpu));
        show(&both.line(&format!("{way}, wall"), |sample| sample.wall));
        let hashing: Vec<Sample> = (0..runs)
            .map(|_| run(&child("hash", "-", dir.path()), 1))
            .collect();
        let hashing = median(hashing.iter().map(|sample| sample.cpu));
        show(&format!("{:25}{:20.3}\n", "of which hashing", hashing));
    }
}

fn sum(one: Sample, other: Sample) -> Sample {
    Sample {
        wall: one.wall.max(other.wall),
        cpu: one.cpu + other.cpu,
        memory: one.memory.max(other.memory),
    }
}

/// Bytes that are not all the same, and others for each number.
fn blob(number: usize) -> (Digest, Bytes) {
    let mut bytes = Vec::with_capacity(SIZE);
    let mut word = number as u64 + 1;
    while bytes.len() < SIZE {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let bytes = Bytes::from(bytes);
    (DigestFunction::Sha256.digest(&bytes), bytes)
}

fn name(digest: &Digest) -> String {
    digest.to_string().replace('/', "-")
}

fn parse(name: &str) -> Digest {
    let (hash, size) = name.split_once('-').expect("a hash and a size");
    let digest = Digest::from_pb(&reapi::Digest {
        hash: hash.to_owned(),
        size_bytes: size.parse().expect("a size"),
    });
    digest.expect("a digest")
}

fn child(kind: &str, address: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--child", kind, address]).arg(dir);
    command
}

/// What the child does.
pub(crate) fn be(kind: &str, address: &str, dir: &Path) {
    let list = fs::read_to_string(dir.join("list")).expect("the list");
    let blobs: Vec<(Digest, PathBuf)> = list
        .lines()
        .map(|line| (parse(line), dir.join(line)))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads");
    runtime.block_on(async {
        match kind {
            "upload-relto" => upload(address, &blobs).await,
            "upload-bare" => upload_bare(address, blobs).await,
            "download-relto" => download(address, &blobs).await,
            "download-bare" => download_bare(address, blobs).await,
            _ => hash(&blobs),
        }
    });
}

async fn client(address: &str) -> Client {
    let options = ClientOptions {
        cache: Some(address.parse().expect("an address")),
        ..ClientOptions::default()
    };
    let connected = Client::connect(&options, Events::discarded()).await;
    connected.expect("a farm")
}

async fn upload(address: &str, blobs: &[(Digest, PathBuf)]) {
    let blobs = blobs
        .iter()
        .map(|(digest, path)| Blob::from_file(*digest, path.as_path()));
    let blobs: Vec<_> = blobs.collect();
    let sent = client(address).await.ensure_uploaded(&blobs).await;
    sent.expect("sent");
}

async fn download(address: &str, blobs: &[(Digest, PathBuf)]) {
    let (client, about) = (client(address).await, RequestContext::default());
    let fetch = |digest| client.fetch(digest, None, &about);
    let fetches = blobs.iter().map(|(digest, _)| fetch(digest));
    let mut fetches = futures_util::stream::iter(fetches).buffer_unordered(AT_ONCE);
    while let Some(fetched) = fetches.next().await {
        assert_eq!(fetched.expect("fetched").len(), SIZE);
    }
}

async fn channel(address: &str) -> ByteStreamClient<tonic::transport::Channel> {
    let address = address.replace("grpc://", "http://");
    let connected = tonic::transport::Endpoint::from_shared(address)
        .expect("an address")
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .connect()
        .await;
    ByteStreamClient::new(connected.expect("a farm")).max_decoding_message_size(64 << 20)
}

async fn upload_bare(address: &str, blobs: Vec<(Digest, PathBuf)>) {
    let client = channel(address).await;
    let uploads = blobs.into_iter().map(|(digest, path)| {
        let mut client = client.clone();
        async move {
            let mut bytes = Bytes::from(tokio::fs::read(path).await.expect("read"));
            let mut resource_name = format!("uploads/{UPLOAD}/blobs/{digest}");
            let mut offset = 0;
            let messages = std::iter::from_fn(move || {
                let data = bytes.split_to(bytes.len().min(PIECE));
                offset += i64::try_from(data.len()).expect("a piece");
                (!data.is_empty()).then(|| WriteRequest {
                    resource_name: std::mem::take(&mut resource_name),
                    write_offset: offset - i64::try_from(data.len()).expect("a piece"),
                    finish_write: bytes.is_empty(),
                    data,
                })
            });
            let sent = client.write(futures_util::stream::iter(messages)).await;
            sent.expect("sent");
        }
    });
    let mut uploads = futures_util::stream::iter(uploads).buffer_unordered(AT_ONCE);
    while uploads.next().await.is_some() {}
}

async fn download_bare(address: &str, blobs: Vec<(Digest, PathBuf)>) {
    let client = channel(address).await;
    let downloads = blobs.into_iter().map(|(digest, _)| {
        let mut client = client.clone();
        async move {
            let request = ReadRequest {
                resource_name: format!("blobs/{digest}"),
                ..ReadRequest::default()
            };
            let mut stream = client.read(request).await.expect("begun").into_inner();
            let mut bytes = Vec::with_capacity(SIZE);
            while let Some(message) = stream.message().await.expect("read") {
                bytes.extend_from_slice(&message.data);
            }
            assert_eq!(bytes.len(), SIZE);
        }
    });
    let mut downloads = futures_util::stream::iter(downloads).buffer_unordered(AT_ONCE);
    while downloads.next().await.is_some() {}
}

fn hash(blobs: &[(Digest, PathBuf)]) {
    for (digest, path) in blobs {
        let bytes = fs::read(path).expect("read");
        assert_eq!(DigestFunction::Sha256.digest(&bytes), *digest);
    }
}
