//! The queue of jobs that wait for a slot, longest first.
//!
//! Enters: planned jobs, as planning finds them. Leaves: the one with the greatest cost whenever a slot asks. Jobs are
//! taken while others are still being planned; what "longest" means is the planner's estimate.

use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::Planned;

/// Shared by the planner and all slots.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: BinaryHeap<Entry>,
    closed: bool,
}

#[derive(Debug)]
struct Entry(Arc<Planned>);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// By cost; among equals the job that lld named first comes first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.cost, other.0.id).cmp(&(other.0.cost, self.0.id))
    }
}

impl Queue {
    pub fn push(&self, job: Arc<Planned>) {
        self.lock().waiting.push(Entry(job));
        self.changed.notify_one();
    }

    /// Nothing more will be pushed.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
    }

    /// The longest job that waits; waits for one, and gives `None` once the queue is closed and empty.
    pub async fn pop(&self) -> Option<Arc<Planned>> {
        loop {
            // Registered before the look, so that a push in between is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(Entry(job)) = state.waiting.pop() {
                    if !state.waiting.is_empty() {
                        self.changed.notify_one();
                    }
                    return Some(job);
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::PlannedForm;

    fn job(id: usize, cost: u64) -> Arc<Planned> {
        Arc::new(Planned {
            id,
            module: String::new(),
            index: String::new(),
            outputs: Vec::new(),
            command_line: Vec::new(),
            form: PlannedForm::InPlace,
            kind: crate::action::kind::OutputKind::Other,
            cost,
            fallen: std::sync::OnceLock::new(),
        })
    }

    #[tokio::test]
    async fn the_longest_job_leaves_first_and_equals_in_link_order() {
        let queue = Queue::default();
        for (id, cost) in [(0, 5), (1, 9), (2, 5), (3, 1)] {
            queue.push(job(id, cost));
        }
        queue.close();
        let mut order = Vec::new();
        while let Some(job) = queue.pop().await {
            order.push(job.id);
        }
        assert_eq!(order, [1, 0, 2, 3]);
    }

    #[tokio::test]
    async fn every_waiting_slot_is_woken_and_all_end_when_the_queue_closes() {
        let queue = Arc::new(Queue::default());
        let slots: Vec<_> = (0..4)
            .map(|_| {
                let queue = Arc::clone(&queue);
                crate::task::spawn(async move {
                    let mut taken = 0;
                    while queue.pop().await.is_some() {
                        taken += 1;
                        tokio::task::yield_now().await;
                    }
                    taken
                })
            })
            .collect();
        tokio::task::yield_now().await;
        for id in 0..40 {
            queue.push(job(id, 1));
        }
        queue.close();
        let mut taken = 0;
        for slot in slots {
            taken += slot.await;
        }
        assert_eq!(taken, 40);
    }
}
