//! Modules that are uploaded before the link: by hand with `relto prefetch`, and by `relto cc` when
//! they are compiled.

mod build;
mod compiles;
mod unnoticed;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;
use relto::internals::digest::{Digest, DigestFunction};

use crate::support::farm::{Effect, Farm, Fault, Method, Profile};
use crate::support::link::{Home, Link};
use crate::support::llvm::Llvm;
use crate::support::program::{Feature, feature, generated};
use crate::support::remote::{assert_all_remote, here, strict};

/// Shards, directories, Commands and Actions of a few jobs.
const LITTLE: u64 = 64 << 10;

/// `relto prefetch` in `dir`, with the farm that `environment` names.
fn prefetch(
    dir: &Path,
    home: &Home,
    environment: &[(&'static str, String)],
    words: &[&str],
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    command
        .current_dir(dir)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .arg("prefetch")
        .args(words);
    command.output().expect("relto starts")
}

/// Exit code, stdout, stderr.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn modules(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let objects = paths.filter(|path| path.extension().is_some_and(|ending| ending == "o"));
    let name = |path: PathBuf| {
        path.file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    let mut names: Vec<String> = objects.map(name).collect();
    names.sort();
    names
}

fn digests(dir: &Path, names: &[String], function: DigestFunction) -> HashSet<Digest> {
    let digest = |name: &String| function.digest(&fs::read(dir.join(name)).expect("a module"));
    names.iter().map(digest).collect()
}

fn words(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn a_link_sends_no_module_that_was_sent_before(profile: Profile, function: DigestFunction) {
    let farm = Farm::start(profile);
    let environment = farm.environment();
    let (program, home) = (generated(5), here());
    let link = strict(&program, &environment).keep_objects();
    let names = modules(link.dir());
    let count = names.len();
    let mut all = words(&names);
    let compiler = Llvm::get().tool("clang").display().to_string();
    all.extend(["--compiler", &compiler]);
    let output = prefetch(link.dir(), home, &environment, &all);
    let (code, stdout, stderr) = told(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let beginning = format!("{count} modules, {count} sent (");
    assert!(stdout.starts_with(&beginning), "{stdout}");
    let record = farm.record();
    record.assert_no_violations();
    record.assert_nothing_twice();
    let sent: HashSet<Digest> = farm.digests().into_iter().collect();
    let modules = digests(link.dir(), &names, function);
    assert!(modules.is_subset(&sent), "not all modules are there");
    farm.forget_record();

    let linked = link.run_at(home).expect_works();
    assert_all_remote(linked.counts());
    linked.assert_identical_objects();
    let record = farm.record();
    let late: Vec<_> = record.uploads.keys().collect();
    assert!(late.iter().all(|digest| !modules.contains(digest)));
    assert!(record.uploaded_bytes() < LITTLE, "{late:?}");
}

#[test]
fn a_link_uploads_neither_modules_nor_compiler_that_were_prefetched() {
    a_link_sends_no_module_that_was_sent_before(Profile::plain(), DigestFunction::Sha256);
}

#[test]
fn a_farm_with_a_digest_function_of_its_own_gets_modules_by_that() {
    let profile = Profile {
        digest_functions: vec![DigestFunction::Blake3],
        ..Profile::plain()
    };
    a_link_sends_no_module_that_was_sent_before(profile, DigestFunction::Blake3);
}

#[test]
fn blobs_that_the_farm_has_are_not_uploaded_again() {
    let farm = Farm::start(Profile::buildbarn());
    let (environment, home) = (farm.environment(), Home::new());
    let program = generated(5);
    let link = Link::new(&program);
    let names = modules(link.dir());
    prefetch(link.dir(), &home, &environment, &words(&names));
    farm.forget_record();
    let output = prefetch(link.dir(), &home, &environment, &words(&names));
    let (code, stdout, stderr) = told(&output);
    let count = names.len();
    assert_eq!(
        (code, stdout, stderr),
        (
            Some(0),
            format!("{count} modules, {count} there already\n"),
            String::new()
        )
    );
    let record = farm.record();
    assert_eq!(record.uploaded_bytes(), 0);
    record.assert_nothing_twice();
}

#[test]
fn without_a_farm_the_digests_are_remembered_and_the_output_says_so() {
    let (program, home) = (generated(5), Home::new());
    let link = Link::new(&program);
    let names = modules(link.dir());
    let output = prefetch(link.dir(), &home, &[], &words(&names));
    let (code, stdout, stderr) = told(&output);
    let count = names.len();
    let expected = format!("{count} modules hashed; there is no farm to send to\n");
    assert_eq!((code, stdout, stderr), (Some(0), expected, String::new()));
    let state = rusqlite::Connection::open(home.cache().join("relto/state.db")).expect("opened");
    let known: isize = state
        .query_row(
            "SELECT count(*) FROM files WHERE note IS NOT NULL",
            [],
            |row| row.get(0),
        )
        .expect("a table");
    assert_eq!(known.cast_unsigned(), count, "a link finds all of them");
}

#[test]
fn a_file_that_is_not_a_thinlto_module_is_reported_and_skipped() {
    let farm = Farm::start(Profile::plain());
    let home = Home::new();
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("a.c");
    fs::write(&source, "int f(void) { return 1; }\n").expect("written");
    for (flag, object) in [
        ("-flto=thin", "thin.o"),
        ("-flto=full", "full.o"),
        ("-O1", "native.o"),
    ] {
        let mut clang = Llvm::get().command("clang");
        clang.current_dir(dir.path());
        crate::support::llvm::run(clang.args([flag, "-c", "a.c", "-o", object]));
    }
    fs::write(dir.path().join("empty.o"), "").expect("written");
    let thin = fs::read(dir.path().join("thin.o")).expect("a module");
    fs::write(dir.path().join("cut.o"), &thin[..thin.len() / 2]).expect("written");
    let words = ["thin.o", "full.o", "native.o", "empty.o", "a.c", "cut.o"];
    let output = prefetch(dir.path(), &home, &farm.environment(), &words);
    let (code, stdout, stderr) = told(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for line in [
        "skipped `full.o`: bitcode for a link without ThinLTO\n",
        "skipped `native.o`: not LLVM bitcode: it is an ELF object\n",
        "skipped `empty.o`: not LLVM bitcode: the file is empty\n",
        "skipped `a.c`: not LLVM bitcode: it looks like text\n",
        "skipped `cut.o`: ",
        "1 module, 1 sent (",
        ", 5 skipped\n",
    ] {
        assert!(stdout.contains(line), "no {line:?} in\n{stdout}");
    }
    assert_eq!(farm.record().uploads.len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_the_others_are_sent() {
    let farm = Farm::start(Profile::plain());
    let home = Home::new();
    let program = feature(Feature::Plain);
    let link = Link::new(&program);
    let words = ["main.o", "missing.o", "."];
    let output = prefetch(link.dir(), &home, &farm.environment(), &words);
    let (code, stdout, stderr) = told(&output);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    for part in [
        "relto: error: cannot prepare `missing.o`\n",
        "relto: error: cannot prepare `.`\n",
        "`.` is not a regular file",
    ] {
        assert!(stderr.contains(part), "no {part:?} in\n{stderr}");
    }
    assert!(stdout.contains("1 sent (") && stdout.contains("2 failed"));
    assert_eq!(farm.record().uploads.len(), 1);
}

#[test]
fn a_farm_that_cannot_be_used_is_an_error_with_a_way_out() {
    let program = feature(Feature::Plain);
    let link = Link::new(&program);
    let home = Home::new();
    let nobody = link.dir().join("nobody");
    let environment = [(
        "RELTO_REMOTE_EXECUTOR",
        format!("unix:{}", nobody.display()),
    )];
    let output = prefetch(link.dir(), &home, &environment, &["main.o"]);
    let (code, _, stderr) = told(&output);
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with("relto: error: the farm cannot be used\n"),
        "{stderr}"
    );
    assert!(stderr.contains("caused by: "), "{stderr}");

    let farm = Farm::start(Profile::plain());
    for method in [Method::BatchUpdateBlobs, Method::Write] {
        farm.fault(Fault::at(
            method,
            Effect::fail(tonic::Code::PermissionDenied, "no"),
        ));
    }
    let output = prefetch(link.dir(), &home, &farm.environment(), &["main.o"]);
    let (code, _, stderr) = told(&output);
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with("relto: error: cannot send `main.o` to the farm\n"),
        "{stderr}"
    );
}
