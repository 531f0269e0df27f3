//! The log is read again as Bazel's tools would read it.

use std::time::Duration;

use prost::Message as _;

use super::{CompactLog, ExecLogEntry, Type};
use crate::events::{
    DescribedFile, Event, JobDescription, JobId, JobStep, LinkDescription, Origin, Stamped,
};

fn entries(log: &[u8]) -> Vec<ExecLogEntry> {
    let bytes = zstd::stream::decode_all(log).expect("zstd");
    let mut rest = &bytes[..];
    let mut entries = Vec::new();
    while !rest.is_empty() {
        entries.push(ExecLogEntry::decode_length_delimited(&mut rest).expect("an entry"));
    }
    entries
}

fn log(events: Vec<(u64, Event)>) -> Vec<ExecLogEntry> {
    let mut log = CompactLog::new("some-id".to_owned()).expect("zstd");
    for (at, event) in events {
        let at = Duration::from_millis(at);
        log.take(&Stamped { at, event }).expect("memory");
    }
    entries(&log.finish().expect("memory"))
}

fn file(path: &str) -> DescribedFile {
    DescribedFile {
        path: path.to_owned(),
        hash: [path.as_bytes()[0]; 32],
        size: 7,
    }
}

fn described(job: JobId, inputs: &[&str]) -> Event {
    let description = JobDescription {
        arguments: vec!["clang".to_owned(), inputs[0].to_owned()],
        inputs: inputs.iter().map(|path| file(path)).collect(),
        outputs: vec![format!("{}.native.o", inputs[0])],
        key: Some(([9; 32], 100)),
    };
    Event::JobDescribed {
        job,
        description: Box::new(description),
    }
}

fn started(modules: &[&str]) -> Event {
    Event::LinkStarted {
        link: "app".to_owned(),
        modules: modules.iter().map(|&it| it.to_owned()).collect(),
    }
}

fn millis(time: Option<&prost_types::Duration>) -> i32 {
    time.map_or(0, |time| time.nanos / 1_000_000)
}

#[test]
fn files_are_named_once_and_before_the_jobs_that_read_them() {
    let finished = |job, origin| Event::JobFinished { job, origin };
    let link = LinkDescription {
        tools: vec![file("relto/tc/bin/clang")],
        ..LinkDescription::default()
    };
    let entries = log(vec![
        (0, started(&["a", "bb"])),
        (1, Event::LinkDescribed(Box::new(link))),
        (2, described(0, &["a", "bb"])),
        (3, described(1, &["bb"])),
        (4, finished(0, Origin::DiskCache)),
        (5, finished(1, Origin::Local)),
    ]);
    let mut known = Vec::new();
    let mut paths = Vec::new();
    for entry in &entries {
        let referred = match entry.r#type.as_ref().expect("a type") {
            Type::Invocation(invocation) => {
                assert_eq!(invocation.id, "some-id");
                Vec::new()
            }
            Type::File(file) => {
                paths.push(file.path.as_str());
                Vec::new()
            }
            Type::InputSet(set) => [&set.input_ids[..], &set.transitive_set_ids].concat(),
            Type::Spawn(spawn) => {
                assert!(spawn.cacheable && spawn.status.is_empty());
                assert_eq!(spawn.cache_hit, spawn.target_label == "a");
                vec![spawn.input_set_id, spawn.tool_set_id]
            }
        };
        assert!(referred.iter().all(|id| known.contains(id)), "{entry:?}");
        known.push(entry.id);
    }
    let expected = ["relto/tc/bin/clang", "a", "bb", "a.native.o", "bb.native.o"];
    assert_eq!(paths, expected);
}

#[test]
fn the_time_of_a_job_is_split_into_its_steps() {
    let advanced = |step| Event::JobAdvanced {
        job: 0,
        on_farm: true,
        step,
    };
    let time = Duration::from_millis(30);
    let (local, remote) = (Origin::Local, Origin::Remote);
    let entries = log(vec![
        (0, started(&["a"])),
        (0, described(0, &["a"])),
        (
            1,
            Event::JobStarted {
                job: 0,
                origin: local,
            },
        ),
        (
            4,
            Event::JobStopped {
                job: 0,
                origin: local,
            },
        ),
        (5, advanced(JobStep::Upload)),
        (10, advanced(JobStep::Queue)),
        (50, Event::ExecutedIn { job: 0, time }),
        (50, advanced(JobStep::Fetch)),
        (
            60,
            Event::JobFinished {
                job: 0,
                origin: remote,
            },
        ),
    ]);
    let Some(Type::Spawn(spawn)) = &entries.last().expect("a job").r#type else {
        panic!("{entries:?}");
    };
    let metrics = spawn.metrics.as_ref().expect("metrics");
    let times = [
        &metrics.total_time,
        &metrics.upload_time,
        &metrics.queue_time,
        &metrics.execution_wall_time,
        &metrics.fetch_time,
        &metrics.retry_time,
    ];
    let times = times.map(|time| millis(time.as_ref()));
    assert_eq!(times, [55, 5, 10, 30, 10, 3]);
}

#[test]
fn a_job_that_imports_from_fifty_modules_takes_less_than_500_bytes() {
    let jobs = 2_000;
    let hash = |number: usize| *blake3::hash(&number.to_le_bytes()).as_bytes();
    let named = |number: usize| DescribedFile {
        path: format!("lib/Transforms/module{number}.o"),
        hash: hash(number),
        size: 100_000,
    };
    let modules = (0..jobs).map(|job| named(job).path).collect();
    let link = "app".to_owned();
    let mut events = vec![(0, Event::LinkStarted { link, modules })];
    for job in 0..jobs {
        let random = (0..50).map(|nth| usize::from(hash(job * 50 + nth)[0]) * 7 + nth);
        let description = JobDescription {
            arguments: (0..40).map(|word| format!("-fword-{word}")).collect(),
            inputs: random.map(|number| named(number % jobs)).collect(),
            outputs: vec![format!("{}.native.o", named(job).path)],
            key: Some((hash(job + jobs), 142)),
        };
        let description = Box::new(description);
        events.push((1, Event::JobDescribed { job, description }));
        let digests = vec![(hash(job + 2 * jobs), 5_000)];
        events.push((2, Event::OutputsDescribed { job, digests }));
        let origin = Origin::DiskCache;
        events.push((2, Event::JobFinished { job, origin }));
    }
    let mut log = CompactLog::new("some-id".to_owned()).expect("zstd");
    for (at, event) in events {
        let at = Duration::from_millis(at);
        log.take(&Stamped { at, event }).expect("memory");
    }
    let bytes = log.finish().expect("memory").len();
    assert!(bytes < jobs * 500, "{} bytes a job", bytes / jobs);
}

#[test]
fn a_job_that_began_and_has_no_result_has_failed_and_others_are_not_named() {
    let origin = Origin::Local;
    let entries = log(vec![
        (0, started(&["a", "bb"])),
        (1, described(0, &["a"])),
        (1, described(1, &["bb"])),
        (2, Event::JobStarted { job: 1, origin }),
        (3, Event::JobStopped { job: 1, origin }),
    ]);
    let spawns: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.r#type {
            Some(Type::Spawn(spawn)) => Some((&*spawn.target_label, &*spawn.status)),
            _ => None,
        })
        .collect();
    assert_eq!(spawns, [("bb", "FAILED")]);
}
