//! Jobs that wait for the result of an equal one.
//!
//! Enters: jobs with the key of their action. Leaves: for each key one job that runs, and the
//! others when that one has its result. Pure. What becomes of the others, if the result is not
//! theirs too, is the board's business.

use std::collections::HashMap;
use std::sync::Arc;

use super::place::Places;
use crate::digest::Digest;
use crate::events::JobId;
use crate::exec::Planned;

/// A job and where it may run.
pub(super) type Waiting = (Arc<Planned>, Places);

#[derive(Debug, Default)]
pub(super) struct Twins {
    /// By the key of its action: the job that runs.
    first: HashMap<Digest, JobId>,
    /// By that job; none of these lists is empty.
    others: HashMap<JobId, Vec<Waiting>>,
}

impl Twins {
    /// Gives the job back if it is the one that runs; else it waits.
    pub(super) fn add(&mut self, job: Arc<Planned>, places: Places) -> Option<Arc<Planned>> {
        let Some(key) = job.key() else {
            return Some(job);
        };
        if let Some(first) = self.first.get(&key) {
            let others = self.others.entry(*first).or_default();
            others.push((job, places));
            return None;
        }
        self.first.insert(key, job.id);
        Some(job)
    }

    /// `first` has its result: those who waited for it. The next job of this key runs.
    pub(super) fn take(&mut self, first: &Planned) -> Vec<Waiting> {
        let Some(key) = first.key() else {
            return Vec::new();
        };
        // A job that had to run for itself is no first of its key.
        if self.first.get(&key) == Some(&first.id) {
            self.first.remove(&key);
        }
        self.others.remove(&first.id).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.others.is_empty()
    }
}
