//! The other releases of LLVM: the themes that depend on lld and clang run once more inside a root
//! directory that has them.
//!
//! `RELTO_TEST_CHROOT` names the root directory of a Debian with `clang-N`, `lld-N` and `llvm-N`
//! for some N, python3 and a C++ library; entering it needs root. relto, this test program and the
//! reference distributor are copied in under the paths that they have here.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::slices::rust::rustc_of;
use crate::support::program::{CXX_SOURCES, cxx_sources};
use crate::support::skip::{is_long, skip};

const ROOT: &str = "RELTO_TEST_CHROOT";
const THEMES: &[&str] = &["contract::", "ends::", "guards::", "matrix::", "names::"];
/// Each of these tests links with all releases that it finds.
const WRAPPER_THEMES: &[&str] = &["wrapper::releases::", "wrapper::resolution::"];
/// Slice keys, a few programs for each release; in a long run those that the campaign's variables
/// ask for.
const SLICE_THEMES: &[&str] = &["slices::campaign::equal", "slices::links::"];
/// Variables of the campaign, which hold inside too. That of the directory is a path inside.
const CAMPAIGN: &[&str] = &[
    "RELTO_SLICES_STATE",
    "RELTO_SLICES_PAIRS",
    "RELTO_SLICES_THREADS",
    "RELTO_SLICES_RELEASE",
];

#[test]
#[expect(
    clippy::print_stdout,
    reason = "how each release did is for the log of the tests"
)]
fn the_contract_holds_with_every_release_that_is_there() {
    let Some(root) = root() else {
        return;
    };
    let tests = prepare(&root);
    for release in releases(&root) {
        let variable = format!("RELTO_TEST_LLVM_ROOT={}", release.display());
        let result = run_inside(&root, &tests, &[variable], THEMES);
        println!("{}: {result}", release.display());
    }
    let mut variables = vec!["LANG=C.UTF-8".to_owned()];
    if is_long() {
        let sources = cxx_sources();
        copy_all_into(&root, &sources);
        variables.push(format!("{CXX_SOURCES}={}", sources.display()));
        variables.push("RELTO_TEST_LONG=1".to_owned());
    }
    let result = run_inside(&root, &tests, &variables, WRAPPER_THEMES);
    println!("`relto ld` with all of them: {result}");
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "how each release did is for the log of the tests"
)]
fn slice_keys_hold_with_every_release_that_is_there() {
    let Some(root) = root() else {
        return;
    };
    let tests = prepare(&root);
    let mut variables = Vec::new();
    for name in CAMPAIGN {
        variables.extend(std::env::var(name).map(|value| format!("{name}={value}")));
    }
    if is_long() {
        variables.push("RELTO_TEST_LONG=1".to_owned());
    }
    let only = std::env::var("RELTO_SLICES_RELEASE").ok();
    let releases = releases(&root);
    let wanted = releases.iter().filter(|release| {
        let number = only.as_ref();
        number.is_none_or(|number| release.ends_with(format!("llvm-{number}")))
    });
    for release in wanted {
        copy_rust_into(&root, release);
        let root_of_llvm = format!("RELTO_TEST_LLVM_ROOT={}", release.display());
        let variables = [variables.as_slice(), &[root_of_llvm]].concat();
        let result = run_inside(&root, &tests, &variables, SLICE_THEMES);
        println!("{}: {result}", release.display());
    }
}

/// The root directory; `None` after recording the test as skipped.
fn root() -> Option<PathBuf> {
    let root = std::env::var_os(ROOT).map(PathBuf::from);
    if root.is_none() {
        skip(&format!(
            "`{ROOT}` names no root directory with other releases of LLVM"
        ));
    }
    root
}

/// Copies what the tests need. Returns their path.
fn prepare(root: &Path) -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/reference.py");
    for file in [&tests, Path::new(env!("CARGO_BIN_EXE_relto")), &reference] {
        copy_into(root, file);
    }
    tests
}

fn copy_into(root: &Path, file: &Path) {
    let inside = root.join(file.strip_prefix("/").expect("absolute"));
    fs::create_dir_all(inside.parent().expect("a directory")).expect("made");
    fs::copy(file, inside).expect("copied");
}

fn copy_all_into(root: &Path, dir: &Path) {
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            copy_all_into(root, &path);
        } else {
            copy_into(root, &path);
        }
    }
}

/// Copies the rustc of the same release, where there is one.
fn copy_rust_into(root: &Path, release: &Path) {
    let name = release.to_string_lossy();
    let number = name.rsplit_once('-').and_then(|(_, it)| it.parse().ok());
    let Some(rustc) = number.and_then(rustc_of) else {
        return;
    };
    let inside = root.join(rustc.strip_prefix("/").expect("absolute"));
    if !inside.exists() {
        copy_all_into(root, rustc.ancestors().nth(2).expect("a toolchain"));
    }
}

/// Directories above `bin/clang`, as they are called inside.
fn releases(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("usr/lib")).expect("a system");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> = paths
        .filter(|path| path.join("bin/clang").exists() && path.join("bin/ld.lld").exists())
        .map(|path| Path::new("/").join(path.strip_prefix(root).expect("inside")))
        .collect();
    found.sort();
    assert!(
        !found.is_empty(),
        "no clang with lld in `{}`",
        root.display()
    );
    found
}

/// Runs the themes; gives the line with their number.
fn run_inside(root: &Path, tests: &Path, variables: &[String], themes: &[&str]) -> String {
    let output = Command::new("chroot")
        .arg(root)
        .args([
            "/usr/bin/env",
            "-i",
            "HOME=/tmp",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        ])
        .args(variables)
        .arg(tests)
        .args(themes)
        .output()
        .expect("chroot starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{variables:?}:\n{said}");
    let passed = said
        .lines()
        .find(|line| line.starts_with("test result: ok."));
    passed.expect("a result").to_owned()
}
