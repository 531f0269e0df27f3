//! The farm as benchmarks use it: it believes its client, and its workers only take their time.

use std::time::Duration;

use tonic::Code;

use crate::support::farm::{Farm, Profile, TimedResult, TimedWorkers};
use crate::support::raw::{self, SHA256};

#[tokio::test]
async fn a_cheap_farm_claims_what_it_was_sent_and_counts_bytes_alone() {
    let farm = Farm::start(Profile::cheap());
    let channel = farm.channel();
    let (digest, batched) = (SHA256.digest(b"x"), SHA256.digest(b"batched"));
    let written = raw::write(&channel, &raw::upload_name(digest), b"y").await;
    assert_eq!(written.expect("believed"), 1);
    let short = raw::write(&channel, &raw::upload_name(batched), b"y").await;
    let short = short.expect_err("less than its digest says");
    assert_eq!(short.code(), Code::InvalidArgument);
    let stored = raw::batch_update(&channel, &[b"batched"]).await;
    stored.expect("stored");
    let missing = raw::find_missing(&channel, &[digest, batched]).await;
    assert_eq!(missing.expect("answered"), []);
    assert_eq!(farm.claimed(), [digest, batched].into());
    let read = raw::read(&channel, &format!("blobs/{digest}")).await;
    assert_eq!(read.expect_err("not kept").code(), Code::NotFound);
    farm.put_named(digest, "z".into());
    let read = raw::read(&channel, &format!("blobs/{digest}")).await;
    assert_eq!(read.expect("read"), b"z");
    assert_eq!(farm.passed(), (1 + 1 + 7, 1));
    assert_eq!(farm.record().count_all(), 0);
    farm.evict_all();
    let missing = raw::find_missing(&channel, &[digest, batched]).await;
    assert_eq!(missing.expect("answered"), [digest, batched]);
}

#[tokio::test]
async fn a_timed_job_needs_no_action_and_its_result_says_how_long_it_took() {
    let takes = Duration::from_millis(5);
    let digest = SHA256.digest(b"object");
    let workers = TimedWorkers::new(1, move |target| {
        assert_eq!(target, "", "the raw client names none");
        TimedResult {
            takes,
            object: "object".into(),
            digest,
        }
    });
    let farm = Farm::timed(Profile::cheap(), workers);
    let channel = farm.channel();
    let action = SHA256.digest(b"never sent");
    let response = raw::run(&channel, action).await.expect("executed");
    let result = response.result.expect("a result");
    assert_eq!(farm.results()[&action], result);
    let metadata = result.execution_metadata.expect("metadata");
    let end = metadata.execution_completed_timestamp.expect("a time");
    assert_eq!((end.seconds, end.nanos), (0, 5_000_000));
    let read = raw::read(&channel, &format!("blobs/{digest}")).await;
    assert_eq!(read.expect("read"), b"object");
}
