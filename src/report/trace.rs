//! `profile`: a link as JSON in the Trace Event Format, which `chrome://tracing` and
//! <https://ui.perfetto.dev> display.
//!
//! There is one lane per slot: an attempt takes the first lane that is free when it begins.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::lanes::lane;
use super::record::{JobAttempt, attempts, runner, verdict_word, verifications};
use crate::events::{Event, Origin, Stamped, micros};

/// The "processes" of the trace.
const CACHE: u32 = 1;
const HERE: u32 = 2;
const FARM: u32 = 3;
const VERIFICATION: u32 = 4;

/// The trace of `link`, whose jobs are `modules`.
pub(super) fn trace(link: &str, modules: &[String], events: &[Stamped]) -> String {
    let mut entries: Vec<Value> = [(CACHE, "cache"), (HERE, "this machine"), (FARM, "farm")]
        .map(|(pid, name)| {
            json!({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}})
        })
        .into();
    let mut lanes: HashMap<u32, Vec<Duration>> = HashMap::new();
    for attempt in attempts(events) {
        let lanes = lanes.entry(process(attempt.origin)).or_default();
        let lane = lane(lanes, attempt.start, attempt.end);
        entries.push(entry(modules, &attempt, lane));
    }
    entries.extend(verified(modules, events));
    entries.extend(transfers(events));
    entries.extend(hashed(events));
    let trace = json!({
        "displayTimeUnit": "ms",
        "otherData": {"link": link},
        "traceEvents": entries,
    });
    trace.to_string() + "\n"
}

fn process(origin: Origin) -> u32 {
    match origin {
        Origin::DiskCache | Origin::RemoteCache | Origin::Shared => CACHE,
        Origin::Local | Origin::InPlace => HERE,
        Origin::Remote => FARM,
    }
}

fn entry(modules: &[String], attempt: &JobAttempt, lane: usize) -> Value {
    let name = modules.get(attempt.job).map_or("?", String::as_str);
    let mut entry = json!({
        "name": name,
        "cat": runner(attempt.origin),
        "pid": process(attempt.origin),
        "tid": lane + 1,
        "ts": micros(attempt.start),
        "args": {"job": attempt.job, "runner": runner(attempt.origin), "succeeded": attempt.succeeded},
    });
    if attempt.origin.is_cached() && attempt.start == attempt.end {
        entry["ph"] = json!("i");
        entry["s"] = json!("t");
    } else {
        entry["ph"] = json!("X");
        entry["dur"] = json!(micros(attempt.duration()));
    }
    entry
}

/// Compiles that compare cached results, if there were any.
fn verified(modules: &[String], events: &[Stamped]) -> Vec<Value> {
    let mut all = verifications(events);
    if all.is_empty() {
        return Vec::new();
    }
    all.sort_by_key(|it| (it.start, it.job));
    let name = json!({
        "ph": "M", "name": "process_name", "pid": VERIFICATION, "args": {"name": "verification"},
    });
    let mut lanes = Vec::new();
    let entries = all.iter().map(|it| {
        json!({
            "name": modules.get(it.job).map_or("?", String::as_str),
            "cat": "verification",
            "ph": "X",
            "pid": VERIFICATION,
            "tid": lane(&mut lanes, it.start, it.end) + 1,
            "ts": micros(it.start),
            "dur": micros(it.end.saturating_sub(it.start)),
            "args": {"job": it.job, "verdict": verdict_word(it.verdict)},
        })
    });
    [name].into_iter().chain(entries).collect()
}

/// Counters of the bytes sent and received so far.
fn transfers(events: &[Stamped]) -> Vec<Value> {
    let (mut sent, mut received) = (0, 0);
    let mut entries = Vec::new();
    for Stamped { at, event } in events {
        if let Event::Transferred { up, down } = event {
            sent += up;
            received += down;
            entries.push(json!({
                "ph": "C", "name": "transferred", "pid": FARM, "ts": micros(*at),
                "args": {"sent": sent, "received": received},
            }));
        }
    }
    entries
}

/// The bytes read for digests.
fn hashed(events: &[Stamped]) -> Option<Value> {
    let last = events.iter().rev().find_map(|Stamped { at, event }| {
        let Event::Hashed { files, bytes } = event else {
            return None;
        };
        Some((at, files, bytes))
    });
    let (at, files, bytes) = last?;
    Some(json!({
        "ph": "C", "name": "hashed", "pid": HERE, "ts": micros(*at),
        "args": {"files": files, "bytes": bytes},
    }))
}
