//! Opens, creates and replaces the database file.
//!
//! Only [`renew`] changes anything on disk, and it holds a lock file while it does, so that of
//! several links that find the same damage one repairs it and the others use the new file.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rusqlite::{Connection, OpenFlags};

use super::{SqlFailure, StateError, classify};
use crate::fs::{FileId, create_private_dir, open_private_file};

/// How long a statement waits for another process: too short to be noticed in a link.
const BUSY_TIMEOUT: Duration = Duration::from_millis(50);

/// How often, and with which pause, the lock file is tried before the link goes on without the
/// database.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Must be raised with every change of `TABLES`, of the seals, and of the notes that the hash cache
/// keeps for its callers.
const VERSION: i32 = 8;

/// All tables of all modules, because they share the version. 64-bit unsigned values are kept as
/// SQLite's signed ones.
const TABLES: &str = "
    CREATE TABLE files (
        device INTEGER, inode INTEGER, function INTEGER,
        size INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
        hash BLOB NOT NULL, note BLOB, seal INTEGER NOT NULL, used INTEGER NOT NULL,
        PRIMARY KEY (device, inode, function)
    ) WITHOUT ROWID;
    CREATE TABLE estimates (
        module BLOB PRIMARY KEY, millis INTEGER NOT NULL, peak_bytes INTEGER, used INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE links (
        id INTEGER PRIMARY KEY, finished INTEGER NOT NULL, output TEXT NOT NULL, jobs INTEGER NOT NULL,
        millis INTEGER NOT NULL, disk_cache INTEGER NOT NULL, remote_cache INTEGER NOT NULL,
        shared INTEGER NOT NULL, remote INTEGER NOT NULL, local INTEGER NOT NULL, in_place INTEGER NOT NULL,
        verified INTEGER NOT NULL, wrong INTEGER NOT NULL, build TEXT
    );
    CREATE TABLE link_keys (
        id INTEGER PRIMARY KEY, output BLOB NOT NULL, finished INTEGER NOT NULL, digest BLOB NOT NULL,
        repeated INTEGER NOT NULL, keys BLOB NOT NULL
    );
    CREATE INDEX link_keys_by_output ON link_keys (output, id);
    CREATE TABLE link_timings (
        id INTEGER PRIMARY KEY, build TEXT, output TEXT NOT NULL, finished INTEGER NOT NULL, record BLOB NOT NULL
    );
    CREATE INDEX link_timings_by_build ON link_timings (build);
    CREATE TABLE counters (name BLOB PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE answers (question BLOB PRIMARY KEY, answer TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
";

/// A file this large is none of ours: old rows of all tables are forgotten long before.
const LARGEST: u64 = 1 << 30;

/// What the name of a file that was set aside ends with.
const OLD: &str = ".old";

/// A connection and the file that it was opened on, which need not be the one that has the name
/// now.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: Connection,
    /// A damaged file had the name before.
    pub(super) mended: bool,
    /// It is not to be written, and stays where it is.
    pub(super) is_frozen: bool,
    file: Option<FileId>,
}

/// What has the database's name.
enum Existing {
    Good(Open),
    /// Nothing, or a database of another version.
    Unfit,
    Damaged,
}

/// `None` for what is not a regular file.
fn file_id(path: &Path) -> Option<FileId> {
    let found = fs::symlink_metadata(path).ok()?;
    found.is_file().then(|| FileId::of(&found))
}

/// A connection to the database at `path`, which is made when it is missing, damaged or of another
/// version.
pub(super) fn open(path: &Path) -> Result<Open, StateError> {
    match existing(path)? {
        Existing::Good(open) => Ok(open),
        Existing::Unfit | Existing::Damaged => renew(path),
    }
}

fn existing(path: &Path) -> Result<Existing, StateError> {
    let file = file_id(path);
    if file.is_none() {
        return Ok(Existing::Unfit);
    }
    // SQLite would wait for a pipe.
    let is_odd = |journal: &PathBuf| fs::symlink_metadata(journal).is_ok_and(|it| !it.is_file());
    if is_giant(path) || journals(path).iter().any(is_odd) {
        return Ok(Existing::Damaged);
    }
    let opened = connect(path, OpenFlags::empty()).and_then(|connection| {
        let version = version(&connection)?;
        let is_ours = version == VERSION && has_our_tables_only(&connection)?;
        Ok((connection, version, is_ours))
    });
    match opened {
        Ok((connection, _, true)) => Ok(Existing::Good(Open {
            connection,
            mended: false,
            is_frozen: false,
            file,
        })),
        Ok((_, VERSION, false)) => Ok(Existing::Damaged),
        Ok(_) => Ok(Existing::Unfit),
        Err(error) => match classify(&error) {
            SqlFailure::Damaged => Ok(Existing::Damaged),
            SqlFailure::Locked => Err(StateError::Locked {
                path: path.to_owned(),
            }),
            SqlFailure::Unusable | SqlFailure::OddRow => Err(unusable(path, &error)),
        },
    }
}

/// The database at `path`, where it cannot be opened for writing: on a read-only file system, or on
/// one without space for its journals. SQLite then looks for no other process that writes.
pub(super) fn open_frozen(path: &Path) -> Option<Open> {
    let file = Some(file_id(path)?);
    let [log, _, journal] = journals(path);
    // What they hold belongs to the database, and would not be read.
    let has_more = |journal: &Path| fs::symlink_metadata(journal).is_ok_and(|it| it.len() > 0);
    if is_giant(path) || has_more(&log) || has_more(&journal) {
        return None;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(frozen_uri(path), flags).ok()?;
    let is_ours = version(&connection).ok()? == VERSION && has_our_tables_only(&connection).ok()?;
    is_ours.then_some(Open {
        connection,
        mended: false,
        is_frozen: true,
        file,
    })
}

fn frozen_uri(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02X}").bytes()),
            _ => uri.push(byte),
        }
    }
    uri.extend(b"?immutable=1");
    PathBuf::from(OsString::from_vec(uri))
}

fn is_giant(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > LARGEST)
}

fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether nothing was added and nothing changed: a view in the place of a table can have rows
/// without end, and a trigger makes more of a statement than it says.
fn has_our_tables_only(connection: &Connection) -> rusqlite::Result<bool> {
    let ours = TABLES.split(';').map(str::trim);
    let ours: Vec<_> = ours.filter(|statement| !statement.is_empty()).collect();
    let mut all = connection.prepare(
        "SELECT CAST(sql AS TEXT) FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid LIMIT ?1",
    )?;
    let limit = i64::try_from(ours.len() + 1).unwrap_or(i64::MAX);
    let all = all.query_map([limit], |row| row.get(0))?;
    let all: Vec<String> = all.collect::<rusqlite::Result<_>>()?;
    Ok(all == ours)
}

fn connect(path: &Path, extra: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Nothing waits for the disk: damage from a power failure is detected, and the file replaced.
    connection.execute_batch("PRAGMA synchronous = OFF")?;
    Ok(connection)
}

fn renew(path: &Path) -> Result<Open, StateError> {
    let _lock = lock(path)?;
    let mended = match existing(path)? {
        Existing::Good(open) => return Ok(open),
        Existing::Unfit => false,
        Existing::Damaged => true,
    };
    set_aside(path).map_err(|error| unusable(path, &error))?;
    create(path, mended).map_err(|error| match classify(&error) {
        SqlFailure::Locked => StateError::Locked {
            path: path.to_owned(),
        },
        _ => unusable(path, &error),
    })
}

fn create(path: &Path, mended: bool) -> rusqlite::Result<Open> {
    // SQLite would make it with the mode that the umask gives, and its journals with the same.
    // Where this fails, SQLite has the better message.
    let _ = open_private_file(path);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    // WAL shares memory between processes. Where SQLite itself finds that it cannot, it keeps the
    // journal it has.
    if !is_remote(path) {
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
    ))?;
    let file = file_id(path);
    Ok(Open {
        connection,
        mended,
        is_frozen: false,
        file,
    })
}

/// Asks for the directory, because SQLite makes the file only when it writes.
fn is_remote(path: &Path) -> bool {
    let dir = path.parent().unwrap_or(path);
    fs::File::open(dir).is_ok_and(|dir| crate::fs::is_remote(dir.file()))
}

impl Open {
    /// Whether the file that has the name is still this one.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        file_id(path) == self.file
    }

    /// Closes the connection and moves its file away, unless another process has done so. True when
    /// a new file can be made.
    pub(super) fn set_aside(self, path: &Path) -> bool {
        let file = self.file;
        drop(self.connection);
        let Ok(_lock) = lock(path) else { return false };
        file_id(path) != file || set_aside(path).is_ok()
    }
}

/// Moves whatever has the name away. The journals belong to the old file and would spoil the new
/// one.
fn set_aside(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => fs::rename(path, beside(path, OLD))?,
    }
    for journal in journals(path) {
        crate::fs::remove_if_there(&journal)?;
    }
    Ok(())
}

/// Removes what was moved away. What cannot be removed is only too large.
pub(super) fn remove_set_aside(path: &Path) {
    let _ = crate::fs::remove_if_there(&beside(path, OLD));
}

/// The files that SQLite itself makes beside the database.
fn journals(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| beside(path, suffix))
}

fn lock(path: &Path) -> Result<fs::File, StateError> {
    let failed = |error: &dyn std::fmt::Display| unusable(path, error);
    if let Some(dir) = path.parent() {
        create_private_dir(dir).map_err(|error| failed(&error))?;
    }
    let file = open_private_file(&beside(path, ".lock")).map_err(|error| failed(&error))?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.file().try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(&error)),
        }
    }
    Err(StateError::Locked {
        path: path.to_owned(),
    })
}

fn unusable(path: &Path, reason: &(impl std::fmt::Display + ?Sized)) -> StateError {
    StateError::Unusable {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
