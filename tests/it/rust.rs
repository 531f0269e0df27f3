//! Rust programs: rustc leaves the ThinLTO link to lld (`-Clinker-plugin-lto`), and lld leaves it
//! to relto.
//!
//! rustc's LLVM must be of the same release as the clang under test; otherwise the tests are
//! skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use tempfile::TempDir;

use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};
use crate::support::outcome::Counts;
use crate::support::skip::{runs_long, skip};

const RELTO: &str = env!("CARGO_BIN_EXE_relto");

/// Four modules of our own and what they instantiate from the standard library.
const PROGRAM: &str = r#"
mod words {
    use std::collections::BTreeMap;
    #[inline(never)]
    pub fn count(text: &str) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for word in text.split_whitespace() {
            *counts.entry(word).or_insert(0) += 1;
        }
        counts
    }
}
mod numbers {
    #[inline(never)]
    pub fn sum(values: &[u64]) -> u64 {
        values.iter().copied().filter(|value| value % 3 != 0).sum()
    }
}
fn main() {
    let counts = words::count("a b a c b a");
    assert_eq!(counts["a"], 3);
    assert_eq!(numbers::sum(&[1, 2, 3, 4]), 7);
    println!("right");
}
"#;

/// True if rustc writes bitcode that the clang under test understands; otherwise the test is
/// skipped.
#[track_caller]
fn same_llvm() -> bool {
    let version = run(Command::new("rustc").arg("-vV"));
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "));
    let major = llvm
        .and_then(|version| version.split('.').next())
        .and_then(|major| major.parse().ok());
    let same = major == Some(Llvm::get().major());
    if !same {
        skip(&format!(
            "rustc has LLVM {llvm:?}, the clang under test is {}",
            Llvm::get().major()
        ));
    }
    same
}

fn flags() -> Vec<String> {
    let tool = |name: &str| Llvm::get().tool(name).display().to_string();
    vec![
        "-Clinker-plugin-lto".to_owned(),
        format!("-Clinker={}", tool("clang")),
        format!("-Clink-arg=-fuse-ld={}", tool("ld.lld")),
        "-Clink-arg=-flto=thin".to_owned(),
        format!("-Clink-arg=-fthinlto-distributor={RELTO}"),
        "-Csave-temps=no".to_owned(),
    ]
}

/// rustc shows what the linker prints as a warning, or not at all; so relto is asked afterwards.
fn last_link(home: &Home) -> Counts {
    let mut stats = Command::new(RELTO);
    stats.arg("stats");
    home.apply(&mut stats);
    let text = run(&mut stats);
    let newest = text.lines().next().and_then(|line| line.split_once(": "));
    let (_, summary) = newest.unwrap_or_else(|| panic!("no link in:\n{text}"));
    Counts::parse(&format!("relto: {summary}")).expect("counts")
}

#[test]
fn a_program_of_rustc_is_right_and_cached() {
    if !same_llvm() {
        return;
    }
    let home = Home::new();
    for round in 0..2 {
        let dir = TempDir::new().expect("a temporary directory");
        fs::write(dir.path().join("main.rs"), PROGRAM).expect("written");
        let mut rustc = Command::new("rustc");
        rustc
            .args(["-O", "-Ccodegen-units=4", "--crate-name", "words"])
            .args(flags());
        // A relative path: the names of sources stand in panic messages.
        rustc
            .args(["main.rs", "-o", "words"])
            .current_dir(dir.path());
        home.apply(&mut rustc);
        run(&mut rustc);
        assert_eq!(
            run(&mut Command::new(dir.path().join("words"))).trim(),
            "right"
        );
        let counts = last_link(&home);
        assert_eq!(
            if round == 0 {
                counts.local
            } else {
                counts.cached
            },
            counts.jobs
        );
    }
}

/// relto itself, built by Cargo, its last link handed to `distributor`.
fn link_relto(home: &Home, target: &Path, distributor: &Path) -> PathBuf {
    let tool = |name: &str| Llvm::get().tool(name).display().to_string();
    let flags = format!(
        "-Clinker-plugin-lto -Clinker={} -Clink-arg=-fuse-ld={} -Clink-arg=-flto=thin",
        tool("clang"),
        tool("ld.lld")
    );
    let host = run(Command::new("rustc").args(["--print", "host-tuple"]));
    let mut cargo = Command::new("cargo");
    home.apply(&mut cargo);
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["rustc", "--quiet", "--release", "--locked", "--bin=relto"])
        .args(["--target", host.trim()])
        .arg("--target-dir")
        .arg(target)
        .env("RUSTFLAGS", flags)
        .env("CARGO_PROFILE_RELEASE_LTO", "false")
        .arg("--")
        .arg(format!(
            "-Clink-arg=-fthinlto-distributor={}",
            distributor.display()
        ));
    run(&mut cargo);
    target.join(host.trim()).join("release/relto")
}

/// A campaign: all crates are compiled anew.
#[test]
fn relto_linked_by_relto_is_right_and_cached() {
    if !runs_long() || !same_llvm() {
        return;
    }
    let (home, target) = (Home::new(), TempDir::new().expect("a temporary directory"));
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/reference.py");
    let link = |distributor: &Path, name: &str| {
        let copy = target.path().join(name);
        // Cargo links only what it holds for changed.
        fs::copy(distributor, &copy).expect("copied");
        let binary = link_relto(&home, target.path(), &copy);
        fs::read(binary).expect("a binary")
    };
    let in_place = link(&reference, "reference.py");
    let compiled = link(Path::new(RELTO), "first-relto");
    let counts = last_link(&home);
    assert!(
        counts.jobs > 80 && counts.local == counts.jobs,
        "{counts:?}"
    );
    assert!(compiled == in_place, "the two programs differ");
    let cached = link(Path::new(RELTO), "second-relto");
    let counts = last_link(&home);
    assert_eq!(counts.cached, counts.jobs);
    assert!(cached == in_place, "the two programs differ");
}
