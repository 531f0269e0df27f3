//! The numbers of a link: how many jobs ended where, and what was transferred.

use std::collections::HashMap;
use std::time::Duration;

use crate::events::{Event, JobId, Origin, OriginCounts, Verdict};

/// The numbers of a link so far, or at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub jobs: usize,
    pub disk_cache: usize,
    pub remote_cache: usize,
    pub shared: usize,
    pub remote: usize,
    pub local: usize,
    pub in_place: usize,
    /// Why jobs run in place, in a few words.
    pub in_place_causes: HashMap<JobId, String>,
    /// How long slots of this machine waited for permits, on average.
    pub waited: Duration,
    /// The permits were make's, not those of other links.
    pub waited_for_make: bool,
    /// Results from caches that a fresh compile confirmed.
    pub verified: usize,
    /// Results from caches that were wrong and are replaced.
    pub wrong: usize,
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
                *self.of(*origin) += 1;
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
            Event::Verified { verdict, .. } => match verdict {
                Verdict::Equal => self.verified += 1,
                Verdict::Wrong => self.wrong += 1,
                Verdict::Nondeterministic | Verdict::Unverified => {}
            },
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
            disk_cache: origins.disk_cache,
            remote_cache: origins.remote_cache,
            remote: origins.remote,
            local: origins.local,
            in_place: origins.in_place,
            verified: origins.verified,
            wrong: origins.wrong,
            elapsed,
            ..Self::default()
        }
    }

    fn of(&mut self, origin: Origin) -> &mut usize {
        match origin {
            Origin::DiskCache => &mut self.disk_cache,
            Origin::RemoteCache => &mut self.remote_cache,
            Origin::Shared => &mut self.shared,
            Origin::Remote => &mut self.remote,
            Origin::Local => &mut self.local,
            Origin::InPlace => &mut self.in_place,
        }
    }

    /// Jobs that were not run: their object came from the disk cache, the remote cache, or another
    /// job with the same action.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.disk_cache + self.remote_cache + self.shared
    }

    /// Jobs that have their object.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.cached() + self.remote + self.local + self.in_place
    }
}
