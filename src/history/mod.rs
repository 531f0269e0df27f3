//! What earlier links took: an estimate for each module, one record per link, and what their keys
//! were made of.
//!
//! [`exec`](crate::exec) uses the estimates to start the longest jobs first; `relto stats` and
//! `relto explain` show the records. Losing a record only worsens the order.

mod keys;
mod names;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::events::OriginCounts;
use crate::state::State;
use crate::task::lock;
use keys::PendingKeys;

pub use keys::{
    Ingredient, JobKey, KeyFile, KeyParts, LinkKeys, RecordedLink, SliceChange, SliceLookup,
};
pub use names::{ModuleNames, shown_name, without_place};

/// Modules whose estimates are kept; the ones that were not compiled for longest go first.
const MAX_ESTIMATES: i64 = 100_000;

/// Link records that are kept.
const MAX_LINKS: i64 = 1_000;

/// Modules beyond the limit are forgotten only once in this many links that compile something.
const LINKS_BETWEEN_TRIMS: i64 = 64;

/// Seconds between two jobs of one directory that belong to one build, where no tool is known that
/// runs it.
const SAME_BUILD: i64 = 120;

/// A module as links know it again, whatever its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModuleKey([u8; 16]);

impl ModuleKey {
    /// The key of a module that is told apart by `identity`: its name as the user knows it, the
    /// output it is linked into, or whatever else stays the same from link to link.
    #[must_use]
    pub fn of(identity: &[u8]) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(identity).as_bytes()[..16]);
        Self(key)
    }

    #[must_use]
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }
}

/// The cost of the last compile of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Kept in whole milliseconds.
    pub duration: Duration,
    /// Peak resident memory in bytes, where it was measured; a compile elsewhere leaves the last
    /// one in force.
    pub peak_memory: Option<u64>,
}

/// The record of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRecord {
    /// Kept in whole seconds.
    pub finished: SystemTime,
    /// The file that was linked, as the user knows it.
    pub output: String,
    pub jobs: usize,
    /// Kept in whole milliseconds.
    pub duration: Duration,
    pub origins: OriginCounts,
}

/// Earlier links, and what this one adds to them at its end.
#[derive(Debug)]
pub struct History {
    state: Arc<State>,
    pending: Mutex<PendingRecords>,
}

#[derive(Debug, Default)]
struct PendingRecords {
    estimates: Vec<(ModuleKey, Estimate)>,
    links: Vec<LinkRecord>,
    jobs: Vec<BuildPart>,
    keys: Vec<PendingKeys>,
}

#[derive(Debug)]
struct BuildPart {
    build: Option<String>,
    job: LinkRecord,
}

impl PendingRecords {
    fn is_empty(&self) -> bool {
        self.estimates.is_empty()
            && self.links.is_empty()
            && self.jobs.is_empty()
            && self.keys.is_empty()
    }
}

impl History {
    #[must_use]
    pub fn new(state: Arc<State>) -> Self {
        Self {
            state,
            pending: Mutex::default(),
        }
    }

    /// The estimates that are known for `modules`.
    pub fn estimates(&self, modules: &[ModuleKey]) -> HashMap<ModuleKey, Estimate> {
        self.state
            .read(|connection| load(connection, modules))
            .unwrap_or_default()
    }

    /// Notes what compiling a module took; to be written by `flush`.
    pub fn record(&self, module: ModuleKey, estimate: Estimate) {
        self.pending().estimates.push((module, estimate));
    }

    /// Notes a link; to be written by `flush`.
    pub fn record_link(&self, link: LinkRecord) {
        self.pending().links.push(link);
    }

    /// Notes a part of a build that has no end of its own: it is added to the record of the same
    /// output in `build`, or without one to the last of that output, if that is not old. To be
    /// written by `flush`.
    pub fn record_job(&self, build: Option<&str>, job: LinkRecord) {
        let build = build.map(str::to_owned);
        self.pending().jobs.push(BuildPart { build, job });
    }

    /// Notes the keys of a link whose output `output` identifies; to be written by `flush`. Keys of
    /// a link that is too large are not kept.
    pub fn record_keys(&self, output: ModuleKey, keys: &LinkKeys) {
        if let Some(keys) = PendingKeys::new(output, keys) {
            self.pending().keys.push(keys);
        }
    }

    /// The newest link that `is_wanted`, and the one of the same output before it.
    pub fn last_two_links(
        &self,
        is_wanted: impl Fn(&LinkKeys) -> bool,
    ) -> Option<(RecordedLink, Option<RecordedLink>)> {
        self.state
            .read(|connection| keys::last_two(connection, &is_wanted))
            .flatten()
    }

    /// Passes the keys of all links and the identities of their outputs to `visit`, the newest
    /// first, while it returns true.
    pub fn visit_keys(&self, mut visit: impl FnMut(ModuleKey, RecordedLink) -> bool) {
        let visiting = |connection: &Connection| keys::visit(connection, &mut visit);
        let _ = self.state.read(visiting);
    }

    /// The last `count` links, the newest first.
    pub fn recent_links(&self, count: usize) -> Vec<LinkRecord> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.state
            .read(|connection| recent(connection, count))
            .unwrap_or_default()
    }

    /// Forgets all links, with their keys and timings, for `relto stats`; what compiles take is still
    /// known. False if the database cannot be written.
    pub fn forget_links(&self) -> bool {
        let forgotten = self.state.write(|transaction| {
            transaction.execute_batch(
                "DELETE FROM links; DELETE FROM link_keys; DELETE FROM link_timings;",
            )
        });
        forgotten.is_some()
    }

    /// Writes what was recorded, in one transaction. Dropped when another process is writing.
    pub fn flush(&self) {
        let pending = std::mem::take(&mut *self.pending());
        if !pending.is_empty() {
            self.state
                .write(|transaction| store(transaction, &pending, seconds(SystemTime::now())));
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, PendingRecords> {
        lock(&self.pending)
    }
}

fn load(
    connection: &Connection,
    modules: &[ModuleKey],
) -> rusqlite::Result<HashMap<ModuleKey, Estimate>> {
    // One read transaction for all of them: the lock is taken once.
    let transaction = connection.unchecked_transaction()?;
    let mut statement =
        transaction.prepare_cached("SELECT millis, peak_bytes FROM estimates WHERE module = ?1")?;
    let mut found = HashMap::new();
    for module in modules {
        let estimate = statement.query_row([module.0], |row| {
            Ok(Estimate {
                duration: Duration::from_millis(row.get::<_, i64>(0)?.cast_unsigned()),
                peak_memory: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
            })
        });
        if let Some(estimate) = estimate.optional()? {
            found.insert(*module, estimate);
        }
    }
    Ok(found)
}

fn store(
    transaction: &Transaction<'_>,
    pending: &PendingRecords,
    now: i64,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO estimates (module, millis, peak_bytes, used) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (module) DO UPDATE SET millis = excluded.millis, used = excluded.used,
         peak_bytes = coalesce(excluded.peak_bytes, peak_bytes)",
    )?;
    for (module, estimate) in &pending.estimates {
        let peak = estimate.peak_memory.map(u64::cast_signed);
        insert.execute(params![module.0, millis(estimate.duration), peak, now])?;
    }
    let mut inserted = pending.links.len();
    for link in &pending.links {
        store_link(transaction, None, link)?;
    }
    for BuildPart { build, job } in &pending.jobs {
        let build = build.as_deref();
        if !add_job(transaction, build, job)? {
            store_link(transaction, build, job)?;
            inserted += 1;
        }
    }
    let last = transaction.last_insert_rowid();
    if inserted > 0 {
        keep_links(transaction, MAX_LINKS)?;
        if !pending.estimates.is_empty() && last % LINKS_BETWEEN_TRIMS == 0 {
            keep_estimates(transaction, MAX_ESTIMATES)?;
        }
    }
    for keys in &pending.keys {
        keys::store(transaction, keys, now)?;
    }
    Ok(())
}

fn store_link(
    transaction: &Transaction<'_>,
    build: Option<&str>,
    link: &LinkRecord,
) -> rusqlite::Result<()> {
    let origins = &link.origins;
    transaction
        .prepare_cached(
            "INSERT INTO links
             (finished, output, jobs, millis, disk_cache, remote_cache, shared, remote, local, in_place, verified,
              wrong, build)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            seconds(link.finished),
            link.output,
            number(link.jobs),
            millis(link.duration),
            number(origins.disk_cache),
            number(origins.remote_cache),
            number(origins.shared),
            number(origins.remote),
            number(origins.local),
            number(origins.in_place),
            number(origins.verified),
            number(origins.wrong),
            build
        ])?;
    Ok(())
}

/// Adds to the record of the same build, which becomes the newest; false if there is none. Builds
/// that run at the same time have a record each.
fn add_job(
    transaction: &Transaction<'_>,
    build: Option<&str>,
    job: &LinkRecord,
) -> rusqlite::Result<bool> {
    let origins = &job.origins;
    let changed = transaction
        .prepare_cached(
            "UPDATE links SET finished = ?1, jobs = jobs + ?3, millis = millis + ?4, disk_cache = disk_cache + ?5,
             remote_cache = remote_cache + ?6, remote = remote + ?7, local = local + ?8, in_place = in_place + ?9,
             verified = verified + ?11, wrong = wrong + ?12, shared = shared + ?13,
             id = (SELECT max(id) + (max(id) > links.id) FROM links AS all_links)
             WHERE id = (SELECT max(id) FROM links WHERE output = ?2 AND build IS ?14)
             AND (?14 IS NOT NULL OR finished > ?1 - ?10)",
        )?
        .execute(params![
            seconds(job.finished),
            job.output,
            number(job.jobs),
            millis(job.duration),
            number(origins.disk_cache),
            number(origins.remote_cache),
            number(origins.remote),
            number(origins.local),
            number(origins.in_place),
            SAME_BUILD,
            number(origins.verified),
            number(origins.wrong),
            number(origins.shared),
            build
        ])?;
    Ok(changed > 0)
}

/// A record that grows gets a new number, so these have gaps.
fn keep_links(transaction: &Transaction<'_>, rows: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM links WHERE id <= (SELECT id FROM links ORDER BY id DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([rows])?;
    Ok(())
}

fn keep_estimates(transaction: &Transaction<'_>, rows: i64) -> rusqlite::Result<()> {
    let count: i64 =
        transaction.query_row("SELECT count(*) FROM estimates", [], |row| row.get(0))?;
    transaction.execute(
        "DELETE FROM estimates WHERE module IN (SELECT module FROM estimates ORDER BY used LIMIT ?1)",
        [count.saturating_sub(rows).max(0)],
    )?;
    Ok(())
}

fn recent(connection: &Connection, count: i64) -> rusqlite::Result<Vec<LinkRecord>> {
    let mut statement = connection.prepare(
        "SELECT finished, output, jobs, millis, disk_cache, remote_cache, shared, remote, local, in_place, verified, wrong
         FROM links ORDER BY id DESC LIMIT ?1",
    )?;
    let size = |row: &rusqlite::Row<'_>, column: usize| {
        row.get(column)
            .map(|value: i64| usize::try_from(value).unwrap_or(0))
    };
    let links = statement.query_map([count], |row| {
        let finished = row.get(0)?;
        Ok(LinkRecord {
            finished: moment(finished),
            output: row.get(1)?,
            jobs: size(row, 2)?,
            duration: Duration::from_millis(row.get::<_, i64>(3)?.cast_unsigned()),
            origins: OriginCounts {
                disk_cache: size(row, 4)?,
                remote_cache: size(row, 5)?,
                shared: size(row, 6)?,
                remote: size(row, 7)?,
                local: size(row, 8)?,
                in_place: size(row, 9)?,
                verified: size(row, 10)?,
                wrong: size(row, 11)?,
            },
        })
    })?;
    links.collect()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn moment(seconds: i64) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds.min(i64::MAX.cast_unsigned() / 2))
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
