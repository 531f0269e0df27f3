use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::events::{Event, Origin};
use crate::state::State;

fn millis(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn planned(job: usize) -> Event {
    Event::JobPlanned {
        job,
        key: Some([7; 8]),
        input_bytes: 100,
        time: millis(2),
    }
}

fn step(job: usize, on_farm: bool, step: JobStep) -> Event {
    Event::JobAdvanced { job, on_farm, step }
}

/// A link in which the farm and this machine race for one job, and the cache has the other.
fn recorded() -> LinkTimings {
    let recorder = TimingsRecorder::new(SystemTime::UNIX_EPOCH + Duration::from_secs(5));
    let (far, here) = (Origin::Remote, Origin::Local);
    let started = Event::LinkStarted {
        link: "app".to_owned(),
        modules: vec!["a.o".to_owned(), "b.o".to_owned()],
    };
    let begins = |job, origin| Event::JobStarted { job, origin };
    let stops = |job, origin| Event::JobStopped { job, origin };
    let finishes = |job, origin| Event::JobFinished { job, origin };
    let time = millis(15);
    let events = [
        (0, started),
        (3, planned(0)),
        (4, finishes(0, Origin::DiskCache)),
        (5, planned(1)),
        (6, step(1, true, JobStep::LookUp)),
        (8, step(1, true, JobStep::Upload)),
        (9, begins(1, here)),
        (10, step(1, true, JobStep::Queue)),
        (10, begins(1, far)),
        (30, Event::ExecutedIn { job: 1, time }),
        (30, step(1, true, JobStep::Fetch)),
        (33, step(1, true, JobStep::Write)),
        (34, stops(1, here)),
        (35, finishes(1, far)),
        (36, Event::Transferred { up: 10, down: 20 }),
    ];
    for (at, event) in events {
        recorder.observe(millis(at), &event);
    }
    recorder.take(millis(40), true)
}

#[test]
fn a_job_has_its_attempts_with_their_steps() {
    let link = recorded();
    assert_eq!((link.started, link.duration), (5_000_000, millis(40)));
    assert_eq!((link.up, link.down), (10, 20));
    let cached = &link.jobs[0];
    assert_eq!(cached.planned.start, millis(1));
    assert_eq!(cached.finished, millis(4));
    assert!(cached.attempts.is_empty());
    let [far, here] = &link.jobs[1].attempts[..] else {
        panic!("{:?}", link.jobs[1]);
    };
    assert!(far.on_farm && far.succeeded && !here.on_farm && !here.succeeded);
    let spans: Vec<_> = far.spans().map(|(step, span)| (step, span.end)).collect();
    let expected = [
        (JobStep::LookUp, millis(8)),
        (JobStep::Upload, millis(10)),
        // The worker's own clock says when the compiler started.
        (JobStep::Queue, millis(15)),
        (JobStep::Execute, millis(30)),
        (JobStep::Fetch, millis(33)),
        (JobStep::Write, millis(35)),
    ];
    assert_eq!(spans, expected);
    assert_eq!((here.start(), here.end), (millis(9), millis(34)));
}

#[test]
fn an_attempt_without_an_end_ends_with_the_link() {
    let recorder = TimingsRecorder::default();
    let modules = vec!["a.o".to_owned()];
    let link = "app".to_owned();
    recorder.observe(millis(0), &Event::LinkStarted { link, modules });
    recorder.observe(millis(1), &step(0, true, JobStep::LookUp));
    let link = recorder.take(millis(9), false);
    assert_eq!(link.jobs[0].attempts[0].end, millis(9));
    assert_eq!(link.jobs[0].origin, None);
    assert!(!link.succeeded);
}

fn store(dir: &tempfile::TempDir) -> TimingsStore {
    TimingsStore::new(Arc::new(State::at(&dir.path().join("state.db"))))
}

fn named(output: &str, started: u64) -> LinkTimings {
    LinkTimings {
        output: output.to_owned(),
        started,
        ..recorded()
    }
}

#[test]
fn links_are_found_by_their_age_and_output_with_the_one_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let kept = store(&dir);
    for (output, started) in [("x/app", 1), ("lib", 2), ("x/app", 3), ("lib", 4)] {
        kept.add(None, &named(output, started));
    }
    let kept = store(&dir);
    let newest = kept.newest(1, |_| true).expect("recorded");
    assert_eq!(newest.timings, named("lib", 4));
    let second = kept.newest(2, |_| true).expect("recorded");
    assert_eq!(second.timings.started, 3);
    assert_eq!(kept.before(&second).expect("recorded").timings.started, 1);
    let oldest = kept
        .newest(2, |output| output == "x/app")
        .expect("recorded");
    assert_eq!(oldest.timings.started, 1);
    assert_eq!(kept.before(&oldest), None);
    assert_eq!(kept.newest(5, |_| true), None);
    assert_eq!(kept.newest(0, |_| true), None);
}

#[test]
fn the_parts_of_a_build_are_one_with_their_times_on_one_clock() {
    let dir = tempfile::tempdir().expect("a directory");
    let kept = store(&dir);
    kept.add(Some("make 1"), &named("src", 1_000));
    kept.add(Some("make 2"), &named("src", 9_000));
    kept.add(Some("make 1"), &named("src/lib", 6_000));
    let build = kept.newest(1, |_| true).expect("recorded").timings;
    assert_eq!((build.jobs.len(), build.started), (4, 1_000));
    assert_eq!(build.duration, millis(45));
    assert_eq!(build.jobs[2].finished, millis(9));
    assert_eq!(build.up, 20);
    let other = kept.newest(2, |_| true).expect("recorded").timings;
    assert_eq!((other.jobs.len(), other.started), (2, 9_000));
}

#[test]
fn the_oldest_are_forgotten_when_all_have_become_too_much() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = Arc::new(State::at(&dir.path().join("state.db")));
    let kept = TimingsStore::new(Arc::clone(&state));
    for started in 0..20 {
        kept.add(None, &named("app", started));
    }
    let trimmed = state.write(|transaction| store::TABLE.keep(transaction, 2_000));
    trimmed.expect("written");
    let newest = kept.newest(1, |_| true).expect("kept");
    assert_eq!(newest.timings.started, 19);
    assert!(kept.newest(2, |_| true).is_some());
    assert_eq!(kept.newest(20, |_| true), None);
}

#[test]
fn thirty_thousand_jobs_take_little_room_and_come_back() {
    let mut link = recorded();
    let job = link.jobs[1].clone();
    let name = |number: usize| format!("src/dir{}/module_{number}.o", number % 97);
    link.jobs = (0..30_000)
        .map(|number: usize| {
            let hash = blake3::hash(&number.to_le_bytes());
            let noise = u64::from(u32::from_le_bytes(
                *hash.as_bytes()[8..].first_chunk().expect("four bytes"),
            ));
            let mut job = job.clone();
            job.module = name(number);
            job.key = hash.as_bytes().first_chunk().copied();
            job.input_bytes = noise % 1_000_000;
            job.output_bytes = noise % 300_000;
            job.finished = Duration::from_micros(noise % 60_000_000);
            for attempt in &mut job.attempts {
                attempt.end = job.finished;
                for (number, step) in attempt.steps.iter_mut().enumerate() {
                    step.start = Duration::from_micros((noise >> number) % 60_000_000);
                }
            }
            job
        })
        .collect();
    let dir = tempfile::tempdir().expect("a directory");
    let kept = store(&dir);
    kept.add(None, &link);
    assert_eq!(kept.newest(1, |_| true).expect("kept").timings, link);
    let size = store::TABLE.pack(&link).expect("it fits").len();
    // Two megabytes are the worst case: every job raced, and no two times are alike.
    assert!(size < 2_500_000, "{size} bytes");
}
