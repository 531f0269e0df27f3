//! `relto doctor --verify`: whether the cached results of a link are those that this machine makes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Finding, Grade, ReportSection};
use crate::events::{Event, Events, JobId, Verdict};
use crate::job::JobFile;
use crate::link::{CachedJob, Engine, LinkError, NoKey, Options};
use crate::task::lock;

/// Compares all cached results of `file` with fresh compiles, and gives a finding for each job;
/// then what there is to say of those that are not equal.
///
/// # Errors
/// The compiler or the farm cannot be used.
pub async fn verify_cached(file: JobFile, options: &Options) -> Result<ReportSection, LinkError> {
    let mut options = options.clone();
    options.verify.percent = 100.0;
    // The findings say it.
    options.verify.fail = false;
    options.linker = None;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let events = {
        let heard = Arc::clone(&heard);
        Events::to_function(move |event| {
            lock(&heard).push(event);
        })
    };
    let engine = Engine::single_use(&options);
    let jobs = engine.verify(file, &options, events).await?;
    let heard = std::mem::take(&mut *lock(&heard));
    let verdicts = verdicts(&heard);
    let rows = jobs
        .iter()
        .enumerate()
        .map(|(id, job)| row(job, verdicts.get(&id).copied()));
    let said = heard.into_iter().filter_map(|event| match event {
        Event::Warning { text, hint } => Some(Finding {
            grade: Grade::Warning,
            text,
            hints: hint.into_iter().collect(),
        }),
        _ => None,
    });
    let findings = rows.chain(said).collect();
    Ok(ReportSection::new("Cached results", findings))
}

/// The worst verdict on each job: it may have several results.
fn verdicts(events: &[Event]) -> HashMap<JobId, Verdict> {
    let mut verdicts = HashMap::new();
    for event in events {
        if let Event::Verified { job, verdict } = event {
            let known = verdicts.entry(*job).or_insert(*verdict);
            let rank = |verdict: Verdict| match verdict {
                Verdict::Equal => 0,
                Verdict::Unverified => 1,
                Verdict::Nondeterministic => 2,
                Verdict::Wrong => 3,
            };
            if rank(*verdict) > rank(*known) {
                *known = *verdict;
            }
        }
    }
    verdicts
}

fn row(job: &CachedJob, verdict: Option<Verdict>) -> Finding {
    let (grade, text) = match (verdict, &job.obstacle) {
        (Some(Verdict::Equal), _) => (Grade::Good, "verified".to_owned()),
        (Some(Verdict::Wrong), _) => (Grade::Bad, "wrong".to_owned()),
        (Some(Verdict::Nondeterministic), _) => (Grade::Warning, "not deterministic".to_owned()),
        (Some(Verdict::Unverified), _) => (Grade::Warning, "not verified".to_owned()),
        (None, Some(NoKey::InPlace(reason))) => (Grade::Good, format!("never cached: {reason}")),
        (None, Some(NoKey::Unsound(reason))) => (Grade::Warning, format!("not compared: {reason}")),
        (None, None) => (Grade::Good, "not cached".to_owned()),
    };
    let places = match job.places.join(", ") {
        places if places.is_empty() => places,
        places => format!(" ({places})"),
    };
    Finding {
        grade,
        text: format!("`{}`: {text}{places}", job.module),
        hints: Vec::new(),
    }
}
