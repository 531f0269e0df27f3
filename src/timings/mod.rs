//! When what happened in a link, job by job: what `relto report` shows.
//!
//! A [`TimingsRecorder`] makes a [`LinkTimings`] from events while the link runs. The last ones are
//! kept in the state database ([`TimingsStore`]), so that a page can be made after the fact.

mod recorder;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::events::{JobStep, Origin};

pub use recorder::TimingsRecorder;
pub use store::TimingsStore;

/// A span of time, counted from the start of the link. Records hold whole microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSpan {
    #[serde(with = "micros")]
    pub start: Duration,
    #[serde(with = "micros")]
    pub end: Duration,
}

/// A step of an attempt, and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedStep {
    pub step: JobStep,
    #[serde(with = "micros")]
    pub start: Duration,
}

/// One attempt to get a job's outputs, on the farm or on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedAttempt {
    pub on_farm: bool,
    /// Each lasts until the next one, the last one until `end`.
    pub steps: Vec<TimedStep>,
    #[serde(with = "micros")]
    pub end: Duration,
    /// The job's outputs came from this attempt.
    pub succeeded: bool,
}

impl TimedAttempt {
    #[must_use]
    pub fn start(&self) -> Duration {
        self.steps.first().map_or(self.end, |first| first.start)
    }

    /// The steps with their beginnings and ends.
    pub fn spans(&self) -> impl Iterator<Item = (JobStep, TimeSpan)> {
        let ends = self.steps.iter().skip(1).map(|next| next.start);
        let spans = self.steps.iter().zip(ends.chain([self.end]));
        spans.map(|(&TimedStep { step, start }, end)| (step, TimeSpan { start, end }))
    }
}

/// What is known of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTimings {
    /// The module as the user knows it.
    pub module: String,
    /// The first bytes of the digest of its Action; `None` if it has none.
    pub key: Option<[u8; 8]>,
    pub planned: TimeSpan,
    /// Where its outputs came from; `None` if the link failed before.
    pub origin: Option<Origin>,
    /// When they were in place.
    #[serde(with = "micros")]
    pub finished: Duration,
    pub attempts: Vec<TimedAttempt>,
    /// Why it ran in place, in a few words.
    pub in_place: Option<String>,
    pub input_bytes: u64,
    pub output_bytes: u64,
    /// Of its compiler, where that was measured.
    pub peak_memory: Option<u64>,
}

/// When what happened in a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkTimings {
    /// The file that was linked, as the user knows it.
    pub output: String,
    /// Microseconds since 1970.
    pub started: u64,
    pub duration: Duration,
    /// How long the linker had run before: it read its inputs and made the thin link.
    pub linker: Option<Duration>,
    pub succeeded: bool,
    /// Compilers that a build launched by itself, instead of the jobs of a linker.
    pub launched: bool,
    /// How long slots of this machine waited for permits, on average, and whether these were make's.
    pub waited: Duration,
    pub waited_for_make: bool,
    /// Bytes sent to the farm, and received from it.
    pub up: u64,
    pub down: u64,
    pub hashed_files: u64,
    pub hashed_bytes: u64,
    pub jobs: Vec<JobTimings>,
}

impl LinkTimings {
    /// Gives modules the user's names for them.
    pub fn rename(&mut self, names: &BTreeMap<String, String>) {
        for job in &mut self.jobs {
            if let Some(name) = names.get(&job.module) {
                job.module.clone_from(name);
            }
        }
    }

    /// Adds what another part of the same build did. The earlier part's start is that of the whole.
    fn add(&mut self, mut other: Self) {
        let first = self.started.min(other.started);
        let shift = |started: u64| Duration::from_micros(started - first);
        let (own, of_other) = (shift(self.started), shift(other.started));
        self.shift(own);
        other.shift(of_other);
        self.started = first;
        self.duration = self.duration.max(other.duration);
        self.succeeded &= other.succeeded;
        self.up += other.up;
        self.down += other.down;
        self.hashed_files += other.hashed_files;
        self.hashed_bytes += other.hashed_bytes;
        self.jobs.append(&mut other.jobs);
    }

    fn shift(&mut self, by: Duration) {
        if by.is_zero() {
            return;
        }
        self.duration += by;
        for job in &mut self.jobs {
            job.planned.start += by;
            job.planned.end += by;
            job.finished += by;
            for attempt in &mut job.attempts {
                attempt.end += by;
                for step in &mut attempt.steps {
                    step.start += by;
                }
            }
        }
    }
}

/// Durations as whole microseconds, which take half the space.
mod micros {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(crate::events::micros(*time))
    }

    /// Damage may have made any number: sums of a few must not overflow.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let micros = u64::deserialize(deserializer)?;
        Ok(Duration::from_micros(micros.min(u64::MAX / 1024)))
    }
}
