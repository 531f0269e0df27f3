//! What this machine has for local runs and caching: the sandbox, the disk cache, and the
//! directories that relto writes.

use std::path::Path;

use indicatif::HumanBytes;

use super::{Finding, Grade, ReportSection};
use crate::cache::{self, CacheError, DiskCache};
use crate::fs::unstamped_name;
use crate::link::Options;
use crate::process::{Support, landlock_support, lock_trouble};
use crate::state::State;

pub(super) fn section(options: &Options, state: &State) -> ReportSection {
    let mut findings = vec![sandbox(landlock_support())];
    findings.extend(memory(options));
    findings.push(match &options.disk_cache {
        None => Finding::warning(
            "there is no disk cache: every link compiles again what the farm does not have",
            "`disk_cache` names its directory",
        ),
        Some(dir) => disk_cache(dir, options.disk_cache_max_size)
            .unwrap_or_else(|error| Finding::of(Grade::Warning, &error)),
    });
    let dir = options.client_context.dir();
    findings.extend(unstamped(&dir));
    match &options.state_dir {
        None => findings.push(Finding::warning(
            "nothing is remembered between links: there is no home directory",
            "set `HOME` or `XDG_CACHE_HOME`",
        )),
        Some(dir) => findings.extend(without_locks(dir)),
    }
    state.try_out();
    findings.extend(
        state
            .take_trouble()
            .map(|trouble| Finding::of(Grade::Warning, &trouble)),
    );
    if let Err(error) = tempfile::tempdir_in(&options.scratch_parent) {
        findings.push(Finding::bad(
            format!(
                "cannot create a directory in `{}`: {error}",
                options.scratch_parent.display()
            ),
            "set `TMPDIR` to a directory of yours",
        ));
    }
    ReportSection::new("This machine", findings)
}

fn sandbox(support: Support) -> Finding {
    match support {
        Support::FilesAndNetwork => {
            Finding::good("Landlock confines local compilers: files and network")
        }
        Support::Files => Finding::good("Landlock confines local compilers: files only"),
        Support::Unavailable => Finding::warning(
            "no Landlock: a local compiler can read files that the cache's key does not name",
            "Linux 5.13 and later have it; `landlock` may be missing in the kernel's `lsm=` list",
        ),
    }
}

/// Only where the kernel says it.
fn memory(options: &Options) -> Option<Finding> {
    let free = options.local_memory.free()?;
    Some(Finding::good(format!(
        "compilers here may have {} now, by their estimates",
        HumanBytes(free)
    )))
}

/// Files whose digests are not remembered from link to link.
fn unstamped(dir: &Path) -> Option<Finding> {
    let name = unstamped_name(dir)?;
    Some(Finding::warning(
        format!(
            "`{}` is on {name}, where files can change without their times changing: each link reads all of its \
             inputs there again, a second or so for each GiB, and once more after each compile",
            dir.display()
        ),
        "build on ext4, XFS, Btrfs or ZFS for the shortest links",
    ))
}

/// A directory of relto's own whose files cannot be locked. Trimming does without.
fn without_locks(dir: &Path) -> Option<Finding> {
    let error = lock_trouble(dir)?;
    Some(Finding::warning(
        format!(
            "files in `{}` cannot be locked, so links do not count each other's compilers and memory, and neither \
             a daemon nor a new database starts there: {error}",
            dir.display()
        ),
        "set `XDG_CACHE_HOME` to a directory of a file system with locks; Lustre has them if it is mounted with \
         `flock`",
    ))
}

/// The bytes that the file system of `dir` has left for this user.
fn room(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

fn disk_cache(dir: &Path, max_size: Option<u64>) -> Result<Finding, CacheError> {
    let cache = DiskCache::open(dir)?;
    cache.check_writable()?;
    if max_size.is_some() {
        // Trimming after a link has nobody to complain to.
        cache::check_trimmable(dir)?;
    }
    let usage = cache::usage(dir)?;
    let limit = max_size.map_or("no limit".to_owned(), |limit| {
        format!("of {} at most", HumanBytes(limit))
    });
    let text = format!(
        "disk cache `{}` can be written: {} results, {} {limit}",
        dir.display(),
        usage.results,
        HumanBytes(usage.bytes)
    );
    let text = match room(dir) {
        Some(room) if max_size.is_none_or(|max| room.saturating_add(usage.bytes) < max) => {
            format!("{text}, {} are free there", HumanBytes(room))
        }
        _ => text,
    };
    if cache.is_writable_by_all() {
        return Ok(Finding::warning(
            format!("{text}; every user of this machine can put results there"),
            "run `chmod o-w` on it: relto trusts the results in it",
        ));
    }
    Ok(Finding::good(text))
}
