//! Blobs that the farm has lost, and blobs that no job waits for.

use std::collections::HashSet;
use std::time::Duration;

use relto::internals::reapi::limits::PRESENT_FOR;

use super::executions::{job, lost};
use super::{Fixture, many};
use crate::support::farm::operation::exit;
use crate::support::farm::{Method, Playback};

#[tokio::test]
async fn lost_blobs_are_sent_again_only_when_the_server_says_so() {
    let fixture = Fixture::new().await;
    let blobs = many(4);
    fixture.upload(&blobs).await;
    fixture.farm.evict(&blobs[1].digest);
    fixture.farm.evict(&blobs[2].digest);
    fixture.upload(&blobs).await;
    assert!(!fixture.has_all(&blobs));
    fixture.farm.forget_record();
    let named = lost(&[blobs[1].digest]);
    fixture.farm.play(Playback::Send(vec![named], None));
    fixture.farm.play(Playback::Send(vec![exit(0)], None));
    let executed = fixture.client.execute(&job(blobs.clone()), &|_| ()).await;
    executed.expect("executed");
    assert!(fixture.has_all(&blobs));
    let sent: HashSet<_> = fixture.farm.record().uploads.into_keys().collect();
    assert_eq!(sent, HashSet::from([blobs[1].digest, blobs[2].digest]));
    let asked = fixture.asked().concat();
    assert!(
        !asked.contains(&blobs[1].digest),
        "the named one is sent without asking"
    );
}

#[tokio::test(start_paused = true)]
async fn jobs_that_lost_the_same_blob_send_it_once_together() {
    let fixture = Fixture::new().await;
    let blobs = many(4);
    fixture.upload(&blobs).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    fixture.farm.evict(&blobs[1].digest);
    fixture.farm.forget_record();
    for _ in 0..3 {
        let named = lost(&[blobs[1].digest]);
        fixture.farm.play(Playback::Send(vec![named], None));
    }
    for _ in 0..3 {
        fixture.farm.play(Playback::Send(vec![exit(0)], None));
    }
    let job = job(blobs.clone());
    let executions = (0..3).map(|_| fixture.client.execute(&job, &|_| ()));
    for executed in futures_util::future::join_all(executions).await {
        executed.expect("executed");
    }
    assert_eq!(fixture.farm.record().uploaded_twice(), []);
    assert!(fixture.has_all(&blobs));
}

#[tokio::test]
async fn blobs_that_no_job_waits_for_are_not_sent() {
    let fixture = Fixture::new().await;
    let blobs = many(3);
    {
        let mut left = std::pin::pin!(fixture.client.ensure_uploaded(&blobs));
        assert!(futures_util::poll!(left.as_mut()).is_pending());
    }
    fixture.upload(&blobs[..1]).await;
    assert!(fixture.has_all(&blobs[..1]));
    assert_eq!(fixture.asked().concat().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn blobs_that_were_present_long_ago_are_asked_about_again() {
    let fixture = Fixture::new().await;
    let blobs = many(1);
    for _ in 0..2 {
        fixture.upload(&blobs).await;
        tokio::time::sleep(PRESENT_FOR).await;
    }
    assert_eq!(fixture.count(Method::FindMissingBlobs), 2);
}
