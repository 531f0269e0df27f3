//! Links that use a farm and nothing else: nothing runs here in place of the farm, and no disk
//! cache answers for it.
//!
//! Tests share one [`Home`], so that not each hashes the compiler anew; a new one is another
//! machine.

use std::sync::OnceLock;

use fs_err as fs;
use tempfile::TempDir;

use super::link::{Home, Link};
use super::llvm::{Llvm, run};
use super::outcome::Counts;
use super::program::{Program, generated};

/// Directories with a hash cache that knows the compiler.
pub fn here() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(Home::new)
}

/// A link with the farm that `environment` names, without fallback and without disk cache.
pub fn strict<'a>(program: &'a Program, environment: &[(&str, String)]) -> Link<'a> {
    let link = Link::new(program)
        .env("RELTO_REMOTE_LOCAL_FALLBACK", "false")
        .env("RELTO_DISK_CACHE", "off");
    with(link, environment)
}

/// A link with the farm, as users have it, but without disk cache.
pub fn lenient<'a>(program: &'a Program, environment: &[(&str, String)]) -> Link<'a> {
    with(
        Link::new(program).env("RELTO_DISK_CACHE", "off"),
        environment,
    )
}

/// The farm alone, so that a test knows where results come from: this machine does what the farm
/// does not.
pub fn with<'a>(link: Link<'a>, environment: &[(&str, String)]) -> Link<'a> {
    let executes = environment
        .iter()
        .any(|(name, _)| *name == "RELTO_REMOTE_EXECUTOR");
    let link = if executes {
        link.env("RELTO_STRATEGY", "remote")
    } else {
        link
    };
    let set = |link: Link<'a>, (name, value): &(&str, String)| link.env(name, value);
    environment.iter().fold(link, set)
}

/// Panics unless all jobs were executed by the farm.
pub fn assert_all_remote(counts: Counts) {
    assert!(
        counts.jobs > 0 && counts.remote == counts.jobs,
        "{counts:?}"
    );
}

/// Panics unless all jobs were found.
pub fn assert_all_cached(counts: Counts) {
    assert!(
        counts.jobs > 0 && counts.cached == counts.jobs,
        "{counts:?}"
    );
}

/// A program with one module that only the backend refuses. The directory goes with the guard.
pub fn broken() -> (Program, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("bad.c");
    let text = "__attribute__((used)) void bad(void) { __asm__(\"bogus 1, 2\"); }\n";
    fs::write(&source, text).expect("written");
    let object = dir.path().join("bad.o");
    let mut clang = Llvm::get().command("clang");
    run(clang
        .args(["-O2", "-flto=thin", "-c", "-o"])
        .args([&object, &source]));
    let mut program = generated(4);
    program.modules.push(object);
    (program, dir)
}
