//! Decides when to trim, without counting files during a link.
//!
//! The database of [`state`](crate::state) keeps an estimate for each cache directory: the last
//! count plus what links have added since. If it is lost, the next trim counts again.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::state::{State, counter};

/// Without a database, one in this many links that add something counts the cache.
const LINKS_PER_COUNT: u32 = 16;

/// Adds what a link stored in the cache at `root`. Returns whether the cache may now take more than
/// `max_bytes`, or its size is unknown.
pub fn record_growth(state: &State, root: &Path, added: u64, max_bytes: u64) -> bool {
    if added == 0 {
        return false;
    }
    let added = i64::try_from(added).unwrap_or(i64::MAX);
    let total = state.write(|transaction| counter::add(transaction, &name(root), added));
    match total {
        Some(Some(total)) => total.max(0).cast_unsigned() > max_bytes,
        Some(None) => true,
        None => draw(SystemTime::now()),
    }
}

/// Records the size of the cache at `root` after it was counted and trimmed.
pub fn reset_size_estimate(state: &State, root: &Path, bytes: u64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    state.write(|transaction| counter::set(transaction, &name(root), bytes));
}

fn name(root: &Path) -> Vec<u8> {
    [b"disk_cache:", root.as_os_str().as_bytes()].concat()
}

fn draw(now: SystemTime) -> bool {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.subsec_micros().is_multiple_of(LINKS_PER_COUNT)
}
