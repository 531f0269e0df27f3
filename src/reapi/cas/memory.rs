//! The memory of a link for results: what its jobs receive, and what they hold until it is written.
//!
//! A reservation lives as long as the bytes that it is for, wherever they go.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reapi::limits::RESULT_BYTES;

/// What is left of [`RESULT_BYTES`], in KiB.
#[derive(Debug)]
pub(crate) struct ResultBudget(Arc<Semaphore>);

/// Memory for one result. It is free again when this and all bytes that hold it are dropped.
#[derive(Debug, Clone)]
pub struct ResultMemory {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Bytes with the reservation that was made for them.
struct HeldBytes {
    bytes: Bytes,
    _memory: ResultMemory,
}

impl Default for ResultBudget {
    fn default() -> Self {
        let all = usize::try_from(kib(RESULT_BYTES)).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(all)))
    }
}

impl ResultBudget {
    /// Reserves `bytes`, at most [`RESULT_BYTES`], unless other results leave too little.
    pub(crate) fn try_reserve(&self, bytes: u64) -> Option<ResultMemory> {
        let permit = Arc::clone(&self.0).try_acquire_many_owned(kib(bytes));
        Some(ResultMemory::of(permit.ok()?))
    }

    /// Waits until other results leave `bytes`, at most [`RESULT_BYTES`].
    pub(crate) async fn reserve(&self, bytes: u64) -> ResultMemory {
        let permit = Arc::clone(&self.0).acquire_many_owned(kib(bytes)).await;
        ResultMemory::of(permit.expect("the budget is never closed"))
    }
}

impl ResultMemory {
    fn of(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: Arc::new(permit),
        }
    }

    /// `bytes`, which keep the reservation until the last clone of them is dropped.
    #[must_use]
    pub fn hold(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        Bytes::from_owner(HeldBytes {
            bytes,
            _memory: self.clone(),
        })
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.min(RESULT_BYTES).div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_that_a_job_holds_count_until_the_last_clone_is_dropped() {
        let budget = ResultBudget::default();
        let memory = budget.try_reserve(RESULT_BYTES).expect("all is free");
        let held = memory.hold(Bytes::from_static(b"object"));
        drop(memory);
        assert!(budget.try_reserve(1).is_none());
        let mut waiting = std::pin::pin!(budget.reserve(1));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        let clone = held.slice(1..);
        drop(held);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert_eq!(&clone[..], b"bject");
        drop(clone);
        waiting.await;
    }

    #[test]
    fn nothing_is_kept_for_an_empty_output() {
        let budget = ResultBudget::default();
        let memory = budget.try_reserve(RESULT_BYTES).expect("all is free");
        let empty = memory.hold(Bytes::new());
        drop(memory);
        assert!(empty.is_empty() && budget.try_reserve(RESULT_BYTES).is_some());
    }
}
