//! The graph of events: what is announced comes, once.

use std::collections::HashSet;

use prost::Message as _;

use super::*;
use crate::events::Origin;
use crate::pb::build_event_stream::ActionExecuted;
use crate::reapi::CallerIdentity;

const ID: &str = "7f0c4b4e-0000-4000-8000-000000000001";

fn options() -> BesOptions {
    let mut options = BesOptions {
        shown: vec![("remote_executor".to_owned(), "grpc://farm:8980".to_owned())],
        ..BesOptions::default()
    };
    options.transport.caller = CallerIdentity {
        invocation_id: ID.to_owned(),
        ..CallerIdentity::nobody()
    };
    options
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1000 + seconds)
}

fn begun() -> (Arc<EventQueue>, InvocationEvents) {
    let queue = Arc::new(EventQueue::default());
    let dir = Path::new("/home/user/build");
    let shared = Arc::clone(&queue);
    let invocation = InvocationEvents::begin(shared, &options(), "link", "bin/app", dir, at(0));
    (queue, invocation)
}

/// All events of a queue that has ended.
fn published(queue: &EventQueue) -> Vec<BuildEvent> {
    let remaining = queue.remaining();
    let (last, events) = remaining.split_last().expect("an end");
    assert_eq!(last.event, None, "the stream has ended");
    events
        .iter()
        .map(|event| {
            let bytes = event.event.as_deref().expect("only the last is none");
            BuildEvent::decode(bytes).expect("a build event")
        })
        .collect()
}

fn assert_graph(events: &[BuildEvent]) {
    let mut announced = HashSet::new();
    let mut posted = HashSet::new();
    for (nth, event) in events.iter().enumerate() {
        let id = event.id.clone().expect("an id").encode_to_vec();
        assert!(
            nth == 0 || announced.contains(&id),
            "not announced: {:?}",
            event.id
        );
        assert!(posted.insert(id), "twice: {:?}", event.id);
        for child in &event.children {
            let is_new = announced.insert(child.encode_to_vec());
            assert!(is_new, "announced twice: {child:?}");
        }
        assert_eq!(
            event.last_message,
            nth + 1 == events.len(),
            "{:?}",
            event.id
        );
    }
    let missing = announced.difference(&posted).count();
    assert_eq!(missing, 0, "announced events do not come");
}

fn failed(module: &str) -> FailedAction {
    FailedAction {
        module: module.to_owned(),
        exit_code: 1,
        stderr: "error: in /home/user/build/a.c\n".to_owned(),
        reason: "exit code 1".to_owned(),
    }
}

#[test]
fn every_announced_event_comes_once_however_the_link_ends() {
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Failed("cannot compile `a.o`".to_owned()),
        Outcome::FarmFailed("no workers".to_owned()),
        Outcome::Interrupted,
    ];
    for outcome in outcomes {
        for with_logs in [false, true] {
            let (queue, mut invocation) = begun();
            let text = "warning: x".to_owned();
            invocation.take(&Event::CompilerMessage { job: 0, text }, at(1));
            invocation.tick(at(2));
            invocation.tick(at(100));
            if matches!(outcome, Outcome::Failed(_)) {
                invocation.add_failure(failed("a.o"));
                invocation.add_failure(failed("a.o"));
            }
            invocation.end(&outcome, with_logs, at(200));
            if with_logs {
                close(&queue, Vec::new(), at(201));
            }
            assert_graph(&published(&queue));
        }
    }
}

#[test]
fn failed_actions_are_capped_and_their_paths_are_relative() {
    let (queue, mut invocation) = begun();
    for nth in 0..150 {
        invocation.add_failure(failed(&format!("/home/user/build/{nth:03}.o")));
    }
    invocation.end(&Outcome::Failed(String::new()), false, at(1));
    let events = published(&queue);
    assert_graph(&events);
    let actions: Vec<&ActionExecuted> = events
        .iter()
        .filter_map(|event| match &event.payload {
            Some(Payload::Action(action)) => Some(action),
            _ => None,
        })
        .collect();
    assert_eq!(actions.len(), MOST_FAILURES);
    let text = format!("{events:?}");
    assert!(!text.contains("/home"), "{text}");
    assert!(text.contains("50 more failed actions left out"), "{text}");
}

#[test]
fn the_metrics_count_where_the_jobs_ran() {
    let (queue, mut invocation) = begun();
    let modules = (0..4).map(|nth| format!("{nth}.o")).collect();
    let link = "app".to_owned();
    invocation.take(&Event::LinkStarted { link, modules }, at(0));
    for (job, origin) in [
        Origin::DiskCache,
        Origin::RemoteCache,
        Origin::Remote,
        Origin::Local,
    ]
    .into_iter()
    .enumerate()
    {
        invocation.take(&Event::JobStarted { job, origin }, at(1));
        invocation.take(&Event::JobFinished { job, origin }, at(2));
    }
    invocation.end(&Outcome::Succeeded, false, at(3));
    let events = published(&queue);
    let metrics = events.iter().find_map(|event| match &event.payload {
        Some(Payload::BuildMetrics(metrics)) => metrics.action_summary.clone(),
        _ => None,
    });
    let summary = metrics.expect("metrics");
    assert_eq!((summary.actions_created, summary.actions_executed), (4, 2));
    let runners: Vec<_> = summary
        .runner_count
        .iter()
        .map(|runner| (runner.name.as_str(), runner.count))
        .collect();
    assert_eq!(
        runners,
        [
            ("total", 4),
            ("disk cache hit", 1),
            ("remote cache hit", 1),
            ("remote", 1),
            ("local", 1),
        ]
    );
}

#[test]
fn a_job_that_prints_much_does_not_fill_the_stream() {
    let (queue, mut invocation) = begun();
    for job in 0..30_000 {
        let text = "warning: ".repeat(100);
        invocation.take(&Event::CompilerMessage { job, text }, at(1));
    }
    invocation.end(&Outcome::Succeeded, false, at(2));
    let remaining = queue.remaining();
    let bytes: usize = remaining
        .iter()
        .filter_map(|event| event.event.as_ref())
        .map(Vec::len)
        .sum();
    assert!(bytes < PROGRESS_TEXT + (64 << 10), "{bytes} bytes");
    assert_graph(&published(&queue));
}
