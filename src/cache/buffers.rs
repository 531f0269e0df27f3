//! Buffers that blobs are read into, reused when the last slice of a blob is dropped.
//!
//! A warm link reads hundreds of objects one after the other; fresh memory for each would cost page
//! faults every time.

use std::sync::{Arc, Mutex};

use crate::task::lock;

/// More than threads read at a time.
const KEPT: usize = 16;

/// Bytes; the memory of larger blobs is returned to the system.
const LARGEST: usize = 16 << 20;

/// A pool; clones share it.
#[derive(Debug, Default, Clone)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer that returns to its pool.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) bytes: Vec<u8>,
    pool: Buffers,
}

impl Buffers {
    /// An empty buffer with room for at least `size` bytes; `None` if there is no such memory.
    pub(super) fn lend(&self, size: usize) -> Option<Lent> {
        let kept = lock(&self.0).pop();
        let mut lent = Lent {
            bytes: kept.unwrap_or_default(),
            pool: self.clone(),
        };
        lent.bytes.try_reserve(size).ok()?;
        Some(lent)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut pool = lock(&self.pool.0);
        if pool.len() < KEPT && bytes.capacity() <= LARGEST {
            pool.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn memory_is_reused_empty_once_the_last_slice_is_dropped() {
        let pool = Buffers::default();
        let taken = |size| pool.lend(size).expect("memory");
        let mut lent = taken(1000);
        lent.bytes.extend_from_slice(b"object");
        let place = lent.bytes.as_ptr();
        let blob = Bytes::from_owner(lent);
        let slice = blob.slice(1..3);
        drop(blob);
        assert_ne!(taken(1).bytes.as_ptr(), place, "a slice still lives");
        assert_eq!(&slice[..], b"bj");
        drop(slice);
        let pools: Vec<_> = (0..2).map(|_| taken(1)).collect();
        assert!(pools.iter().any(|lent| lent.bytes.as_ptr() == place));
        assert!(pools.iter().all(|lent| lent.bytes.is_empty()));
    }

    #[test]
    fn no_more_memory_is_kept_than_threads_can_use() {
        let pool = Buffers::default();
        let taken = |size| pool.lend(size).expect("memory");
        let lent: Vec<_> = (0..KEPT + 9).map(|_| taken(1)).collect();
        drop(lent);
        drop(taken(LARGEST + 1));
        let kept = pool.0.lock().expect("not poisoned");
        assert!(kept.len() <= KEPT);
        assert!(kept.iter().all(|bytes| bytes.capacity() <= LARGEST));
    }

    #[test]
    fn memory_that_is_not_there_is_not_lent() {
        let pool = Buffers::default();
        drop(pool.lend(1000).expect("memory"));
        assert!(pool.lend(usize::MAX / 4).is_none());
        let kept = pool.0.lock().expect("not poisoned");
        assert!(kept.len() == 1 && kept[0].capacity() >= 1000, "{kept:?}");
    }
}
