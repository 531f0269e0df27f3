//! Tables of packed records, of which the newest are kept within a bound of bytes.

use rusqlite::{Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::counter;

/// The first byte of the compact form.
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

/// How the records of a table are packed, and how much of them is kept.
#[derive(Debug)]
pub struct RecordTable {
    /// Also that of the counter of its bytes.
    pub name: &'static str,
    /// The bytes of what a row holds, as SQL.
    pub row_length: &'static str,
    /// What a row takes besides.
    pub row_overhead: i64,
    /// Bytes of a record from which on it is compressed.
    pub worth_compressing: usize,
    /// Compressed bytes of one record that are kept at most, and of all rows.
    pub max_record: usize,
    pub max_total: i64,
    /// Bytes that a record is unpacked to at most.
    pub max_unpacked: usize,
}

impl RecordTable {
    /// The compact form, behind a byte that says which: small records, of which a build of `relto
    /// cc` writes thousands, are not worth compressing. `None` if it is too large to be kept.
    pub fn pack(&self, record: &impl Serialize) -> Option<Vec<u8>> {
        let plain = postcard::to_extend(record, vec![PLAIN]).ok()?;
        if plain.len() <= self.worth_compressing {
            return Some(plain);
        }
        let mut packed = zstd::bulk::compress(&plain[1..], 1).ok()?;
        packed.insert(0, COMPRESSED);
        (packed.len() <= self.max_record).then_some(packed)
    }

    /// `None` if it is damaged.
    #[must_use]
    pub fn unpack<T: DeserializeOwned>(&self, packed: &[u8]) -> Option<T> {
        match packed.split_first()? {
            (&PLAIN, plain) => postcard::from_bytes(plain).ok(),
            (&COMPRESSED, packed) => {
                let plain = zstd::bulk::decompress(packed, self.max_unpacked).ok()?;
                postcard::from_bytes(&plain).ok()
            }
            _ => None,
        }
    }

    /// To be called for a new row that holds `length` bytes: forgets the oldest when all rows have
    /// become too much. Counting them takes long, so that an eighth of the room is made at once.
    ///
    /// # Errors
    /// The database's own.
    pub fn grown(&self, transaction: &Transaction<'_>, length: usize) -> rusqlite::Result<()> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let bytes = length.saturating_add(self.row_overhead);
        // What was deleted meanwhile is still in the sum, so the next count may come early.
        let sum = counter::add(transaction, self.name.as_bytes(), bytes)?;
        if sum.is_none_or(|sum| sum > self.max_total) {
            self.keep(transaction, self.max_total / 8 * 7)?;
        }
        Ok(())
    }

    /// Forgets the oldest beyond `bytes`, and counts the others.
    ///
    /// # Errors
    /// The database's own.
    pub fn keep(&self, transaction: &Transaction<'_>, bytes: i64) -> rusqlite::Result<()> {
        let (name, row) = (self.name, format!("{} + ?1", self.row_length));
        transaction.execute(
            &format!(
                "DELETE FROM {name} WHERE id IN (SELECT id FROM
                   (SELECT id, sum({row}) OVER (ORDER BY id DESC) AS newer FROM {name}) WHERE newer > ?2)"
            ),
            params![self.row_overhead, bytes],
        )?;
        let left = format!("SELECT coalesce(sum({row}), 0) FROM {name}");
        let left = transaction.query_row(&left, [self.row_overhead], |row| row.get(0))?;
        counter::set(transaction, name.as_bytes(), left)
    }
}
