//! Linux 7.2, whole, its backends run by its own `make` through `relto cc`.

use std::process::Command;

use fs_err as fs;

use crate::support::kernel_tree::{BuiltKernel, INCLUDES_A_FILE, MODULES, Tree, digest};
use crate::support::link::Home;
use crate::support::llvm::run;

const EVERYTHING: [&str; 2] = ["vmlinux", "modules"];

/// All but the one that includes a file were found.
fn assert_found(made: &BuiltKernel, jobs: usize, when: &str) {
    let counts = made.counts;
    let found = (counts.jobs, counts.cached, counts.in_place);
    let lines = made.stderr.lines();
    let compiled: Vec<_> = lines.filter(|line| line.ends_with("`: local")).collect();
    assert_eq!(found, (jobs, jobs - 1, 1), "{when}: {compiled:#?}");
}

/// `kernel/configs.c` reads the configuration by assembly, so it must come from no cache.
fn assert_configuration_inside(tree: &Tree) {
    let mut extract = Command::new(tree.source("scripts/extract-ikconfig"));
    let inside = run(extract.arg(tree.path("vmlinux")));
    let configuration = fs::read_to_string(tree.path(".config")).expect("a configuration");
    assert!(inside == configuration, "another configuration is inside");
}

fn assert_same_kernel(tree: &Tree) {
    tree.assert_same_objects();
    tree.assert_same(&["vmlinux"]);
    tree.assert_same(&MODULES);
}

#[test]
fn linux_has_clangs_own_objects_and_compiles_each_backend_once() {
    let Some(tree) = Tree::copy() else { return };
    let home = Home::new();
    tree.forget_natives();
    let made = BuiltKernel::by(&mut tree.relto(&home, &EVERYTHING));
    let jobs = made.counts.jobs;
    assert!(jobs > 500, "{:?}", made.counts);
    assert_eq!(made.counts.local, jobs - 1, "{:?}", made.counts);
    assert_eq!(made.counts.in_place, 1, "{:?}", made.counts);
    // The kernel's tools are made anew in a new directory, and then what they have seen: objects of
    // modules.
    assert!(made.front_ends < 50, "the copy had all others: {made:?}");
    assert_eq!(tree.natives().len(), jobs);
    assert_same_kernel(&tree);
    assert_configuration_inside(&tree);

    // As after `touch`: the sources are not ours to touch.
    fs::remove_file(tree.path("kernel/fork.o")).expect("removed");
    let made = BuiltKernel::by(&mut tree.relto(&home, &EVERYTHING));
    assert_eq!(made.front_ends, 1);
    assert_found(&made, jobs, "after a touch");
    assert_same_kernel(&tree);

    let edit = tree.beside("edit.h");
    fs::write(
        &edit,
        "int relto_test(int x);\nint relto_test(int x) { return x * 7; }\n",
    )
    .expect("written");
    let flag = format!("CFLAGS_fork.o=-include {}", edit.display());
    let edited = || BuiltKernel::by(&mut tree.relto(&home, &["vmlinux", "modules", &flag]));
    let counts = edited().counts;
    assert_eq!((counts.jobs, counts.in_place), (jobs, 1), "{counts:?}");
    assert!((1..jobs / 10).contains(&counts.local), "{counts:?}");
    show(&format!("a function more in kernel/fork.c: {counts:?}"));

    // Only what is included by assembly changes, and no index or module says so.
    tree.reconfigure(&["--set-str", "DEFAULT_HOSTNAME", "somebody"]);
    let made = BuiltKernel::by(&mut tree.relto(&home, &["vmlinux"]));
    assert!(made.counts.in_place == 1, "{:?}", made.counts);
    assert_configuration_inside(&tree);
    assert!(
        digest(&tree.path(INCLUDES_A_FILE)) != digest(&tree.original(INCLUDES_A_FILE)),
        "another configuration makes another object"
    );
}

/// From the first front end on: `relto cc` is in the way of every compiler that a kernel's build
/// starts.
#[test]
fn linux_built_in_another_directory_finds_what_this_one_compiled() {
    let Some(tree) = Tree::copy() else { return };
    let home = Home::new();
    tree.forget_natives();
    let jobs = BuiltKernel::by(&mut tree.backends(&home)).counts.jobs;
    drop(tree);
    let Some(tree) = Tree::configured() else {
        return;
    };
    let made = BuiltKernel::by(&mut tree.relto(&home, &EVERYTHING));
    assert!(made.front_ends >= jobs, "{made:?}");
    assert_found(&made, jobs, "in another directory");
    assert_same_kernel(&tree);
}

/// A figure for readers of the test's output.
#[expect(clippy::print_stderr, reason = "figures are what a long run is for")]
fn show(text: &str) {
    eprintln!("{text}");
}
