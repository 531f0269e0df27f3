//! The numbers of a link: how many jobs ended where, and what was transferred.

use std::collections::HashMap;
use std::time::Duration;

use crate::events::{Event, JobId, Origin, OriginCounts};

/// The numbers of a link so far, or at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub jobs: usize,
    /// Where the jobs ended so far, and what verifying showed.
    pub origins: OriginCounts,
    /// Why jobs run in place, in a few words.
    pub in_place_causes: HashMap<JobId, String>,
    /// How long slots of this machine waited for permits, on average.
    pub waited: Duration,
    /// The permits were make's, not those of other links.
    pub waited_for_make: bool,
    /// Bytes sent to the farm.
    pub up: u64,
    /// Bytes received from the farm.
    pub down: u64,
    /// Set at the end.
    pub elapsed: Duration,
}

impl Totals {
    pub(super) fn add(&mut self, event: &Event) {
        match event {
            // A link whose daemon was lost starts again.
            Event::LinkStarted { modules, .. } => {
                *self = Self {
                    jobs: modules.len(),
                    up: self.up,
                    down: self.down,
                    ..Self::default()
                };
            }
            Event::JobFinished { job, origin } => {
                self.origins.add(*origin);
                if *origin != Origin::InPlace {
                    self.in_place_causes.remove(job);
                }
            }
            Event::RunsInPlace { job, cause } => {
                self.in_place_causes.insert(*job, cause.clone());
            }
            Event::WaitedForSlots { time, of_make } => {
                (self.waited, self.waited_for_make) = (*time, *of_make);
            }
            Event::Verified { verdict, .. } => self.origins.add_verdict(*verdict),
            Event::Transferred { up, down } => {
                self.up += up;
                self.down += down;
            }
            Event::Streaming { .. }
            | Event::JobPlanned { .. }
            | Event::JobAdvanced { .. }
            | Event::ExecutedIn { .. }
            | Event::JobMeasured { .. }
            | Event::LinkDescribed(_)
            | Event::JobDescribed { .. }
            | Event::OutputsDescribed { .. }
            | Event::ActionBuilt { .. }
            | Event::JobStarted { .. }
            | Event::JobStopped { .. }
            | Event::VerifyStarted { .. }
            | Event::CompilerMessage { .. }
            | Event::CompilerStdout { .. }
            | Event::Hashed { .. }
            | Event::Warning { .. }
            | Event::Note { .. }
            | Event::FarmUnreachable
            | Event::LinkFinished => {}
        }
    }

    /// The numbers of links that were recorded.
    #[must_use]
    pub fn of_record(jobs: usize, origins: &OriginCounts, elapsed: Duration) -> Self {
        Self {
            jobs,
            origins: *origins,
            elapsed,
            ..Self::default()
        }
    }
}
