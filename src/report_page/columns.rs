//! The data of the page: columns of numbers rather than objects, because a link may have tens of
//! thousands of jobs. Times are microseconds from the start of the link.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::causes::Cause;
use super::critical_path::{Activity, critical_path};
use crate::events::{JobId, JobStep, Origin, OriginCounts, micros};
use crate::history::shown_name;
use crate::report::{Totals, counts, lane};
use crate::timings::{JobTimings, LinkTimings, TimeSpan};

/// The groups of lanes, as the script numbers them.
const HERE: usize = 0;
const FARM: usize = 1;
const PLANNING: usize = 2;

pub(super) fn columns(
    link: &LinkTimings,
    earlier: Option<&LinkTimings>,
    causes: &[Option<Cause>],
) -> Value {
    let jobs = &link.jobs;
    json!({
        "output": link.output,
        "started": link.started / 1000,
        "duration": micros(link.duration),
        "linker": link.linker.map(micros),
        "succeeded": link.succeeded,
        "launched": link.launched,
        "summary": summary(link),
        "waited": micros(link.waited),
        "waitedForMake": link.waited_for_make,
        "up": link.up,
        "down": link.down,
        "hashedFiles": link.hashed_files,
        "hashedBytes": link.hashed_bytes,
        "earlier": earlier.map(|earlier| json!({
            "started": earlier.started / 1000,
            "duration": micros(earlier.duration),
        })),
        "modules": column(jobs, |job| json!(shown_name(&job.module))),
        "places": column(jobs, |job| json!(place(job.origin))),
        "planned": column(jobs, |job| json!(micros(job.planned.start))),
        "ready": column(jobs, |job| json!(micros(job.planned.end))),
        "finished": column(jobs, |job| json!(micros(job.finished))),
        "inputs": column(jobs, |job| json!(job.input_bytes)),
        "outputs": column(jobs, |job| json!(job.output_bytes)),
        "memory": column(jobs, |job| json!(job.peak_memory.unwrap_or_default())),
        "lanes": lanes(jobs),
        "causes": numbered(causes),
        "path": path(link),
    })
}

fn column(jobs: &[JobTimings], value: impl Fn(&JobTimings) -> Value) -> Vec<Value> {
    jobs.iter().map(value).collect()
}

/// In the words of the summary line.
fn summary(link: &LinkTimings) -> String {
    let mut origins = OriginCounts::default();
    let done = link.jobs.iter().filter_map(|job| job.origin);
    done.for_each(|origin| origins.add(origin));
    let totals = Totals::of_record(link.jobs.len(), &origins, link.duration);
    counts(&totals)
}

/// As the script numbers them; 6 is none.
fn place(origin: Option<Origin>) -> u8 {
    match origin {
        Some(Origin::DiskCache) => 0,
        Some(Origin::RemoteCache) => 1,
        Some(Origin::Shared) => 2,
        Some(Origin::Remote) => 3,
        Some(Origin::Local) => 4,
        Some(Origin::InPlace) => 5,
        None => 6,
    }
}

fn activity(activity: Activity) -> u8 {
    match activity {
        Activity::Plan => 0,
        Activity::Step(JobStep::LookUp) => 1,
        Activity::Step(JobStep::Upload) => 2,
        Activity::Step(JobStep::Queue) => 3,
        Activity::Step(JobStep::Execute) => 4,
        Activity::Step(JobStep::Fetch) => 5,
        Activity::Step(JobStep::Write) => 6,
        Activity::Wait => 7,
        Activity::Start => 8,
        Activity::End => 9,
    }
}

/// What stands in a lane.
struct LaneEntry {
    group: usize,
    job: JobId,
    steps: Vec<(u8, Duration)>,
    span: TimeSpan,
    succeeded: bool,
}

/// Each entry takes the first lane of its group that is free when it begins. The steps of all
/// entries are in one list; `first` says where those of an entry begin.
fn lanes(jobs: &[JobTimings]) -> Value {
    let mut entries = entries(jobs);
    entries.sort_by_key(|entry| (entry.span.start, entry.job));
    let mut free: [Vec<Duration>; 3] = Default::default();
    let (mut steps, mut starts) = (Vec::new(), Vec::new());
    let mut columns: [Vec<u64>; 6] = Default::default();
    for entry in &entries {
        let TimeSpan { start, end } = entry.span;
        let lane = lane(&mut free[entry.group], start, end);
        let values = [
            entry.job as u64,
            entry.group as u64,
            lane as u64,
            micros(end),
            u64::from(entry.succeeded),
            steps.len() as u64,
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
        steps.extend(entry.steps.iter().map(|(step, _)| *step));
        starts.extend(entry.steps.iter().map(|(_, start)| micros(*start)));
    }
    let [jobs, groups, lanes, ends, succeeded, first] = columns;
    json!({
        "jobs": jobs, "groups": groups, "lanes": lanes, "ends": ends, "succeeded": succeeded,
        "first": first, "steps": steps, "starts": starts,
        "counts": free.map(|lanes| lanes.len()),
    })
}

fn entries(jobs: &[JobTimings]) -> Vec<LaneEntry> {
    let mut entries = Vec::new();
    for (id, job) in jobs.iter().enumerate() {
        if !job.planned.end.is_zero() {
            entries.push(planning(id, job));
        }
        entries.extend(job.attempts.iter().map(|attempt| {
            LaneEntry {
                group: if attempt.on_farm { FARM } else { HERE },
                job: id,
                steps: attempt
                    .steps
                    .iter()
                    .map(|it| (activity(Activity::Step(it.step)), it.start))
                    .collect(),
                span: TimeSpan {
                    start: attempt.start(),
                    end: attempt.end,
                },
                succeeded: attempt.succeeded,
            }
        }));
    }
    entries
}

/// A thread plans a job, and delivers it from the disk cache.
fn planning(id: JobId, job: &JobTimings) -> LaneEntry {
    let TimeSpan { start, end } = job.planned;
    let mut entry = LaneEntry {
        group: PLANNING,
        job: id,
        steps: vec![(activity(Activity::Plan), start)],
        span: job.planned,
        succeeded: true,
    };
    if job.origin == Some(Origin::DiskCache) && job.finished > end {
        let step = Activity::Step(JobStep::LookUp);
        entry.steps.push((activity(step), end));
        entry.span.end = job.finished;
    }
    entry
}

/// Each different cause once; `of` has the number of each job's.
fn numbered(causes: &[Option<Cause>]) -> Value {
    let mut numbers: HashMap<(&str, &[String]), usize> = HashMap::new();
    let mut all = Vec::new();
    let mut of_jobs = Vec::with_capacity(causes.len());
    for cause in causes {
        let Some(cause) = cause else {
            of_jobs.push(-1);
            continue;
        };
        let key = (cause.text.as_str(), cause.details.as_slice());
        let number = *numbers.entry(key).or_insert_with(|| {
            all.push(json!({"text": cause.text, "details": cause.details}));
            all.len() - 1
        });
        of_jobs.push(i64::try_from(number).unwrap_or(-1));
    }
    json!({"of": of_jobs, "all": all})
}

fn path(link: &LinkTimings) -> Vec<Value> {
    let parts = critical_path(link).into_iter();
    let parts = parts.map(|part| {
        json!([
            activity(part.activity),
            part.job
                .and_then(|job| i64::try_from(job).ok())
                .unwrap_or(-1),
            micros(part.span.start),
            micros(part.span.end),
        ])
    });
    parts.collect()
}
