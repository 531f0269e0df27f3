//! The table `files`: one row per file and digest function, replaced when the file changes.
//!
//! Each row carries a seal over its contents, so that damage that SQLite does not notice is a miss
//! and not a wrong digest.

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, Transaction, params};

use super::FileFacts;
use super::identity::Identity;
use crate::digest::{Digest, DigestFunction};
use crate::state;

/// More rows than the links of one user need; about 30 MB.
const MAX_ROWS: i64 = 200_000;

/// The table is counted only after this many additions.
const ROWS_BETWEEN_TRIMS: i64 = 20_000;

/// How many rows were added since the table was last trimmed.
const ADDED: &[u8] = b"files_added";

/// The `used` column counts days since 1970, and is updated only when it is this many days old.
const USE_GRANULE_DAYS: i64 = 7;

const NANOS_PER_DAY: i64 = 86_400 * 1_000_000_000;

/// A row to be written at the end of the link.
#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) function: DigestFunction,
    pub(super) facts: std::sync::Arc<FileFacts>,
}

/// Key of a row that is in use and has not been marked so for long.
#[derive(Debug, Clone, Copy)]
pub(super) struct StaleUse {
    function: DigestFunction,
    device: u64,
    inode: u64,
}

pub(super) fn day(wall_clock_ns: i64) -> i64 {
    wall_clock_ns / NANOS_PER_DAY
}

/// What is remembered for exactly this `identity`.
pub(super) fn find(
    connection: &Connection,
    identity: &Identity,
    function: DigestFunction,
    today: i64,
) -> rusqlite::Result<Option<(FileFacts, Option<StaleUse>)>> {
    let mut statement = connection.prepare_cached(
        "SELECT hash, note, seal, used FROM files
         WHERE device = ?1 AND inode = ?2 AND function = ?3 AND size = ?4 AND mtime = ?5 AND ctime = ?6",
    )?;
    let found = statement
        .query_row(
            params![
                identity.device.cast_signed(),
                identity.inode.cast_signed(),
                function.to_pb(),
                identity.size.cast_signed(),
                identity.mtime_ns,
                identity.ctime_ns
            ],
            |row| read_row(row, identity, function),
        )
        .optional()?;
    Ok(found.flatten().map(|(facts, used)| {
        let stale = (today - used > USE_GRANULE_DAYS).then_some(StaleUse {
            function,
            device: identity.device,
            inode: identity.inode,
        });
        (facts, stale)
    }))
}

fn read_row(
    row: &Row<'_>,
    identity: &Identity,
    function: DigestFunction,
) -> rusqlite::Result<Option<(FileFacts, i64)>> {
    let hash: [u8; 32] = row.get(0)?;
    let digest = Digest {
        hash,
        size: identity.size,
    };
    let facts = FileFacts {
        digest,
        note: row.get(1)?,
        identity: *identity,
    };
    let sealed: i64 = row.get(2)?;
    Ok((sealed == seal(&facts, function)).then_some((facts, row.get(3)?)))
}

/// Writes what this link learned and marks what it used.
pub(super) fn store(
    transaction: &Transaction<'_>,
    new: &[NewRow],
    used: &[StaleUse],
    today: i64,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO files (device, inode, function, size, mtime, ctime, hash, note, seal, used)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for row in new {
        insert_row(&mut insert, row, today)?;
    }
    let mut mark = transaction.prepare_cached(
        "UPDATE files SET used = ?4 WHERE device = ?1 AND inode = ?2 AND function = ?3",
    )?;
    for row in used {
        let (device, inode) = (row.device.cast_signed(), row.inode.cast_signed());
        mark.execute(params![device, inode, row.function.to_pb(), today])?;
    }
    trim(transaction, i64::try_from(new.len()).unwrap_or(i64::MAX))
}

fn insert_row(insert: &mut CachedStatement<'_>, row: &NewRow, today: i64) -> rusqlite::Result<()> {
    let FileFacts {
        digest,
        note,
        identity,
    } = &*row.facts;
    insert.execute(params![
        identity.device.cast_signed(),
        identity.inode.cast_signed(),
        row.function.to_pb(),
        identity.size.cast_signed(),
        identity.mtime_ns,
        identity.ctime_ns,
        digest.hash,
        note,
        seal(&row.facts, row.function),
        today
    ])?;
    Ok(())
}

/// Forgets the least recently used rows, once in many links.
fn trim(transaction: &Transaction<'_>, added: i64) -> rusqlite::Result<()> {
    let since: i64 = transaction.query_row(
        "INSERT INTO counters (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = value + excluded.value RETURNING value",
        params![ADDED, added],
        |row| row.get(0),
    )?;
    if since < ROWS_BETWEEN_TRIMS {
        return Ok(());
    }
    keep(transaction, MAX_ROWS)?;
    transaction.execute("UPDATE counters SET value = 0 WHERE name = ?1", [ADDED])?;
    Ok(())
}

pub(super) fn keep(transaction: &Transaction<'_>, rows: i64) -> rusqlite::Result<()> {
    let count: i64 = transaction.query_row("SELECT count(*) FROM files", [], |row| row.get(0))?;
    transaction.execute(
        "DELETE FROM files WHERE (device, inode, function) IN
         (SELECT device, inode, function FROM files ORDER BY used LIMIT ?1)",
        [count.saturating_sub(rows).max(0)],
    )?;
    Ok(())
}

/// The seal over all that a row says about a file.
fn seal(facts: &FileFacts, function: DigestFunction) -> i64 {
    let identity = &facts.identity;
    let numbers = [
        identity.device,
        identity.inode,
        identity.size,
        identity.mtime_ns.cast_unsigned(),
        identity.ctime_ns.cast_unsigned(),
        u64::from(function.to_pb().cast_unsigned()),
        u64::from(facts.note.is_some()),
    ];
    let numbers: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    let note = facts.note.as_deref().unwrap_or_default();
    state::seal(&[&numbers, &facts.digest.hash, note])
}
