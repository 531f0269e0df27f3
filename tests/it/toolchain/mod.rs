//! The closure of compilers, against real programs and the real dynamic loader.

mod system_libraries;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto::internals::error::Hinted as _;
use relto::internals::toolchain::{Toolchain, ToolchainError};

use crate::support::skip::is_long;
use crate::support::toolchain_dir::{CLANG, ToolchainDir};

/// What the loader itself says it would load, links resolved; without the program and the vdso.
fn asked(program: &Path, dir: &Path, library_path: Option<&str>) -> BTreeMap<String, PathBuf> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .current_dir(dir)
        .env("LD_TRACE_LOADED_OBJECTS", "1");
    if let Some(list) = library_path {
        command.env("LD_LIBRARY_PATH", list);
    }
    let output = command.output().expect("the loader runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .filter_map(|line| {
            let (name, place) = line
                .trim()
                .split_once(" => ")
                .unwrap_or((line.trim(), line.trim()));
            let path = place.split(" (").next()?;
            let name = Path::new(name.split(" (").next()?).file_name()?.to_str()?;
            Some((name.to_owned(), fs::canonicalize(dir.join(path)).ok()?))
        })
        .collect()
}

/// The same of a discovered toolchain.
fn found(toolchain: &Toolchain) -> BTreeMap<String, PathBuf> {
    let files = toolchain.files.iter();
    files
        .filter_map(|file| {
            let name = file.tree_path.strip_prefix("lib/")?;
            Some((
                name.to_owned(),
                fs::canonicalize(&file.host).expect("is there"),
            ))
        })
        .collect()
}

fn assert_as_the_loader(
    fixture: &ToolchainDir,
    program: &Path,
    library_path: Option<&str>,
) -> BTreeMap<String, PathBuf> {
    let toolchain = fixture.discover(program, library_path).expect("complete");
    let found = found(&toolchain);
    assert_eq!(found, asked(program, fixture.dir.path(), library_path));
    found
}

#[test]
fn clang_needs_what_the_loader_says() {
    let fixture = ToolchainDir::new();
    let found = assert_as_the_loader(&fixture, Path::new(CLANG), None);
    assert!(found.contains_key("libLLVM.so.22.1"), "{found:?}");
}

/// Programs with all sorts of search paths; scripts and what needs a library by its path are refused.
#[test]
fn programs_of_this_machine_need_what_the_loader_says() {
    let fixture = ToolchainDir::new();
    let entries = fs::read_dir("/usr/bin").expect("a directory");
    let mut programs: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    programs.sort();
    let step = if is_long() { 1 } else { 10 };
    let mut compared = 0;
    for program in programs.iter().step_by(step) {
        let Ok(toolchain) = fixture.discover(program, None) else {
            continue;
        };
        if toolchain.loader.is_none() || toolchain.doubt.is_some() {
            continue;
        }
        let asked = asked(program, fixture.dir.path(), None);
        if asked.is_empty() {
            // It runs with other rights than the caller's.
            continue;
        }
        assert_eq!(found(&toolchain), asked, "{}", program.display());
        compared += 1;
    }
    assert!(compared > 10, "only {compared} programs");
}

#[test]
fn a_runpath_counts_for_its_own_library_only_and_after_the_environment() {
    let fixture = ToolchainDir::new();
    fixture.library("lib", "inner", &[]);
    fixture.library("other", "inner", &[]);
    fixture.library(
        "lib",
        "outer",
        &[
            "-Wl,--no-as-needed",
            "-Llib",
            "-linner",
            "-Wl,-rpath,$ORIGIN",
        ],
    );
    let program = fixture.program(&[
        "-Llib",
        "-louter",
        "-Wl,-rpath-link,lib",
        "-Wl,-rpath,$ORIGIN/../lib",
    ]);
    let plain = assert_as_the_loader(&fixture, &program, None);
    assert!(plain["libinner.so"].ends_with("lib/libinner.so"));
    for list in [
        "other",
        "$ORIGIN/../other",
        ":/nonexistent",
        "/nonexistent;other",
    ] {
        assert_as_the_loader(&fixture, &program, Some(list));
    }
    let moved = assert_as_the_loader(&fixture, &program, Some("other"));
    assert!(moved["libinner.so"].ends_with("other/libinner.so"));
}

#[test]
fn an_rpath_counts_for_all_below_and_before_the_environment() {
    let fixture = ToolchainDir::new();
    fixture.library("lib", "inner", &[]);
    fixture.library("other", "inner", &[]);
    fixture.library("lib", "outer", &["-Wl,--no-as-needed", "-Llib", "-linner"]);
    let program = fixture.program(&[
        "-Llib",
        "-louter",
        "-Wl,--disable-new-dtags,-rpath-link,lib,-rpath,${ORIGIN}/../lib",
    ]);
    let found = assert_as_the_loader(&fixture, &program, Some("other"));
    assert!(found["libinner.so"].ends_with("lib/libinner.so"));
    let toolchain = fixture.discover(&program, None).expect("complete");
    let command = toolchain.loader_command("relto/tc");
    assert_eq!(command[3..], ["--inhibit-rpath", ""], "{command:?}");
}

#[test]
fn an_empty_entry_of_the_library_path_is_the_current_directory() {
    let fixture = ToolchainDir::new();
    fixture.library("here", "x", &[]);
    let program = fixture.program(&["-Lhere", "-lx"]);
    fs::rename(fixture.path("here/libx.so"), fixture.path("libx.so")).expect("moved");
    assert!(matches!(
        fixture.discover(&program, Some("")),
        Err(ToolchainError::MissingLibrary { .. })
    ));
    assert_as_the_loader(&fixture, &program, Some("/nonexistent:"));
}

#[test]
fn a_library_of_another_machine_is_passed_over_and_mentioned_when_none_fits() {
    let fixture = ToolchainDir::new();
    let foreign = ["--target=aarch64-linux-gnu", "-fuse-ld=lld"];
    fixture.library("other", "x", &foreign);
    let right = fixture.library("lib", "x", &[]);
    let program = fixture.program(&["-Llib", "-lx"]);
    let lists = Some("other:lib");
    let found = assert_as_the_loader(&fixture, &program, lists);
    assert!(found["libx.so"].ends_with("lib/libx.so"));
    fs::remove_file(right).expect("removed");
    let error = fixture.discover(&program, lists).expect_err("nothing fits");
    assert!(error.to_string().contains("libx.so"), "{error}");
    let hints = error.hints().join("\n");
    assert!(
        hints.contains("is for aarch64") && hints.contains("LD_LIBRARY_PATH"),
        "{hints}"
    );
}

#[test]
fn variants_for_newer_processors_stand_beside_the_plain_library() {
    let fixture = ToolchainDir::new();
    fixture.library("lib", "x", &[]);
    fixture.library("lib/glibc-hwcaps/x86-64-v3", "x", &[]);
    let program = fixture.program(&["-Llib", "-lx", "-Wl,-rpath,$ORIGIN/../lib"]);
    let toolchain = fixture.discover(&program, None).expect("complete");
    let places = found(&toolchain);
    assert!(places["libx.so"].ends_with("lib/libx.so"), "{places:?}");
    assert!(places["glibc-hwcaps/x86-64-v3/libx.so"].ends_with("x86-64-v3/libx.so"));
}

#[test]
fn a_variant_alone_is_enough_but_a_plain_library_further_on_is_taken_along() {
    let fixture = ToolchainDir::new();
    let plain = fixture.library("other", "x", &[]);
    fixture.library("lib/glibc-hwcaps/x86-64-v2", "x", &[]);
    for level in ["x86-64-v4", "x86-64-v2"] {
        fixture.library(&format!("other/glibc-hwcaps/{level}"), "x", &[]);
    }
    let program = fixture.program(&["-Lother", "-lx"]);
    let list = Some("lib:other");
    let places = found(&fixture.discover(&program, list).expect("complete"));
    assert!(places["libx.so"].ends_with("other/libx.so"));
    assert!(
        places["glibc-hwcaps/x86-64-v2/libx.so"].ends_with("lib/glibc-hwcaps/x86-64-v2/libx.so")
    );
    assert!(
        !places.contains_key("glibc-hwcaps/x86-64-v4/libx.so"),
        "{places:?}"
    );
    fs::remove_file(plain).expect("removed");
    let places = found(&fixture.discover(&program, list).expect("complete"));
    assert!(!places.contains_key("libx.so"), "{places:?}");
}

#[test]
fn a_musl_program_has_one_loader_that_is_its_c_library_too() {
    let fixture = ToolchainDir::new();
    let loader = fixture.library("lib", "musl", &[]);
    let loader_path = fixture.path("lib/ld-musl-x86_64.so.1");
    fs::rename(loader, &loader_path).expect("moved");
    fixture.library("lib", "c", &[]);
    fixture.library("other", "x", &[]);
    let interpreter = format!("-Wl,-dynamic-linker,{}", loader_path.display());
    let start = "-Wl,-e,main";
    let program = fixture.program(&[
        "-nostdlib",
        start,
        "-Llib",
        "-lc",
        "-Lother",
        "-lx",
        &interpreter,
    ]);
    fs::remove_file(fixture.path("lib/libc.so")).expect("removed");
    let mut environment = fixture.environment(None);
    environment.configuration = fixture.path("etc");
    let missing = Toolchain::discover(&program, &environment);
    assert!(matches!(
        missing,
        Err(ToolchainError::MissingLibrary { .. })
    ));
    fixture.write(
        "etc/ld-musl-x86_64.path",
        &format!("{}\n", fixture.path("other").display()),
    );
    let toolchain = Toolchain::discover(&program, &environment).expect("complete");
    let names: Vec<_> = toolchain
        .files
        .iter()
        .map(|file| file.tree_path.as_str())
        .collect();
    assert_eq!(names, ["bin/app", "lib/ld-musl-x86_64.so.1", "lib/libx.so"]);
}

#[test]
fn the_closure_compiles_in_an_empty_root_as_the_compiler_does_in_place() {
    let fixture = ToolchainDir::new();
    let source = fixture.write(
        "a.c",
        "int f(int*p,int n){int s=0;for(int i=0;i<n;i++)s+=p[i];return s;}",
    );
    fixture.clang(
        &[
            "-O2",
            "-c",
            "-flto=thin",
            source.to_str().expect("UTF-8"),
            "-o",
            "a.bc",
        ],
        &[],
    );
    fixture.clang(&["-O2", "-c", "-x", "ir", "a.bc", "-o", "in-place.o"], &[]);

    let toolchain = fixture.discover(Path::new(CLANG), None).expect("complete");
    let root = fixture.path("root");
    for file in &toolchain.files {
        let place = root.join("relto/tc").join(&file.tree_path);
        fs::create_dir_all(place.parent().expect("inside the root")).expect("made");
        fs::copy(&file.host, place).expect("copied");
    }
    fs::copy(fixture.path("a.bc"), root.join("relto/a.bc")).expect("copied");
    let output = Command::new("chroot")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        .arg(&root)
        .args(toolchain.loader_command("relto/tc"))
        .arg(format!("relto/tc/bin/{}", toolchain.name))
        .args(["-O2", "-c", "-x", "ir", "relto/a.bc", "-o", "relto/out.o"])
        .output()
        .expect("chroot runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let made = fs::read(root.join("relto/out.o")).expect("an object");
    assert!(
        made == fs::read(fixture.path("in-place.o")).expect("an object"),
        "the objects differ"
    );
}
