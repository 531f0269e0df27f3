mod table;

use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::identity::{identity, is_racy};
use super::*;
use DigestFunction::{Blake3, Sha256};

const SECOND: i64 = 1_000_000_000;

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).expect("written");
        path
    }

    /// A file whose times no longer matter, ctime included: that one nobody can set, so the clock
    /// is waited for.
    fn settled(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.file(name, contents);
        let identity = identity(&path).expect("there");
        while is_racy(&identity, identity::wall_clock()) {
            std::thread::yield_now();
        }
        path
    }

    /// What a link of its own process would have.
    fn link(&self) -> HashCache {
        HashCache::new(Arc::new(State::at(&self.path("state.db"))))
    }
}

fn stored_rows(cache: &HashCache) -> i64 {
    cache
        .state
        .read(|connection| connection.query_row("SELECT count(*) FROM files", [], |row| row.get(0)))
        .expect("counted")
}

#[test]
fn the_digest_is_that_of_the_contents_by_either_function() {
    let place = Fixture::new();
    let path = place.file("a.bc", b"bitcode");
    let cache = HashCache::new(Arc::new(State::disabled()));
    for function in [Sha256, Blake3] {
        let facts = cache.facts(&path, function, None).expect("hashed");
        assert_eq!(facts.digest, function.digest(b"bitcode"));
        assert_eq!(facts.note, None);
        assert_eq!(facts.identity, identity(&path).expect("there"));
    }
}

#[test]
fn a_later_link_reads_no_file_and_has_the_note() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"bitcode");
    let first = place.link();
    let facts = first
        .facts(&path, Sha256, Some(&|bytes| bytes.to_ascii_uppercase()))
        .expect("hashed");
    assert_eq!(facts.note.as_deref(), Some(b"BITCODE".as_slice()));
    first.flush();
    drop(first);
    let second = place.link();
    let again = second
        .facts(&path, Sha256, Some(&|_| panic!("the file was read again")))
        .expect("known");
    assert_eq!(again, facts);
}

#[test]
fn an_empty_note_is_a_note() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"bitcode");
    let first = place.link();
    first
        .facts(&path, Sha256, Some(&|_| Vec::new()))
        .expect("hashed");
    first.flush();
    let facts = place
        .link()
        .facts(&path, Sha256, Some(&|_| panic!("the file was read again")))
        .expect("known");
    assert_eq!(facts.note, Some(Vec::new()));
}

#[test]
fn a_digest_without_a_note_does_not_serve_a_caller_that_needs_one() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"bitcode");
    let first = place.link();
    first.facts(&path, Sha256, None).expect("hashed");
    first.flush();
    for cache in [first, place.link()] {
        let facts = cache
            .facts(&path, Sha256, Some(&|bytes| vec![bytes[0]]))
            .expect("read");
        assert_eq!(facts.note, Some(vec![b'b']));
    }
}

#[test]
fn a_file_of_other_times_or_another_inode_is_read_again() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"one");
    let first = place.link();
    first.facts(&path, Sha256, None).expect("hashed");
    first.flush();

    place.settled("a.bc", b"two");
    let facts = place.link().facts(&path, Sha256, None).expect("hashed");
    assert_eq!(facts.digest, Sha256.digest(b"two"));

    let other = place.settled("other", b"six");
    fs::rename(&other, &path).expect("replaced");
    let facts = place.link().facts(&path, Sha256, None).expect("hashed");
    assert_eq!(facts.digest, Sha256.digest(b"six"));
}

#[test]
fn a_file_that_keeps_size_and_mtime_is_known_by_its_ctime() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"one");
    let mtime = fs::metadata(&path)
        .expect("there")
        .modified()
        .expect("known");
    let first = place.link();
    first.facts(&path, Sha256, None).expect("hashed");
    first.flush();

    place.settled("a.bc", b"two");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("opened");
    file.file().set_modified(mtime).expect("set back");
    let facts = place.link().facts(&path, Sha256, None).expect("hashed");
    assert_eq!(facts.digest, Sha256.digest(b"two"));
}

#[test]
fn racy_is_what_could_change_within_the_tick_of_its_times() {
    let at = |mtime_ns, ctime_ns| Identity {
        device: 1,
        inode: 2,
        size: 3,
        mtime_ns,
        ctime_ns,
    };
    let now = 1_700_000_000 * SECOND;
    let ms = 1_000_000;
    let fine = |age_ms: i64| at(now - age_ms * ms - 1, now - age_ms * ms - 1);
    assert!(is_racy(&fine(0), now));
    assert!(is_racy(&fine(19), now));
    assert!(!is_racy(&fine(21), now));
    let old = now - 3600 * SECOND - 1;
    assert!(is_racy(&at(old, now - 1), now), "ctime counts");
    assert!(is_racy(&at(now - 1, old), now), "mtime counts");
    let coarse = |age_s: i64| at(now - age_s * SECOND, now - age_s * SECOND);
    assert!(is_racy(&coarse(1), now), "whole seconds");
    assert!(is_racy(&coarse(2), now), "whole seconds");
    assert!(!is_racy(&coarse(3), now), "whole seconds");
    assert!(is_racy(&at(now + 1, now + 1), now), "the future");
    assert!(is_racy(&at(i64::MAX, i64::MIN), i64::MIN));
}

#[test]
fn a_racy_file_is_used_but_not_remembered_until_it_is_settled() {
    let place = Fixture::new();
    let path = place.file("a.bc", b"fresh");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("opened");
    let ahead = SystemTime::now() + Duration::from_hours(1);
    file.file().set_modified(ahead).expect("set");
    let cache = place.link();
    let facts = cache.facts(&path, Sha256, None).expect("hashed");
    assert!(cache.unchanged(&path, &facts.identity));
    cache.flush();
    assert_eq!(stored_rows(&cache), 0);
}

#[test]
fn a_racy_file_is_remembered_once_a_second_reading_agrees() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"fresh");
    let cache = place.link();
    let facts = cache.facts(&path, Sha256, None).expect("hashed");
    let racy = KnownFile::new(Arc::clone(&facts), true);
    *lock(&cache.slot(&path, Sha256)) = Some(racy);
    *lock(&cache.pending) = PendingRows::default();
    assert!(cache.unchanged(&path, &facts.identity));
    cache.flush();
    assert_eq!(stored_rows(&cache), 1);
}

#[test]
fn contents_that_changed_behind_racy_times_are_detected() {
    let place = Fixture::new();
    let path = place.file("a.bc", b"new");
    let cache = place.link();
    let facts = FileFacts {
        digest: Sha256.digest(b"old"),
        note: None,
        identity: identity(&path).expect("there"),
    };
    let known = KnownFile::new(Arc::new(facts.clone()), true);
    *lock(&cache.slot(&path, Sha256)) = Some(known);
    assert!(!cache.unchanged(&path, &facts.identity));
}

/// As one of a mounted image, whose times are its maker's.
#[test]
fn a_file_that_is_held_open_is_compared_by_its_times_alone() {
    let place = Fixture::new();
    let path = place.settled("libc.so", b"image");
    let cache = place.link();
    let facts = cache.facts(&path, Sha256, None).expect("hashed");
    let mut known = KnownFile::new(Arc::clone(&facts), true);
    known.held = Some(fs::File::open(&path).expect("opened").into_file());
    *lock(&cache.slot(&path, Sha256)) = Some(known);
    let reads = cache.reads();
    assert!(cache.unchanged(&path, &facts.identity));
    assert_eq!(cache.reads(), reads);
    place.file("libc.so", b"other");
    assert!(!cache.unchanged(&path, &facts.identity));
}

/// As on media whose times prove nothing: all of a link's compiles ask for the same inputs.
#[test]
fn those_that_wait_for_one_comparison_share_the_next_and_one_that_comes_later_reads_again() {
    let place = Fixture::new();
    let path = place.file("a.bc", b"one");
    // Its times are those of the future, so that the file stays racy.
    let future = SystemTime::now() + Duration::from_hours(1);
    let opened = fs::File::options().write(true).open(&path);
    opened
        .and_then(|file| file.set_modified(future))
        .expect("set");
    let cache = place.link();
    let facts = cache.facts(&path, Sha256, None).expect("hashed");
    let slot = cache.slot(&path, Sha256);
    let read = lock(&slot);
    let (before, asks) = (Arc::strong_count(&slot), 4);
    std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| cache.unchanged(&path, &facts.identity));
        let asking: Vec<_> = (0..asks).map(ask).collect();
        while Arc::strong_count(&slot) < before + asks {
            std::thread::yield_now();
        }
        drop(read);
        assert!(asking.into_iter().all(|it| it.join().expect("asked")));
    });
    assert_eq!(cache.reads().0, 2, "one to hash it, one for all");
    assert!(cache.unchanged(&path, &facts.identity));
    assert_eq!(cache.reads().0, 3);

    let changed = FileFacts {
        digest: Sha256.digest(b"two"),
        ..FileFacts::clone(&facts)
    };
    let mut known = lock(&slot);
    known.as_mut().expect("hashed").facts = Arc::new(changed);
    drop(known);
    assert!(!cache.unchanged(&path, &facts.identity));
}

#[test]
fn a_changed_or_missing_file_is_not_unchanged() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"one");
    let cache = place.link();
    let facts = cache.facts(&path, Sha256, None).expect("hashed");
    assert!(cache.unchanged(&path, &facts.identity));
    place.file("a.bc", b"two");
    assert!(!cache.unchanged(&path, &facts.identity));
    fs::remove_file(&path).expect("removed");
    assert!(!cache.unchanged(&path, &facts.identity));
}

#[test]
fn threads_that_ask_for_one_file_read_it_once() {
    let place = Fixture::new();
    let path = place.file("a.bc", b"bitcode");
    let cache = place.link();
    let (reads, start) = (AtomicUsize::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let probe = |_: &[u8]| {
                    reads.fetch_add(1, Ordering::Relaxed);
                    Vec::new()
                };
                cache.facts(&path, Sha256, Some(&probe)).expect("hashed");
            });
        }
    });
    assert_eq!(reads.into_inner(), 1);
}

#[test]
fn a_file_written_while_it_is_read_is_read_again_and_then_an_error() {
    let place = Fixture::new();
    let path = place.file("a.bc", b"x");
    let cache = place.link();
    let reads = Cell::new(0);
    let rewrite = |times: usize| {
        let (path, reads) = (&path, &reads);
        move |_: &[u8]| {
            reads.set(reads.get() + 1);
            if reads.get() <= times {
                fs::write(path, vec![b'y'; reads.get() + 1]).expect("rewritten");
            }
            Vec::new()
        }
    };
    let facts = cache
        .facts(&path, Sha256, Some(&rewrite(1)))
        .expect("the second reading is quiet");
    assert_eq!(facts.digest, Sha256.digest(b"yy"));
    reads.set(0);
    let error = place
        .link()
        .facts(&path, Sha256, Some(&rewrite(9)))
        .expect_err("never quiet");
    assert!(error.to_string().contains("changed while it was read"));
}

#[test]
fn one_link_never_has_two_digests_of_a_file() {
    let place = Fixture::new();
    let path = place.file("a.bc", b"one");
    let cache = place.link();
    let before = cache.facts(&path, Sha256, None).expect("hashed");
    place.file("a.bc", b"three");
    cache
        .facts(&path, Sha256, Some(&|_| Vec::new()))
        .expect_err("the contents are others than those hashed first");
    let after = cache.facts(&path, Sha256, None).expect("remembered");
    assert_eq!(before, after);
}

#[test]
fn missing_files_directories_and_pipes_are_errors_that_name_them() {
    let place = Fixture::new();
    let pipe = place.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("made");
    let cache = place.link();
    for path in [place.path("missing"), place.path("."), pipe] {
        let error = cache.facts(&path, Sha256, None).expect_err("no file");
        let name = path.display().to_string();
        assert!(error.to_string().contains(&name), "{error}");
    }
}

#[test]
fn files_of_tmpfs_are_read_in_every_link_and_compared_after_a_compile() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    if crate::fs::unstamped_name(dir.path()).is_none() {
        return;
    }
    let state = Arc::new(State::at(&dir.path().join(crate::state::FILE_NAME)));
    let file = dir.path().join("list");
    fs_err::write(&file, "v1").expect("written");
    let memory = Arc::new(Memory::default());
    for _ in 0..2 {
        let cache = HashCache::with_memory(Arc::clone(&state), Some(Arc::clone(&memory)));
        let facts = cache.facts(&file, Sha256, None).expect("read");
        assert_eq!(cache.reads().0, 1, "not taken from an earlier link");
        assert!(cache.unchanged(&file, &facts.identity));
        assert_eq!(cache.reads().0, 2, "its contents were compared");
        cache.flush();
    }
    assert!(memory.is_empty());
}
