//! The totals of a link: how many jobs ended where, and how much was transferred.

use std::time::Duration;

use crate::events::{Event, Origin};

/// What a link has come to so far, or in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub jobs: usize,
    pub disk_cache: usize,
    pub remote_cache: usize,
    pub shared: usize,
    pub remote: usize,
    pub local: usize,
    pub in_place: usize,
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
            // A link that was lost on its way begins anew.
            Event::LinkStarted { modules, .. } => {
                *self = Self {
                    jobs: modules.len(),
                    up: self.up,
                    down: self.down,
                    ..Self::default()
                };
            }
            Event::JobFinished { origin, .. } => *self.of(*origin) += 1,
            Event::Transferred { up, down } => {
                self.up += up;
                self.down += down;
            }
            Event::ActionBuilt { .. }
            | Event::JobStarted { .. }
            | Event::JobStopped { .. }
            | Event::CompilerMessage { .. }
            | Event::CompilerStdout { .. }
            | Event::Hashed { .. }
            | Event::Warning { .. }
            | Event::Note { .. }
            | Event::FarmUnreachable
            | Event::LinkFinished => {}
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

    /// Jobs that did not have to run: their object came from a cache, near or far, or from an equal
    /// job.
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
