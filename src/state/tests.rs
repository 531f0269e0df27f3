use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rusqlite::Connection;

use super::*;

fn dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("relto").join(FILE_NAME);
    (dir, path)
}

fn put(state: &State, name: &str, value: i64) -> Option<usize> {
    state.write(|transaction| {
        transaction.execute(
            "INSERT OR REPLACE INTO counters (name, value) VALUES (?1, ?2)",
            (name.as_bytes(), value),
        )
    })
}

fn get(state: &State, name: &str) -> Option<i64> {
    state.read(|connection| {
        connection.query_row(
            "SELECT value FROM counters WHERE name = ?1",
            [name.as_bytes()],
            |row| row.get(0),
        )
    })
}

#[test]
fn what_one_link_writes_the_next_one_reads() {
    let (_dir, path) = dir();
    let first = State::at(&path);
    assert_eq!(put(&first, "a", 1), Some(1));
    drop(first);
    let second = State::at(&path);
    assert_eq!(get(&second, "a"), Some(1));
    assert!(second.take_trouble().is_none());
}

#[test]
fn nothing_is_created_before_the_first_use_and_everything_is_private() {
    let (dir, path) = dir();
    let state = State::at(&path);
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
    assert!(put(&state, "a", 1).is_some());
    let mode = fs::metadata(dir.path().join("relto"))
        .expect("made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_disabled_database_is_a_silent_miss() {
    let state = State::disabled();
    assert_eq!(put(&state, "a", 1), None);
    assert_eq!(get(&state, "a"), None);
    assert!(state.take_trouble().is_none());
}

#[test]
fn an_aborted_update_leaves_nothing() {
    let (_dir, path) = dir();
    let state = State::at(&path);
    let aborted: Option<()> = state.write(|transaction| {
        transaction.execute("INSERT INTO counters (name, value) VALUES (x'61', 1)", [])?;
        Err(rusqlite::Error::QueryReturnedNoRows)
    });
    assert_eq!(aborted, None);
    assert_eq!(get(&state, "a"), None);
    assert_eq!(put(&state, "a", 2), Some(1), "the state is still of use");
}

#[test]
fn garbage_in_place_of_the_database_is_set_aside() {
    let (_dir, path) = dir();
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    for garbage in [b"".as_slice(), b"not a database", &[0xff; 8192]] {
        fs::write(&path, garbage).expect("written");
        let state = State::at(&path);
        assert_eq!(put(&state, "a", 1), Some(1), "{} bytes", garbage.len());
        assert_eq!(get(&state, "a"), Some(1));
        let old = path.with_extension("db.old");
        assert_eq!(fs::read(old).expect("kept"), garbage);
    }
}

#[test]
fn a_database_of_another_version_is_replaced() {
    let (_dir, path) = dir();
    assert!(put(&State::at(&path), "a", 1).is_some());
    let other = Connection::open(&path).expect("opened");
    other
        .execute_batch("PRAGMA user_version = 999")
        .expect("set");
    drop(other);
    let state = State::at(&path);
    assert_eq!(get(&state, "a"), None);
    assert_eq!(put(&state, "b", 2), Some(1));
    assert_eq!(get(&State::at(&path), "b"), Some(2));
}

#[test]
fn damage_anywhere_is_repaired_and_reported_once() {
    for start in [20, 200, 4096] {
        let (_dir, path) = dir();
        assert!(put(&State::at(&path), "a", 1).is_some());
        let mut bytes = fs::read(&path).expect("read");
        bytes[start..].fill(0xa5);
        fs::write(&path, &bytes).expect("written");

        let state = State::at(&path);
        assert_eq!(get(&state, "a"), None);
        let trouble = state.take_trouble().expect("the damage is told");
        assert!(matches!(trouble, StateError::Damaged { .. }), "{trouble}");
        assert_eq!(put(&state, "a", 3), Some(1), "a new one is in place");
        assert!(state.take_trouble().is_none());
        assert_eq!(get(&State::at(&path), "a"), Some(3));
    }
}

#[test]
fn a_database_with_views_triggers_or_tables_of_others_is_replaced() {
    for change in [
        "DROP TABLE counters; CREATE VIEW counters AS
           WITH RECURSIVE endless(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM endless)
           SELECT CAST(value AS BLOB) AS name, value FROM endless",
        "CREATE TRIGGER more AFTER INSERT ON counters BEGIN DELETE FROM files; END",
        "CREATE TABLE more (value)",
        "CREATE INDEX more ON counters (abs(value))",
        "DROP TABLE links",
        "ALTER TABLE counters ADD COLUMN more DEFAULT 1",
    ] {
        let (_dir, path) = dir();
        assert!(put(&State::at(&path), "a", 1).is_some());
        let other = Connection::open(&path).expect("opened");
        other.execute_batch(change).expect("changed");
        drop(other);
        let state = State::at(&path);
        assert_eq!(get(&state, "a"), None, "{change}");
        let trouble = state.take_trouble().expect("told");
        assert!(matches!(trouble, StateError::Damaged { .. }), "{trouble}");
        assert_eq!(put(&state, "a", 2), Some(1), "{change}");
        assert_eq!(get(&State::at(&path), "a"), Some(2), "{change}");
    }
}

#[test]
fn a_giant_database_is_replaced() {
    let (_dir, path) = dir();
    assert!(put(&State::at(&path), "a", 1).is_some());
    let file = fs::OpenOptions::new().write(true).open(&path);
    file.expect("opened")
        .set_len(2 << 30)
        .expect("a sparse file");
    let state = State::at(&path);
    assert_eq!(get(&state, "a"), None);
    assert_eq!(put(&state, "a", 2), Some(1));
    assert_eq!(get(&State::at(&path), "a"), Some(2));
}

/// Puts something of each kind that is no file of ours at `path`. Returns what it is called.
fn place(kind: usize, path: &Path, of_the_user: &Path) -> &'static str {
    let done = match kind {
        0 => std::os::unix::fs::symlink(of_the_user, path),
        1 => {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).map_err(Into::into)
        }
        2 => fs::create_dir(path),
        _ => fs::write(path, [0xa5; 5000]),
    };
    done.expect("placed");
    ["a link", "a pipe", "a directory", "garbage"][kind]
}

#[test]
fn links_pipes_and_directories_at_its_names_are_neither_followed_nor_waited_for() {
    for suffix in ["", "-wal", "-shm", "-journal", ".lock", ".old"] {
        for (kind, is_there) in (0..8).map(|number| (number / 2, number % 2 == 1)) {
            let (dir, path) = dir();
            let of_the_user = dir.path().join("letter");
            fs::write(&of_the_user, "dear").expect("written");
            assert!(put(&State::at(&path), "a", 1).is_some());
            if !is_there {
                fs::remove_file(&path).expect("removed");
            }
            let name = PathBuf::from(format!("{}{suffix}", path.display()));
            // What is there by that name is SQLite's or relto's own.
            let _ = fs::remove_file(&name);
            let what = place(kind, &name, &of_the_user);

            let state = State::at(&path);
            let found = get(&state, "a");
            assert!([None, Some(1)].contains(&found), "{suffix}, {what}");
            let trouble = match put(&state, "a", 2) {
                Some(_) => None,
                None => Some(
                    state
                        .take_trouble()
                        .expect("the reason is told")
                        .to_string(),
                ),
            };
            if let Some(trouble) = trouble {
                let place = path.display().to_string();
                assert!(trouble.contains(&place), "{suffix}, {what}: {trouble}");
            } else {
                assert_eq!(get(&State::at(&path), "a"), Some(2), "{suffix}, {what}");
            }
            let kept = fs::read_to_string(&of_the_user).expect("still there");
            assert_eq!(kept, "dear", "{suffix}, {what}");
        }
    }
}

#[test]
fn a_new_database_does_not_wait_for_a_lock_that_is_kept_for_ever() {
    let (dir, path) = dir();
    fs::create_dir(dir.path().join("relto")).expect("made");
    let name = PathBuf::from(format!("{}.lock", path.display()));
    let lock = fs::File::create(name).expect("made");
    lock.file().lock().expect("free");
    let state = State::at(&path);
    assert_eq!(put(&state, "a", 1), None);
    let trouble = state.take_trouble().expect("told");
    assert!(matches!(trouble, StateError::Locked { .. }), "{trouble}");
}

#[test]
fn an_exclusive_lock_is_a_miss_and_stops_further_waiting() {
    for mode in ["WAL", "DELETE"] {
        let (_dir, path) = dir();
        assert!(put(&State::at(&path), "a", 1).is_some());
        let other = Connection::open(&path).expect("opened");
        other
            .pragma_update(None, "journal_mode", mode)
            .expect("set");
        other
            .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;")
            .expect("locked");
        let state = State::at(&path);
        assert_eq!(get(&state, "a"), None, "{mode}");
        let trouble = state.take_trouble().expect("told");
        assert!(matches!(trouble, StateError::Locked { .. }), "{trouble}");
        drop(other);
        assert_eq!(get(&state, "a"), None, "off for the rest of the link");
        assert_eq!(get(&State::at(&path), "a"), Some(1), "unharmed");
    }
}

#[test]
fn readers_and_writers_share_a_database_that_has_no_wal() {
    let (_dir, path) = dir();
    let first = State::at(&path);
    let set = first.read(|connection| connection.pragma_update(None, "journal_mode", "DELETE"));
    assert!(set.is_some());
    let second = State::at(&path);
    assert!(put(&second, "a", 1).is_some());
    assert_eq!(get(&first, "a"), Some(1));
    assert!(put(&first, "a", 2).is_some());
    assert_eq!(get(&second, "a"), Some(2));
}

#[test]
fn a_write_that_meets_another_writer_is_dropped_silently() {
    let (_dir, path) = dir();
    let state = State::at(&path);
    assert!(put(&state, "a", 1).is_some());
    let other = Connection::open(&path).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    assert_eq!(put(&state, "a", 2), None);
    assert_eq!(get(&state, "a"), Some(1), "readers go on");
    assert!(state.take_trouble().is_none());
}

#[test]
fn a_directory_that_cannot_be_created_is_named_with_a_hint() {
    for path in ["/dev/null/relto/state.db", "/proc/relto/state.db"] {
        let state = State::at(Path::new(path));
        assert_eq!(put(&state, "a", 1), None);
        let trouble = state.take_trouble().expect("told");
        assert!(trouble.to_string().contains(path), "{trouble}");
        assert_eq!(trouble.hints().len(), 1);
    }
}

#[test]
fn a_directory_in_place_of_the_database_is_left_alone() {
    let (_dir, path) = dir();
    fs::create_dir_all(path.join("mine")).expect("made");
    let state = State::at(&path);
    assert_eq!(put(&state, "a", 1), None);
    assert!(state.take_trouble().is_some());
    assert!(path.join("mine").is_dir());
}

#[test]
fn links_that_start_together_make_one_database() {
    let (_dir, path) = dir();
    let names: Vec<String> = (0..8).map(|number| format!("link {number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| {
                let state = State::at(&path);
                // Busy is allowed to drop a write; another attempt succeeds.
                while put(&state, name, 7).is_none() {
                    assert!(state.take_trouble().is_none());
                }
            });
        }
    });
    let state = State::at(&path);
    for name in &names {
        assert_eq!(get(&state, name), Some(7), "{name}");
    }
    assert!(!path.with_extension("db.old").exists());
}
