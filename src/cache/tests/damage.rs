//! What is cut off, garbled, of the wrong kind or in the way costs a hit and is mended.

use super::*;
use crate::error::Hinted as _;

#[test]
fn damaged_blobs_are_misses_and_are_replaced() {
    let place = Fixture::new();
    let name = digest(b"object");
    let path = file(&place.root(), "cas", &name);
    for damage in [b"0bject".as_slice(), b"obj", b"", b"object and more"] {
        let cache = place.open();
        cache.put_blob(&name, b"object").expect("stored");
        fs::write(&path, damage).expect("damaged");
        assert_eq!(cache.blob(&name), None);
        assert!(!path.exists(), "it is removed");
        cache.put_blob(&name, b"object").expect("stored");
        assert!(cache.blob(&name).is_some());
    }
}

/// A sparse file takes no room on the disk, and could claim all memory.
#[test]
fn a_giant_blob_is_a_miss_and_takes_no_memory() {
    let place = Fixture::new();
    let cache = place.open();
    for size in [LARGEST_BLOB + 1, 1 << 43] {
        let name = Digest {
            size,
            ..digest(b"object")
        };
        let path = file(&place.root(), "cas", &name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        let giant = fs::File::create(&path).expect("made");
        // Where the file system refuses such a size there is nothing to try.
        if giant.set_len(size).is_ok() {
            assert_eq!(cache.blob(&name), None);
            assert!(!path.exists(), "it is removed");
        }
    }
}

#[test]
fn truncated_and_garbled_results_are_misses_and_are_removed() {
    let place = Fixture::new();
    let cache = place.open();
    let (action, result) = sample(b"object");
    let whole = result.encode_to_vec();
    let path = file(&place.root(), "ac", &action);
    let outputs = whole.len() - 2 - result.stderr_raw.len();
    let cut = |length: usize| whole[..length].to_vec();
    for damage in [
        cut(0),
        cut(1),
        cut(outputs / 2),
        cut(outputs + 1),
        cut(whole.len() - 1),
        vec![0; whole.len()],
        vec![0xff; whole.len()],
        b"{\"json\": true}".to_vec(),
    ] {
        put(&cache, b"object");
        fs::write(&path, &damage).expect("damaged");
        assert_eq!(cache.get(&action), None, "{damage:?}");
        assert!(!path.exists(), "{damage:?}");
    }
}

#[test]
fn anything_but_a_regular_file_is_a_miss_and_never_waited_for() {
    let place = Fixture::new();
    let cache = place.open();
    put(&cache, b"object");
    let (action, _) = sample(b"object");
    let (result, blob) = (
        file(&place.root(), "ac", &action),
        file(&place.root(), "cas", &digest(b"object")),
    );
    for path in [&result, &blob] {
        fs::remove_file(path).expect("removed");
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, &result, rustix::fs::Mode::RUSR).expect("made");
    fs_err::os::unix::fs::symlink("/etc/passwd", &blob).expect("linked");
    assert!(!is_hit(&cache, b"object"));
    assert_eq!(cache.blob(&digest(b"object")), None);
    put(&cache, b"object");
    assert!(is_hit(&cache, b"object"));
}

#[test]
fn a_cache_that_is_deleted_meanwhile_is_created_again_with_its_mode() {
    let place = Fixture::new();
    let cache = place.open();
    put(&cache, b"object");
    fs::remove_dir_all(place.root()).expect("deleted");
    assert!(!is_hit(&cache, b"object"));
    put(&cache, b"object");
    assert!(is_hit(&cache, b"object"));
    let mode = fs::metadata(place.root()).expect("there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
}

#[test]
fn a_file_in_place_of_the_cache_is_named() {
    let place = Fixture::new();
    let path = place.dir.path().join("file");
    fs::write(&path, b"").expect("written");
    for root in [path.clone(), path.join("below")] {
        let error = DiskCache::open(&root).expect_err("no directory");
        assert!(error.to_string().contains(&*root.to_string_lossy()));
        assert_eq!(error.hints().len(), 1);
    }
}

#[test]
fn files_in_place_of_inner_directories_cost_hits_and_nothing_more() {
    let place = Fixture::new();
    let cache = place.open();
    for name in ["ac", "cas"] {
        fs::write(place.root().join(name), b"").expect("written");
    }
    assert!(!is_hit(&cache, b"object"));
    let (action, result) = sample(b"object");
    cache
        .put_result(&action, &result)
        .expect_err("no directory");
    cache
        .put_blob(&digest(b"object"), b"object")
        .expect_err("no directory");
    assert_eq!(cache.added_bytes(), 0);
    trim(&place.root(), 0).expect("nothing to do");
}

#[test]
fn reasons_are_distinguished() {
    use rustix::io::Errno;
    let class = |errno: Errno| CacheError::new("/c".as_ref(), errno.into());
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        assert!(matches!(class(errno), CacheError::NoSpace { .. }));
    }
    for errno in [Errno::ROFS, Errno::ACCESS, Errno::PERM] {
        assert!(matches!(class(errno), CacheError::ReadOnly { .. }));
    }
    assert!(matches!(class(Errno::IO), CacheError::Other { .. }));
}

#[test]
fn a_result_that_decodes_to_gigabytes_is_a_miss() {
    let fixture = Fixture::new();
    let cache = fixture.open();
    let (action, _) = sample(b"object");
    let files = vec![OutputFile::default(); crate::pb::bounded::MOST_FIELDS + 1];
    let result = ActionResult {
        output_files: files,
        ..ActionResult::default()
    };
    cache.put_result(&action, &result).expect("stored");
    assert!(cache.get(&action).is_none());
}
