//! Jobs whose action equals that of another job: one runs, the others wait for its result. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::executor::ExecutorSet;
use crate::digest::Digest;
use crate::events::JobId;
use crate::exec::Planned;

/// A job and the executors that may run it.
pub(super) type Waiting = (Arc<Planned>, ExecutorSet);

#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// By the key of its action: the job that runs.
    first: HashMap<Digest, JobId>,
    /// By that job; none of these lists is empty.
    others: HashMap<JobId, Vec<Waiting>>,
}

impl Duplicates {
    /// Returns the job if it is the one that runs; otherwise it waits.
    pub(super) fn add(
        &mut self,
        job: Arc<Planned>,
        executors: ExecutorSet,
    ) -> Option<Arc<Planned>> {
        let Some(key) = job.key() else {
            return Some(job);
        };
        if let Some(first) = self.first.get(&key) {
            let others = self.others.entry(*first).or_default();
            others.push((job, executors));
            return None;
        }
        self.first.insert(key, job.id);
        Some(job)
    }

    /// Returns the jobs that waited for the result of `first`. The next job of this key runs.
    pub(super) fn take(&mut self, first: &Planned) -> Vec<Waiting> {
        let Some(key) = first.key() else {
            return Vec::new();
        };
        // A job that had to run for itself was not the first of its key.
        if self.first.get(&key) == Some(&first.id) {
            self.first.remove(&key);
        }
        self.others.remove(&first.id).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.others.is_empty()
    }
}
