//! Directories that are full or read-only cost hits and never more. Needs root, to mount small file
//! systems in memory.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use fs_err as fs;
use relto::internals::cache::{CacheError, DiskCache, trim, usage};
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::hash_cache::HashCache;
use relto::internals::pb::reapi::{ActionResult, OutputFile};
use relto::internals::state::{State, StateError};

use crate::support::built;
use crate::support::link::{Home, Link};
use crate::support::mount::Mount;
use crate::support::program::{Feature, Program, feature, generated};
use crate::support::repeat::filled;

fn digest(bytes: &[u8]) -> Digest {
    DigestFunction::Sha256.digest(bytes)
}

fn open(root: &Path) -> DiskCache {
    DiskCache::open(root).expect("opened")
}

fn put(cache: &DiskCache, action: &Digest, object: &[u8]) {
    let result = ActionResult {
        output_files: vec![OutputFile {
            path: "relto/out.o".to_owned(),
            digest: Some(digest(object).to_pb()),
            ..OutputFile::default()
        }],
        ..ActionResult::default()
    };
    cache.put_blob(&digest(object), object).expect("stored");
    cache.put_result(action, &result).expect("stored");
}

#[test]
fn a_full_cache_keeps_what_it_has_and_leaves_nothing_half_written() {
    let Some(mount) = Mount::new("size=256k") else {
        return;
    };
    let cache = open(&mount.root());
    put(&cache, &digest(b"action"), b"small");
    let big = vec![1; 500_000];
    let error = cache.put_blob(&digest(&big), &big).expect_err("no space");
    assert!(matches!(error, CacheError::NoSpace { .. }), "{error}");
    assert!(cache.get(&digest(b"action")).is_some());
    assert!(cache.blob(&digest(b"small")).is_some());
    assert_eq!(cache.blob(&digest(&big)), None);
    let left = fs::read_dir(mount.root().join("tmp")).expect("listed");
    assert_eq!(left.count(), 0);
}

#[test]
fn a_full_cache_can_be_trimmed() {
    let Some(mount) = Mount::new("size=256k") else {
        return;
    };
    put(&open(&mount.root()), &digest(b"action"), &vec![1; 100_000]);
    mount.fill();
    let error = trim(&mount.root(), 0).map(|report| report.expect("alone").removed);
    assert_eq!(error.expect("trimmed"), 2);
}

#[test]
fn a_read_only_cache_hits_and_reports_why_nothing_is_stored() {
    let Some(mount) = Mount::new("size=1m") else {
        return;
    };
    let action = digest(b"action");
    put(&open(&mount.root()), &action, b"object");
    let blob = mount.root().join("cas").join(&digest(b"object").hex()[..2]);
    let blob = blob.join(digest(b"object").hex());
    let file = fs::OpenOptions::new().append(true).open(&blob);
    let old = SystemTime::UNIX_EPOCH;
    file.expect("opened").file().set_modified(old).expect("set");
    mount.set_read_only();

    let cache = open(&mount.root());
    assert!(cache.get(&action).is_some());
    assert!(cache.blob(&digest(b"object")).is_some());
    let modified = fs::metadata(&blob).expect("there").modified();
    assert_eq!(modified.expect("known"), old);
    let error = cache.put_blob(&digest(b"x"), b"x").expect_err("read-only");
    assert!(matches!(error, CacheError::ReadOnly { .. }), "{error}");
    let error = trim(&mount.root(), 0).expect_err("read-only");
    assert!(matches!(error, CacheError::ReadOnly { .. }), "{error}");
    assert_eq!(usage(&mount.root()).expect("counted").results, 1);
}

#[test]
fn a_cache_that_cannot_be_created_is_a_named_error() {
    let Some(mount) = Mount::new("size=1m") else {
        return;
    };
    mount.set_read_only();
    let error = DiskCache::open(&mount.root()).expect_err("read-only");
    assert!(matches!(error, CacheError::ReadOnly { .. }), "{error}");
}

/// What a link does with the database: digests are right whether it takes them or not.
fn hash_and_flush(state: &Arc<State>, file: &Path) {
    let cache = HashCache::new(Arc::clone(state));
    let facts = cache.facts(file, DigestFunction::Sha256, None);
    assert_eq!(facts.expect("hashed").digest, digest(b"contents"));
    cache.flush();
}

#[test]
fn a_database_on_a_full_disk_is_reported_once_and_harms_no_digest() {
    let Some(mount) = Mount::new("size=256k") else {
        return;
    };
    let (database, file) = (mount.root().join("state.db"), mount.root().join("a.bc"));
    fs::create_dir_all(mount.root()).expect("made");
    fs::write(&file, b"contents").expect("written");
    hash_and_flush(&Arc::new(State::at(&database)), &file);
    mount.fill();
    for path in [database, mount.root().join("another.db")] {
        let state = Arc::new(State::at(&path));
        hash_and_flush(&state, &file);
        let written = state.write(|transaction| {
            transaction.execute(
                "INSERT INTO counters (name, value) VALUES (zeroblob(99999), 1)",
                [],
            )
        });
        assert_eq!(written, None);
        let trouble = state.take_trouble().expect("reported");
        assert!(matches!(trouble, StateError::Unusable { .. }), "{trouble}");
    }
}

#[test]
fn a_database_on_a_read_only_disk_is_reported_once_and_harms_no_digest() {
    let Some(mount) = Mount::new("size=1m") else {
        return;
    };
    // On another disk: digests of files on tmpfs are not remembered.
    let files = tempfile::tempdir().expect("a temporary directory");
    let (database, file) = (mount.root().join("state.db"), files.path().join("a.bc"));
    fs::create_dir_all(mount.root()).expect("made");
    fs::write(&file, b"contents").expect("written");
    hash_and_flush(&Arc::new(State::at(&database)), &file);
    mount.set_read_only();
    for path in [database, mount.root().join("another.db")] {
        let state = Arc::new(State::at(&path));
        hash_and_flush(&state, &file);
        let trouble = state.take_trouble().expect("reported");
        assert!(matches!(trouble, StateError::Unusable { .. }), "{trouble}");
    }
}

#[test]
fn a_link_makes_room_for_its_results_among_older_ones_on_a_full_disk() {
    let Some(mount) = Mount::new("size=4m") else {
        return;
    };
    let cache = mount.root().display().to_string();
    let (old, new) = (generated(30), feature(Feature::Plain));
    let link = |program: &Program, home: &Home| {
        let link = Link::new(program).env("RELTO_DISK_CACHE", &cache);
        link.run_at(home).expect_works()
    };
    let home = Home::new();
    link(&old, &home).assert_none_cached();
    mount.fill();
    let outcome = link(&new, &home);
    assert!(!outcome.stderr.contains("not cached"), "{}", outcome.stderr);
    link(&new, &home).assert_all_cached();
    let left = usage(&mount.root()).expect("counted");
    assert!(left.results > 20, "{left:?}: most of it is still there");
}

#[test]
fn where_no_room_can_be_made_results_are_not_cached_and_doctor_says_so_too() {
    let Some(mount) = Mount::new("size=4m") else {
        return;
    };
    let (root, home) = (mount.root(), Home::new());
    // A limit is what allows relto to remove anything.
    let settings = [
        ("RELTO_DISK_CACHE", root.display().to_string()),
        ("RELTO_DISK_CACHE_MAX_SIZE", "0".to_owned()),
    ];
    put(&open(&root), &digest(b"action"), b"object");
    mount.fill();
    let program = feature(Feature::Plain);
    let mut link = Link::new(&program);
    for (name, value) in &settings {
        link = link.env(name, value);
    }
    let stderr = link.run_at(&home).expect_works().stderr;
    let told = "results of this link are not cached: no space is left";
    assert_eq!(stderr.matches(told).count(), 1, "{stderr}");
    assert_eq!(usage(&root).expect("counted").results, 1);

    let mut doctor = Command::new(built::relto());
    home.apply(&mut doctor);
    let output = doctor.envs(settings).arg("doctor").output();
    let findings = output.expect("relto starts").stdout;
    let findings = String::from_utf8_lossy(&findings);
    assert!(
        findings.contains("  warning  no space is left for the disk cache"),
        "{findings}"
    );
}

#[test]
fn what_links_have_recorded_is_shown_where_nothing_can_be_written() {
    let home = filled(&generated(3));
    for is_full in [true, false] {
        let Some(mount) = Mount::new("size=4m") else {
            return;
        };
        let database = mount.root().join("state.db");
        fs::create_dir_all(mount.root()).expect("made");
        fs::copy(home.cache().join("relto/state.db"), &database).expect("copied");
        if is_full {
            mount.fill();
        } else {
            mount.set_read_only();
        }
        let before = fs::read(&database).expect("read");
        let told = |arguments: &[&str]| {
            let mut relto = Command::new(built::relto());
            home.apply(&mut relto);
            relto.env("XDG_CACHE_HOME", mount.dir()).args(arguments);
            let output = relto.output().expect("relto starts");
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8(text).expect("text");
            (output.status.code(), text)
        };
        for (arguments, part) in [
            (&["stats"][..], "4 jobs, 4 local"),
            (&["explain"], "no earlier one with other keys"),
            (&["report", "-o", "-"], "</html>"),
        ] {
            let (code, text) = told(arguments);
            assert_eq!(code, Some(0), "{arguments:?}: {text}");
            assert!(text.contains(part), "{arguments:?}: {text}");
        }
        let (code, text) = told(&["stats", "--zero"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(fs::read(&database).expect("read") == before, "unchanged");
    }
}

/// Wherever the space ends, what was taken is there later, and the rest is a named failure.
#[test]
fn space_that_ends_at_any_write_loses_nothing_that_was_taken() {
    const BLOB: usize = 3000;
    let put_row = |state: &State, name: &[u8]| {
        state.write(|transaction| {
            let sql = "INSERT INTO counters (name, value) VALUES (?1, 1)";
            transaction.execute(sql, [name])
        })
    };
    for pages in (1..100).step_by(3) {
        let Some(mount) = Mount::new(&format!("size={}k", pages * 4)) else {
            return;
        };
        let database = mount.root().join("state.db");
        let state = State::at(&database);
        let named: Vec<_> = (0..30_u8).map(|row| vec![row; BLOB]).collect();
        let taken: Vec<_> = named
            .iter()
            .filter(|name| put_row(&state, name).is_some())
            .collect();
        if taken.len() < named.len() {
            let trouble = state.take_trouble().expect("told").to_string();
            let place = database.display().to_string();
            assert!(trouble.contains(&place), "{pages} pages: {trouble}");
        }
        let mut stored = Vec::new();
        if let Ok(cache) = DiskCache::open(&mount.root()) {
            for number in 0..30_u8 {
                let object = vec![number; BLOB];
                match cache.put_blob(&digest(&object), &object) {
                    Ok(()) => stored.push(object),
                    Err(error) => {
                        assert!(matches!(error, CacheError::NoSpace { .. }), "{error}");
                    }
                }
            }
        }
        drop(state);

        mount.set_size("16m");
        let state = State::at(&database);
        for name in taken {
            let sql = "SELECT value FROM counters WHERE name = ?1";
            let found = state.read(|it| it.query_row(sql, [name], |row| row.get::<_, i64>(0)));
            assert_eq!(found, Some(1), "{pages} pages: row {}", name[0]);
        }
        assert_eq!(put_row(&state, b"more"), Some(1), "{pages} pages");
        let cache = open(&mount.root());
        for object in stored {
            let found = cache.blob(&digest(&object));
            assert_eq!(found.as_deref(), Some(&object[..]), "{pages} pages");
        }
        put(&cache, &digest(b"action"), b"object");
        assert!(cache.get(&digest(b"action")).is_some(), "{pages} pages");
    }
}
