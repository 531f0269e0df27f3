//! Objects whose names cannot be restored: their keys have the hashes of those modules of which the
//! job sees a local value, and of no others.

use tempfile::TempDir;

use crate::support::farm::{Farm, Profile};
use crate::support::link::Home;
use crate::support::llvm::Llvm;
use crate::support::outcome::LinkOutcome;
use crate::support::program::Program;
use crate::support::remote;

use super::farm::{OPTION, by_kind};
use super::links::{compiled, link, linked};

const MAIN: &str = "#include <stdio.h>\nint other(int); int extra(int);\n\
    int main(void) { puts(other(2) && extra(1) ? \"ok\" : \"bad\"); return 0; }\n";
/// Its local function is promoted: others import what calls it.
const SHARED: &str = "static int counter;\n\
    __attribute__((noinline)) static int helper(int x) { return x * counter++ + 3; }\n\
    int api(int x) { NAMED return helper(x) + 1; }\n\
    int unrelated(int y) { return y * NUMBER; }\n";
const OTHER: &str = "int api(int); TEXT int other(int x) { return api(x) * 5; }\n";
/// Has no local value.
const EXTRA: &str = "int extra(int x) { return x * 11 + 1; }\n\
    int unrelated_too(int y) { return y * NUMBER; }\n";

/// Writes the name of the promoted local into the object's data.
const NAMED: &str = "__asm__(\".pushsection .names,\\\"\\\",%%progbits\\n\
    .ascii \\\"%c0\\\"\\n.popsection\" : : \"i\"(helper));";

/// What keeps the names of an object from being restored.
#[derive(Clone, Copy)]
enum Obstacle<'a> {
    /// The name of the promoted local in data.
    Data,
    /// A text like the name of a promoted local.
    Text(&'a str),
    /// A module that is not understood: it has debug information.
    DebugInformation,
}

/// The program with these numbers in functions that nothing imports, of `shared.c` and `extra.c`.
fn program(obstacle: Obstacle<'_>, shared: u32, extra: u32) -> (Program, TempDir) {
    let (named, text) = match obstacle {
        Obstacle::Data => (NAMED, String::new()),
        Obstacle::Text(text) => ("", format!("const char *odd = \"{text}\";")),
        Obstacle::DebugInformation => ("", String::new()),
    };
    let shared = SHARED
        .replace("NAMED", named)
        .replace("NUMBER", &shared.to_string());
    let other = OTHER.replace("TEXT", &text);
    let extra = EXTRA.replace("NUMBER", &extra.to_string());
    let texts = [
        ("main.c", MAIN),
        ("shared.c", &*shared),
        ("other.c", &*other),
        ("extra.c", &*extra),
    ];
    let (program, dir) = compiled(&texts, &|_, name| name.into());
    if matches!(obstacle, Obstacle::DebugInformation) {
        let mut clang = Llvm::get().command("clang");
        clang
            .current_dir(dir.path())
            .args(["-g", "-O2", "-fdebug-compilation-dir=."]);
        clang.args(["-flto=thin", "-c", "other.c", "-o"]);
        clang.arg(&program.modules[2]);
        assert!(clang.status().expect("it starts").success());
    }
    (program, dir)
}

/// After an edit of `extra.c` that nothing sees its own job runs, and after one of `shared.c` the
/// jobs too that see its promoted local.
fn assert_the_hashes_of_what_is_seen_count(obstacle: Obstacle<'_>) {
    let home = Home::new();
    let cached = |shared, extra| {
        let (program, _kept) = program(obstacle, shared, extra);
        linked(&program, &home).counts().cached
    };
    assert_eq!(cached(7, 7), 0);
    assert_eq!(cached(7, 9), 3);
    assert_eq!(cached(9, 9), 1);
    assert_eq!(cached(9, 11), 3);
    assert_eq!(cached(7, 11), 4);
}

#[test]
fn an_object_with_a_hash_in_its_data_is_found_while_that_module_is_the_same() {
    assert_the_hashes_of_what_is_seen_count(Obstacle::Data);
}

#[test]
fn a_job_that_imports_from_a_module_with_debug_information_sees_the_rest_of_the_others() {
    assert_the_hashes_of_what_is_seen_count(Obstacle::DebugInformation);
}

/// The number in the name of the promoted local that the program has.
fn number_of_the_promoted_local(outcome: &LinkOutcome) -> String {
    let name = b"helper.llvm.";
    let objects = outcome.objects();
    let mut names = objects.iter().filter_map(|object| {
        let at = memchr::memmem::find(object, name)? + name.len();
        let digits = object[at..].iter().take_while(|it| it.is_ascii_digit());
        Some(digits.map(|it| char::from(*it)).collect())
    });
    names.next().expect("a promoted local")
}

#[test]
fn names_are_not_restored_where_a_text_looks_like_one_of_them() {
    let home = Home::new();
    let (plain, _kept) = program(Obstacle::Text("helper.llvm.12345678901"), 7, 7);
    let number = number_of_the_promoted_local(&linked(&plain, &home));
    let text = format!("helper.llvm.{number}");
    let cached = |shared, extra| {
        let (program, _kept) = program(Obstacle::Text(&text), shared, extra);
        linked(&program, &home).counts().cached
    };
    // `shared.o` and `extra.o` are those of before.
    assert_eq!(cached(7, 7), 2);
    assert_eq!(cached(7, 9), 3);
    // Now the text looks like nothing of the job, and names are restored: those of `main.o`, which
    // does not see the text, in what the first link made.
    assert_eq!(cached(9, 9), 2);
    assert_eq!(cached(11, 9), 3);
}

#[test]
fn a_farm_holds_nothing_but_objects_whose_names_can_be_restored() {
    let farm = Farm::start(Profile::buildbarn());
    let (program, _kept) = program(Obstacle::DebugInformation, 7, 7);
    let link = link(&program, "on").env(OPTION, "on");
    let outcome = remote::with(link, &farm.environment()).run_at(&Home::new());
    assert_eq!(outcome.expect_works().counts().remote, 4);
    let (records, whole) = by_kind(&farm);
    assert_eq!((records.len(), whole.len()), (2, 4));
    farm.record().assert_no_violations();
}
