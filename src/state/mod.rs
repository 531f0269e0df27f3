//! The small SQLite database in which links leave notes for later links.
//!
//! A correct result needs nothing of it: a file that is missing, locked, damaged, read-only or of
//! another version is a miss, which the caller may mention once.

pub mod counter;
mod file;
mod record_table;
mod secret;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::error::Hinted;
use crate::task::lock;

pub use record_table::RecordTable;
pub use secret::Secret;

/// Name of the database in relto's own cache directory.
pub const FILE_NAME: &str = "state.db";

/// Why this link cannot use what earlier links remembered.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the database `{path}` stays locked by another process")]
    Locked { path: PathBuf },
    #[error("the database `{path}` was damaged and is replaced by a new one")]
    Damaged { path: PathBuf },
    #[error("cannot use the database `{path}`: {reason}")]
    Unusable { path: PathBuf, reason: String },
}

impl StateError {
    /// Whether it is over when another process has done its work.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}

impl Hinted for StateError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Locked { .. } | Self::Damaged { .. } => Vec::new(),
            Self::Unusable { .. } => vec![
                "links work without it, but read every file again: make its directory writable, and remove what is no file of yours there"
                    .to_owned(),
            ],
        }
    }
}

/// A connection to the database, opened when it is first used. Threads share it.
#[derive(Debug)]
pub struct State {
    inner: Mutex<Handle>,
}

#[derive(Debug)]
struct Handle {
    path: PathBuf,
    database: Database,
    trouble: Option<StateError>,
    /// A damaged file is set aside once a link, so that a directory that damages files cannot keep
    /// a link busy.
    renewed: bool,
    /// A file that cannot be written is read as it is.
    only_shown: bool,
}

#[derive(Debug)]
enum Database {
    Unopened,
    Open(file::Open),
    Off,
}

impl State {
    /// The database at `path`. Nothing is read or made before the first use.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self::with(Handle::new(path.to_owned(), Database::Unopened))
    }

    /// The same for what shows it to the user: one that cannot be written, on a disk that is full or
    /// read-only, is read as it is.
    #[must_use]
    pub fn to_be_shown(path: &Path) -> Self {
        Self::with(Handle {
            only_shown: true,
            ..Handle::new(path.to_owned(), Database::Unopened)
        })
    }

    /// A database that stores nothing.
    #[must_use]
    pub fn disabled() -> Self {
        Self::with(Handle::new(PathBuf::new(), Database::Off))
    }

    fn with(handle: Handle) -> Self {
        Self {
            inner: Mutex::new(handle),
        }
    }

    /// Returns what `query` finds; `None` when the database cannot be used or `query` fails.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut inner = self.lock();
        let found = query(inner.connection()?);
        found.map_err(|error| inner.failed(&error, true)).ok()
    }

    /// Runs `update` in one transaction; `None` when it was dropped because another process writes,
    /// or because the database cannot be used.
    pub fn write<T>(&self, update: impl FnOnce(&Transaction) -> rusqlite::Result<T>) -> Option<T> {
        let mut inner = self.lock();
        let written = in_transaction(inner.connection()?, update);
        written.map_err(|error| inner.failed(&error, false)).ok()
    }

    /// For a process that outlives its links, before each of them: tries again to use the database,
    /// and opens it again if another file has its name now.
    pub fn renew(&self) {
        let mut inner = self.lock();
        let lost = match &inner.database {
            Database::Unopened => false,
            Database::Open(open) => !open.is_at(&inner.path),
            Database::Off => !inner.path.as_os_str().is_empty(),
        };
        if lost {
            inner.database = Database::Unopened;
        }
        inner.renewed = false;
    }

    /// Opens the database, for what only wants to know whether it can be used.
    pub fn try_out(&self) {
        let _ = self.read(|_| Ok(()));
    }

    /// Takes the reason why the database could not be used so far.
    pub fn take_trouble(&self) -> Option<StateError> {
        self.lock().trouble.take()
    }

    fn lock(&self) -> MutexGuard<'_, Handle> {
        lock(&self.inner)
    }
}

fn in_transaction<T>(
    connection: &Connection,
    update: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let value = update(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

impl Handle {
    fn new(path: PathBuf, database: Database) -> Self {
        Self {
            path,
            database,
            trouble: None,
            renewed: false,
            only_shown: false,
        }
    }

    fn connection(&mut self) -> Option<&Connection> {
        if matches!(self.database, Database::Unopened) {
            match file::open(&self.path) {
                Ok(open) => {
                    if open.mended {
                        self.tell_damage();
                    }
                    self.database = Database::Open(open);
                }
                Err(error) => match self.frozen(&error) {
                    Some(open) => self.database = Database::Open(open),
                    None => self.give_up(error),
                },
            }
        }
        match &self.database {
            Database::Open(open) => Some(&open.connection),
            Database::Unopened | Database::Off => None,
        }
    }

    fn frozen(&self, error: &StateError) -> Option<file::Open> {
        let is_wanted = self.only_shown && matches!(error, StateError::Unusable { .. });
        is_wanted.then(|| file::open_frozen(&self.path)).flatten()
    }

    fn give_up(&mut self, error: StateError) {
        self.database = Database::Off;
        self.trouble.get_or_insert(error);
    }

    /// Decides what a failed statement means for the rest of the link. A read that waited for a
    /// lock in vain is the last one, since hundreds of them would add up. A write happens only at
    /// the end.
    fn failed(&mut self, error: &rusqlite::Error, is_read: bool) {
        let path = self.path.clone();
        match classify(error) {
            SqlFailure::Locked if is_read => self.give_up(StateError::Locked { path }),
            SqlFailure::Damaged if !self.is_frozen() => self.renew(),
            SqlFailure::Damaged | SqlFailure::Unusable => self.give_up(StateError::Unusable {
                path,
                reason: error.to_string(),
            }),
            SqlFailure::Locked | SqlFailure::OddRow => {}
        }
    }

    fn is_frozen(&self) -> bool {
        matches!(&self.database, Database::Open(open) if open.is_frozen)
    }

    /// Sets the damaged file aside; the next use starts a new one.
    fn renew(&mut self) {
        let damaged = std::mem::replace(&mut self.database, Database::Off);
        if let Database::Open(open) = damaged
            && !self.renewed
            && open.set_aside(&self.path)
        {
            self.renewed = true;
            self.database = Database::Unopened;
        }
        self.tell_damage();
    }

    fn tell_damage(&mut self) {
        let path = self.path.clone();
        self.trouble.get_or_insert(StateError::Damaged { path });
    }
}

/// Removes the database that was replaced by the one at `path`: it was damaged, or of another relto.
pub fn remove_replaced(path: &Path) {
    file::remove_set_aside(path);
}

/// 64 bits over the contents of a row, so that damage that SQLite does not notice is found.
#[must_use]
pub fn seal(parts: &[&[u8]]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    i64::from_le_bytes(first)
}

enum SqlFailure {
    Locked,
    Damaged,
    Unusable,
    /// A row that does not hold what its table should hold: a miss for that row alone.
    OddRow,
}

fn classify(error: &rusqlite::Error) -> SqlFailure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SqlFailure::Locked,
        // `Unknown` is a missing table or column: our statements are right, so the file is not.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
            SqlFailure::Damaged
        }
        Some(_) => SqlFailure::Unusable,
        None => SqlFailure::OddRow,
    }
}
