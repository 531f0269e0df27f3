//! Keeps the disk cache within its size by removing the least recently used files.
//!
//! Links take no notice of it: a file that is removed while it is read stays readable, and a
//! missing one is a miss. One process trims at a time, because more would only do the same work. On
//! a file system without locks several do, and each takes note of what the others have removed.
//!
//! Others may write a shared cache, and put links to other directories into it. Each directory is
//! opened from the one above it, and never through a link, when it is listed and again when a file
//! is removed from it.

use std::collections::HashSet;
use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fs_err as fs;

use super::disk::{MAX_RESULT, TMP, TOUCH_GRANULE, is_shared};
use super::{CacheError, mark, on_disk};
use crate::digest::DigestFunction;
use crate::fs::{OwnDir, modified, open_private_file, open_shared_file};
use crate::pb;
use crate::pb::reapi::ActionResult;

/// Directory of results.
const AC: &str = "ac";

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

/// `ac/` or `cas/`, open.
struct Kind {
    dir: OwnDir,
    /// For results, where the blobs are that they name.
    blobs: Option<OwnDir>,
}

impl TrimReport {
    fn count(&mut self, size: u64) {
        self.after = self.after.saturating_sub(size);
        self.removed += 1;
    }
}

/// A directory of cache files. There are more than a process may have open.
struct Shard {
    kind: usize,
    name: String,
}

/// One cache file. It knows its directory by number: a cache holds hundreds of thousands.
struct CacheFile {
    shard: usize,
    name: Box<str>,
    size: u64,
    modified: SystemTime,
    last_used: SystemTime,
}

#[derive(Default)]
struct Scan {
    kinds: Vec<Kind>,
    shards: Vec<Shard>,
    entries: Vec<CacheFile>,
    usage: Usage,
}

/// Counts the files of the cache at `root`.
///
/// # Errors
/// The directory cannot be read.
pub fn usage(root: &Path) -> Result<Usage, CacheError> {
    scan(&open(root)?).map(|scan| scan.usage)
}

/// Removes what dead links left in `tmp/` and, if the cache at `root` is larger than `max_bytes`,
/// files until it is nine tenths of that. `None` when another process is trimming.
///
/// # Errors
/// The directory cannot be read, or nothing may be removed from it.
pub fn trim(root: &Path, max_bytes: u64) -> Result<Option<TrimReport>, CacheError> {
    let target = max_bytes / 10 * 9;
    trim_to(root, |bytes| (bytes > max_bytes).then_some(target))
}

/// Makes room where the file system of the cache at `root` is full: removes a fifth of what the cache
/// has. `None` when another process is trimming, which makes room, too.
///
/// # Errors
/// As [`trim`]: the directory may not be a cache of relto alone.
pub fn make_room(root: &Path) -> Result<Option<TrimReport>, CacheError> {
    trim_to(root, |bytes| Some(bytes / 5 * 4))
}

/// Removes files until no more bytes are left than `target` says of those that are there.
fn trim_to(
    root: &Path,
    target: impl Fn(u64) -> Option<u64>,
) -> Result<Option<TrimReport>, CacheError> {
    let failed = |error| CacheError::new(root, error);
    mark::write(root);
    let top = open(root)?;
    let lock = open_lock(&top)?;
    match lock.file().try_lock() {
        // The file system may have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
    }
    if let Ok(tmp) = top.child(TMP) {
        // What stays is removed by the next trimming.
        let _ = tmp.remove_older(STALE, mark::is_temporary);
    }
    let scan = scan(&top)?;
    let before = scan.usage.bytes;
    let mut report = TrimReport {
        before,
        after: before,
        removed: 0,
    };
    if let Some(target) = target(before) {
        remove_oldest(scan, target, &mut report).map_err(failed)?;
    }
    Ok(Some(report))
}

/// Whether this user may trim the cache at `root`.
///
/// # Errors
/// Why not.
pub fn check_trimmable(root: &Path) -> Result<(), CacheError> {
    open_lock(&open(root)?).map(drop)
}

fn open(root: &Path) -> Result<OwnDir, CacheError> {
    OwnDir::named_by_user(root).map_err(|error| CacheError::new(root, error))
}

fn open_lock(top: &OwnDir) -> Result<fs::File, CacheError> {
    mark::check(top)?;
    let root = top.path();
    let path = root.join(LOCK);
    let lock = if is_shared(root) {
        open_shared_file(&path)
    } else {
        open_private_file(&path)
    };
    lock.map_err(|error| CacheError::new(root, error))
}

fn scan(top: &OwnDir) -> Result<Scan, CacheError> {
    let mut scan = Scan::default();
    top.names()
        .map(drop)
        .map_err(|error| CacheError::new(top.path(), error))?;
    scan.function(top);
    // Bazel, which may share the directory, keeps blobs of other functions beside ours.
    if let Ok(blake3) = top.child(DigestFunction::Blake3.resource_infix().trim_matches('/')) {
        scan.function(&blake3);
    }
    Ok(scan)
}

impl Scan {
    fn function(&mut self, base: &OwnDir) {
        self.usage.results += self.kind(base, AC, RESULT_HEAD_START);
        self.usage.blobs += self.kind(base, "cas", Duration::ZERO);
    }

    /// Adds the files of `ac/` or `cas/` and returns their number. What cannot be read is left out.
    fn kind(&mut self, base: &OwnDir, name: &str, head_start: Duration) -> u64 {
        let count = self.entries.len();
        if let Ok(kind) = base.child(name) {
            for shard in kind.names().into_iter().flatten() {
                if let Ok(dir) = kind.child(&shard) {
                    self.shard(&dir, shard, head_start);
                }
            }
            let blobs = (name == AC).then(|| base.child("cas").ok()).flatten();
            self.kinds.push(Kind { dir: kind, blobs });
        }
        (self.entries.len() - count) as u64
    }

    fn shard(&mut self, dir: &OwnDir, name: String, head_start: Duration) {
        let names = dir.names().into_iter().flatten();
        for child in names.filter(|child| mark::is_entry(&name, child)) {
            let Some(found) = dir.regular(&child) else {
                continue;
            };
            let (size, modified) = (on_disk(found.st_size.unsigned_abs()), modified(&found));
            self.usage.bytes += size;
            self.entries.push(CacheFile {
                shard: self.shards.len(),
                name: child.into(),
                size,
                modified,
                last_used: modified.checked_sub(head_start).unwrap_or(modified),
            });
        }
        let kind = self.kinds.len();
        self.shards.push(Shard { kind, name });
    }

    fn open(&self, entry: &CacheFile) -> io::Result<OwnDir> {
        let shard = &self.shards[entry.shard];
        self.kinds[shard.kind].dir.child(&shard.name)
    }

    /// Where the blobs are that `entry` names, if it is a result.
    fn blobs_of(&self, entry: &CacheFile) -> Option<&OwnDir> {
        let kind = self.shards[entry.shard].kind;
        self.kinds[kind].blobs.as_ref()
    }
}

/// The blobs of a result go with it, for nothing else finds them: in a cache that is too small for one
/// link, whose results are all as old, only blobs would be left. A file that cannot be removed, in a
/// cache that users share, does not stop the others.
fn remove_oldest(mut scan: Scan, target: u64, report: &mut TrimReport) -> io::Result<()> {
    scan.entries.sort_unstable_by_key(|entry| entry.last_used);
    let mut refused = None;
    let mut gone = HashSet::new();
    for entry in &scan.entries {
        if report.after <= target {
            break;
        }
        if gone.contains(&*entry.name) {
            continue;
        }
        // Nothing needs to be known of what a cache held that is cleared.
        let blobs = scan.blobs_of(entry).filter(|_| target > 0);
        let removed = scan.open(entry).and_then(|dir| {
            let is_in_use = was_used_since(&dir, &entry.name, entry.modified);
            if is_in_use {
                return Ok(None);
            }
            let named = blobs.map_or_else(Vec::new, |_| named_by(&dir, &entry.name));
            dir.remove(&entry.name).map(|()| Some(named))
        });
        match removed {
            Ok(Some(named)) => {
                report.count(entry.size);
                for name in named {
                    let size = blobs.and_then(|it| remove_unused(it, &name, entry.modified));
                    if let Some(size) = size {
                        report.count(size);
                        gone.insert(name);
                    }
                }
            }
            Ok(None) => {}
            // Another process trims, or the user has deleted the cache.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                report.after = report.after.saturating_sub(entry.size);
            }
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if report.removed == 0 => Err(error),
        _ => Ok(()),
    }
}

/// The names of the blobs of a result.
fn named_by(dir: &OwnDir, result: &str) -> Vec<String> {
    let bytes = dir.read(result, MAX_RESULT).unwrap_or_default();
    let result: ActionResult = pb::bounded::decode(bytes.into()).unwrap_or_default();
    let files = result.output_files.into_iter().map(|it| it.digest);
    let all = files.chain([result.stdout_digest, result.stderr_digest]);
    all.flatten().map(|it| it.hash).collect()
}

/// Removes a blob of a result that was last used at `used`, unless the blob was used later, for another
/// one; its size if it has gone.
fn remove_unused(blobs: &OwnDir, name: &str, used: SystemTime) -> Option<u64> {
    let shard = name.get(..2).filter(|shard| mark::is_entry(shard, name))?;
    let dir = blobs.child(shard).ok()?;
    let found = dir.regular(name)?;
    if modified(&found) > used + TOUCH_GRANULE {
        return None;
    }
    dir.remove(name).ok()?;
    Some(on_disk(found.st_size.unsigned_abs()))
}

fn was_used_since(dir: &OwnDir, name: &str, scanned: SystemTime) -> bool {
    let found = dir.regular(name);
    found.is_some_and(|found| modified(&found) != scanned)
}

#[cfg(test)]
mod tests {
    use fs_err::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn two_that_trim_at_the_same_time_remove_no_more_than_one() {
        let top = tempfile::tempdir().expect("a directory");
        let root = top.path().join("relto");
        for (days, digits) in [(3, "ab"), (2, "cd"), (1, "ef")] {
            let dir = root.join("cas").join(digits);
            fs::create_dir_all(&dir).expect("made");
            let file = fs::File::create(dir.join(digits.repeat(32))).expect("made");
            file.set_len(4096).expect("grown");
            let used = SystemTime::now() - Duration::from_hours(24 * days);
            file.set_modified(used).expect("set");
        }
        let scans = [(); 2].map(|()| scan(&open(&root).expect("opened")).expect("scanned"));
        let left = scans.map(|scan| {
            let mut report = TrimReport {
                before: scan.usage.bytes,
                after: scan.usage.bytes,
                removed: 0,
            };
            remove_oldest(scan, 8192, &mut report).expect("removed");
            report.after
        });
        assert_eq!(left, [8192, 8192]);
        assert_eq!(usage(&root).expect("counted").blobs, 2);
    }

    #[test]
    fn a_link_that_takes_the_place_of_a_directory_meanwhile_leads_to_no_removal() {
        let top = tempfile::tempdir().expect("a directory");
        let (root, home) = (top.path().join("relto"), top.path().join("home"));
        let hex = "ab".repeat(32);
        for dir in [root.join("cas/ab"), home.join("ab")] {
            fs::create_dir_all(&dir).expect("made");
            fs::write(dir.join(&hex), "text").expect("written");
        }
        for swapped in ["cas/ab", "cas"] {
            let scan = scan(&open(&root).expect("opened")).expect("scanned");
            assert_eq!(scan.usage.blobs, 1);
            let (place, aside) = (root.join(swapped), top.path().join("aside"));
            fs::rename(&place, &aside).expect("moved");
            let target = if swapped == "cas" {
                home.clone()
            } else {
                home.join("ab")
            };
            symlink(target, &place).expect("linked");
            let mut report = TrimReport {
                before: scan.usage.bytes,
                after: scan.usage.bytes,
                removed: 0,
            };
            let _ = remove_oldest(scan, 0, &mut report);
            assert!(home.join("ab").join(&hex).exists(), "{swapped}");
            fs::remove_file(&place).expect("removed");
            fs::rename(&aside, &place).expect("moved back");
        }
    }
}
