//! What goes when the cache is too large, in which order, and who notices.

use super::*;
use crate::state::State;

#[test]
fn a_time_in_the_far_future_does_not_keep_a_file_for_ever() {
    let place = Fixture::new();
    put(&place.open(), b"object");
    let path = file(&place.root(), "cas", &digest(b"object"));
    let future = SystemTime::now() + hours(1000);
    let opened = std::fs::OpenOptions::new().append(true).open(&path);
    opened.expect("opened").set_modified(future).expect("set");
    assert!(is_hit(&place.open(), b"object"));
    let modified = fs::metadata(&path).expect("there").modified();
    assert!(modified.expect("known") < future);
}

/// Three objects, each with its result, used `1`, `2` and `3` days ago.
fn aged(place: &Fixture) {
    let cache = place.open();
    for days in 1..=3_u8 {
        let object = [days; 10_000];
        put(&cache, &object);
        let (action, _) = sample(&object);
        let age = hours(24 * u64::from(days));
        set_age(&file(&place.root(), "ac", &action), age);
        set_age(&file(&place.root(), "cas", &digest(&object)), age);
    }
}

#[test]
fn the_least_recently_used_blob_is_removed_first_together_with_its_result() {
    let place = Fixture::new();
    aged(&place);
    let before = usage(&place.root()).expect("counted");
    assert_eq!(before.bytes, 3 * (12_288 + 4096));
    let report = trim(&place.root(), 40_000)
        .expect("trimmed")
        .expect("alone");
    assert_eq!(report.before, before.bytes);
    assert_eq!(report.after, 2 * (12_288 + 4096));
    assert_eq!(report.removed, 2);
    let left: Vec<bool> = (1..=3_u8)
        .map(|days| is_hit(&place.open(), &[days; 10_000]))
        .collect();
    assert_eq!(left, [true, true, false]);
}

#[test]
fn a_result_takes_those_of_its_blobs_with_it_that_no_later_one_uses() {
    let place = Fixture::new();
    aged(&place);
    let shared = [3; 10_000];
    // As a hit of another result that names it does.
    set_age(&file(&place.root(), "cas", &digest(&shared)), hours(40));
    let report = trim(&place.root(), 49_000).expect("trimmed");
    assert_eq!(report.expect("alone").removed, 3);
    let (action, _) = sample(&shared);
    let result = file(&place.root(), "ac", &action);
    assert!(!result.exists() && !is_hit(&place.open(), &[2; 10_000]));
    assert_eq!(
        place.open().blob(&digest(&shared)).as_deref(),
        Some(&shared[..])
    );
}

#[test]
fn what_is_left_of_a_cache_smaller_than_one_link_are_whole_results() {
    let place = Fixture::new();
    let cache = place.open();
    for number in 0..10 {
        put(&cache, &[number; 10_000]);
    }
    let report = trim(&place.root(), 100_000).expect("trimmed");
    assert_eq!(report.expect("alone").after, 5 * (12_288 + 4096));
    let left = usage(&place.root()).expect("counted");
    assert_eq!((left.results, left.blobs), (5, 5));
    let hits = (0..10).filter(|&number| is_hit(&place.open(), &[number; 10_000]));
    assert_eq!(hits.count(), 5);
}

#[test]
fn what_a_link_reads_counts_as_what_it_stores() {
    let place = Fixture::new();
    put(&place.open(), &[1; 5000]);
    let cache = place.open();
    assert!(is_hit(&cache, &[1; 5000]));
    assert_eq!((cache.added_bytes(), cache.used_bytes()), (0, 8192 + 4096));
    put(&cache, &[2; 5000]);
    let again = cache.put_blob(&digest(&[2; 5000]), &[2; 5000]);
    again.expect("there, under another key");
    assert_eq!(cache.used_bytes(), 2 * (8192 + 4096));
}

#[test]
fn a_cache_within_its_size_is_left_alone() {
    let place = Fixture::new();
    aged(&place);
    let size = usage(&place.root()).expect("counted").bytes;
    let report = trim(&place.root(), size).expect("trimmed").expect("alone");
    assert_eq!((report.removed, report.after), (0, size));
    let report = trim(&place.root(), 0).expect("trimmed").expect("alone");
    assert_eq!((report.removed, report.after), (6, 0));
}

#[test]
fn a_fifth_makes_room_whatever_the_limit_is() {
    let place = Fixture::new();
    aged(&place);
    let report = make_room(&place.root()).expect("trimmed").expect("alone");
    assert_eq!((report.removed, report.after), (2, 2 * (12_288 + 4096)));
    assert!(!is_hit(&place.open(), &[3; 10_000]), "the oldest");
}

#[test]
fn only_one_process_trims() {
    let place = Fixture::new();
    aged(&place);
    let lock = fs::File::create(place.root().join("trim.lock")).expect("made");
    lock.file().lock().expect("locked");
    assert_eq!(trim(&place.root(), 0).expect("no failure"), None);
    assert!(is_hit(&place.open(), &[3; 10_000]), "links do not wait");
    drop(lock);
    assert!(trim(&place.root(), 0).expect("trimmed").is_some());
}

#[test]
fn leftovers_of_dead_links_are_removed_and_fresh_ones_kept() {
    let place = Fixture::new();
    aged(&place);
    let tmp = place.root().join("tmp");
    let [old, new, foreign] = ["relto-00old0", "relto-00new0", "thesis.tex"];
    for (name, age) in [(old, 25), (new, 23), (foreign, 25)] {
        fs::write(tmp.join(name), b"half").expect("written");
        set_age(&tmp.join(name), hours(age));
    }
    trim(&place.root(), u64::MAX).expect("trimmed");
    assert!(!tmp.join(old).exists());
    assert!(tmp.join(new).exists());
    assert!(tmp.join(foreign).exists(), "not a file of relto");
}

#[test]
fn links_go_on_while_the_cache_is_trimmed() {
    let place = Fixture::new();
    let objects: Vec<Vec<u8>> = (0..40_u8).map(|byte| vec![byte; 5_000]).collect();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let cache = place.open();
                    for object in objects.iter().cycle().take(400) {
                        if !is_hit(&cache, object) {
                            put(&cache, object);
                        }
                    }
                })
            })
            .collect();
        while !readers
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            // The directory itself comes with the first link.
            if place.root().is_dir() {
                trim(&place.root(), 100_000).expect("trimmed");
            }
        }
    });
    // A process that another test forks at this moment holds the trimmer's lock until it becomes a
    // program.
    while trim(&place.root(), 0).expect("trimmed").is_none() {}
    assert_eq!(usage(&place.root()).expect("counted"), Usage::default());
}

#[test]
fn trimming_is_due_when_unknown_and_again_when_the_limit_is_passed() {
    let place = Fixture::new();
    let state = State::at(&place.dir.path().join("state.db"));
    let (root, other) = (place.root(), place.dir.path().join("other"));
    assert!(!record_growth(&state, &root, 0, 100), "nothing was added");
    assert!(record_growth(&state, &root, 1, 100), "never counted");
    reset_size_estimate(&state, &root, 50);
    assert!(!record_growth(&state, &root, 50, 100));
    assert!(record_growth(&state, &root, 1, 100));
    assert!(record_growth(&state, &root, u64::MAX, 100), "no overflow");
    assert!(
        record_growth(&state, &other, 1, 100),
        "each root has its own"
    );
    reset_size_estimate(&state, &root, 10);
    assert!(!record_growth(&state, &root, 1, 100));
}

#[test]
fn added_bytes_are_those_that_were_written() {
    let place = Fixture::new();
    let cache = place.open();
    put(&cache, &[1; 5000]);
    assert_eq!(cache.added_bytes(), 8192 + 4096);
    let again = place.open();
    again
        .put_blob(&digest(&[1; 5000]), &[1; 5000])
        .expect("there");
    assert_eq!(again.added_bytes(), 0);
}

#[test]
fn a_directory_of_the_user_is_not_trimmed_and_only_files_of_the_cache_are_removed() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let photo = home.path().join("ac/photos/1.jpg");
    fs::create_dir_all(photo.parent().expect("a parent")).expect("made");
    fs::write(&photo, "mine").expect("written");
    fs::write(home.path().join("thesis.tex"), "mine").expect("written");
    put(&DiskCache::open(home.path()).expect("opened"), b"object");
    let refused = trim(home.path(), 0).expect_err("not a cache of its own");
    assert!(matches!(refused, CacheError::NotMarked { .. }), "{refused}");
    let refused = make_room(home.path()).expect_err("not a cache of its own");
    assert!(matches!(refused, CacheError::NotMarked { .. }), "{refused}");
    let place = Fixture::new();
    put(&place.open(), b"object");
    let foreign = place.root().join("cas/photos");
    fs::create_dir_all(&foreign).expect("made");
    fs::write(foreign.join("1.jpg"), "mine").expect("written");
    let report = trim(&place.root(), 0).expect("trimmed").expect("alone");
    assert_eq!((report.removed, report.after), (2, 0));
    assert!(foreign.join("1.jpg").exists() && photo.exists());
}

#[test]
fn files_of_a_private_cache_are_private_whatever_made_the_directory() {
    use std::os::unix::fs::MetadataExt as _;
    let place = Fixture::new();
    put(&place.open(), b"object");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").mode() & 0o777;
    let blob = file(&place.root(), "cas", &digest(b"object"));
    assert_eq!(mode(&blob), 0o600);
    assert_eq!(mode(blob.parent().expect("a directory")), 0o700);
    assert_eq!(mode(&place.root()), 0o700);
}

#[test]
fn mark_and_lock_of_a_shared_cache_are_as_open_as_its_blobs() {
    use std::os::unix::fs::MetadataExt as _;
    let place = Fixture::new();
    fs::create_dir_all(place.root()).expect("made");
    fs::set_permissions(place.root(), PermissionsExt::from_mode(0o2770)).expect("set");
    put(&place.open(), b"object");
    trim(&place.root(), u64::MAX).expect("trimmed");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").mode() & 0o777;
    let blob = file(&place.root(), "cas", &digest(b"object"));
    for name in ["CACHEDIR.TAG", "trim.lock"] {
        assert_eq!(mode(&place.root().join(name)), mode(&blob), "{name}");
    }
}

/// As in a cache that came with a tree, or that others may write.
#[test]
fn links_below_the_root_are_not_followed() {
    let place = Fixture::new();
    put(&place.open(), b"object");
    let home = place.dir.path().join("home");
    let (action, result) = sample(b"object");
    let shards = [("ac", action), ("cas", digest(b"object"))];
    let link_to_home = |from: &std::path::Path, name: &str| {
        age_all(from);
        fs::rename(from, home.join(name)).expect("moved");
        fs_err::os::unix::fs::symlink(home.join(name), from).expect("linked");
    };
    fs::create_dir(&home).expect("made");
    for (kind, digest) in &shards {
        let shard = place.root().join(kind).join(&digest.hex()[..2]);
        link_to_home(&shard, kind);
    }
    let report = trim(&place.root(), 0).expect("trimmed").expect("alone");
    assert_eq!(report.removed, 0);
    for (kind, digest) in &shards {
        let kept = home.join(kind).join(digest.hex());
        fs::write(&kept, "damage, or another's").expect("written");
    }
    let cache = place.open();
    assert!(!is_hit(&cache, b"object") && cache.blob(&shards[1].1).is_none());
    cache.put_blob(&shards[1].1, b"object").expect_err("a link");
    cache.put_result(&action, &result).expect_err("a link");
    cache.remove_result(&action).expect_err("a link");
    for (kind, digest) in &shards {
        let text = fs::read_to_string(home.join(kind).join(digest.hex()));
        assert_eq!(text.expect("there"), "damage, or another's");
    }

    for name in ["tmp", "ac", "cas"] {
        let stale = place.root().join(name).join("relto-AbCdEf");
        fs::write(&stale, "mine").expect("written");
        link_to_home(&place.root().join(name), &format!("whole-{name}"));
        DiskCache::open(&place.root()).expect_err("a link");
        trim(&place.root(), 0).expect("trimmed");
        let kept = home.join(format!("whole-{name}/relto-AbCdEf"));
        assert!(kept.exists(), "{name}");
    }
}

fn age_all(dir: &std::path::Path) {
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("an entry").path();
        if fs::symlink_metadata(&path).expect("there").is_file() {
            set_age(&path, hours(1000));
        }
    }
}
