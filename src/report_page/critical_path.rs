//! What a link was waited for: the chain of steps that leads to its end.
//!
//! The chain is followed backwards from the job that ended last. A job that waited for a slot
//! started when another one left it, so the chain goes on with that one.

use std::time::Duration;

use crate::events::{JobId, JobStep, Origin};
use crate::timings::{JobTimings, LinkTimings, TimeSpan, TimedAttempt};

/// What a part of the chain was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    /// relto starts: settings, compiler, caches.
    Start,
    Plan,
    /// A job is ready and waits for a slot, or for the farm to answer.
    Wait,
    Step(JobStep),
    /// All jobs are done.
    End,
}

/// A part of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathPart {
    pub(super) activity: Activity,
    /// `None` for what is no job's.
    pub(super) job: Option<JobId>,
    pub(super) span: TimeSpan,
}

/// Shorter gaps are the time that a slot takes to go on.
const GAP: Duration = Duration::from_millis(2);

/// The chain, from the start of the link to its end.
pub(super) fn critical_path(link: &LinkTimings) -> Vec<PathPart> {
    let done = link.jobs.iter().enumerate();
    let done = done.filter(|(_, job)| job.origin.is_some());
    let Some((last, job)) = done.max_by_key(|(_, job)| job.finished) else {
        return Vec::new();
    };
    let mut path = Backwards::new(link.duration.max(job.finished));
    path.to(job.finished, Activity::End, None);
    let attempts = SortedAttempts::new(&link.jobs);
    let mut next = Some((last, winner(job)));
    let mut job = last;
    while let Some((id, attempt)) = next {
        job = id;
        next = follow(&mut path, &link.jobs[id], id, attempt, &attempts);
    }
    path.plan(link, job);
    path.parts.reverse();
    path.parts
}

/// Goes back over one job. Returns the attempt that kept it from starting, if one did.
fn follow<'a>(
    path: &mut Backwards,
    job: &JobTimings,
    id: JobId,
    attempt: Option<&TimedAttempt>,
    attempts: &SortedAttempts<'a>,
) -> Option<(JobId, Option<&'a TimedAttempt>)> {
    let Some(attempt) = attempt else {
        let activity = match job.origin {
            Some(Origin::Shared) => Activity::Wait,
            _ => Activity::Step(JobStep::LookUp),
        };
        path.to(job.planned.end, activity, Some(id));
        return None;
    };
    let spans: Vec<_> = attempt.spans().collect();
    for (step, span) in spans.into_iter().rev() {
        path.to(span.start, Activity::Step(step), Some(id));
    }
    let ready = job.planned.end;
    if path.at <= ready + GAP {
        return None;
    }
    let (other, freed) = attempts.last_before(attempt.on_farm, path.at, id)?;
    if freed.end <= ready || freed.start() >= path.at {
        return None;
    }
    path.to(freed.end, Activity::Wait, Some(id));
    Some((other, Some(freed)))
}

fn winner(job: &JobTimings) -> Option<&TimedAttempt> {
    job.attempts.iter().find(|attempt| attempt.succeeded)
}

/// The chain, built from its end.
struct Backwards {
    at: Duration,
    parts: Vec<PathPart>,
}

impl Backwards {
    fn new(end: Duration) -> Self {
        Self {
            at: end,
            parts: Vec::new(),
        }
    }

    /// Spends the time back to `start` on `activity`.
    fn to(&mut self, start: Duration, activity: Activity, job: Option<JobId>) {
        if start >= self.at {
            return;
        }
        let span = TimeSpan {
            start,
            end: self.at,
        };
        self.parts.push(PathPart {
            activity,
            job,
            span,
        });
        self.at = start;
    }

    /// From the beginning until `job` was ready.
    fn plan(&mut self, link: &LinkTimings, job: JobId) {
        let planned = link.jobs[job].planned;
        self.to(planned.end, Activity::Wait, Some(job));
        self.to(planned.start, Activity::Plan, Some(job));
        let spans = link.jobs.iter().map(|job| job.planned);
        let spans = spans.filter(|span| !span.end.is_zero());
        let first = spans.map(|span| span.start).min().unwrap_or_default();
        self.to(first, Activity::Plan, None);
        self.to(Duration::ZERO, Activity::Start, None);
    }
}

/// All attempts here, and all on the farm, in the order of their ends.
struct SortedAttempts<'a>([Vec<(JobId, &'a TimedAttempt)>; 2]);

impl<'a> SortedAttempts<'a> {
    fn new(jobs: &'a [JobTimings]) -> Self {
        let mut sorted = [Vec::new(), Vec::new()];
        for (id, job) in jobs.iter().enumerate() {
            for attempt in &job.attempts {
                sorted[usize::from(attempt.on_farm)].push((id, attempt));
            }
        }
        for attempts in &mut sorted {
            attempts.sort_by_key(|(_, attempt)| attempt.end);
        }
        Self(sorted)
    }

    /// The last one that ended by `time`, of another job than `of`.
    fn last_before(
        &self,
        on_farm: bool,
        time: Duration,
        of: JobId,
    ) -> Option<(JobId, &'a TimedAttempt)> {
        let attempts = &self.0[usize::from(on_farm)];
        let ended = attempts.partition_point(|(_, attempt)| attempt.end <= time);
        let mut ended = attempts[..ended].iter().rev();
        ended.find(|(job, _)| *job != of).copied()
    }
}
