//! Work that is done once for each key, however many ask for it at the same time.
//!
//! Enters: a key and a future that makes its value. Leaves: a clone of the value. Errors are not
//! kept: the next one to ask tries again. When the caller that does the work is dropped, one that
//! waits takes over.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// Values by key, each made once.
#[derive(Debug)]
pub struct OnceMap<K, V> {
    cells: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K, V> Default for OnceMap<K, V> {
    fn default() -> Self {
        Self {
            cells: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: Eq + Hash, V: Clone> OnceMap<K, V> {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `key`; `make` runs only if nobody has made it or is making it.
    ///
    /// # Errors
    /// What `make` gives. It is handed to this caller only.
    pub async fn get_or_try<E, F>(&self, key: K, make: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let cell = Arc::clone(self.cells().entry(key).or_default());
        cell.get_or_try_init(make).await.cloned()
    }

    /// Makes the next caller do the work of `key` again.
    pub fn forget(&self, key: &K) {
        self.cells().remove(key);
    }

    /// Nothing that can panic runs while the lock is held, so its contents are good even if a
    /// holder died.
    fn cells(&self) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_run() {
        let (map, runs) = (OnceMap::new(), AtomicUsize::new(0));
        let ask = || {
            map.get_or_try("key", || async {
                runs.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, ()>(7)
            })
        };
        assert_eq!(tokio::join!(ask(), ask(), ask()), (Ok(7), Ok(7), Ok(7)));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_error_is_not_kept_and_a_forgotten_value_is_made_again() {
        let map = OnceMap::new();
        assert_eq!(
            map.get_or_try(1, || async { Err::<u8, _>("no") }).await,
            Err("no")
        );
        assert_eq!(map.get_or_try(1, || async { Ok::<_, ()>(2) }).await, Ok(2));
        assert_eq!(map.get_or_try(1, || async { Ok::<_, ()>(3) }).await, Ok(2));
        map.forget(&1);
        assert_eq!(map.get_or_try(1, || async { Ok::<_, ()>(4) }).await, Ok(4));
    }

    #[tokio::test]
    async fn one_who_waits_takes_over_from_one_who_left() {
        let map = OnceMap::new();
        let left = map.get_or_try(1, std::future::pending::<Result<u8, ()>>);
        let stays = map.get_or_try(1, || async { Ok::<u8, ()>(9) });
        {
            let mut left = std::pin::pin!(left);
            assert!(futures_util::poll!(left.as_mut()).is_pending());
        }
        assert_eq!(stays.await, Ok(9));
    }
}
