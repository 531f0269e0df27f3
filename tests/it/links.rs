//! Real links through relto, without a farm: the objects are clang's own, and results are found
//! again.

use crate::support::link::{Form, Home, Link};
use crate::support::program::{Feature, Program, cxx, feature, generated, sqlite, zstd};

/// Links twice, the second time in another directory: every object right, every job of the second
/// link from the cache.
fn twice(program: &Program, form: Form) {
    let home = Home::new();
    for (first, form) in [(true, form), (false, form)] {
        let outcome = Link::new(program)
            .form(form)
            .keep_objects()
            .run_at(&home)
            .expect_works();
        assert_eq!(outcome.stdout, "", "stdout belongs to the linker");
        let counts = outcome.counts();
        let expected = if first { counts.local } else { counts.cached };
        assert_eq!(expected, counts.jobs, "{form:?}: {}", outcome.stderr);
        if first {
            outcome.assert_identical_objects();
        }
    }
}

#[test]
fn every_form_is_right_and_cached() {
    let program = generated(9);
    for form in Form::all() {
        twice(&program, form);
    }
}

#[test]
fn a_c_library_is_right_and_cached() {
    twice(&zstd(), Form::ThinArchive);
}

#[test]
fn a_large_module_is_right_and_cached() {
    twice(&sqlite(), Form::Objects);
}

/// As plain objects: out of an archive some of its members do not start in the order that its own
/// test needs, however it is linked.
#[test]
fn cxx_is_right_and_cached() {
    twice(&cxx(), Form::Objects);
}

#[test]
fn every_feature_is_right_and_cached() {
    // The one whose backend opens a file that no action holds is a matter of its own.
    for kind in Feature::all().filter(|kind| *kind != Feature::Incbin) {
        twice(&feature(kind), Form::Objects);
    }
}

#[test]
fn a_hidden_input_is_compiled_in_place_and_never_cached() {
    let program = feature(Feature::Incbin);
    let home = Home::new();
    for _ in 0..2 {
        let counts = Link::new(&program).run_at(&home).expect_works().counts();
        assert_eq!(counts.in_place, 1, "{counts:?}");
    }
}

#[test]
fn a_warning_is_shown_by_a_link_that_compiles_and_by_a_cached_one() {
    let program = feature(Feature::Warning);
    let home = Home::new();
    for _ in 0..2 {
        let outcome = Link::new(&program).run_at(&home).expect_works();
        assert!(outcome.stderr.contains("warning:"), "{}", outcome.stderr);
    }
}

#[test]
fn another_form_and_directory_find_the_same_entries() {
    let program = generated(20);
    let home = Home::new();
    Link::new(&program).run_at(&home).expect_works();
    for form in Form::all() {
        let counts = Link::new(&program)
            .form(form)
            .run_at(&home)
            .expect_works()
            .counts();
        assert_eq!(counts.cached, counts.jobs, "{form:?}: {counts:?}");
    }
}

#[test]
fn another_optimisation_level_is_another_key() {
    let program = generated(5);
    let home = Home::new();
    Link::new(&program).run_at(&home).expect_works();
    let counts = Link::new(&program)
        .argument("-O1")
        .run_at(&home)
        .expect_works()
        .counts();
    assert_eq!(counts.cached, 0, "{counts:?}");
}

#[test]
fn the_disk_cache_is_in_the_directory_that_the_user_names() {
    let program = generated(5);
    let (home, elsewhere) = (Home::new(), Home::new());
    let option = format!("--disk-cache={}", elsewhere.cache().display());
    Link::new(&program)
        .option(&option)
        .run_at(&home)
        .expect_works();
    let name = elsewhere.cache().display().to_string();
    let counts = Link::new(&program)
        .env("RELTO_DISK_CACHE", &name)
        .run()
        .expect_works()
        .counts();
    assert_eq!(counts.cached, counts.jobs, "{counts:?}");
}
