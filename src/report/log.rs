//! `execution_log_json_file`: what happened to each job, for programs to read.
//!
//! It is one line of JSON for each job, in the order of the job file. Fields are those of Bazel's
//! `SpawnExec` where it has them, in protobuf's JSON spelling.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::record::{JobAttempt, attempts, runner, verdict_word, verifications};
use crate::events::{Event, JobId, Stamped, Verdict};

pub(super) fn execution_log(modules: &[String], events: &[Stamped]) -> String {
    let actions = actions(events);
    let attempts = attempts(events);
    let mut of_job: Vec<Vec<&JobAttempt>> = vec![Vec::new(); modules.len()];
    for attempt in &attempts {
        if let Some(list) = of_job.get_mut(attempt.job) {
            list.push(attempt);
        }
    }
    let verdicts: HashMap<JobId, Verdict> = verifications(events)
        .into_iter()
        .map(|it| (it.job, it.verdict))
        .collect();
    let lines = modules.iter().zip(&of_job).enumerate();
    let lines = lines.map(|(job, (module, attempts))| {
        let mut line = line(module, actions.get(&job).copied(), attempts);
        if let Some(verdict) = verdicts.get(&job) {
            line["verification"] = json!(verdict_word(*verdict));
        }
        line.to_string() + "\n"
    });
    lines.collect()
}

fn actions(events: &[Stamped]) -> HashMap<JobId, &str> {
    let actions = events.iter().filter_map(|stamped| match &stamped.event {
        Event::ActionBuilt { job, action } => Some((*job, action.as_str())),
        _ => None,
    });
    actions.collect()
}

/// A job without an attempt that succeeded has status `FAILED`.
fn line(module: &str, action: Option<&str>, attempts: &[&JobAttempt]) -> Value {
    let mut line = json!({
        "targetLabel": module,
        "mnemonic": "ThinLTOBackend",
        "attempts": attempts.len(),
    });
    if let Some((hash, size)) = action.and_then(|action| action.split_once('/')) {
        line["digest"] = json!({"hash": hash, "sizeBytes": size});
    }
    match attempts.iter().find(|attempt| attempt.succeeded) {
        Some(attempt) => {
            line["runner"] = json!(runner(attempt.origin));
            line["cacheHit"] = json!(attempt.origin.is_cached());
            line["metrics"] = json!({
                "startOffset": protobuf(attempt.start),
                "totalTime": protobuf(attempt.duration()),
            });
        }
        None => line["status"] = json!("FAILED"),
    }
    line
}

/// A duration as protobuf's JSON spells it.
fn protobuf(time: Duration) -> String {
    format!("{}.{:06}s", time.as_secs(), time.subsec_micros())
}
