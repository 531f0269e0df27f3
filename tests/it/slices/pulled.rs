//! Slice keys of what a farm made and this machine fetched, and to which projects it belongs.
//!
//! A farm that the user named or allowed counts as the user's own in all projects, under slice keys
//! as under whole ones. No other farm is asked. `cache_salt` parts projects.

use fs_err as fs;

use crate::support::farm::{Farm, Method, Profile};
use crate::support::link::{Home, Link};
use crate::support::outcome::LinkOutcome;
use crate::support::program::Program;
use crate::support::remote;
use crate::support::saved::{files_below, result_in};

use super::links::{base, edited_unseen, link};

/// A link with the farm, at `home`.
fn with_farm(program: &Program, farm: &Farm, home: &Home) -> LinkOutcome {
    let link = remote::with(link(program, "on"), &farm.environment());
    link.run_at(home).expect_works()
}

fn assert_as_in_place(outcome: &LinkOutcome, program: &Program) {
    let reference = Link::reference(program).keep_objects().run();
    assert_eq!(outcome.objects(), reference.objects());
}

/// A farm that has the results of `program`, made for somebody else.
fn farm_with(program: &Program) -> Farm {
    let farm = Farm::start(Profile::buildbarn());
    let made = with_farm(program, &farm, &Home::new());
    assert_eq!(made.counts().remote, 3, "{}", made.stderr);
    farm
}

/// Results under slice keys in the disk cache.
fn records(home: &Home) -> usize {
    let files = files_below(&home.cache().join("relto/ac"));
    let is_record = |file: &&std::path::PathBuf| {
        let mut outputs = result_in(file).output_files.into_iter();
        outputs.any(|it| it.path == "relto/numbers")
    };
    files.iter().filter(is_record).count()
}

#[test]
fn after_a_link_from_the_farm_an_edit_compiles_one_module() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let (farm, home) = (farm_with(&before), Home::new());
    assert_eq!(with_farm(&before, &farm, &home).counts().cached, 3);
    let outcome = with_farm(&after, &farm, &home);
    let counts = outcome.counts();
    assert_eq!((counts.cached, counts.remote), (2, 1), "{}", outcome.stderr);
    assert_as_in_place(&outcome, &after);
}

#[test]
fn what_a_farm_of_the_user_made_belongs_to_all_projects_of_one_salt() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let (farm, home) = (farm_with(&before), Home::new());
    with_farm(&before, &farm, &home);
    let salted = |salt| link(&after, "on").env("RELTO_CACHE_SALT", salt);
    let other = salted("another project").run_at(&home).expect_works();
    assert_eq!(other.counts().cached, 0, "{}", other.stderr);
    let same = link(&after, "on").run_at(&home).expect_works();
    assert_eq!(same.counts().cached, 2, "{}", same.stderr);
    assert_as_in_place(&same, &after);
}

#[test]
fn what_a_farm_has_that_only_a_tree_names_is_not_found_by_slice_keys() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let (farm, home) = (farm_with(&before), Home::new());
    let asked = farm.record().count(Method::GetActionResult);
    let link_of_tree = link(&before, "on");
    let text = format!("remote_executor = \"{}\"\n", farm.address());
    fs::write(link_of_tree.dir().join(".relto.toml"), text).expect("written");
    let outcome = link_of_tree.run_at(&home).expect_works();
    assert!(outcome.stderr.contains("relto allow"), "{}", outcome.stderr);
    assert_eq!(outcome.counts().local, 3, "{}", outcome.stderr);
    assert_eq!(farm.record().count(Method::GetActionResult), asked);
    // What is found after the edit was made here.
    assert_eq!(records(&home), 3);
    let outcome = link(&after, "on").run_at(&home).expect_works();
    assert_eq!(outcome.counts().cached, 2, "{}", outcome.stderr);
    assert_as_in_place(&outcome, &after);
}

#[test]
fn what_the_workers_own_compiler_made_has_no_slice_key() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let (farm, home) = (Farm::start(Profile::buildbarn()), Home::new());
    let of_workers = |program| {
        let link = link(program, "on").env("RELTO_TOOLCHAIN", "worker");
        let link = remote::with(link, &farm.environment());
        link.run_at(&home).expect_works().counts().remote
    };
    assert_eq!(of_workers(&before), 3);
    assert_eq!(records(&home), 0);
    assert_eq!(of_workers(&after), 3);
    let here = link(&after, "on").run_at(&home).expect_works();
    assert_eq!(here.counts().cached, 0, "{}", here.stderr);
}
