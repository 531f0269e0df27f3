//! Downloads: what shares a call, and what never comes through.

use bytes::Bytes;
use relto::internals::digest::Digest;
use relto::internals::reapi::{ClientOptions, Failure, FailureKind, RequestContext};
use tonic::Status;

use super::{Fixture, MIB, SHA};
use crate::support::farm::{Effect, Fault, Method, Profile};

async fn get(fixture: &Fixture, digest: &Digest) -> Result<Bytes, Failure> {
    let context = RequestContext::default();
    fixture.client.fetch(digest, None, &context).await
}

#[tokio::test]
async fn small_blobs_share_a_call_and_large_ones_have_their_own_in_both_encodings() {
    for fixture in [Fixture::new().await, Fixture::with_zstd().await] {
        let contents: Vec<Vec<u8>> = (0..200).map(|n| vec![n; 2000 + usize::from(n)]).collect();
        let large = vec![9; 3 * MIB];
        let digests: Vec<Digest> = contents.iter().map(|bytes| fixture.put(bytes)).collect();
        let large_digest = fixture.put(&large);
        let gets = digests.iter().map(|digest| get(&fixture, digest));
        let fetched = futures_util::future::join_all(gets).await;
        for (bytes, contents) in fetched.into_iter().zip(&contents) {
            assert_eq!(bytes.expect("fetched"), contents);
        }
        assert_eq!(get(&fixture, &large_digest).await.expect("fetched"), large);
        assert_eq!(
            (
                fixture.count(Method::BatchReadBlobs),
                fixture.count(Method::Read)
            ),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn an_inlined_blob_is_accepted_only_if_its_digest_matches() {
    let fixture = Fixture::new().await;
    let digest = fixture.put(b"object");
    let context = RequestContext::default();
    let good = Some(Bytes::from_static(b"object"));
    let fetched = fixture.client.fetch(&digest, good, &context).await;
    assert_eq!(&fetched.expect("inline")[..], b"object");
    assert_eq!(fixture.count(Method::BatchReadBlobs), 0);
    for bad in [
        Some(Bytes::from_static(b"objekt")),
        Some(Bytes::new()),
        None,
    ] {
        let fetched = fixture.client.fetch(&digest, bad, &context).await;
        assert_eq!(&fetched.expect("fetched")[..], b"object");
    }
    assert_eq!(fixture.count(Method::BatchReadBlobs), 3);
}

#[tokio::test]
async fn the_empty_blob_needs_no_call_and_no_other_blob_is_empty() {
    let fixture = Fixture::new().await;
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
    assert_eq!(fixture.count(Method::BatchReadBlobs), 0);
}

#[tokio::test]
async fn a_damaged_blob_is_never_returned() {
    for fixture in [Fixture::new().await, Fixture::with_zstd().await] {
        let (small, large) = (fixture.put(b"object"), fixture.put(&vec![1; 3 * MIB]));
        for method in [Method::BatchReadBlobs, Method::Read] {
            fixture.farm.fault(Fault::at(method, Effect::WrongBytes));
        }
        for digest in [small, large] {
            let failure = get(&fixture, &digest).await.expect_err("damaged");
            assert_eq!(failure.kind, FailureKind::Corrupt, "{failure}");
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_gone_is_not_found_and_the_others_of_its_batch_are() {
    let fixture = Fixture::new().await;
    let there = fixture.put(b"there");
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
    let profile = Profile {
        batch_read_limit: 10_000,
        ..Profile::plain()
    };
    let fixture = Fixture::of(profile, &ClientOptions::default()).await;
    let digests: Vec<Digest> = (0..40_u8).map(|n| fixture.put(&vec![n; 1000])).collect();
    let fetches = digests.iter().map(|digest| get(&fixture, digest));
    for fetched in futures_util::future::join_all(fetches).await {
        fetched.expect("fetched");
    }
    let first = fixture.count(Method::BatchReadBlobs);
    let fetches = digests.iter().map(|digest| get(&fixture, digest));
    futures_util::future::join_all(fetches).await;
    let second = fixture.count(Method::BatchReadBlobs) - first;
    assert!(second < first, "{first} calls, then {second}");
}

#[tokio::test(start_paused = true)]
async fn reads_that_fail_briefly_are_repeated() {
    let fixture = Fixture::new().await;
    let (small, large) = (fixture.put(b"object"), fixture.put(&vec![1; 3 * MIB]));
    fixture.fail_once(Method::BatchReadBlobs, &Status::unavailable("busy"));
    fixture.fail_once(Method::Read, &Status::internal("stream reset"));
    get(&fixture, &small).await.expect("fetched");
    get(&fixture, &large).await.expect("fetched");
}

#[tokio::test]
async fn a_server_without_batches_is_read_by_streams() {
    let fixture = Fixture::new().await;
    let digest = fixture.put(b"object");
    fixture.fail_once(
        Method::BatchReadBlobs,
        &Status::unimplemented("no such method"),
    );
    get(&fixture, &digest).await.expect("fetched");
    get(&fixture, &digest).await.expect("fetched");
    assert_eq!(
        (
            fixture.count(Method::BatchReadBlobs),
            fixture.count(Method::Read)
        ),
        (1, 2)
    );
}
