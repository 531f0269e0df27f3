//! Uploads: what is asked about and sent, in which calls, and what is done about trouble.

use std::time::Duration;

use fs_err as fs;
use relto::internals::events::Events;
use relto::internals::reapi::{Blob, ClientOptions, FailureKind};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{Fixture, MIB, SHA, blob, many};
use crate::support::farm::{Effect, Failure, Fault, Method, Profile};

/// Every call of a method that uploads gets no answer.
fn silence(fixture: &Fixture) {
    for method in [
        Method::FindMissingBlobs,
        Method::BatchUpdateBlobs,
        Method::Write,
    ] {
        fixture.farm.fault(Fault::at(method, Effect::Hang));
    }
}

#[tokio::test]
async fn many_jobs_together_ask_once_and_send_each_blob_once() {
    let fixture = Fixture::new().await;
    let shared = many(50);
    let jobs: Vec<Vec<Blob>> = (0..100)
        .map(|job| [shared.clone(), vec![blob(format!("own {job}")), blob("")]].concat())
        .collect();
    let uploads = jobs.iter().map(|blobs| fixture.upload(blobs));
    futures_util::future::join_all(uploads).await;
    assert!(fixture.has_all(&jobs.concat()[..50]));
    let asked = fixture.asked();
    assert_eq!(asked.len(), 1, "one question");
    assert_eq!(
        asked[0].len(),
        150,
        "each digest once and the empty one never"
    );
    assert_eq!(fixture.count(Method::BatchUpdateBlobs), 1);
    fixture.upload(&jobs[0]).await;
    assert_eq!(fixture.asked().len(), 1, "nothing new to ask");
}

/// As those of the compilers that a build launches, in a process that serves them all.
#[tokio::test]
async fn links_of_one_build_share_calls_and_those_of_two_do_not() {
    for builds in [1, 2] {
        let fixture = Fixture::new().await;
        let callers: Vec<_> = (0..builds).map(|_| ClientOptions::default()).collect();
        let links: Vec<_> = (0..8)
            .map(|link| {
                fixture
                    .client
                    .for_link(&callers[link % builds], Events::discarded())
            })
            .collect();
        let blobs = many(8);
        let uploads = links.iter().zip(blobs.chunks(1));
        let uploads = uploads.map(|(link, blob)| link.ensure_uploaded(blob));
        for uploaded in futures_util::future::join_all(uploads).await {
            uploaded.expect("uploaded");
        }
        assert!(fixture.has_all(&blobs));
        let sent: u64 = links.iter().map(|link| link.counters().bytes_up()).sum();
        let size: u64 = blobs.iter().map(|blob| blob.digest.size).sum();
        assert!(sent >= size, "{sent} of {size} bytes are counted");
        let record = fixture.farm.record();
        for method in [Method::FindMissingBlobs, Method::BatchUpdateBlobs] {
            let calls = record.of(method);
            let of_calls = calls.filter_map(|call| call.metadata.as_ref());
            let mut ids: Vec<_> = of_calls.map(|it| &it.tool_invocation_id).collect();
            let mut expected: Vec<_> = callers.iter().map(|it| &it.caller.invocation_id).collect();
            ids.sort();
            expected.sort();
            assert_eq!(ids, expected, "{method:?}");
        }
    }
}

#[tokio::test]
async fn present_blobs_are_not_sent() {
    let fixture = Fixture::new().await;
    let blobs = many(10);
    for n in 0..10 {
        fixture.put(format!("blob {n}").as_bytes());
    }
    fixture.upload(&blobs).await;
    assert_eq!(fixture.count(Method::BatchUpdateBlobs), 0);
}

#[tokio::test]
async fn large_blobs_go_by_stream_and_small_ones_by_batch_in_both_encodings() {
    for fixture in [Fixture::new().await, Fixture::with_zstd().await] {
        let large = blob(vec![7; 3 * MIB]);
        let small = blob(vec![8; 10_000]);
        let blobs = [large, small];
        fixture.upload(&blobs).await;
        assert!(fixture.has_all(&blobs));
        assert_eq!(
            (
                fixture.count(Method::Write),
                fixture.count(Method::BatchUpdateBlobs)
            ),
            (1, 1)
        );
    }
    let zstd = Fixture::with_zstd().await;
    zstd.upload(&[blob(vec![7; 3 * MIB])]).await;
    assert!(zstd.client.counters().bytes_up() < 10_000);
}

#[tokio::test]
async fn a_server_that_accepts_less_than_it_announces_is_learned_once() {
    let profile = Profile {
        batch_limit: 1000,
        ..Profile::plain()
    };
    let fixture = Fixture::of(profile, &ClientOptions::default()).await;
    let blobs = many(400);
    fixture.upload(&blobs).await;
    assert!(fixture.has_all(&blobs));
    let first = fixture.count(Method::BatchUpdateBlobs);
    let more: Vec<Blob> = (0..8).map(|n| blob(vec![n; 100])).collect();
    fixture.upload(&more).await;
    let refused_again = fixture.count(Method::BatchUpdateBlobs) - first;
    assert!(refused_again <= 4, "{refused_again} calls for 8 blobs");
}

#[tokio::test]
async fn a_server_without_batches_gets_streams() {
    let fixture = Fixture::new().await;
    fixture.fail_once(
        Method::BatchUpdateBlobs,
        &Status::unimplemented("no such method"),
    );
    let one = [blob("one")];
    fixture.upload(&one).await;
    fixture.upload(&[blob("two")]).await;
    assert!(fixture.has_all(&one));
    assert_eq!(fixture.count(Method::BatchUpdateBlobs), 1);
    assert_eq!(fixture.count(Method::Write), 2);
}

#[tokio::test]
async fn each_blob_of_a_batch_has_its_own_status() {
    let fixture = Fixture::new().await;
    let blobs = many(3);
    let codes = [
        (blobs[0].digest, Code::ResourceExhausted),
        (blobs[2].digest, Code::PermissionDenied),
    ];
    for (digest, code) in codes {
        let failure = Effect::FailBlob(Failure::new(code, "not this one"));
        let fault = Fault::at(Method::BatchUpdateBlobs, failure);
        fixture.farm.fault(fault.digest(digest).call(1));
    }
    let failure = fixture.refused(&blobs).await;
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(
        fixture.has_all(&blobs[..2]),
        "the first went by stream instead"
    );
    fixture.upload(&blobs).await;
    assert!(fixture.has_all(&blobs));
}

#[tokio::test]
async fn a_server_may_end_a_write_early() {
    let fixture = Fixture::new().await;
    let early = Fault::at(Method::Write, Effect::EarlyReturn(None));
    fixture.farm.fault(early);
    let large = [blob(vec![1; 20 * MIB])];
    fixture.upload(&large).await;
    assert!(fixture.client.counters().bytes_up() < 20 * MIB as u64);
}

#[tokio::test]
async fn a_file_that_changed_fails_its_job_and_leaves_no_blob() {
    let fixture = Fixture::new().await;
    let dir = tempfile::tempdir().expect("a directory");
    for size in [100, 4 * MIB] {
        let path = dir.path().join("module.bc");
        fs::write(&path, vec![2; size]).expect("written");
        let bad = [Blob::from_file(SHA.digest(&vec![1; size]), path)];
        let failure = fixture.refused(&bad).await;
        assert_eq!(failure.kind, FailureKind::Source);
        assert!(failure.message.contains("module.bc"), "{failure}");
        assert!(!fixture.has_all(&bad));
        // Another job's good copy is not held up by it.
        let good = [blob(vec![1; size])];
        let (bad, good) = tokio::join!(
            fixture.client.ensure_uploaded(&bad),
            fixture.client.ensure_uploaded(&good)
        );
        assert!(bad.is_err() || size == 100);
        good.expect("a good copy");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_briefly_are_repeated() {
    let fixture = Fixture::new().await;
    for method in [
        Method::FindMissingBlobs,
        Method::BatchUpdateBlobs,
        Method::Write,
    ] {
        fixture.fail_once(method, &Status::unavailable("restarting"));
    }
    let blobs = [blob("small"), blob(vec![1; 3 * MIB])];
    fixture.upload(&blobs).await;
    assert!(fixture.has_all(&blobs));
    assert_eq!(fixture.count(Method::Write), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_noticed_and_the_next_link_call_fails_at_once() {
    let fixture = Fixture::new().await;
    silence(&fixture);
    let began = Instant::now();
    let failure = fixture.refused(&many(1)).await;
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(130));
    let began = Instant::now();
    let failure = fixture.refused(&many(2)).await;
    assert_eq!(
        (failure.kind, began.elapsed()),
        (FailureKind::GivenUp, Duration::ZERO)
    );
}

#[tokio::test]
async fn a_question_that_is_too_long_is_asked_in_parts() {
    let fixture = Fixture::new().await;
    let text = "grpc: received message larger than max";
    fixture.fail_once(Method::FindMissingBlobs, &Status::resource_exhausted(text));
    let blobs = many(5000);
    fixture.upload(&blobs).await;
    let asked: Vec<usize> = fixture.asked().iter().map(Vec::len).collect();
    assert_eq!(asked, [5000, 2500, 2500], "the first was refused");
}

#[tokio::test]
async fn a_blob_larger_than_the_farm_accepts_fails_before_anything_is_sent() {
    let profile = Profile {
        max_blob_size: 10,
        ..Profile::plain()
    };
    let fixture = Fixture::of(profile, &ClientOptions::default()).await;
    let failure = fixture.refused(&[blob("more than ten bytes")]).await;
    assert_eq!(failure.kind, FailureKind::TooLarge);
    assert_eq!(fixture.count(Method::FindMissingBlobs), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_let_a_deadline_pass_is_not_used_again() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.farm.record().connections, 1);
    let silent = Fault::at(Method::FindMissingBlobs, Effect::Hang);
    fixture.farm.fault(silent.call(1));
    fixture.upload(&many(1)).await;
    assert_eq!(fixture.farm.record().connections, 2);
}

#[tokio::test]
async fn a_server_that_refuses_compression_after_all_gets_plain_streams() {
    let fixture = Fixture::with_zstd().await;
    let refusal = Status::invalid_argument("no such resource name");
    fixture.fail_once(Method::Write, &refusal);
    let large = [blob(vec![7; 3 * MIB])];
    fixture.upload(&large).await;
    assert!(fixture.has_all(&large));
}
