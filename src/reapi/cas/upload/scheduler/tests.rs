use std::sync::LazyLock;

use bytes::Bytes;

use super::*;
use crate::digest::DigestFunction;
use crate::reapi::cas::upload::tracker::Listener;
use crate::reapi::connect::{dials, transport};
use crate::reapi::{CallerIdentity, Capabilities, ClientOptions, OutputStyle};

const MIB: usize = 1 << 20;

static SESSION: LazyLock<Arc<Session>> = LazyLock::new(session);

/// Of a build of its own.
fn session() -> Arc<Session> {
    session_of(CallerIdentity::default())
}

/// Of a link of `caller` whose farm is never asked.
fn session_of(caller: CallerIdentity) -> Arc<Session> {
    let options = ClientOptions {
        cache: Some("grpc://127.0.0.1:1".parse().expect("an address")),
        caller,
        ..ClientOptions::default()
    };
    let transport = transport(dials(&options).expect("one address"), &options);
    let capabilities = Capabilities {
        digest_function: DigestFunction::Sha256,
        output_style: OutputStyle::Paths,
        high_version: String::new(),
        can_execute: false,
        can_update_action_cache: false,
        batch_limit: MIB,
        largest_blob: None,
        zstd_streams: false,
        zstd_batches: false,
    };
    Arc::new(Session::new(
        transport.expect("usable"),
        capabilities,
        &options,
    ))
}

/// Of `size` bytes; who waits for it is the second.
fn request(size: usize, urgency: u64) -> (UploadRequest, Listener) {
    let bytes = Bytes::from(vec![0; size]);
    let (completion, listener) = Completion::new(urgency);
    let blob = Blob::from_bytes(DigestFunction::Sha256.digest(&bytes), bytes);
    let known_missing = true;
    (
        UploadRequest {
            session: Arc::clone(&SESSION),
            blob,
            completion,
            known_missing,
        },
        listener,
    )
}

#[test]
fn more_urgent_blobs_are_sent_first_and_equally_urgent_ones_in_order() {
    let mut queue = UploadQueue::default();
    let mut listeners = Vec::new();
    for (size, urgency) in [(1, 5), (2, 9), (3, 5), (4, 1), (5, 9)] {
        let (request, listener) = request(size, urgency);
        queue.push(request);
        listeners.push(listener);
    }
    queue.sort(false);
    let taken = queue.take(usize::MAX, 9, |_| 1);
    let sizes: Vec<u64> = taken
        .iter()
        .map(|request| request.blob.digest.size)
        .collect();
    assert_eq!(sizes, [2, 5, 1, 3, 4]);
}

#[test]
fn a_call_carries_blobs_of_all_links_of_one_build_and_of_no_other() {
    let mut queue = UploadQueue::default();
    let caller = CallerIdentity::default();
    let mut listeners = Vec::new();
    for (size, urgency, is_other) in [(1, 5, false), (2, 9, true), (3, 8, false), (4, 1, true)] {
        let (mut request, listener) = request(size, urgency);
        if is_other {
            request.session = session_of(caller.clone());
        }
        queue.push(request);
        listeners.push(listener);
    }
    let mut calls = Vec::new();
    while !queue.requests.is_empty() {
        queue.sort(false);
        let taken = queue.take(usize::MAX, 9, |_| 1);
        let sizes = taken.iter().map(|request| request.blob.digest.size);
        calls.push(sizes.collect::<Vec<_>>());
    }
    assert_eq!(calls, [vec![2, 4], vec![3, 1]]);
    assert!(!queue.mixed);
}

#[tokio::test]
async fn a_batch_that_is_not_full_waits_for_another_of_its_build_but_not_for_one_of_another_build()
{
    let mut scheduler = UploadScheduler::new(session(), Arc::default());
    let (caller, other) = (CallerIdentity::default(), session());
    let mut listeners = Vec::new();
    let mut add = |scheduler: &mut UploadScheduler, size, other: Option<&Arc<Session>>| {
        let (mut request, listener) = request(size, 1);
        request.session = other.map_or_else(|| session_of(caller.clone()), Arc::clone);
        listeners.push(listener);
        scheduler.queue(request);
        scheduler.start();
        scheduler.sending.len()
    };
    assert_eq!(add(&mut scheduler, 1, None), 1);
    assert_eq!(add(&mut scheduler, 2, None), 1, "it waits to be filled");
    assert_eq!(
        add(&mut scheduler, 3, Some(&other)),
        3,
        "the first of its build"
    );
    assert_eq!(
        add(&mut scheduler, 4, Some(&other)),
        3,
        "it waits to be filled"
    );
}

#[tokio::test]
async fn a_blob_is_as_urgent_as_the_most_urgent_job_that_waits_for_it() {
    let tracker = BlobTracker::default();
    let mut queue = UploadQueue::default();
    let mut waiting = Vec::new();
    for size in [1, 2] {
        let (
            UploadRequest {
                blob,
                known_missing,
                ..
            },
            _,
        ) = request(size, 0);
        let (listener, completion) = tracker.join(&blob.digest, 5).expect("not there");
        let completion = completion.expect("the first who asks");
        queue.push(UploadRequest {
            session: Arc::clone(&SESSION),
            blob,
            completion,
            known_missing,
        });
        waiting.push(listener);
    }
    queue.sort(tracker.take_reprioritized());
    let second = queue.requests[1].blob.digest;
    assert!(!tracker.take_reprioritized());
    waiting.extend(tracker.join(&second, 4).map(|(listener, _)| listener));
    assert!(
        !tracker.take_reprioritized(),
        "less urgent than it is already"
    );
    waiting.extend(tracker.join(&second, 7).map(|(listener, _)| listener));
    queue.sort(tracker.take_reprioritized());
    assert_eq!(queue.requests[0].blob.digest, second);
    assert_eq!(queue.urgency(), Some(7));
}

#[tokio::test]
async fn on_a_full_connection_one_less_urgent_call_continues_and_all_equally_urgent_ones() {
    let mut scheduler = UploadScheduler::new(session(), Arc::default());
    let mut listeners = Vec::new();
    let mut add = |scheduler: &mut UploadScheduler, size, urgency| {
        let (request, listener) = request(size, urgency);
        listeners.push(listener);
        scheduler.queue(request);
        scheduler.start();
        scheduler.sending.len()
    };
    for streams in 1..=5 {
        assert_eq!(add(&mut scheduler, 50 * MIB, 9), streams);
    }
    assert_eq!(add(&mut scheduler, 50 * MIB, 8), 6, "the line is full");
    assert_eq!(add(&mut scheduler, 10, 8), 6, "one is enough");
    assert_eq!(add(&mut scheduler, 50 * MIB, 10), 7, "more urgent than all");
    for urgency in [10, 9, 9, 9, 9] {
        let of_it = |sending: &&InFlightUpload| sending.urgency == urgency;
        let done = scheduler.sending.iter().find(of_it).expect("under way");
        let done = done.clone();
        scheduler.end(FinishedCall::Upload(done));
    }
    scheduler.start();
    assert_eq!(scheduler.sending.len(), 2, "two large ones fill the line");
    let large = scheduler.sending[0].clone();
    scheduler.end(FinishedCall::Upload(large));
    scheduler.start();
    assert_eq!(
        scheduler.sending.len(),
        2,
        "there is room for the small one"
    );
}
