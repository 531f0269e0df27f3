//! Keeps results in the disk cache, until that takes no more.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::HumanBytes;

use crate::cache::{self, CacheError, DiskCache};
use crate::error::Hinted;
use crate::events::Events;

/// What the disk cache has refused of one link.
#[derive(Debug)]
pub(super) struct Keeper {
    /// How large the cache may be. A user who sets no limit wants all of it.
    limit: Option<u64>,
    /// Whether old results have made room on a full file system. That is tried once: what fills it
    /// next may be anything but this cache.
    room: OnceLock<bool>,
    /// A write has failed; nothing more is kept.
    refused: AtomicBool,
}

impl Keeper {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            room: OnceLock::new(),
            refused: false.into(),
        }
    }

    /// Stores a result; the first failure is a warning.
    pub(super) fn keep(
        &self,
        cache: &DiskCache,
        events: &Events,
        store: impl Fn(&DiskCache) -> Result<(), CacheError>,
    ) {
        if self.refused.load(Ordering::Relaxed) {
            return;
        }
        let stored = store(cache).or_else(|error| {
            if self.has_made_room(cache, events, &error) {
                store(cache)
            } else {
                Err(error)
            }
        });
        if let Err(error) = stored
            && !self.refused.swap(true, Ordering::Relaxed)
        {
            let hint = error.hint();
            let text = format!("results of this link are not cached: {error}");
            events.warning(text, hint.as_deref());
        }
    }

    /// Says that the cache cannot hold what the whole link needs of it. Otherwise a part of the jobs, or
    /// all, would be compiled in every link, and nothing would say why. What relto may not trim holds
    /// more.
    pub(super) fn tell_limit(&self, cache: &DiskCache, events: &Events) {
        let used = cache.used_bytes();
        if let Some(limit) = self.limit
            && used > limit
            && cache::check_trimmable(cache.root()).is_ok()
        {
            let text = format!(
                "the results of this link take {}, and the disk cache holds {} at most: the next one cannot find all of them",
                HumanBytes(used),
                HumanBytes(limit)
            );
            events.warning(text, Some("raise `disk_cache_max_size`"));
        }
    }

    /// Several threads may find the file system full; they wait for the one that makes room.
    fn has_made_room(&self, cache: &DiskCache, events: &Events, error: &CacheError) -> bool {
        let is_full = matches!(error, CacheError::NoSpace { .. });
        is_full
            && self.limit.is_some()
            && *self
                .room
                .get_or_init(|| match cache::make_room(cache.root()) {
                    Ok(Some(report)) => {
                        let removed = report.removed;
                        events.note(format!("{error}: {removed} old files made room"));
                        removed > 0
                    }
                    Ok(None) => true,
                    // The warning to come is about what has failed first.
                    Err(_) => false,
                })
    }
}
