//! Blobs in the scripted farm: stored, checked, spoiled, evicted, refused for their size.

use tonic::Code;

use crate::support::farm::{Break, Effect, Failure, Farm, Fault, Method, Profile};
use crate::support::raw::{self, SHA256};

use super::code;

#[tokio::test]
async fn blobs_are_uploaded_and_downloaded_by_both_services_and_counted() {
    let farm = Farm::start(Profile::plain());
    let channel = farm.channel();
    let large = vec![7; 200_000];
    let (small, large_digest) = (SHA256.digest(b"small"), SHA256.digest(&large));
    let missing = raw::find_missing(&channel, &[small, large_digest]).await;
    assert_eq!(missing.expect("answered"), [small, large_digest]);
    raw::batch_update(&channel, &[b"small"])
        .await
        .expect("stored");
    let name = raw::upload_name(large_digest);
    assert_eq!(
        raw::write(&channel, &name, &large).await.expect("stored"),
        200_000
    );
    let read = raw::read(&channel, &format!("blobs/{large_digest}")).await;
    assert_eq!(read.expect("read"), large);
    let batch = raw::batch_read(&channel, &[small]).await.expect("read");
    assert_eq!(batch[0].data, b"small".as_slice());

    let record = farm.record();
    record.assert_no_violations();
    record.assert_nothing_twice();
    assert_eq!(record.count(Method::Write), 1);
    assert_eq!(record.uploaded_bytes(), 200_005);
    assert!(record.bytes_up > 200_000 && record.bytes_down > 200_000);
    assert_eq!((record.connections, record.open_calls()), (1, 0));
}

#[tokio::test]
async fn bytes_are_spoiled_cut_and_returned_early() {
    let farm = Farm::start(Profile::plain());
    let channel = farm.channel();
    let blob = vec![1; 100_000];
    let digest = farm.put(blob.clone());
    let name = format!("blobs/{digest}");
    let read = async |effect: Effect| {
        farm.clear_faults();
        farm.fault(Fault::at(Method::Read, effect));
        raw::read(&channel, &name).await
    };
    assert_eq!(read(Effect::WrongBytes).await.expect("read")[0], 0);
    assert_eq!(read(Effect::Shorten(1)).await.expect("read").len(), 99_999);
    assert_eq!(
        read(Effect::Lengthen(1)).await.expect("read").len(),
        100_001
    );
    let end = Effect::BreakAfter(70_000, Break::End);
    assert_eq!(read(end).await.expect("read").len(), 70_000);
    let fail = Break::Fail(Failure::new(Code::Internal, "half way"));
    let status = read(Effect::BreakAfter(70_000, fail)).await;
    assert_eq!(status.expect_err("broken").code(), Code::Internal);
    read(Effect::BreakAfter(10, Break::Drop))
        .await
        .expect_err("cut");
    assert_eq!(read(Effect::Evict(vec![])).await.expect("read"), blob);
    let gone = raw::read(&channel, &name).await.expect_err("evicted");
    assert_eq!(gone.code(), Code::NotFound);

    farm.fault(Fault::at(Method::Write, Effect::EarlyReturn(Some(-1))));
    let early = raw::write(&channel, &raw::upload_name(digest), &blob).await;
    assert_eq!(early.expect("answered"), -1);
    assert_eq!(farm.record().connections, 2, "one was cut");
}

#[tokio::test]
async fn a_batch_comes_in_another_order_with_failures_and_holes() {
    let farm = Farm::start(Profile::plain());
    let [a, b, c] = ["a", "b", "c"].map(|text| farm.put(text));
    let failed = Effect::FailBlob(Failure::new(Code::NotFound, "gone"));
    farm.fault(Fault::at(Method::BatchReadBlobs, Effect::Shuffle));
    farm.fault(Fault::at(Method::BatchReadBlobs, failed).digest(a));
    farm.fault(Fault::at(Method::BatchReadBlobs, Effect::ForgetBlob).digest(b));
    let batch = raw::batch_read(&farm.channel(), &[a, b, c])
        .await
        .expect("read");
    let digests: Vec<_> = batch.iter().filter_map(|one| one.digest.clone()).collect();
    assert_eq!(digests, [c.to_pb(), a.to_pb()]);
    assert_eq!(batch[1].status.as_ref().map(code), Some(Code::NotFound));
}

#[tokio::test]
async fn a_blob_can_go_right_after_it_was_said_to_be_there() {
    let farm = Farm::start(Profile::plain());
    let digest = farm.put("here");
    farm.fault(Fault::at(Method::FindMissingBlobs, Effect::Evict(vec![])).call(1));
    for expected in [vec![], vec![digest]] {
        let missing = raw::find_missing(&farm.channel(), &[digest]).await;
        assert_eq!(missing.expect("answered"), expected);
    }
    assert_eq!(farm.record().asked_twice(), [digest]);
}

#[tokio::test]
async fn a_read_only_key_only_pretends_to_store() {
    let mut profile = Profile::buildbuddy_read_only("secret");
    profile.header = None;
    let farm = Farm::start(profile);
    let channel = farm.channel();
    let digest = SHA256.digest(b"x");
    let stored = raw::batch_update(&channel, &[b"x"])
        .await
        .expect("answered");
    assert_eq!(stored[0].status.as_ref().map(code), Some(Code::Ok));
    let size = raw::write(&channel, &raw::upload_name(digest), b"x").await;
    assert_eq!(size.expect("answered"), 1);
    let missing = raw::find_missing(&channel, &[digest]).await;
    assert_eq!(missing.expect("answered"), [digest]);
    assert_eq!(farm.record().uploaded_twice(), [digest]);
}

#[tokio::test]
async fn too_large_messages_are_refused_in_two_ways() {
    let farm = Farm::start(Profile::nativelink());
    let blob = vec![0; 40_000];
    let mut other = blob.clone();
    other[0] = 1;
    let batch = raw::batch_update(&farm.channel(), &[&blob, &other]).await;
    assert_eq!(
        batch.expect_err("over 64 KiB").code(),
        Code::InvalidArgument
    );
    let mut profile = Profile::buildbarn();
    profile.message_limit = 64 * 1024;
    let farm = Farm::start(profile);
    let batch = raw::batch_update(&farm.channel(), &[&blob, &other]).await;
    assert_eq!(
        batch.expect_err("over the message limit").code(),
        Code::ResourceExhausted
    );
    raw::batch_update(&farm.channel(), &[&blob])
        .await
        .expect("small enough");
}

#[tokio::test]
async fn compressed_uploads_commit_what_the_server_kind_counts() {
    let blob = vec![7; 50_000];
    let compressed = zstd::encode_all(blob.as_slice(), 1).expect("compressed");
    let size = i64::try_from(compressed.len()).expect("small");
    let digest = SHA256.digest(&blob);
    let name = raw::upload_name(digest).replace("/blobs/", "/compressed-blobs/zstd/");
    let kinds = [
        (Profile::buildbarn(), size),
        (Profile::google_rbe("secret"), 50_000),
        (Profile::buildfarm(), -1),
    ];
    for (mut profile, expected) in kinds {
        profile.header = None;
        profile.instance = None;
        let farm = Farm::start(profile);
        let committed = raw::write(&farm.channel(), &name, &compressed).await;
        assert_eq!(committed.expect("stored"), expected);
        let read = format!("compressed-blobs/zstd/{digest}");
        let read = raw::read(&farm.channel(), &read).await.expect("read");
        assert_eq!(zstd::decode_all(read.as_slice()).expect("zstd"), blob);
        farm.record().assert_no_violations();
    }
}
