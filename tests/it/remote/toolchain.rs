//! The compiler of remote jobs: an uploaded one on bare workers, the workers' own, or one from a
//! directory; and compilers that cannot be uploaded.
//!
//! The bare worker is buildbox-casd, which shows its actions no directory of this machine.
//! Buildbarn's own deployment, with nothing but busybox, is tested by `tests/bb-deployments.sh`.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::support::executable;
use crate::support::farm::{Farm, Profile};
use crate::support::link::Link;
use crate::support::llvm::Llvm;
use crate::support::program::{Feature, Program, cxx, feature, generated};
use crate::support::remote::{assert_all_cached, assert_all_remote, here, strict};
use crate::support::servers::{Kind, Server, Setup, on_each_farm};
use crate::support::skip::runs_long;

/// casd without any directory of the host in its sandbox.
fn bare_worker() -> Option<Server> {
    // A blank: the script takes an empty value for none.
    let binds = ("BINDS".to_owned(), " ".to_owned());
    let setup = Setup {
        environment: vec![binds],
        ..Setup::default()
    };
    Kind::Casd.private(&setup)
}

fn with_toolchain<'a>(program: &'a Program, server: &Server, toolchain: &str) -> Link<'a> {
    let salt = format!("{} {toolchain}", program.name);
    strict(program, &server.environment())
        .env("RELTO_TOOLCHAIN", toolchain)
        .env("RELTO_CACHE_SALT", &salt)
        .keep_objects()
}

/// All jobs run at the farm and give clang's own objects; another machine finds them.
fn made_then_found(program: &Program, server: &Server, toolchain: &str) {
    let made = with_toolchain(program, server, toolchain).run_at(here());
    let made = made.expect_works();
    assert_all_remote(made.counts());
    made.assert_identical_objects();
    let found = with_toolchain(program, server, toolchain).run();
    assert_all_cached(found.expect_works().counts());
}

/// A directory with the compiler under the names that links call it by.
fn toolchain_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("bin")).expect("made");
    let driver = Llvm::get().tool("clang");
    let release = format!("clang-{}", Llvm::get().major());
    for name in ["clang", &release] {
        let place = dir.path().join("bin").join(name);
        fs_err::os::unix::fs::symlink(&driver, place).expect("linked");
    }
    dir
}

#[test]
fn a_worker_without_a_compiler_compiles_with_the_uploaded_toolchain() {
    let Some(server) = bare_worker() else {
        return;
    };
    made_then_found(&generated(8), &server, "upload");
    made_then_found(&feature(Feature::WholeProgramVtables), &server, "upload");
    let dir = toolchain_dir();
    let named = dir.path().display().to_string();
    made_then_found(&generated(4), &server, &named);
}

#[test]
fn a_bare_worker_has_no_compiler_of_its_own() {
    let Some(server) = bare_worker() else {
        return;
    };
    let program = generated(4);
    let outcome = with_toolchain(&program, &server, "worker").run_at(here());
    // What a farm's compiler refuses is for this machine to judge; here it says that there is none.
    let counts = outcome.expect_works().counts();
    assert_eq!(
        (counts.remote, counts.local),
        (0, counts.jobs),
        "{counts:?}"
    );
}

fn takes_a_compiler_out_of_a_directory(server: &Server) {
    let dir = toolchain_dir();
    let named = dir.path().display().to_string();
    made_then_found(&generated(4), server, &named);
}

on_each_farm!(a_compiler_out_of_a_directory_travels => takes_a_compiler_out_of_a_directory);

/// Minutes on a small machine: for `tests/run.sh --long`.
#[test]
fn a_bare_worker_compiles_a_whole_cxx_program() {
    if runs_long()
        && let Some(server) = bare_worker()
    {
        made_then_found(&cxx(), &server, "upload");
    }
}

/// Links with `compiler` instead of clang.
fn refused(compiler: &Path, parts: &[&str]) {
    let farm = Farm::start(Profile::plain());
    let program = generated(4);
    let argument = format!("-Wl,--thinlto-remote-compiler={}", compiler.display());
    let outcome = strict(&program, &farm.environment())
        .argument(&argument)
        .run_at(here());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    for part in parts {
        assert!(
            outcome.stderr.contains(part),
            "`{part}`: {}",
            outcome.stderr
        );
    }
    assert!(!outcome.executable().exists());
}

fn program_of(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    executable::write(&path, bytes);
    path
}

#[test]
fn a_script_and_a_compiler_cache_cannot_travel() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = b"#!/bin/sh\nexec clang \"$@\"\n";
    let script = program_of(dir.path(), "clang", script);
    refused(
        &script,
        &[
            "is a script for `/bin/sh`",
            "hint: relto sends the compiler itself",
        ],
    );
    let cache = program_of(dir.path(), "ccache", b"not read");
    let link = dir.path().join("clang-cached");
    fs_err::os::unix::fs::symlink(cache, &link).expect("linked");
    refused(
        &link,
        &[
            "is `ccache`, which starts another compiler",
            "hint: point the compiler option",
        ],
    );
}

#[test]
fn a_compiler_for_another_machine_cannot_travel() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut bytes = fs::read(Llvm::get().tool("clang")).expect("read");
    // `e_machine` of the ELF header: AArch64, or on such a machine x86-64.
    let other = if bytes[18] == 183 { 62 } else { 183 };
    bytes[18..20].copy_from_slice(&[other, 0]);
    let foreign = program_of(dir.path(), "clang", &bytes);
    refused(&foreign, &["is for ", "hint: use a clang built for "]);
}

#[test]
fn a_compiler_without_its_libraries_cannot_travel() {
    let fixture = crate::support::toolchain_dir::ToolchainDir::new();
    let library = fixture.library("lib", "x", &[]);
    let program = fixture.program(&["-Llib", "-lx"]);
    fs::remove_file(library).expect("removed");
    refused(
        &program,
        &[
            "needs the library `libx.so`",
            "hint: install the library, or set `LD_LIBRARY_PATH`",
        ],
    );
}
