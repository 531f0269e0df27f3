//! Limits learned from a server's refusals. They only shrink.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::reapi::limits::{DIGESTS_IN_QUESTION, LARGEST_IN_BATCH, SMALLEST_LEARNED};

/// What one server accepts in one call.
#[derive(Debug)]
pub(crate) struct LearnedLimits {
    pub(crate) upload: LearnedLimit,
    pub(crate) download: LearnedLimit,
    /// The limit of `FindMissingBlobs`, in digests.
    pub(crate) digests: LearnedLimit,
}

impl LearnedLimits {
    pub(crate) fn new(batch_bytes: usize) -> Self {
        Self {
            upload: LearnedLimit::new(batch_bytes),
            download: LearnedLimit::new(batch_bytes),
            digests: LearnedLimit::new(DIGESTS_IN_QUESTION),
        }
    }
}

#[derive(Debug)]
pub(crate) struct LearnedLimit(AtomicUsize);

impl LearnedLimit {
    fn new(start: usize) -> Self {
        Self(AtomicUsize::new(start))
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A request of `refused` units was too large: no request of more than half will be sent again.
    pub(crate) fn refuse(&self, refused: usize) {
        self.0
            .fetch_min((refused / 2).max(SMALLEST_LEARNED), Ordering::Relaxed);
    }

    /// The server does not have the method: everything goes by stream.
    pub(crate) fn close(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether a blob that takes `cost` bytes goes into a batch rather than into a stream of its
    /// own.
    pub(crate) fn admits(&self, cost: usize) -> bool {
        let limit = self.get();
        // A quarter, so that batches are well filled, unless the limit is so small that nothing
        // would fit.
        let share = if limit >= LARGEST_IN_BATCH {
            limit / 4
        } else {
            limit
        };
        cost <= share.min(LARGEST_IN_BATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_shrink_and_never_vanish() {
        let limit = LearnedLimit::new(4 << 20);
        assert!(limit.admits(1 << 20) && !limit.admits((1 << 20) + 1));
        limit.refuse(100_000);
        limit.refuse(3 << 20);
        assert_eq!(limit.get(), 50_000);
        assert!(limit.admits(50_000));
        limit.refuse(1);
        assert_eq!(limit.get(), SMALLEST_LEARNED);
    }
}
