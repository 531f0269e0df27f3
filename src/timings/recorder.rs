//! Makes the timings of a link from its events, as they come.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{JobTimings, LinkTimings, TimeSpan, TimedAttempt, TimedStep};
use crate::events::{Event, Events, JobStep, Origin, micros};
use crate::task::lock;

/// The timings of a link that is running.
#[derive(Debug)]
pub struct TimingsRecorder(Mutex<LinkTimings>);

impl Default for TimingsRecorder {
    fn default() -> Self {
        Self::new(SystemTime::now())
    }
}

impl TimingsRecorder {
    /// For a link that starts at `now`.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Mutex::new(LinkTimings {
            started: micros(since),
            ..LinkTimings::default()
        }))
    }

    /// The same events, of which this takes note.
    #[must_use]
    pub fn observed(self: &Arc<Self>, events: Events) -> Events {
        let recorder = Arc::clone(self);
        events.observed(move |at, event| recorder.observe(at, event))
    }

    /// Notes `event`, which happens at `at`.
    pub fn observe(&self, at: Duration, event: &Event) {
        let mut link = lock(&self.0);
        match event {
            // A link whose daemon was lost starts again.
            Event::LinkStarted {
                link: output,
                modules,
            } => {
                link.output.clone_from(output);
                link.jobs = modules.iter().map(|module| unplanned(module)).collect();
            }
            Event::WaitedForSlots { time, of_make } => {
                (link.waited, link.waited_for_make) = (*time, *of_make);
            }
            Event::Transferred { up, down } => {
                link.up += up;
                link.down += down;
            }
            Event::Hashed { files, bytes } => {
                (link.hashed_files, link.hashed_bytes) = (*files, *bytes);
            }
            event => {
                let job = job_of(event).and_then(|job| link.jobs.get_mut(job));
                if let Some(job) = job {
                    job.note(at, event);
                }
            }
        }
    }

    /// The timings of the link, which ends at `end`.
    pub fn take(&self, end: Duration, succeeded: bool) -> LinkTimings {
        let mut link = std::mem::take(&mut *lock(&self.0));
        link.duration = end;
        link.succeeded = succeeded;
        for job in &mut link.jobs {
            job.end_open(None, end);
        }
        link
    }
}

fn unplanned(module: &str) -> JobTimings {
    JobTimings {
        module: module.to_owned(),
        ..JobTimings::default()
    }
}

fn job_of(event: &Event) -> Option<usize> {
    match event {
        Event::JobPlanned { job, .. }
        | Event::JobAdvanced { job, .. }
        | Event::ExecutedIn { job, .. }
        | Event::JobMeasured { job, .. }
        | Event::RunsInPlace { job, .. }
        | Event::JobStarted { job, .. }
        | Event::JobStopped { job, .. }
        | Event::JobFinished { job, .. } => Some(*job),
        _ => None,
    }
}

/// An attempt that has not ended.
const OPEN: Duration = Duration::MAX;

impl JobTimings {
    fn note(&mut self, at: Duration, event: &Event) {
        match event {
            Event::JobPlanned {
                key,
                input_bytes,
                time,
                ..
            } => {
                self.key = *key;
                self.input_bytes = *input_bytes;
                self.planned = TimeSpan {
                    start: at.saturating_sub(*time),
                    end: at,
                };
            }
            Event::JobAdvanced { on_farm, step, .. } => self.advance(*on_farm, *step, at),
            Event::ExecutedIn { time, .. } => self.executed_in(*time, at),
            Event::JobMeasured {
                output_bytes,
                peak_memory,
                ..
            } => {
                self.output_bytes = *output_bytes;
                self.peak_memory = *peak_memory;
            }
            Event::RunsInPlace { cause, .. } => self.in_place = Some(cause.clone()),
            Event::JobStarted { origin, .. } if *origin != Origin::Remote => {
                self.advance(false, JobStep::Execute, at);
            }
            Event::JobStopped { origin, .. } => {
                self.end_open(Some(*origin == Origin::Remote), at);
            }
            Event::JobFinished { origin, .. } => self.finish(*origin, at),
            _ => {}
        }
    }

    fn open(&mut self, on_farm: bool) -> Option<&mut TimedAttempt> {
        let mut attempts = self.attempts.iter_mut();
        attempts.find(|attempt| attempt.on_farm == on_farm && attempt.end == OPEN)
    }

    fn advance(&mut self, on_farm: bool, step: JobStep, at: Duration) {
        let began = TimedStep { step, start: at };
        let Some(open) = self.open(on_farm) else {
            self.attempts.push(TimedAttempt {
                on_farm,
                steps: vec![began],
                end: OPEN,
                succeeded: false,
            });
            return;
        };
        if open.steps.last().is_none_or(|last| last.step != step) {
            open.steps.push(began);
        }
    }

    /// Not every server says when a worker begins.
    fn executed_in(&mut self, time: Duration, at: Duration) {
        let Some(open) = self.open(true) else { return };
        if let Some(queue) = open.steps.last().filter(|it| it.step == JobStep::Queue) {
            open.steps.push(TimedStep {
                step: JobStep::Execute,
                start: at.saturating_sub(time).max(queue.start),
            });
        }
    }

    fn finish(&mut self, origin: Origin, at: Duration) {
        self.origin = Some(origin);
        self.finished = at;
        let has_attempt = origin.is_farm() || !origin.is_cached();
        if has_attempt && let Some(attempt) = self.open(origin.is_farm()) {
            attempt.succeeded = true;
            attempt.end = at;
        }
        self.end_open(None, at);
    }

    /// Ends attempts on the farm, or here, or all.
    fn end_open(&mut self, on_farm: Option<bool>, at: Duration) {
        let open = self.attempts.iter_mut().filter(|it| it.end == OPEN);
        for attempt in open.filter(|it| on_farm.is_none_or(|on_farm| it.on_farm == on_farm)) {
            attempt.end = at;
        }
    }
}
