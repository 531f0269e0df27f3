//! What happened to each job: attempts with beginning and end, assembled from events.
//!
//! The trace and the execution log are made from it.

use std::collections::HashMap;
use std::time::Duration;

use crate::events::{Event, JobId, Origin, Stamped, Verdict};

/// One attempt to get a job's object, in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JobAttempt {
    pub(super) job: JobId,
    pub(super) origin: Origin,
    pub(super) start: Duration,
    pub(super) end: Duration,
    /// The job's object came from this attempt.
    pub(super) succeeded: bool,
}

impl JobAttempt {
    pub(super) fn duration(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// All attempts, in the order of their start. An attempt without an end ends with the link.
pub(super) fn attempts(events: &[Stamped]) -> Vec<JobAttempt> {
    let mut open: HashMap<(JobId, Origin), Duration> = HashMap::new();
    let mut attempts = Vec::new();
    for Stamped { at, event } in events {
        let (job, origin, succeeded) = match event {
            Event::JobStarted { job, origin } => {
                open.insert((*job, *origin), *at);
                continue;
            }
            // An attempt that has not begun was given up before.
            Event::JobStopped { job, origin } if !open.contains_key(&(*job, *origin)) => continue,
            Event::JobStopped { job, origin } => (*job, *origin, false),
            Event::JobFinished { job, origin } => (*job, *origin, true),
            _ => continue,
        };
        attempts.push(JobAttempt {
            job,
            origin,
            // A cache hit has no separate start.
            start: open.remove(&(job, origin)).unwrap_or(*at),
            end: *at,
            succeeded,
        });
    }
    let end = events.last().map_or(Duration::ZERO, |last| last.at);
    attempts.extend(open.into_iter().map(|((job, origin), start)| JobAttempt {
        job,
        origin,
        start,
        end,
        succeeded: false,
    }));
    attempts.sort_by_key(|attempt| (attempt.start, attempt.job, attempt.origin));
    attempts
}

/// A compile that compares a cached result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verification {
    pub(super) job: JobId,
    pub(super) start: Duration,
    pub(super) end: Duration,
    pub(super) verdict: Verdict,
}

/// All comparisons, in the order of their ends. One that gave way to a job counts from its last
/// beginning.
pub(super) fn verifications(events: &[Stamped]) -> Vec<Verification> {
    let mut open: HashMap<JobId, Duration> = HashMap::new();
    let mut verifications = Vec::new();
    for Stamped { at, event } in events {
        match event {
            Event::VerifyStarted { job } => {
                open.insert(*job, *at);
            }
            Event::Verified { job, verdict } => verifications.push(Verification {
                job: *job,
                // Equal jobs are verified by one compile.
                start: open.remove(job).unwrap_or(*at),
                end: *at,
                verdict: *verdict,
            }),
            _ => {}
        }
    }
    verifications
}

/// How the files and the log call a verdict.
pub(super) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "verified",
        Verdict::Wrong => "wrong",
        Verdict::Nondeterministic => "not deterministic",
        Verdict::Unverified => "not verified",
    }
}

/// The name of an origin in the files: Bazel's, where it has one.
pub(super) fn runner(origin: Origin) -> &'static str {
    match origin {
        Origin::DiskCache => "disk cache hit",
        Origin::RemoteCache => "remote cache hit",
        Origin::Shared => "result of an equal job",
        Origin::Remote => "remote",
        Origin::Local => "local",
        Origin::InPlace => "in place",
    }
}
