use std::future::pending;
use std::sync::atomic::AtomicU64;

use tokio::time::sleep;

use super::*;
use crate::events::Event;
use crate::reapi::Rpc;

/// The warnings that were sent.
fn listener() -> (Events, Arc<Mutex<Vec<String>>>) {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&warnings);
    let events = Events::to_function(move |event| {
        if let Event::Warning { text, .. } = event {
            lock(&heard).push(text);
        }
    });
    (events, warnings)
}

fn result<F>(upload: F) -> Storable<F> {
    Storable {
        what: "local results",
        bytes: 1 << 20,
        upload,
    }
}

async fn finish(stores: &Stores, took: u64, sent: impl Fn() -> u64) -> u64 {
    let began = Instant::now();
    let took = Duration::from_secs(took);
    stores.finish(took, Duration::from_secs(1), sent).await;
    began.elapsed().as_secs()
}

fn timeout() -> Failure {
    Failure::timeout(Rpc::BatchUpdateBlobs, Duration::from_mins(1))
}

#[tokio::test(start_paused = true)]
async fn a_slow_cache_gets_all_results_of_a_short_link() {
    let (events, warnings) = listener();
    let stores = Stores::new(events);
    let taken = Arc::new(AtomicU64::new(0));
    for _ in 0..61 {
        let taken = Arc::clone(&taken);
        stores.store(result(async move {
            sleep(Duration::from_secs(24)).await;
            taken.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }));
    }
    // Its calls go on meanwhile.
    let began = Instant::now();
    let took = finish(&stores, 3, || began.elapsed().as_secs() / 8).await;
    assert_eq!((took, taken.load(Ordering::Relaxed)), (24, 61));
    assert!(lock(&warnings).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_takes_nothing_holds_up_the_end_of_a_link_for_a_moment_only() {
    let (events, warnings) = listener();
    let stores = Stores::new(events);
    for _ in 0..100 {
        stores.store(result(pending()));
    }
    let took = finish(&stores, 1, || 0).await;
    assert_eq!(took, STORING_PAUSE.as_secs());
    let warnings = lock(&warnings).clone();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("100 results of this link did not"));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_only_trickles_gets_no_more_time_than_the_link_took() {
    for (took, allowed) in [(1, 30), (60, 60), (3600, 120)] {
        let stores = Stores::new(Events::discarded());
        stores.store(result(pending()));
        let began = Instant::now();
        let waited = finish(&stores, took, || began.elapsed().as_secs()).await;
        assert_eq!(waited, allowed);
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_ends_all_uploads_with_one_warning() {
    let (events, warnings) = listener();
    let stores = Stores::new(events);
    stores.store(result(async {
        sleep(Duration::from_secs(5)).await;
        Err(timeout())
    }));
    tokio::task::yield_now().await;
    for _ in 0..100 {
        stores.store(result(pending()));
        stores.offer(result(pending()));
    }
    assert_eq!(finish(&stores, 100, || 0).await, 5);
    assert!(stores.is_closed());
    let warnings = lock(&warnings).clone();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("BatchUpdateBlobs: no answer for 60 s"));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_too_large_closes_the_cache_for_no_other() {
    let (events, warnings) = listener();
    let stores = Stores::new(events);
    for _ in 0..2 {
        stores.store(result(async {
            let (kind, rpc) = (FailureKind::TooLarge, Rpc::Write);
            Err(Failure::new(kind, rpc, "too large"))
        }));
    }
    stores.store(result(async {
        sleep(Duration::from_secs(7)).await;
        Ok(())
    }));
    assert_eq!(finish(&stores, 1, || 0).await, 7);
    assert!(!stores.is_closed());
    let warnings = lock(&warnings).clone();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("local results are too large"));
}

#[tokio::test(start_paused = true)]
async fn results_without_memory_are_not_waited_for_but_told() {
    let (events, warnings) = listener();
    let stores = Stores::new(events);
    for _ in 0..3 {
        stores.store(Storable {
            bytes: STORED_BYTES / 2,
            ..result(async {
                sleep(Duration::from_secs(1)).await;
                Ok(())
            })
        });
    }
    assert_eq!(finish(&stores, 1, || 0).await, 1);
    assert!(lock(&warnings)[0].starts_with("1 result of this link did not"));
}
