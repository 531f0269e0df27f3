//! Kinds of links: each has the objects that clang writes in place, works, and is found again as a
//! whole.

use std::path::Path;

use crate::support::link::{Home, Link};
use crate::support::llvm::Llvm;
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Feature, Program, dense, feature, generated, of_texts};
use crate::support::skip::is_long;

/// Links twice with the same state, the second time in another directory.
fn right_and_found_again(program: &Program, arguments: &[&str]) -> LinkOutcome {
    let home = Home::new();
    let link = |program| {
        let link = Link::new(program).keep_objects();
        let link = arguments
            .iter()
            .fold(link, |link, argument| link.argument(argument));
        link.run_at(&home)
    };
    let first = link(program).expect_works();
    let counts = first.counts();
    assert_eq!(counts.local, counts.jobs, "{arguments:?}: {}", first.stderr);
    first.assert_identical_objects();
    let second = link(program).expect_works();
    let counts = second.counts();
    assert_eq!(
        counts.cached, counts.jobs,
        "{arguments:?}: {}",
        second.stderr
    );
    assert!(first.objects() == second.objects(), "{arguments:?}");
    second
}

const NATIVE_C: &str = "#include <stdio.h>\nint main(void) { puts(\"ok\"); return 0; }\n";

fn small() -> Program {
    generated(6)
}

#[test]
fn every_optimisation_level_is_right_and_found_again() {
    for level in ["-O0", "-O1", "-O2", "-O3", "-Os"] {
        right_and_found_again(&small(), &[level]);
    }
}

#[test]
fn programs_at_fixed_places_and_static_ones_are_right_and_found_again() {
    for arguments in [&["-no-pie"][..], &["-static"], &["-static-pie"]] {
        right_and_found_again(&small(), arguments);
    }
}

#[test]
fn shared_libraries_and_relocatable_objects_are_right_and_found_again() {
    let program = Program {
        check: None,
        ..small()
    };
    let shared = right_and_found_again(&program, &["-shared"]);
    assert!(has_symbol(&shared.executable(), "main"));
    let object = right_and_found_again(&program, &["-r", "-nostdlib"]);
    assert!(has_symbol(&object.executable(), "main"));
}

fn has_symbol(file: &Path, symbol: &str) -> bool {
    let bytes = fs_err::read(file).expect("read");
    let name = [b"\0", symbol.as_bytes(), b"\0"].concat();
    bytes.windows(name.len()).any(|part| part == name)
}

#[test]
fn section_and_symbol_options_of_lld_are_right_and_found_again() {
    for arguments in [
        &["-Wl,--gc-sections", "-Wl,--icf=all"][..],
        &["-Wl,--lto-O3", "-Wl,-O2"],
        &["-Wl,--no-lto-whole-program-visibility", "-rdynamic"],
        &["-fsplit-lto-unit"],
        &["-Wl,--thinlto-jobs=1"],
        &["-g", "-Wl,--build-id=sha1"],
        &["-s", "-Wl,-z,now", "-Wl,--hash-style=both"],
    ] {
        right_and_found_again(&small(), arguments);
    }
}

#[test]
fn options_for_the_remote_compiler_take_effect_and_are_part_of_the_key() {
    let home = Home::new();
    let program = small();
    for argument in ["", "-fno-pic", "-mllvm,-inline-threshold=7"] {
        let mut link = Link::new(&program).keep_objects().argument("-no-pie");
        for part in argument.split(',').filter(|part| !part.is_empty()) {
            link = link.argument(&format!("-Wl,--thinlto-remote-compiler-arg={part}"));
        }
        let outcome = link.run_at(&home).expect_works();
        assert_eq!(outcome.counts().cached, 0, "{argument}: {}", outcome.stderr);
        outcome.assert_identical_objects();
    }
}

#[test]
fn special_modules_are_right_and_found_again() {
    for kind in [
        Feature::SplitLtoUnit,
        Feature::WholeProgramVtables,
        Feature::SampleProfile,
        Feature::MixedModes,
        Feature::Debug,
    ] {
        right_and_found_again(&feature(kind), &[]);
    }
}

#[test]
fn another_profile_is_another_key() {
    let home = Home::new();
    let program = feature(Feature::SampleProfile);
    let link = |text: &str| {
        let link = Link::new(&program);
        if !text.is_empty() {
            fs_err::write(link.dir().join("sample.prof"), text).expect("written");
        }
        link.run_at(&home).expect_works().counts()
    };
    link("");
    let cold = link("main:1000:0\n 1: 10\ntwice:90000:9000\n 0: 1\n");
    assert_eq!(cold.cached, 0, "{cold:?}");
    let warm = link("");
    assert_eq!(warm.cached, warm.jobs, "{warm:?}");
}

#[test]
fn a_change_in_one_module_costs_only_the_modules_that_see_it() {
    let home = Home::new();
    let mut program = generated(30);
    Link::new(&program).run_at(&home).expect_works();
    let source = program.modules[7].with_extension("c");
    let text = fs_err::read_to_string(&source).expect("the corpus keeps its sources");
    let name = source.file_name().expect("a name").to_string_lossy();
    let text = format!("{text}\nint more_than_before = 42;\n");
    program.modules[7] = of_texts("changed", &[(&*name, &text)], &[]).modules[0].clone();
    let counts = Link::new(&program).run_at(&home).expect_works().counts();
    assert!((1..=10).contains(&counts.local), "{counts:?}");
    assert_eq!(counts.local + counts.cached, counts.jobs, "{counts:?}");
}

#[test]
fn the_thinlto_cache_of_lld_works_beside_ours() {
    let home = Home::new();
    let program = small();
    let cache = tempfile::tempdir().expect("a temporary directory");
    let option = format!("-Wl,--thinlto-cache-dir={}", cache.path().display());
    let link = || {
        Link::new(&program)
            .argument(&option)
            .run_at(&home)
            .expect_works()
    };
    let first = link();
    assert_eq!(first.counts().local, first.counts().jobs);
    // lld asks only for what its own cache lacks; release 21 does not know its cache here.
    let again = link();
    assert!(!again.stderr.contains(" local"), "{}", again.stderr);
    let entries = fs_err::read_dir(cache.path()).expect("a directory");
    let is_object = |entry: &fs_err::DirEntry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(b"llvmcache-")
    };
    let entries: Vec<_> = entries.flatten().filter(is_object).collect();
    assert_eq!(entries.is_empty(), Llvm::get().major() < 22);
    for entry in entries {
        assert!(
            entry.metadata().expect("found").len() > 0,
            "{}",
            entry.path().display()
        );
    }
}

#[test]
fn hundreds_of_modules_that_all_import_each_other_are_right_and_found_again() {
    let size = if is_long() { 600 } else { 60 };
    let program = dense(size);
    let home = Home::new();
    let first = Link::new(&program).run_at(&home).expect_works();
    let counts = first.counts();
    assert_eq!(
        (counts.jobs, counts.local),
        (size + 1, size + 1),
        "{}",
        first.stderr
    );
    let counts = Link::new(&program).run_at(&home).expect_works().counts();
    assert_eq!(counts.cached, size + 1, "{counts:?}");
}

#[test]
fn a_program_without_modules_to_compile_needs_no_distributor() {
    let program = Program {
        modules: of_texts("native", &[("main.c", NATIVE_C)], &["-fno-lto"]).modules,
        ..feature(Feature::Plain)
    };
    let outcome = Link::new(&program).run().expect_works();
    assert!(!outcome.stderr.contains("relto"), "{}", outcome.stderr);
}
