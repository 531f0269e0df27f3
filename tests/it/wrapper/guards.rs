//! Inputs and shards that are damaged between the thin link and the backends, as another process
//! may do it: clang would write an empty or a wrong object of each, and exit with 0.

use std::path::PathBuf;
use std::process::Output;

use fs_err as fs;

use crate::support::executable;
use crate::support::wrapped::{Release, WrapperDir};

/// A directory whose linker runs `damage`, commands of a shell, after the thin link. `$shards` is
/// where the shards are.
fn damaged(damage: &str) -> (WrapperDir, PathBuf) {
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.module(
        "main.c",
        "int f(int); int g(int); int main(int c, char **v) { return f(c) + g(c) - 3; }\n",
    );
    fixture.module("f.c", "int f(int x) { return x; }\n");
    fixture.module("g.c", "int g(int x) { return x * 2; }\n");
    let bin = fixture.path("bin");
    fs::create_dir(&bin).expect("made");
    let clang = fixture.release.tool("clang");
    fs::os::unix::fs::symlink(clang, bin.join("clang")).expect("linked");
    let linker = bin.join("ld.lld");
    let real = fixture.release.tool("ld.lld");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in @*thin-link*) ;; *) exec {0} \"$@\";; esac\n\
         {0} \"$@\" || exit 1\nlist=${{1#@}}; shards=${{list%/*}}/shards/d\n{damage}\n",
        real.display()
    );
    executable::write(&linker, script);
    (fixture, linker)
}

fn link(fixture: &WrapperDir, linker: &PathBuf, more: &[&str]) -> Output {
    let mut relto = std::process::Command::new(env!("CARGO_BIN_EXE_relto"));
    fixture.home.apply(&mut relto);
    relto.current_dir(fixture.dir()).arg("ld").args(more);
    relto.arg("--").arg(linker);
    relto.args(["-shared", "-o", "app", "main.o", "f.o", "g.o"]);
    relto.output().expect("relto starts")
}

/// What is done to the files, and what relto says of it.
const ROWS: &[(&str, &str)] = &[
    ("rm $shards/main.o.thinlto.bc", "main.o"),
    (": > $shards/main.o.thinlto.bc", "main.o"),
    (
        "truncate -s -40 $shards/main.o.thinlto.bc",
        "the index of `main.o`",
    ),
    ("echo garbage > $shards/main.o.thinlto.bc", "main.o"),
    (
        "cp $shards/g.o.thinlto.bc $shards/main.o.thinlto.bc",
        "main.o",
    ),
    ("rm f.o", "f.o"),
    (": > f.o", "f.o"),
    ("truncate -s 400 f.o", "f.o"),
    ("echo garbage > f.o", "f.o"),
    ("cp g.o f.o", "`f.o` is not the module"),
    ("cp g.o main.o", "`main.o` is not the module"),
];

#[test]
fn what_was_damaged_after_the_thin_link_is_never_compiled() {
    for (damage, reason) in ROWS {
        let (fixture, linker) = damaged(damage);
        let output = link(&fixture, &linker, &["--no-fallback"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{damage}: {said}");
        assert!(said.contains(reason), "{damage}: {said}");
        assert!(!fixture.path("app").exists(), "{damage}");
        fixture.assert_nothing_is_left();
    }
}

/// The linker reads the inputs as they are by then, or says what is wrong with them.
#[test]
fn after_any_damage_the_program_is_the_linkers_own_or_none() {
    for (damage, _) in ROWS {
        let (fixture, linker) = damaged(damage);
        let output = link(&fixture, &linker, &[]);
        let ours = fs::read(fixture.path("app"));
        let _ = fs::remove_file(fixture.path("app"));
        let mut plain = fixture.command("ld.lld");
        plain.args(["-shared", "-o", "app", "main.o", "f.o", "g.o"]);
        let theirs = plain.output().expect("the linker starts");
        if output.status.success() {
            assert!(theirs.status.success(), "{damage}");
            let theirs = fs::read(fixture.path("app")).expect("linked");
            assert!(ours.expect("linked") == theirs, "{damage}");
        } else {
            assert!(ours.is_err(), "{damage}: {output:?}");
        }
    }
}
