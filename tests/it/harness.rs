//! Tests the harness itself: links through the reference distributor, which is right by
//! construction.
//!
//! A failure elsewhere points at relto; a failure here points at the harness or the LLVM.

use crate::support::link::{Form, Link};
use crate::support::outcome::Counts;
use crate::support::program::{Feature, Program, cxx, dense, feature, generated, sqlite, zstd};

fn links(program: &Program) -> Counts {
    Link::reference(program).run().expect_works().counts()
}

#[test]
fn every_form_links_and_works() {
    let program = generated(9);
    for form in Form::all() {
        let counts = Link::reference(&program)
            .form(form)
            .run()
            .expect_works()
            .counts();
        assert_eq!((counts.jobs, counts.local), (10, 10), "{form:?}");
    }
}

#[test]
fn generated_programs_have_the_asked_number_of_modules() {
    assert_eq!(links(&generated(12)).jobs, 13);
    assert_eq!(links(&generated(2)).jobs, 3);
}

#[test]
fn a_dense_program_imports_from_everywhere() {
    let outcome = Link::reference(&dense(20))
        .keep_objects()
        .run()
        .expect_works();
    let link = outcome.job_file();
    let inputs = link["jobs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|job| job["inputs"].as_array().map_or(0, Vec::len));
    assert!(inputs.max() > Some(20), "{link}");
}

#[test]
fn every_feature_links_works_and_repeats_its_objects() {
    for kind in Feature::all() {
        let outcome = Link::reference(&feature(kind))
            .keep_objects()
            .run()
            .expect_works();
        assert!(outcome.counts().jobs > 0, "{kind:?}");
        outcome.assert_identical_objects();
    }
}

#[test]
fn the_warning_program_warns() {
    let outcome = Link::reference(&feature(Feature::Warning))
        .run()
        .expect_works();
    assert!(outcome.stderr.contains("warning:"), "{}", outcome.stderr);
}

#[test]
fn the_real_programs_have_the_modules_that_tests_count_on() {
    assert_eq!(sqlite().modules.len(), 2);
    assert!(zstd().modules.len() > 30);
    assert!(cxx().modules.len() >= 150);
}
