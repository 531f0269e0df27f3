//! Keeps the disk cache within its size by removing the least recently used files.
//!
//! Links take no notice of it: a file that is removed while it is read stays readable, and a
//! missing one is a miss. One process trims at a time.

use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;

use super::disk::{TMP, TOUCH_GRANULE, is_shared};
use super::{CacheError, mark, on_disk};
use crate::digest::DigestFunction;
use crate::fs::{open_private_file, open_shared_file};

/// Held while a process trims.
const LOCK: &str = "trim.lock";

/// A temporary file of this age was left by a dead link.
const STALE: Duration = Duration::from_hours(24);

/// A result counts as this much older than it is. Its blobs are read after it, and each file's
/// mtime may lag by the granule, so otherwise a blob could be removed before the result that names
/// it.
const RESULT_HEAD_START: Duration = Duration::from_secs(2 * TOUCH_GRANULE.as_secs());

/// The contents of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Action results.
    pub results: u64,
    pub blobs: u64,
    /// On disk, in blocks of 4 KiB.
    pub bytes: u64,
}

/// The outcome of trimming. Sizes are bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimReport {
    pub before: u64,
    pub after: u64,
    /// Number of files.
    pub removed: u64,
}

/// One cache file. Its path is built when it is needed: a cache holds hundreds of thousands.
struct CacheFile {
    dir: usize,
    name: Box<str>,
    size: u64,
    modified: SystemTime,
    last_used: SystemTime,
}

#[derive(Default)]
struct Scan {
    dirs: Vec<PathBuf>,
    entries: Vec<CacheFile>,
    usage: Usage,
}

/// Counts the files of the cache at `root`.
///
/// # Errors
/// The directory cannot be read.
pub fn usage(root: &Path) -> Result<Usage, CacheError> {
    scan(root).map(|scan| scan.usage)
}

/// Removes what dead links left in `tmp/` and, if the cache at `root` is larger than `max_bytes`,
/// files until it is nine tenths of that. `None` when another process is trimming.
///
/// # Errors
/// The directory cannot be read, or nothing may be removed from it.
pub fn trim(root: &Path, max_bytes: u64) -> Result<Option<TrimReport>, CacheError> {
    let failed = |error| CacheError::new(root, error);
    mark::write(root);
    let lock = open_lock(root)?;
    match lock.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    remove_stale(&root.join(TMP), SystemTime::now());
    let scan = scan(root)?;
    let before = scan.usage.bytes;
    let mut report = TrimReport {
        before,
        after: before,
        removed: 0,
    };
    if before > max_bytes {
        remove_oldest(scan, max_bytes / 10 * 9, &mut report).map_err(failed)?;
    }
    Ok(Some(report))
}

/// Whether this user may trim the cache at `root`.
///
/// # Errors
/// Why not.
pub fn check_trimmable(root: &Path) -> Result<(), CacheError> {
    open_lock(root).map(drop)
}

fn open_lock(root: &Path) -> Result<fs::File, CacheError> {
    mark::check(root)?;
    let path = root.join(LOCK);
    let lock = if is_shared(root) {
        open_shared_file(&path)
    } else {
        open_private_file(&path)
    };
    lock.map_err(|error| CacheError::new(root, error))
}

fn scan(root: &Path) -> Result<Scan, CacheError> {
    let mut scan = Scan::default();
    fs::read_dir(root).map_err(|error| CacheError::new(root, error))?;
    // Bazel, which may share the directory, keeps blobs of other functions beside ours.
    for function in [DigestFunction::Sha256, DigestFunction::Blake3] {
        let base = root.join(function.resource_infix());
        scan.usage.results += scan.kind(&base.join("ac"), RESULT_HEAD_START);
        scan.usage.blobs += scan.kind(&base.join("cas"), Duration::ZERO);
    }
    Ok(scan)
}

impl Scan {
    /// Adds the files of `ac/` or `cas/` and returns their number. What cannot be read is left out.
    fn kind(&mut self, dir: &Path, head_start: Duration) -> u64 {
        let count = self.entries.len();
        for shard in children(dir) {
            self.shard(shard.path(), head_start);
        }
        (self.entries.len() - count) as u64
    }

    fn shard(&mut self, dir: PathBuf, head_start: Duration) {
        for child in children(&dir) {
            if let Ok(name) = child.file_name().into_string()
                && mark::is_entry(&dir, &name)
                && let Ok(found) = child.metadata()
                && found.is_file()
                && let Ok(modified) = found.modified()
            {
                let size = on_disk(found.len());
                self.usage.bytes += size;
                self.entries.push(CacheFile {
                    dir: self.dirs.len(),
                    name: name.into(),
                    size,
                    modified,
                    last_used: modified.checked_sub(head_start).unwrap_or(modified),
                });
            }
        }
        self.dirs.push(dir);
    }
}

fn children(dir: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

/// A file that cannot be removed, in a cache that users share, does not stop the others.
fn remove_oldest(mut scan: Scan, target: u64, report: &mut TrimReport) -> io::Result<()> {
    scan.entries.sort_unstable_by_key(|entry| entry.last_used);
    let mut refused = None;
    for entry in &scan.entries {
        if report.after <= target {
            break;
        }
        let path = scan.dirs[entry.dir].join(&*entry.name);
        if was_used_since(&path, entry.modified) {
            continue;
        }
        match crate::fs::remove_if_there(&path) {
            Ok(()) => {
                report.after -= entry.size;
                report.removed += 1;
            }
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if report.removed == 0 => Err(error),
        _ => Ok(()),
    }
}

fn was_used_since(path: &Path, scanned: SystemTime) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
    modified.is_ok_and(|modified| modified != scanned)
}

fn remove_stale(dir: &Path, now: SystemTime) {
    for child in children(dir) {
        let is_ours = child.file_name().to_str().is_some_and(mark::is_temporary);
        let is_stale = child.metadata().is_ok_and(|found| {
            let age = now.duration_since(found.modified().unwrap_or(now));
            found.nlink() > 0 && age.is_ok_and(|age| age > STALE)
        });
        if is_ours && is_stale {
            // If this fails, the next trimming tries again.
            let _ = crate::fs::remove_if_there(&child.path());
        }
    }
}
