//! Keeps the timings of the last links in the state database.
//!
//! A record is compressed: one of 30,000 jobs takes about a megabyte. A build that launches its
//! compilers by itself leaves a record for each of them, and all of them together are the build's.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, params};

use super::LinkTimings;
use crate::state::{RecordTable, State};

/// The timings of the last links, or of parts of builds.
pub(super) const TABLE: RecordTable = RecordTable {
    name: "link_timings",
    row_length: "length(record) + length(output)",
    row_overhead: 64,
    worth_compressing: 2 << 10,
    max_record: 8 << 20,
    max_total: 32 << 20,
    max_unpacked: 256 << 20,
};

/// The timings of the last links.
#[derive(Debug)]
pub struct TimingsStore(Arc<State>);

/// A link, or all that one build launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedBuild {
    pub timings: LinkTimings,
    /// Newer ones have larger numbers.
    id: i64,
}

impl TimingsStore {
    #[must_use]
    pub fn new(state: Arc<State>) -> Self {
        Self(state)
    }

    /// Keeps the timings of a link, or of a part of `build`. Dropped when another process is
    /// writing, or when they are too large.
    pub fn add(&self, build: Option<&str>, timings: &LinkTimings) {
        let Some(packed) = TABLE.pack(timings) else {
            return;
        };
        self.0
            .write(|transaction| insert(transaction, build, &timings.output, &packed));
    }

    /// The `number`th newest link or build that `is_wanted` by its output's name; the newest is the
    /// first.
    pub fn newest(&self, number: usize, is_wanted: impl Fn(&str) -> bool) -> Option<RecordedBuild> {
        let skipped = number.checked_sub(1)?;
        let found = |connection: &Connection| find(connection, skipped, i64::MAX, &is_wanted);
        self.0.read(found).flatten()
    }

    /// The link or build of the same output before `later`.
    pub fn before(&self, later: &RecordedBuild) -> Option<RecordedBuild> {
        let is_wanted = |output: &str| output == later.timings.output;
        let found = |connection: &Connection| find(connection, 0, later.id, &is_wanted);
        self.0.read(found).flatten()
    }
}

fn insert(
    transaction: &Transaction<'_>,
    build: Option<&str>,
    output: &str,
    packed: &[u8],
) -> rusqlite::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "INSERT INTO link_timings (build, output, finished, record) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![build, output, now, packed])?;
    TABLE.grown(transaction, packed.len() + output.len())
}

/// The newest that `is_wanted` among those whose newest record is older than `before`, after
/// `skipped` others.
fn find(
    connection: &Connection,
    skipped: usize,
    before: i64,
    is_wanted: &dyn Fn(&str) -> bool,
) -> rusqlite::Result<Option<RecordedBuild>> {
    let mut left = skipped;
    // The parts of one build may lie between those of another.
    let mut newest_first = connection.prepare(
        "SELECT max(id), build, output FROM link_timings
         GROUP BY coalesce(build, id) HAVING max(id) < ?1 ORDER BY max(id) DESC",
    )?;
    let mut rows = newest_first.query([before])?;
    while let Some(row) = rows.next()? {
        let output: String = row.get(2)?;
        if !is_wanted(&output) {
            continue;
        }
        if left > 0 {
            left -= 1;
            continue;
        }
        let (id, build): (i64, Option<String>) = (row.get(0)?, row.get(1)?);
        let timings = read(connection, id, build.as_deref())?;
        if let Some(timings) = timings {
            return Ok(Some(RecordedBuild { timings, id }));
        }
    }
    Ok(None)
}

/// All records of one link or build; damaged ones are left out.
fn read(
    connection: &Connection,
    id: i64,
    build: Option<&str>,
) -> rusqlite::Result<Option<LinkTimings>> {
    let mut statement = connection
        .prepare("SELECT record FROM link_timings WHERE id = ?1 OR build = ?2 ORDER BY id")?;
    let mut rows = statement.query(params![id, build])?;
    let mut all: Option<LinkTimings> = None;
    while let Some(row) = rows.next()? {
        let Some(timings) = TABLE.unpack(row.get_ref(0)?.as_blob()?) else {
            continue;
        };
        match &mut all {
            Some(all) => all.add(timings),
            None => all = Some(timings),
        }
    }
    Ok(all)
}
