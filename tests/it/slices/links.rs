//! Links with `slice_keys`: after an edit only what changes is compiled, and every object is the
//! one that the compiler writes in place.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use prost::Message as _;
use relto::internals::pb::reapi::ActionResult;
use tempfile::TempDir;

use crate::support::link::{Home, Link};
use crate::support::llvm::{Llvm, run};
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Program, of_texts};
use crate::support::saved::{files_below, result_in};

/// A module whose local function every other module imports a use of.
const SHARED: &str = "static int counter;\n\
    __attribute__((noinline)) static int helper(int x) { return x * counter++ + 3; }\n\
    int api(int x) { return helper(x) + 1; }\n\
    int unrelated(int y) { return y * NUMBER; }\n";
const OTHER: &str = "int api(int); int other(int x) { return api(x) * 5; }\n";
const MAIN: &str = "#include <stdio.h>\nint api(int); int other(int);\n\
    int main(void) { puts(api(1) && other(2) ? \"ok\" : \"bad\"); return 0; }\n";

/// The program with this `shared.c`, and the directory that goes with it. The compiler is given
/// names without directories: they stand in the modules.
fn program(shared: &str) -> (Program, TempDir) {
    program_by(shared, &|_, name| name.into())
}

/// A checkout in a directory of its own, of which the modules hold the whole path.
fn checkout() -> (Program, TempDir) {
    program_by(&SHARED.replace("NUMBER", "7"), &|dir, name| dir.join(name))
}

fn program_by(shared: &str, spelled: &dyn Fn(&Path, &str) -> PathBuf) -> (Program, TempDir) {
    let texts = [("main.c", MAIN), ("shared.c", shared), ("other.c", OTHER)];
    compiled(&texts, spelled)
}

pub(super) fn compiled(
    texts: &[(&str, &str)],
    spelled: &dyn Fn(&Path, &str) -> PathBuf,
) -> (Program, TempDir) {
    compiled_with(&[], texts, spelled)
}

fn compiled_with(
    flags: &[&str],
    texts: &[(&str, &str)],
    spelled: &dyn Fn(&Path, &str) -> PathBuf,
) -> (Program, TempDir) {
    let mut program = of_texts("slices", texts, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    for (module, (name, text)) in program.modules.iter_mut().zip(texts) {
        fs::write(dir.path().join(name), text).expect("written");
        let object = module.file_name().expect("a name").to_owned();
        let mut clang = Llvm::get().command("clang");
        clang.current_dir(dir.path());
        clang.args(flags);
        clang.args(["-O2", "-flto=thin", "-c", "-o"]);
        clang.arg(&object).arg(spelled(dir.path(), name));
        assert!(clang.status().expect("it starts").success());
        *module = dir.path().join(object);
    }
    (program, dir)
}

pub(super) fn base() -> (Program, TempDir) {
    with_number(7)
}

/// The program with another number in a function that nothing imports.
pub(super) fn with_number(number: u32) -> (Program, TempDir) {
    program(&SHARED.replace("NUMBER", &number.to_string()))
}

/// The program with debug information.
pub(super) fn described(number: u32) -> (Program, TempDir) {
    let shared = SHARED.replace("NUMBER", &number.to_string());
    let texts = [("main.c", MAIN), ("shared.c", &shared), ("other.c", OTHER)];
    compiled_with(&["-g"], &texts, &|_, name| name.into())
}

/// Modules with inline assembly, each after a comment.
fn with_assembly(one: &str, two: &str) -> (Program, TempDir) {
    let function = |comment: &str, name: &str| {
        format!(
            "/*{comment}*/ int three(int);\n\
             int {name}(int x) {{ asm volatile(\"# here\" : \"+r\"(x)); return three(x) + 1; }}\n"
        )
    };
    let (one, two) = (function(one, "one"), function(two, "two"));
    let main = "#include <stdio.h>\nint one(int); int two(int);\n\
        int main(void) { puts(one(1) && two(2) ? \"ok\" : \"bad\"); return 0; }\n";
    let three = "int three(int x) { return x * 3 + 1; }\n";
    let texts = [
        ("main.c", main),
        ("one.c", &one),
        ("two.c", &two),
        ("three.c", three),
    ];
    compiled(&texts, &|_, name| name.into())
}

/// What `relto explain` says of a module in the last link.
fn explained(home: &Home, module: &str) -> String {
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut relto);
    run(relto.args(["explain", "--last", module]))
}

/// An edit of a function that nothing imports.
pub(super) fn edited_unseen() -> (Program, TempDir) {
    with_number(9)
}

/// The link of a program, told whether to use slice keys.
pub(super) fn link<'a>(program: &'a Program, switch: &str) -> Link<'a> {
    Link::new(program)
        .env("RELTO_SLICE_KEYS", switch)
        .keep_objects()
}

/// Links, and compares each object with the one that the compiler writes in place.
pub(super) fn linked(program: &Program, home: &Home) -> LinkOutcome {
    let outcome = link(program, "on").run_at(home).expect_works();
    let reference = Link::reference(program).keep_objects().run();
    assert_eq!(outcome.objects(), reference.objects());
    outcome
}

#[test]
fn an_edit_that_importers_cannot_see_compiles_one_module() {
    let home = Home::new();
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    link(&before, "on").run_at(&home).expect_works();
    let sliced = link(&after, "on").run_at(&home).expect_works();
    assert_eq!(sliced.counts().cached, 2, "{}", sliced.stderr);
    // The promoted local of `shared.c` has another hash in its name now.
    let reference = Link::reference(&after).keep_objects().run();
    assert_eq!(sliced.objects(), reference.objects());
    // What was found by a slice key is remembered under the whole one.
    let again = link(&after, "off").run_at(&home).expect_works();
    assert_eq!(again.counts().cached, 3, "{}", again.stderr);
}

/// Messages may name what the key does not cover.
#[test]
fn a_job_with_messages_is_not_found_by_its_slice_key() {
    let home = Home::new();
    let warns = "int api(int);\n\
        __attribute__((noinline)) int other(int x) {\n\
          asm volatile(\".warning \\\"take care\\\"\"); return api(x) * 5; }\n";
    let linked = |number: &str| {
        let shared = SHARED.replace("NUMBER", number);
        let texts = [("main.c", MAIN), ("shared.c", &shared), ("other.c", warns)];
        let (program, _kept) = compiled(&texts, &|_, name| name.into());
        let outcome = link(&program, "on").run_at(&home).expect_works();
        assert!(outcome.stderr.contains("take care"), "{}", outcome.stderr);
        outcome.counts().cached
    };
    assert_eq!(linked("7"), 0);
    // That of `main.c` is found by its slice key, that of `other.c` is not.
    assert_eq!(linked("9"), 1);
    assert_eq!(linked("9"), 3);
}

#[test]
fn a_second_checkout_elsewhere_compiles_nothing() {
    let home = Home::new();
    let ((one, _kept), (other, _too)) = (checkout(), checkout());
    link(&one, "on").run_at(&home).expect_works();
    let outcome = link(&other, "on").run_at(&home).expect_works();
    assert_eq!(outcome.counts().cached, 3, "{}", outcome.stderr);
    let reference = Link::reference(&other).keep_objects().run();
    assert_eq!(outcome.objects(), reference.objects());
    // The objects do differ: in the names of promoted locals.
    let first = Link::reference(&one).keep_objects().run();
    assert_ne!(first.objects(), reference.objects());
}

#[test]
fn inline_assembly_that_moves_compiles_only_what_has_other_assembly_in_one_place() {
    let home = Home::new();
    let linked = |one: &str, two: &str| {
        let (program, _kept) = with_assembly(one, two);
        let outcome = link(&program, "on").run_at(&home).expect_works();
        let reference = Link::reference(&program).keep_objects().run();
        assert_eq!(outcome.objects(), reference.objects(), "`{one}`, `{two}`");
        outcome.counts().cached
    };
    // The assembly of both modules has one location.
    assert_eq!(linked("", ""), 0);
    // Not any more, which the job of `main.c` sees: it imports both.
    assert_eq!(linked("", "longer"), 3);
    let told = explained(&home, "main.o");
    assert!(told.contains("or inline assembly"), "{told}");
    // It has again.
    assert_eq!(linked("longer", "longer"), 4);
    assert_eq!(linked("longer still", "longer"), 4);
}

/// `relto explain` of the job file of a link.
pub(super) fn explain_jobs(outcome: &LinkOutcome, home: &Home) -> Command {
    let jobs = outcome.dir().join("jobs.json");
    fs::write(jobs, outcome.job_file().to_string()).expect("written");
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut relto);
    relto
        .current_dir(outcome.dir())
        .env("RELTO_SLICE_KEYS", "on")
        .args(["explain", "jobs.json"]);
    relto
}

/// What it says, compared with what it said of another link.
fn explained_jobs(outcome: &LinkOutcome, home: &Home, earlier: &[&str]) -> String {
    run(explain_jobs(outcome, home).args(earlier))
}

#[test]
fn explain_says_of_a_job_file_what_would_be_found_by_slice_keys() {
    let home = Home::new();
    let ((before, _kept), (unseen, _too)) = (base(), edited_unseen());
    let text = SHARED.replace("NUMBER", "9").replace("+ 1", "+ 2");
    let (seen, _more) = program(&text);
    link(&before, "on").run_at(&home).expect_works();
    let linked = |program| {
        let other_home = Home::new();
        let link = link(program, "off").keep_objects();
        link.run_at(&other_home).expect_works()
    };
    let assert_told = |told: &str, parts: &[(&str, usize)]| {
        for (part, count) in parts {
            assert_eq!(told.matches(part).count(), *count, "`{part}` in:\n{told}");
        }
    };
    let unseen = linked(&unseen);
    let told = explained_jobs(&unseen, &home, &[]);
    let expected = [
        (": the disk cache has the object under this key\n", 2),
        (": the disk cache has nothing under it, nor under", 1),
        ("    it is the one that was looked up last\n", 2),
        ("    changed: the module itself\n", 1),
        (" 1 imports as the job sees them, 0 whole\n", 1),
        (" 2 imports as the job sees them, 0 whole\n", 1),
    ];
    assert_told(&told, &expected);
    // It leaves no trace.
    assert_eq!(explained_jobs(&unseen, &home, &[]), told);
    // Its text is taken for what it says of whole keys.
    fs::write(unseen.dir().join("before"), &told).expect("written");
    let same = explained_jobs(&unseen, &home, &["before"]);
    assert_eq!(same, "3 of 3 jobs have the same key in both links\n");
    let told = explained_jobs(&linked(&seen), &home, &[]);
    let expected = [
        (": the disk cache has nothing under it, nor under", 3),
        ("    changed: what the job sees of shared.o\n", 2),
    ];
    assert_told(&told, &expected);
    let told = explained_jobs(&linked(&before), &home, &[]);
    assert_told(
        &told,
        &[(": not asked for, the disk cache has the object", 3)],
    );
    let (described, _last) = described(7);
    let told = explained_jobs(&linked(&described), &home, &[]);
    let part = "  slice key none: `main.o` cannot be sliced: it has debug information\n";
    assert!(told.contains(part), "{told}");
}

#[test]
fn explain_shows_slice_keys_and_what_changed_them() {
    let home = Home::new();
    let ((before, _kept), (unseen, _too)) = (base(), edited_unseen());
    let text = SHARED.replace("NUMBER", "9").replace("+ 1", "+ 2");
    let (seen, _more) = program(&text);
    let assert_told = |module: &str, parts: &[&str]| {
        let told = explained(&home, module);
        for part in parts {
            assert!(told.contains(part), "no `{part}` in:\n{told}");
        }
    };
    // The job's own names: those of the modules in the link's directory.
    link(&before, "on").run_at(&home).expect_works();
    assert_told(
        "other.o",
        &[
            "  slice key ",
            "nothing was found by it",
            " 1 imports as the job sees them, 0 whole",
            "no earlier slice key of the job is known",
        ],
    );
    link(&unseen, "on").run_at(&home).expect_works();
    assert_told(
        "other.o",
        &[
            "its object was found by this key",
            "it is that of the link before",
        ],
    );
    // It imports nothing.
    assert_told("shared.o", &["the module itself"]);
    link(&seen, "on").run_at(&home).expect_works();
    assert_told(
        "other.o",
        &[
            "nothing was found by it",
            "changed: what the job sees of ",
            "shared.o",
        ],
    );
}

/// Swaps the objects that stand under the slice keys of two jobs.
fn swap_objects(home: &Home) {
    let mut found = Vec::new();
    for path in files_below(&home.cache().join("relto/ac")) {
        let result = result_in(&path);
        let mut outputs = result.output_files.iter();
        if outputs.any(|it| it.path == "relto/numbers") {
            found.push((path, result));
        }
    }
    let object = |result: &ActionResult| {
        let mut files = result.output_files.iter();
        files
            .position(|it| it.path == "relto/out.o")
            .expect("an object")
    };
    // Both import from the same module.
    let numbers = |result: &ActionResult| result.output_files[1 - object(result)].clone();
    found.sort_by_key(|(_, result)| numbers(result).digest.map(|it| it.size_bytes));
    let [.., (one_path, one), (other_path, other)] = &mut found[..] else {
        panic!("fewer than two results");
    };
    let (at_one, at_other) = (object(one), object(other));
    std::mem::swap(
        &mut one.output_files[at_one],
        &mut other.output_files[at_other],
    );
    fs::write(one_path, one.encode_to_vec()).expect("written");
    fs::write(other_path, other.encode_to_vec()).expect("written");
}

#[test]
fn a_wrong_object_under_a_slice_key_is_found_and_replaced() {
    let home = Home::new();
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    link(&before, "on").run_at(&home).expect_works();
    swap_objects(&home);
    let verifying = |program| link(program, "on").env("RELTO_VERIFY", "100");
    let outcome = verifying(&after).run_at(&home).expect_works();
    let said = &outcome.stderr;
    assert_eq!(said.matches("` is wrong: ").count(), 2, "{said}");
    assert!(
        said.contains("from the disk cache, by its slice key (`"),
        "{said}"
    );
    let reference = Link::reference(&after).keep_objects().run();
    assert_eq!(outcome.objects(), reference.objects());
    let again = verifying(&after).run_at(&home).expect_works();
    assert!(again.stderr.contains(", 3 verified"), "{}", again.stderr);
}

#[test]
fn an_edit_that_importers_see_compiles_them() {
    let home = Home::new();
    let text = SHARED.replace("NUMBER", "7").replace("+ 3", "+ 4");
    let ((before, _kept), (after, _too)) = (base(), program(&text));
    link(&before, "on").run_at(&home).expect_works();
    let outcome = link(&after, "on").run_at(&home).expect_works();
    let reference = Link::reference(&after).keep_objects().run();
    assert_eq!(outcome.objects(), reference.objects());
}

#[test]
fn without_the_option_an_edit_compiles_every_importer() {
    let home = Home::new();
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    link(&before, "off").run_at(&home).expect_works();
    let outcome = link(&after, "off").run_at(&home).expect_works();
    assert_eq!(outcome.counts().cached, 0, "{}", outcome.stderr);
}
