//! A disk cache that is damaged, unreadable, full, shared or being trimmed costs hits, never a link
//! or an object.

mod hits;
mod http;
mod keys;
mod misses;
mod real;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use prost::Message as _;
use relto::internals::cache::{trim, usage};
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi::ActionResult;

use crate::support::built;
use crate::support::link::{Form, Home, Link};
use crate::support::mount::Mount;
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Program, cxx, generated, zstd};
use crate::support::repeat::{
    NOBODY, archive, filled, give_to_nobody, through, with_whole_archive,
};
use crate::support::saved::{files_below, result_in};
use crate::support::skip::{runs_long, skip};

/// The cache's own directory.
fn root(home: &Home) -> PathBuf {
    home.cache().join("relto")
}

/// How many warnings of relto's own the link printed.
fn warnings(outcome: &LinkOutcome) -> usize {
    outcome.stderr.matches("relto: warning:").count()
}

/// Damages every file of `kind` (`ac` or `cas`) in a filled cache; all is compiled anew, right, and
/// found again.
fn survives(kind: &str, damage: impl Fn(&Path)) {
    let program = generated(5);
    let home = filled(&program);
    let files = files_below(&root(&home).join(kind));
    assert!(files.len() > 5, "{files:?}");
    for path in &files {
        damage(path);
    }
    let link = Link::new(&program).keep_objects();
    let outcome = link.run_at(&home).expect_works();
    outcome.assert_none_cached();
    outcome.assert_identical_objects();
    assert_eq!(warnings(&outcome), 0, "{}", outcome.stderr);
    let repaired = Link::new(&program).run_at(&home).expect_works();
    repaired.assert_all_cached();
}

/// Replaces the contents of a file by what `change` makes of them.
fn rewrite(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

#[test]
fn missing_blobs_and_results_are_compiled_again() {
    for kind in ["cas", "ac"] {
        survives(kind, |path| fs::remove_file(path).expect("removed"));
    }
}

#[test]
fn a_flipped_bit_in_an_object_is_detected() {
    survives("cas", |path| {
        rewrite(path, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
    });
}

#[test]
fn truncated_files_are_detected() {
    for kind in ["cas", "ac"] {
        survives(kind, |path| {
            rewrite(path, |bytes| bytes.truncate(bytes.len() / 2));
        });
        survives(kind, |path| rewrite(path, Vec::clear));
    }
}

/// Stores `contents` in the cache that the file `result` is in.
fn stored_beside(result: &Path, contents: &[u8]) -> (PathBuf, Digest) {
    let digest = DigestFunction::Sha256.digest(contents);
    let (root, hex) = (result.ancestors().nth(3), digest.hex());
    let blob = root.expect("the cache").join("cas").join(&hex[..2]);
    fs::create_dir_all(&blob).expect("made");
    let blob = blob.join(hex);
    fs::write(&blob, contents).expect("written");
    (blob, digest)
}

fn edit(path: &Path, change: impl FnOnce(&mut ActionResult)) {
    let mut result = result_in(path);
    change(&mut result);
    fs::write(path, result.encode_to_vec()).expect("written");
}

#[test]
fn giant_messages_in_a_result_are_not_read() {
    let messages = vec![b' '; (16 << 20) + 1];
    survives("ac", |path| {
        let (_, digest) = stored_beside(path, &messages);
        edit(path, |result| result.stderr_digest = Some(digest.to_pb()));
    });
}

/// The file of such an object is sparse: it has the size, and takes no room.
#[test]
fn giant_objects_in_results_end_no_link() {
    survives("ac", |path| {
        let (blob, digest) = stored_beside(path, b"giant");
        let size = 1 << 43;
        let file = fs::OpenOptions::new().write(true).open(blob);
        // Where the file system refuses such a size, the blob is not the one that is named.
        let _ = file.expect("opened").set_len(size);
        let giant = Digest { size, ..digest };
        edit(path, |result| {
            result.output_files[0].digest = Some(giant.to_pb());
        });
    });
}

/// Links with the cache directory as it is; the second time there is something to find, if anything
/// could be kept.
fn works_uncached_with_one_warning(program: &Program, home: &Home) {
    for _ in 0..2 {
        let outcome = Link::new(program).run_at(home).expect_works();
        outcome.assert_none_cached();
        assert_eq!(warnings(&outcome), 1, "{}", outcome.stderr);
    }
}

#[test]
fn a_file_in_the_place_of_the_cache_costs_one_warning() {
    let home = Home::new();
    fs::create_dir_all(home.cache()).expect("made");
    fs::write(root(&home), "not a directory").expect("written");
    works_uncached_with_one_warning(&generated(5), &home);
}

#[test]
fn a_full_disk_costs_one_warning() {
    let Some(mount) = Mount::new("size=256k") else {
        return;
    };
    fs::create_dir(mount.root()).expect("made");
    mount.fill();
    let option = format!("--disk-cache={}", mount.root().display());
    let program = generated(5);
    let outcome = Link::new(&program).option(&option).run().expect_works();
    outcome.assert_none_cached();
    assert_eq!(warnings(&outcome), 1, "{}", outcome.stderr);
}

#[test]
fn a_read_only_cache_hits_and_costs_one_warning_where_it_misses() {
    let Some(mount) = Mount::new("size=8m") else {
        return;
    };
    let option = format!("--disk-cache={}", mount.root().display());
    let (program, home) = (generated(5), Home::new());
    let link = || Link::new(&program).option(&option);
    link().run_at(&home).expect_works().assert_none_cached();
    mount.set_read_only();
    let hit = link().run_at(&home).expect_works();
    hit.assert_all_cached();
    assert_eq!(warnings(&hit), 0, "{}", hit.stderr);
    let miss = link().argument("-O1").run_at(&home).expect_works();
    miss.assert_none_cached();
    assert_eq!(warnings(&miss), 1, "{}", miss.stderr);
}

/// As a user who may not look into the directory; without root it is its owner who may not.
#[test]
fn a_cache_of_another_user_costs_one_warning() {
    let program = generated(5);
    let home = filled(&program);
    let starter = if rustix::process::geteuid().is_root() {
        NOBODY
    } else {
        &["env"]
    };
    let link = Link::new(&program);
    if starter == NOBODY {
        give_to_nobody(home.path());
        give_to_nobody(link.dir());
        chown(root(&home), Some(0), Some(0)).expect("ours again");
    }
    fs::set_permissions(root(&home), Permissions::from_mode(0o000)).expect("closed");
    let output = through(starter, &link.command(&home)).output();
    fs::set_permissions(root(&home), Permissions::from_mode(0o700)).expect("open");
    let outcome = link
        .outcome(&output.expect("the linker starts"))
        .expect_works();
    outcome.assert_none_cached();
    assert_eq!(warnings(&outcome), 1, "{}", outcome.stderr);
}

/// A directory of mode 2770 whose users have the umask 002.
#[test]
fn every_user_of_a_shared_cache_can_trim_it() {
    const GROUP: u32 = 12345;
    let shared = tempfile::tempdir().expect("a directory");
    if chown(shared.path(), None, Some(GROUP)).is_err() {
        return skip("only root can share a directory with another user");
    }
    fs::set_permissions(shared.path(), Permissions::from_mode(0o2770)).expect("shared");
    let (program, home) = (generated(5), Home::new());
    let option = format!("--disk-cache={}", shared.path().display());
    let link = Link::new(&program).option(&option);
    let first = ["sh", "-c", "umask 002; exec \"$@\"", "sh"];
    let output = through(&first, &link.command(&home)).output();
    link.outcome(&output.expect("the linker starts"))
        .expect_works();
    let other = Home::new();
    give_to_nobody(other.path());
    let clear = || {
        let mut clear = Command::new(built::relto());
        other.apply(&mut clear);
        give_to_nobody(other.path());
        clear.current_dir("/");
        clear.env("RELTO_DISK_CACHE", shared.path());
        clear.args(["cache", "clear"]);
        let group = format!("--regid={GROUP}");
        let second = ["setpriv", "--reuid=65534", &group, "--clear-groups"];
        through(&second, &clear).output().expect("relto starts")
    };
    let cleared = clear();
    let told = String::from_utf8_lossy(&cleared.stderr).into_owned();
    assert!(cleared.status.success(), "{told}");
    assert_eq!(usage(shared.path()).expect("counted").bytes, 0);
    let mark = shared.path().join("CACHEDIR.TAG");
    fs::set_permissions(&mark, Permissions::from_mode(0o600)).expect("closed");
    let refused = String::from_utf8_lossy(&clear().stderr).into_owned();
    assert!(refused.contains("CACHEDIR.TAG"), "{refused}");
    assert!(refused.contains("Permission denied"), "{refused}");
}

/// `nobody` has no home in the user database either. Without root the test would find the real one,
/// and leave files.
#[test]
fn without_a_home_the_link_works() {
    if !rustix::process::geteuid().is_root() {
        return skip("it becomes another user, which needs root");
    }
    let (program, home) = (generated(5), Home::new());
    let link = Link::new(&program);
    give_to_nobody(link.dir());
    let mut command = link.command(&home);
    let names = ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"];
    for name in names.iter().chain(&["XDG_STATE_HOME", "XDG_RUNTIME_DIR"]) {
        command.env_remove(name);
    }
    let output = through(NOBODY, &command).output().expect("setpriv");
    let outcome = link.outcome(&output).expect_works();
    outcome.assert_none_cached();
    assert!(warnings(&outcome) <= 1, "{}", outcome.stderr);
}

#[test]
fn links_of_one_program_at_the_same_time_share_a_cache() {
    let (program, home) = (generated(12), Home::new());
    let links: Vec<_> = (0..3).map(|_| Link::new(&program).keep_objects()).collect();
    let start = |link: &Link<'_>| {
        let mut command = link.command(&home);
        command.stderr(Stdio::piped()).spawn().expect("started")
    };
    let children: Vec<_> = links.iter().map(start).collect();
    for (link, child) in links.into_iter().zip(children) {
        let output = child.wait_with_output().expect("ended");
        let outcome = link.outcome(&output).expect_works();
        let counts = outcome.counts();
        assert_eq!(
            counts.cached + counts.local,
            counts.jobs,
            "{}",
            outcome.stderr
        );
        assert_eq!(warnings(&outcome), 0, "{}", outcome.stderr);
        outcome.assert_identical_objects();
    }
    let last = Link::new(&program).run_at(&home).expect_works();
    last.assert_all_cached();
}

/// The process that trims outlives the link: it is given a time that no machine needs.
#[test]
fn a_link_that_makes_the_cache_too_large_has_it_trimmed() {
    const LIMIT: u64 = 64 << 10;
    let (program, home) = (generated(20), Home::new());
    let link = Link::new(&program).option("--disk-cache-max-size=64K");
    link.run_at(&home).expect_works().assert_none_cached();
    let given_up = Instant::now() + Duration::from_mins(1);
    while usage(&root(&home)).expect("counted").bytes > LIMIT {
        assert!(Instant::now() < given_up, "the cache is not trimmed");
        thread::sleep(Duration::from_millis(20));
    }
    let link = Link::new(&program).keep_objects();
    let outcome = link.run_at(&home).expect_works();
    assert!(outcome.counts().local > 0, "{}", outcome.stderr);
    outcome.assert_identical_objects();
}

/// Bazel's own disk cache, which has no limit of its size: the link finds and stores results there.
#[test]
fn a_cache_that_another_program_began_is_used_and_never_marked() {
    let (program, home, dir) = (generated(5), Home::new(), tempfile::tempdir());
    let dir = dir.expect("a directory");
    let theirs = dir.path().join("cas/ab").join("ab".repeat(32));
    fs::create_dir_all(theirs.parent().expect("a directory")).expect("made");
    fs::write(&theirs, "built by another").expect("written");
    let option = format!("--disk-cache={}", dir.path().display());
    let link = || {
        let link = Link::new(&program).option(&option);
        link.option("--disk-cache-max-size=4K").run_at(&home)
    };
    link().expect_works().assert_none_cached();
    let again = link().expect_works();
    again.assert_all_cached();
    assert_eq!(warnings(&again), 0, "{}", again.stderr);
    trim(dir.path(), 0).expect_err("not a cache of its own");
    assert!(theirs.exists());
    let tag = dir.path().join("CACHEDIR.TAG");
    assert!(!tag.exists());
}

#[test]
fn constant_trimming_to_nothing_harms_no_link() {
    let program = generated(12);
    let home = filled(&program);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                trim(&root(&home), 0).expect("trimmed");
            }
        });
        for _ in 0..3 {
            let link = Link::new(&program).keep_objects();
            let outcome = link.run_at(&home).expect_works();
            outcome.assert_identical_objects();
            assert_eq!(warnings(&outcome), 0, "{}", outcome.stderr);
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// Every module as a plain object, from another directory, by absolute names, and from a whole
/// archive.
fn is_found_in_every_form(program: &Program) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = program.with_main_last(dir.path());
    let home = filled(&program);
    for form in [Form::Objects, Form::Absolute] {
        let outcome = Link::new(&program).form(form).run_at(&home);
        outcome.expect_works().assert_all_cached();
    }
    let program = with_whole_archive(&program);
    let link = Link::new(&program).keep_objects();
    archive(&link, "rcs", "all.a");
    let outcome = link.run_at(&home).expect_works();
    outcome.assert_all_cached();
    outcome.assert_identical_objects();
}

#[test]
fn a_c_library_is_found_in_every_form() {
    is_found_in_every_form(&zstd());
}

#[test]
fn a_large_cxx_program_is_found_in_every_form() {
    if runs_long() {
        is_found_in_every_form(&cxx());
    }
}
