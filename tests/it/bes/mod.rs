//! Build events: whatever a server does with them, they are numbered, complete and harmless.

mod buildgrid;
mod builds;
mod links;
mod logs;
mod modes;
mod streams;

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message as _;
use relto::internals::bes::{BesOptions, Closing, NotPublished, Outcome, Publisher};
use relto::internals::events::{Event, Origin};
use relto::internals::pb::build_event_stream::BuildEvent;
use relto::internals::pb::build_event_stream::build_event::Payload;
use relto::internals::reapi::ClientOptions;

use crate::support::event_server::EventRecord;

/// Publishing to the server at `address`, which has two seconds at the end.
fn options(address: &str) -> BesOptions {
    BesOptions {
        backend: Some(address.parse().expect("an address")),
        timeout: Some(Duration::from_secs(2)),
        transport: ClientOptions::default(),
        shown: vec![("remote_executor".to_owned(), "grpc://farm:8980".to_owned())],
        ..BesOptions::default()
    }
}

/// The same with time for a few new streams.
fn patient(address: &str) -> BesOptions {
    BesOptions {
        timeout: Some(Duration::from_secs(30)),
        ..options(address)
    }
}

fn start(options: &BesOptions) -> Publisher {
    let started = Publisher::start(options, "link", "bin/app", Path::new("/src/build"));
    started.expect("good options").expect("a backend")
}

fn closing(outcome: Outcome) -> Closing {
    Closing {
        outcome,
        failed: None,
        logs: Vec::new(),
        farm: None,
    }
}

/// The events of a link of so many jobs.
fn run_jobs(publisher: &Publisher, jobs: usize) {
    let observe = publisher.observer();
    let modules = (0..jobs).map(|job| format!("{job}.o")).collect();
    let link = "bin/app".to_owned();
    observe(&Event::LinkStarted { link, modules });
    let origin = Origin::Remote;
    for job in 0..jobs {
        observe(&Event::JobStarted { job, origin });
        let text = format!("warning: of job {job}\n");
        observe(&Event::CompilerMessage { job, text });
        observe(&Event::JobFinished { job, origin });
    }
}

/// Publishes a small link; also how long it took after the link's end.
fn publish(options: &BesOptions) -> (Result<(), NotPublished>, Duration) {
    let publisher = start(options);
    run_jobs(&publisher, 8);
    let ended = Instant::now();
    let result = publisher.end(closing(Outcome::Succeeded));
    (result, ended.elapsed())
}

/// Every announced event comes once, none was not announced, and the last says so.
fn assert_graph(events: &[BuildEvent]) {
    let mut announced = HashSet::new();
    let mut posted = HashSet::new();
    for (nth, event) in events.iter().enumerate() {
        let id = event.id.as_ref().expect("an id").encode_to_vec();
        let is_known = nth == 0 || announced.contains(&id);
        assert!(is_known, "not announced: {:?}", event.id);
        assert!(posted.insert(id), "twice: {:?}", event.id);
        for child in &event.children {
            let is_new = announced.insert(child.encode_to_vec());
            assert!(is_new, "announced twice: {child:?}");
        }
        let is_last = nth + 1 == events.len();
        assert_eq!(event.last_message, is_last, "{:?}", event.id);
    }
    let missing = announced.difference(&posted).count();
    assert_eq!(missing, 0, "announced events that do not come: {events:#?}");
}

/// The stream is complete, and no rule was broken.
fn assert_complete(record: &EventRecord) {
    assert_eq!(record.violations, Vec::<String>::new());
    let numbers: Vec<i64> = record.events.keys().copied().collect();
    let expected: Vec<i64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    assert_graph(&record.build_events());
    assert_eq!(record.invocations().len(), 1);
}

/// The name of the exit code that the build finished with.
fn finished(record: &EventRecord) -> Option<(String, i32)> {
    finished_in(&record.build_events())
}

fn finished_in(events: &[BuildEvent]) -> Option<(String, i32)> {
    events.iter().find_map(|event| match &event.payload {
        Some(Payload::Finished(finished)) => {
            let code = finished.exit_code.as_ref().expect("an exit code");
            Some((code.name.clone(), code.code))
        }
        _ => None,
    })
}
