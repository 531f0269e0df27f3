//! What a second link finds in the cache: everything, as long as the bitcode is the same, whatever
//! links it and where.
//!
//! Each test fills a cache with one link and makes another one that differs in something that must
//! not matter. What must matter is in `misses`.

use std::process::Command;

use fs_err as fs;

use crate::support::link::{Form, Home, Link};
use crate::support::llvm::{Llvm, run};
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Feature, Program, feature, generated};
use crate::support::repeat::{NOBODY, archive, behind, filled, give_to_nobody, through};
use crate::support::skip::skip;

/// Runs `link`, which keeps its objects: all come from the cache and are what clang writes in
/// place.
fn hits(link: Link<'_>, home: &Home) -> LinkOutcome {
    let outcome = link.keep_objects().run_at(home).expect_works();
    outcome.assert_all_cached();
    outcome.assert_identical_objects();
    outcome
}

#[test]
fn the_same_link_again_hits() {
    let (program, home) = (generated(20), Home::new());
    let link = Link::new(&program).keep_objects();
    let first = link.command(&home).output().expect("the linker starts");
    let again = link.command(&home).output().expect("the linker starts");
    assert!(first.status.success(), "{first:?}");
    let outcome = link.outcome(&again).expect_works();
    outcome.assert_all_cached();
}

#[test]
fn another_output_name_hits() {
    let program = generated(12);
    let home = filled(&program);
    let outcome = Link::new(&program)
        .argument("-osub.directory-of-any-name")
        .run_at(&home);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome.assert_all_cached();
    program.check(&outcome.dir().join("sub.directory-of-any-name"));
}

#[test]
fn another_directory_and_absolute_names_hit() {
    let program = generated(20);
    let home = filled(&program);
    hits(Link::new(&program), &home);
    hits(Link::new(&program).form(Form::Absolute), &home);
}

#[test]
fn a_tree_of_directories_moved_elsewhere_hits() {
    let program = generated(12);
    let home = Home::new();
    let words = ["deep/liball.a", "-Wl,--undefined=main"];
    for first in [true, false] {
        let moved = behind(&program, &words);
        let link = Link::new(&moved).keep_objects();
        archive(&link, "rcs", "deep/liball.a");
        let outcome = link.run_at(&home).expect_works();
        if first {
            outcome.assert_none_cached();
        } else {
            outcome.assert_all_cached();
        }
        outcome.assert_identical_objects();
    }
}

#[test]
fn sources_compiled_and_linked_in_one_command_hit_the_second_time() {
    let mut program = generated(5);
    for module in &mut program.modules {
        module.set_extension("c");
    }
    let home = Home::new();
    Link::new(&program)
        .run_at(&home)
        .expect_works()
        .assert_none_cached();
    Link::new(&program)
        .run_at(&home)
        .expect_works()
        .assert_all_cached();
}

#[test]
fn members_of_an_archive_hit_results_of_plain_objects() {
    let program = generated(20);
    let home = filled(&program);
    for form in Form::all() {
        hits(Link::new(&program).form(form), &home);
    }
}

#[test]
fn archives_of_other_names_in_other_directories_hit() {
    if Llvm::get().major() < 22 {
        return skip("LLVM 21 cannot distribute members of archives");
    }
    let program = generated(12);
    let home = filled(&program);
    for name in ["libz.a", "liba.a", "lib/sub/liball.a"] {
        let program = behind(&program, &[name]);
        let link = Link::new(&program);
        archive(&link, "rcs", name);
        hits(link, &home);
    }
}

#[test]
fn plain_objects_hit_results_of_members_of_an_archive() {
    if Llvm::get().major() < 22 {
        return skip("LLVM 21 cannot distribute members of archives");
    }
    let program = generated(12);
    let home = Home::new();
    let first = Link::new(&program).form(Form::Archive).run_at(&home);
    first.expect_works().assert_none_cached();
    hits(Link::new(&program), &home);
    hits(Link::new(&program).form(Form::Archive), &home);
}

#[test]
fn objects_that_hold_machine_code_too_hit() {
    if Llvm::get().major() < 22 {
        return skip("LLVM 21 cannot distribute objects that hold machine code too");
    }
    let program = feature(Feature::FatLto);
    let home = filled(&program);
    hits(Link::new(&program), &home);
    // Named so that its members come after `main.o`, as the plain objects do: the order of names is
    // part of the key.
    let program = behind(&program, &["zoo.a"]);
    let link = Link::new(&program);
    archive(&link, "rcs", "zoo.a");
    hits(link, &home);
}

/// Nothing of it reaches a compiler, whose environment is empty and whose directory is relto's own.
#[test]
fn another_environment_hits() {
    let program = generated(12);
    let home = filled(&program);
    let elsewhere = Home::new();
    let link = Link::new(&program)
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("LANG", "de_DE.UTF-8")
        .env("TZ", "Pacific/Kiritimati")
        .env("TMPDIR", &elsewhere.path().display().to_string())
        .env("USER", "somebody")
        .env("COLUMNS", "20")
        .env("TERM", "xterm-256color")
        .env("FORCE_COLOR", "1")
        .env("LANGUAGE", "de")
        .env("SOURCE_DATE_EPOCH", "1")
        .env("MACOSX_DEPLOYMENT_TARGET", "12.0")
        .env("SDKROOT", "/nowhere");
    hits(link, &home);
}

#[test]
fn another_umask_hits_and_decides_who_may_read_the_objects() {
    use std::os::unix::fs::PermissionsExt as _;

    let program = generated(5);
    let home = filled(&program);
    for (umask, mode) in [("077", 0o600), ("002", 0o664)] {
        let link = Link::new(&program).keep_objects();
        let script = format!("umask {umask} && exec \"$@\"");
        let mut shell = through(&["sh", "-c", &script, "sh"], &link.command(&home));
        let output = shell.output().expect("a shell");
        let outcome = link.outcome(&output).expect_works();
        outcome.assert_all_cached();
        let job_file = outcome.job_file();
        let object = job_file["jobs"][0]["outputs"][0].as_str().expect("a path");
        let found = fs::metadata(outcome.dir().join(object)).expect("an object");
        assert_eq!(found.permissions().mode() & 0o777, mode, "umask {umask}");
    }
}

#[test]
fn a_cache_copied_by_another_user_hits() {
    if !rustix::process::geteuid().is_root() {
        return skip("it becomes another user, which needs root");
    }
    let program = generated(5);
    let home = filled(&program);
    let (theirs, link) = (Home::new(), Link::new(&program));
    run(Command::new("cp")
        .arg("-r")
        .args([home.cache(), theirs.cache()]));
    give_to_nobody(theirs.path());
    give_to_nobody(link.dir());
    let mut other = through(NOBODY, &link.command(&theirs));
    let output = other.output().expect("setpriv");
    link.outcome(&output).expect_works().assert_all_cached();
}

#[test]
fn without_slice_keys_all_modules_that_read_an_edited_one_are_compiled_and_no_others() {
    let program = generated(20);
    let home = filled(&program);
    let link = Link::new(&program)
        .env("RELTO_SLICE_KEYS", "off")
        .keep_objects();
    edit(&program, &link, "m0003");
    let outcome = link.run_at(&home).expect_works();
    outcome.assert_identical_objects();
    let job_file = outcome.job_file();
    let jobs = job_file["jobs"].as_array().expect("a list");
    let reads = |job: &&serde_json::Value| job.to_string().contains("m0003.o");
    let readers = jobs.iter().filter(reads).count();
    let counts = outcome.counts();
    assert!((2..12).contains(&readers), "{job_file}");
    assert_eq!(counts.local, readers, "{}", outcome.stderr);
    assert_eq!(counts.cached, counts.jobs - readers, "{}", outcome.stderr);
}

/// Compiles one module of a generated program anew, with a change that no other module's meaning
/// depends on.
fn edit(program: &Program, link: &Link<'_>, module: &str) {
    let sources = program.modules[0].parent().expect("a directory");
    let source = sources.join(module).with_extension("c");
    let text = fs::read_to_string(&source).expect("a source");
    let changed = text.replace("% 97u", "% 89u");
    assert_ne!(text, changed);
    let edited = link.dir().join(module).with_extension("c");
    fs::write(&edited, changed).expect("written");
    Llvm::get().thin_module(&edited, &edited.with_extension("o"));
}

/// Of a link whose results are larger, a part is compiled each time.
#[test]
fn a_cache_that_is_too_small_for_one_link_is_a_warning() {
    let program = generated(10);
    let told = "relto: warning: the results of this link take ";
    let home = Home::new();
    let link = || Link::new(&program);
    let small = link().env("RELTO_DISK_CACHE_MAX_SIZE", "40K");
    let stderr = small.run_at(&home).expect_works().stderr;
    assert_eq!(stderr.matches(told).count(), 1, "{stderr}");
    assert!(
        stderr.contains("hint: raise `disk_cache_max_size`"),
        "{stderr}"
    );
    for _ in 0..2 {
        let stderr = link().run_at(&home).expect_works().stderr;
        assert!(!stderr.contains(told), "{stderr}");
    }
}
