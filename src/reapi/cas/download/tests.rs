use tonic::Status;

use super::*;
use crate::reapi::fixture::{Fixture, SHA, able, farm, farm_with};
use crate::reapi::{ClientOptions, Failure};

const MIB: usize = 1 << 20;

async fn get(fixture: &Fixture, digest: &Digest) -> Result<Bytes, Failure> {
    fixture
        .client
        .fetch(digest, None, &RequestContext::default())
        .await
}

async fn with_zstd() -> Fixture {
    let mut capabilities = able();
    let cache = capabilities.cache_capabilities.as_mut().expect("set");
    cache.supported_compressors = vec![1];
    farm_with(capabilities, &ClientOptions::default()).await
}

#[tokio::test]
async fn small_blobs_share_a_call_and_large_ones_have_their_own_in_both_encodings() {
    for fixture in [farm().await, with_zstd().await] {
        let contents: Vec<Vec<u8>> = (0..200).map(|n| vec![n; 2000 + usize::from(n)]).collect();
        let large = vec![9; 3 * MIB];
        let digests: Vec<Digest> = contents
            .iter()
            .map(|bytes| fixture.fake.put(bytes))
            .collect();
        let large_digest = fixture.fake.put(&large);
        let gets = digests.iter().map(|digest| get(&fixture, digest));
        let fetched = futures_util::future::join_all(gets).await;
        for (bytes, contents) in fetched.into_iter().zip(&contents) {
            assert_eq!(bytes.expect("fetched"), contents);
        }
        assert_eq!(get(&fixture, &large_digest).await.expect("fetched"), large);
        let fake = &fixture.fake;
        assert_eq!(
            (fake.count(Rpc::BatchReadBlobs), fake.count(Rpc::Read)),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn an_inlined_blob_is_accepted_only_if_its_digest_matches() {
    let fixture = farm().await;
    let digest = fixture.fake.put(b"object");
    let context = RequestContext::default();
    let good = Some(Bytes::from_static(b"object"));
    let fetched = fixture.client.fetch(&digest, good, &context).await;
    assert_eq!(&fetched.expect("inline")[..], b"object");
    assert_eq!(fixture.fake.count(Rpc::BatchReadBlobs), 0);
    for bad in [
        Some(Bytes::from_static(b"objekt")),
        Some(Bytes::new()),
        None,
    ] {
        let fetched = fixture.client.fetch(&digest, bad, &context).await;
        assert_eq!(&fetched.expect("fetched")[..], b"object");
    }
    assert_eq!(fixture.fake.count(Rpc::BatchReadBlobs), 3);
}

#[tokio::test]
async fn the_empty_blob_needs_no_call_and_no_other_blob_is_empty() {
    let fixture = farm().await;
    let empty = SHA.digest(b"");
    assert!(get(&fixture, &empty).await.expect("empty").is_empty());
    let forged = Digest {
        hash: [1; 32],
        size: 0,
    };
    let failure = get(&fixture, &forged)
        .await
        .expect_err("not the empty blob");
    assert_eq!(failure.kind, FailureKind::Corrupt);
    assert_eq!(fixture.fake.count(Rpc::BatchReadBlobs), 0);
}

#[tokio::test]
async fn a_damaged_blob_is_never_returned() {
    for fixture in [farm().await, with_zstd().await] {
        let (small, large) = (
            fixture.fake.put(b"object"),
            fixture.fake.put(&vec![1; 3 * MIB]),
        );
        fixture.fake.state().damage = true;
        for digest in [small, large] {
            let failure = get(&fixture, &digest).await.expect_err("damaged");
            assert_eq!(failure.kind, FailureKind::Corrupt, "{failure}");
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_gone_is_not_found_and_the_others_of_its_batch_are() {
    let fixture = farm().await;
    let there = fixture.fake.put(b"there");
    let gone = SHA.digest(b"gone");
    let (a, b) = tokio::join!(get(&fixture, &there), get(&fixture, &gone));
    assert_eq!(&a.expect("there")[..], b"there");
    assert_eq!(b.expect_err("gone").kind, FailureKind::NotFound);
    let large = SHA.digest(&vec![3; 3 * MIB]);
    let failure = get(&fixture, &large).await.expect_err("gone");
    assert_eq!(failure.kind, FailureKind::NotFound);
}

#[tokio::test]
async fn a_server_that_returns_less_than_it_announces_is_learned() {
    let fixture = farm().await;
    fixture.fake.state().batch_limit = Some(10_000);
    let digests: Vec<Digest> = (0..40_u8)
        .map(|n| fixture.fake.put(&vec![n; 1000]))
        .collect();
    let fetches = digests.iter().map(|digest| get(&fixture, digest));
    for fetched in futures_util::future::join_all(fetches).await {
        fetched.expect("fetched");
    }
    let first = fixture.fake.count(Rpc::BatchReadBlobs);
    let fetches = digests.iter().map(|digest| get(&fixture, digest));
    futures_util::future::join_all(fetches).await;
    let second = fixture.fake.count(Rpc::BatchReadBlobs) - first;
    assert!(second < first, "{first} calls, then {second}");
}

#[tokio::test(start_paused = true)]
async fn reads_that_fail_briefly_are_repeated() {
    let fixture = farm().await;
    let (small, large) = (
        fixture.fake.put(b"object"),
        fixture.fake.put(&vec![1; 3 * MIB]),
    );
    fixture
        .fake
        .fault(Rpc::BatchReadBlobs, Status::unavailable("busy"));
    fixture
        .fake
        .fault(Rpc::Read, Status::internal("stream reset"));
    get(&fixture, &small).await.expect("fetched");
    get(&fixture, &large).await.expect("fetched");
}

#[tokio::test]
async fn a_server_without_batches_is_read_by_streams() {
    let fixture = farm().await;
    let digest = fixture.fake.put(b"object");
    fixture
        .fake
        .fault(Rpc::BatchReadBlobs, Status::unimplemented("no such method"));
    get(&fixture, &digest).await.expect("fetched");
    get(&fixture, &digest).await.expect("fetched");
    let fake = &fixture.fake;
    assert_eq!(
        (fake.count(Rpc::BatchReadBlobs), fake.count(Rpc::Read)),
        (1, 2)
    );
}
