mod damage;
mod trimming;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use prost::Message as _;

use super::trim::Usage;
use super::*;
use crate::digest::{Digest, DigestFunction};
use crate::pb::reapi::{ActionResult, OutputFile};

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("cache/relto")
    }

    fn open(&self) -> DiskCache {
        DiskCache::open(&self.root()).expect("opened")
    }
}

fn digest(bytes: &[u8]) -> Digest {
    DigestFunction::Sha256.digest(bytes)
}

/// An action and its result: one object, and something on stderr.
fn sample(object: &[u8]) -> (Digest, ActionResult) {
    let result = ActionResult {
        output_files: vec![OutputFile {
            path: "relto/out.o".to_owned(),
            digest: Some(digest(object).to_pb()),
            ..OutputFile::default()
        }],
        stderr_raw: b"warning: x\n".to_vec().into(),
        ..ActionResult::default()
    };
    (digest(&[object, b" action"].concat()), result)
}

fn put(cache: &DiskCache, object: &[u8]) {
    let (action, result) = sample(object);
    cache.put_blob(&digest(object), object).expect("stored");
    cache.put_result(&action, &result).expect("stored");
}

fn is_hit(cache: &DiskCache, object: &[u8]) -> bool {
    let (action, result) = sample(object);
    cache.get(&action) == Some(result)
        && cache
            .blob(&digest(object))
            .is_some_and(|bytes| bytes == object)
}

fn file(root: &std::path::Path, kind: &str, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    root.join(kind).join(&hex[..2]).join(hex)
}

fn set_age(path: &std::path::Path, age: Duration) -> SystemTime {
    let time = SystemTime::now() - age;
    let file = std::fs::OpenOptions::new().append(true).open(path);
    file.expect("opened").set_modified(time).expect("set");
    time
}

fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

#[test]
fn what_one_link_stores_the_next_one_finds_in_bazels_layout() {
    let place = Fixture::new();
    put(&place.open(), b"object");
    let cache = place.open();
    assert!(is_hit(&cache, b"object"));
    assert!(!is_hit(&cache, b"another"));
    let (action, result) = sample(b"object");
    let stored = fs::read(file(&place.root(), "ac", &action)).expect("there");
    assert_eq!(stored, result.encode_to_vec());
    let blob = fs::read(file(&place.root(), "cas", &digest(b"object"))).expect("there");
    assert_eq!(blob, b"object");
    let left = fs::read_dir(place.root().join("tmp")).expect("listed");
    assert_eq!(left.count(), 0);
}

#[test]
fn blobs_that_bazel_keeps_by_blake3_are_counted_and_not_used() {
    let place = Fixture::new();
    let cache = place.open();
    let name = DigestFunction::Blake3.digest(b"object");
    let theirs = file(&place.root().join("blake3"), "cas", &name);
    fs::create_dir_all(theirs.parent().expect("a directory")).expect("made");
    fs::write(&theirs, b"object").expect("written");
    assert_eq!(cache.blob(&name), None);
    assert_eq!(usage(&place.root()).expect("counted").blobs, 1);
}

#[test]
fn a_new_cache_is_private_and_an_old_one_keeps_its_mode() {
    let place = Fixture::new();
    let mode = || {
        let found = fs::metadata(place.root()).expect("there");
        found.permissions().mode() & 0o777
    };
    assert!(!place.open().is_writable_by_all());
    assert_eq!(mode(), 0o700);
    fs::set_permissions(place.root(), PermissionsExt::from_mode(0o777)).expect("set");
    assert!(place.open().is_writable_by_all());
    assert_eq!(mode(), 0o777);
}

#[test]
fn a_copy_of_the_directory_hits_as_the_original_does() {
    let place = Fixture::new();
    put(&place.open(), b"object");
    let copy = place.dir.path().join("copy");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(place.root())
        .arg(&copy)
        .status();
    assert!(copied.expect("cp runs").success());
    assert!(is_hit(&DiskCache::open(&copy).expect("opened"), b"object"));
}

#[test]
fn the_empty_blob_is_always_there_and_takes_no_file() {
    let place = Fixture::new();
    let cache = place.open();
    assert_eq!(cache.blob(&digest(b"")).expect("there").len(), 0);
    cache.put_blob(&digest(b""), b"").expect("nothing to do");
    assert_eq!(usage(&place.root()).expect("counted"), Usage::default());
}

#[test]
fn a_hit_renews_old_files_and_leaves_recent_ones() {
    let place = Fixture::new();
    put(&place.open(), b"object");
    let (action, _) = sample(b"object");
    for path in [
        file(&place.root(), "ac", &action),
        file(&place.root(), "cas", &digest(b"object")),
    ] {
        let modified = || {
            fs::metadata(&path)
                .expect("there")
                .modified()
                .expect("known")
        };
        let old = set_age(&path, hours(5));
        assert!(is_hit(&place.open(), b"object"));
        assert!(modified() > old + hours(4), "{}", path.display());
        let fresh = set_age(&path, Duration::from_mins(10));
        assert!(is_hit(&place.open(), b"object"));
        assert_eq!(modified(), fresh, "{}", path.display());
    }
}

#[test]
fn links_that_store_the_same_at_once_leave_one_whole_copy() {
    let place = Fixture::new();
    let object = vec![7; 300_000];
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let cache = place.open();
                for _ in 0..5 {
                    put(&cache, &object);
                    assert!(is_hit(&cache, &object));
                }
            });
        }
    });
    let counted = usage(&place.root()).expect("counted");
    assert_eq!((counted.results, counted.blobs), (1, 1));
    let left = fs::read_dir(place.root().join("tmp")).expect("listed");
    assert_eq!(left.count(), 0);
}
