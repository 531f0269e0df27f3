//! Sums that links add to, so that nothing large has to be counted in each of them.

use rusqlite::{OptionalExtension as _, Transaction, params};

/// Adds to the counter `name` and returns its new value; `None` if it was never set.
///
/// # Errors
/// The database's own.
pub fn add(
    transaction: &Transaction<'_>,
    name: &[u8],
    added: i64,
) -> rusqlite::Result<Option<i64>> {
    transaction
        .prepare_cached(
            "UPDATE counters SET value = min(value, ?3) + ?2 WHERE name = ?1 RETURNING value",
        )?
        .query_row(params![name, added, i64::MAX - added], |row| row.get(0))
        .optional()
}

/// Sets the counter `name` to what was counted.
///
/// # Errors
/// The database's own.
pub fn set(transaction: &Transaction<'_>, name: &[u8], value: i64) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO counters (name, value) VALUES (?1, ?2)",
        params![name, value],
    )?;
    Ok(())
}
