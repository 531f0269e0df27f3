//! `profile`: a link as JSON in the Trace Event Format, which `chrome://tracing` and
//! <https://ui.perfetto.dev> display.
//!
//! There is one lane per slot: an attempt takes the first lane that is free when it begins. Viewers
//! of build events know lanes by their numbers alone and want each entry on a line of its own, so
//! numbers are those of one lane in the whole trace, and lanes have names.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::lanes::lane;
use super::record::{JobAttempt, attempts, runner, verdict_word, verifications};
use crate::events::{Event, Origin, Stamped, micros};

/// The "processes" of the trace.
const CACHE: u32 = 1;
const HERE: u32 = 2;
const FARM: u32 = 3;
const VERIFICATION: u32 = 4;
/// Lanes of one of them.
const MOST_LANES: usize = 100_000;

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
    entries.splice(0..0, lane_names(&entries));
    entries.extend(transfers(events));
    entries.extend(hashed(events));
    let mut text = format!(
        "{{\"displayTimeUnit\":\"ms\",\"otherData\":{},\"traceEvents\":[",
        json!({"link": link})
    );
    for (number, entry) in entries.iter().enumerate() {
        let separator = if number == 0 { "" } else { "," };
        let _ = write!(text, "{separator}\n{entry}");
    }
    text + "\n]}\n"
}

/// `trace` as a file of this name holds it: compressed if that ends in `.gz`, as Bazel does.
pub(super) fn packed_as_named(trace: String, path: &Path) -> io::Result<Vec<u8>> {
    let bytes = trace.into_bytes();
    if path.extension().is_some_and(|extension| extension == "gz") {
        gzip(&bytes)
    } else {
        Ok(bytes)
    }
}

/// `bytes` in gzip's form.
///
/// # Errors
/// There is no memory for it.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes)?;
    packed.finish()
}

/// The names of the lanes of `entries`.
fn lane_names(entries: &[Value]) -> Vec<Value> {
    let lanes = entries.iter().filter_map(|entry| {
        let (process, lane) = (entry["pid"].as_u64()?, entry["tid"].as_u64()?);
        Some((process, lane))
    });
    let lanes: BTreeSet<(u64, u64)> = lanes.collect();
    let named = lanes.into_iter().map(|(pid, tid)| {
        let of = match u32::try_from(pid).unwrap_or_default() {
            CACHE => "cache",
            HERE => "this machine",
            FARM => "farm",
            _ => "verification",
        };
        let number = tid % (MOST_LANES as u64);
        json!({
            "ph": "M", "name": "thread_name", "pid": pid, "tid": tid,
            "args": {"name": format!("{of} {number}")},
        })
    });
    named.collect()
}

/// The number of a lane in the whole trace.
fn lane_number(process: u32, lane: usize) -> usize {
    process as usize * MOST_LANES + lane + 1
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
        "tid": lane_number(process(attempt.origin), lane),
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
            "tid": lane_number(VERIFICATION, lane(&mut lanes, it.start, it.end)),
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
