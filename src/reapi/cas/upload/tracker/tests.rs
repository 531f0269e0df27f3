use std::time::Duration;

use super::*;
use crate::reapi::Client;
use crate::reapi::cas::upload::Uploader;
use crate::reapi::fixture::{farm, many};

fn uploader(client: &Client) -> &Uploader {
    &client.inner.uploader
}

#[tokio::test]
async fn lost_blobs_are_sent_again_only_when_the_server_says_so() {
    let fixture = farm().await;
    let blobs = many(4);
    fixture
        .client
        .ensure_uploaded(&blobs)
        .await
        .expect("uploaded");
    fixture.fake.state().blobs.remove(&blobs[1].digest);
    fixture.fake.state().blobs.remove(&blobs[2].digest);
    fixture
        .client
        .ensure_uploaded(&blobs)
        .await
        .expect("believed to be there");
    assert!(!fixture.fake.has_all(&blobs));
    let named = HashSet::from([blobs[1].digest]);
    let sent = uploader(&fixture.client)
        .repair(&blobs, &named, Instant::now())
        .await
        .expect("repaired");
    assert_eq!(sent, HashSet::from([blobs[1].digest, blobs[2].digest]));
    assert!(fixture.fake.has_all(&blobs));
    let asked = fixture.fake.state().asked.last().expect("asked").clone();
    assert!(
        !asked.contains(&blobs[1].digest),
        "the named one is sent without asking"
    );
}

#[tokio::test]
async fn blobs_that_no_job_waits_for_are_not_sent() {
    let fixture = farm().await;
    let blobs = many(3);
    {
        let mut left = std::pin::pin!(fixture.client.ensure_uploaded(&blobs));
        assert!(futures_util::poll!(left.as_mut()).is_pending());
    }
    fixture
        .client
        .ensure_uploaded(&blobs[..1])
        .await
        .expect("uploaded");
    assert!(fixture.fake.has_all(&blobs[..1]));
    let asked: usize = fixture.fake.state().asked.iter().map(Vec::len).sum();
    assert_eq!(asked, 1);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_lost_the_same_blob_send_it_once_together() {
    let fixture = farm().await;
    let blobs = many(4);
    fixture
        .client
        .ensure_uploaded(&blobs)
        .await
        .expect("uploaded");
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fixture.fake.state().blobs.remove(&blobs[1].digest);
    let named = HashSet::from([blobs[1].digest]);
    for _ in 0..3 {
        let repair = uploader(&fixture.client).repair(&blobs, &named, began);
        assert_eq!(repair.await.expect("repaired"), named);
    }
    assert_eq!(fixture.fake.count(Rpc::BatchUpdateBlobs), 2);
}

#[tokio::test(start_paused = true)]
async fn blobs_that_were_present_long_ago_are_asked_about_again() {
    let fixture = farm().await;
    let blobs = many(1);
    for _ in 0..2 {
        fixture
            .client
            .ensure_uploaded(&blobs)
            .await
            .expect("uploaded");
        tokio::time::sleep(PRESENT_FOR).await;
    }
    assert_eq!(fixture.fake.count(Rpc::FindMissingBlobs), 2);
}
