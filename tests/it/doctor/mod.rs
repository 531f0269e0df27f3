//! `relto doctor`: what it reports about compilers and this machine, its hints, and its exit code.
//! `farms` has the farms.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::support::denied::with_failing_calls;
use crate::support::executable;
use crate::support::link::Home;
use crate::support::llvm::Llvm;
use crate::support::mount::Mount;
use crate::support::repeat::through;

mod farms;

/// What doctor said, and its exit code.
struct Told {
    code: Option<i32>,
    text: String,
}

impl Told {
    fn has(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.text.contains(part), "no `{part}` in:\n{}", self.text);
        }
        self
    }

    fn ends(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{}", self.text);
    }
}

fn doctor_of(compiler: &Path, environment: &[(&str, String)]) -> Told {
    doctor_with(&[], compiler, environment)
}

fn doctor_with(arguments: &[&str], compiler: &Path, environment: &[(&str, String)]) -> Told {
    let home = Home::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    let output = command
        .current_dir(home.path())
        .arg("doctor")
        .arg(compiler)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .output()
        .expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "", "everything is on stdout");
    Told {
        code: output.status.code(),
        text: String::from_utf8(output.stdout).expect("text"),
    }
}

fn doctor(environment: &[(&str, String)]) -> Told {
    doctor_of(&Llvm::get().tool("clang"), environment)
}

const SAME: &str = "its object is bit-identical to the one that the compiler writes in place";

#[test]
fn without_a_farm_the_trial_runs_here() {
    let told = doctor(&[]);
    told.has(&[
        "Toolchain\n  ok       `",
        "are all that it needs: tree ",
        "/ld.lld` is ",
    ]);
    told.has(&[
        "  ok       this machine compiled a module in ",
        SAME,
        "\na link works\n",
    ]);
    told.ends(0);
}

#[test]
fn a_file_that_is_not_a_compiler_is_reported_with_a_hint() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let program = |name: &str, bytes: &[u8]| -> PathBuf {
        executable::write(path(name), bytes);
        path(name)
    };
    let script = program("clang", b"#!/bin/sh\nexec clang-22 \"$@\"\n");
    doctor_of(&script, &[])
        .has(&["is a script for `/bin/sh`", "hint: ", "a link would fail"])
        .ends(1);
    program("ccache", b"not read");
    fs_err::os::unix::fs::symlink(path("ccache"), path("clang-cached")).expect("linked");
    doctor_of(&path("clang-cached"), &[])
        .has(&[
            "is `ccache`, which starts another compiler",
            "hint: point the compiler option",
        ])
        .ends(1);
    let mut foreign = fs::read(Llvm::get().tool("clang")).expect("read");
    // e_machine of an ELF header: AArch64, or on that machine x86-64.
    let other = if foreign[18] == 183 { 62 } else { 183 };
    foreign[18..20].copy_from_slice(&[other, 0]);
    let foreign = program("clang-foreign", &foreign);
    doctor_of(&foreign, &[])
        .has(&["clang-foreign` is for ", "hint: use a clang built for "])
        .ends(1);
    doctor_of(Path::new("/bin/true"), &[])
        .has(&["true` is not clang", "hint: ", "a link would fail"])
        .ends(1);
    doctor_of(&path("missing"), &[])
        .has(&["cannot use compiler", "missing`", "hint: "])
        .ends(1);
}

#[test]
fn a_missing_library_of_the_compiler_is_named() {
    let fixture = crate::support::toolchain_dir::ToolchainDir::new();
    let library = fixture.library("lib", "x", &[]);
    let program = fixture.program(&["-Llib", "-lx"]);
    fs::remove_file(library).expect("removed");
    doctor_of(&program, &[])
        .has(&[
            "needs the library `libx.so`",
            "hint: install the library, or set `LD_LIBRARY_PATH`",
        ])
        .ends(1);
}

#[test]
fn a_disk_cache_that_cannot_be_used_is_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("cache");
    fs::write(&file, "a file").expect("written");
    let told = doctor(&[("RELTO_DISK_CACHE", file.display().to_string())]);
    told.has(&[
        "  warning  cannot use the disk cache",
        "hint: set `disk_cache` to",
        "see the warnings",
    ]);
    told.ends(0);
    doctor(&[("RELTO_DISK_CACHE", "off".to_owned())])
        .has(&["  warning  there is no disk cache"])
        .ends(0);
}

#[test]
fn a_directory_whose_files_have_no_true_times_is_a_warning_that_says_what_it_costs() {
    let Some(memory) = Mount::new("size=1m") else {
        return;
    };
    let home = Home::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    let clang = Llvm::get().tool("clang");
    let command = command.current_dir(memory.dir()).arg("doctor").arg(clang);
    let output = command.output().expect("relto starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = format!("`{}` is on tmpfs", memory.dir().display());
    assert!(text.contains(&said) && text.contains("each GiB"), "{text}");
}

#[test]
fn a_compiler_whose_files_have_no_true_times_is_a_warning_that_says_what_it_costs() {
    let Some(memory) = Mount::new("size=1g") else {
        return;
    };
    let clang = fs::canonicalize(Llvm::get().tool("clang")).expect("installed");
    let listed = Command::new("ldd").arg(&clang).output().expect("started");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let of_llvm =
        |word: &&str| word.starts_with('/') && (word.contains("LLVM") || word.contains("clang"));
    let libraries = listed.split_whitespace().filter(of_llvm).map(Path::new);
    let [bin, lib] = ["bin", "lib"].map(|name| memory.dir().join(name));
    for (dir, file) in libraries.map(|file| (&lib, file)).chain([(&bin, &*clang)]) {
        fs::create_dir_all(dir).expect("made");
        let name = file.file_name().expect("a name");
        fs::copy(file, dir.join(name)).expect("copied");
    }
    let name = clang.file_name().expect("a name");
    let hint = "install the compiler on ext4";
    let cost = "each link reads them again, a second or so for each GiB";
    doctor_of(&bin.join(name), &[]).has(&["  warning  ", cost, hint]);
}

#[test]
fn a_directory_whose_files_cannot_be_locked_is_a_warning_that_says_what_is_missing() {
    let home = Home::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    let clang = Llvm::get().tool("clang");
    command.current_dir(home.path()).arg("doctor").arg(clang);
    let starter = with_failing_calls(&["flock"], "ENOSYS");
    let starter = [starter.to_str().expect("a plain path")];
    let output = through(&starter, &command).output().expect("started");
    let told = Told {
        code: output.status.code(),
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
    };
    told.has(&[
        "  warning  files in `",
        "cannot be locked, so links do not count each other's compilers and memory",
        "hint: set `XDG_CACHE_HOME`",
        "see the warnings",
    ]);
    told.ends(0);
}

#[test]
fn a_disk_cache_that_every_user_may_write_is_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).expect("made");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&cache, mode).expect("open to all");
    let named = [("RELTO_DISK_CACHE", cache.display().to_string())];
    let told = doctor(&named);
    told.has(&[
        "every user of this machine can put results there",
        "chmod o-w",
    ]);
}
