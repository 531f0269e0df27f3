//! What slice keys do not lift: the checks of whole inputs, and what counts whole.

use std::process::Command;

use fs_err as fs;

use crate::support::backends::{Backends, add};
use crate::support::link::{Home, Link};
use crate::support::outcome::{Counts, LinkOutcome};
use crate::support::program::Program;

use super::links::{base, described, edited_unseen, link};

/// relto, for the jobs of a link that is over.
fn again(outcome: &LinkOutcome, home: &Home) -> Command {
    let jobs = outcome.dir().join("jobs.json");
    fs::write(jobs, outcome.job_file().to_string()).expect("written");
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut relto);
    relto.current_dir(outcome.dir()).arg("jobs.json");
    relto.env("RELTO_SLICE_KEYS", "on");
    relto
}

#[test]
fn an_import_that_the_shard_does_not_expect_is_refused_though_the_job_cannot_see_the_difference() {
    let home = Home::new();
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let outcome = link(&before, "on").run_at(&home).expect_works();
    let import = outcome.dir().join("shared.o");
    let edited = after.modules.iter().find(|it| it.ends_with("shared.o"));
    fs::copy(edited.expect("a module"), import).expect("copied");
    let output = again(&outcome, &home).output().expect("relto starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`shared.o` is not the module"), "{said}");
}

#[test]
fn with_debug_information_links_find_what_they_find_without_slice_keys() {
    let found = |switch| {
        let (before, _kept) = described(7);
        let (after, _kept) = described(9);
        let home = Home::new();
        [&before, &before, &after, &after].map(|program| {
            let outcome = link(program, switch).run_at(&home).expect_works();
            outcome.assert_identical_objects();
            outcome.counts().cached
        })
    };
    assert_eq!(found("on"), [0, 3, 0, 3]);
    assert_eq!(found("off"), [0, 3, 0, 3]);
}

#[test]
fn backends_that_a_build_launches_use_slice_keys_too() {
    let home = Home::new();
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let compiled = |program: &Program| {
        let backends = Backends::new(program);
        let mut counts = Counts::default();
        for module in &backends.modules {
            let mut relto = backends.relto(&home);
            relto.env("RELTO_SLICE_KEYS", "on");
            let output = relto.args(backends.arguments(module, "native.o")).output();
            let output = output.expect("relto starts");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{stderr}");
            add(&mut counts, &stderr);
        }
        backends.assert_identical_objects();
        (counts.local, counts.cached)
    };
    assert_eq!(compiled(&before), (3, 0));
    assert_eq!(compiled(&after), (1, 2));
    // A link has the same jobs under the same keys.
    let linked = link(&after, "on").run_at(&home).expect_works();
    let reference = Link::reference(&after).keep_objects().run();
    assert_eq!(linked.objects(), reference.objects());
}
