//! Members of archives are known again wherever they are in the archive.

use std::process::Output;

use super::{cause, relto, report};
use crate::support::skip::skip;
use crate::support::wrapped::{Release, WrapperDir};

const MAIN: &str = "int f(int); int g(int); int h(int);\n\
    int main(int c, char **v) { return f(c) + g(c) + h(c) < 0; }\n";

/// A program with a library that has two members called `g.o`.
fn program() -> WrapperDir {
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.module("main.c", MAIN);
    fixture.module("h.c", "int h(int x) { return x * 7; }\n");
    fs_err::create_dir(fixture.path("other")).expect("made");
    fs_err::rename(fixture.path("h.o"), fixture.path("other/g.o")).expect("moved");
    fixture.module("g.c", "int g(int x) { return x * 5; }\n");
    fixture.module("f.c", "int f(int x) { return x * 3; }\n");
    fixture
}

fn archive(fixture: &WrapperDir) {
    let _ = fs_err::remove_file(fixture.path("lib.a"));
    fixture.archive("qcs", "lib.a", &["f.o", "g.o", "other/g.o"]);
}

/// Links before and after the first member grows.
fn only_the_member_that_grew_has_changed(link: impl Fn(&WrapperDir) -> Output) {
    const LARGER: &str = "static const char *words[] = {\"some\", \"more\", \"words\"};\n\
        int f(int x) { return x * 3 + words[x % 3][x]; }\n";
    let fixture = program();
    let linked = || {
        archive(&fixture);
        let output = link(&fixture);
        fixture.counts(&output, &[])
    };
    assert_eq!(linked().local, 4);
    fixture.module("f.c", LARGER);
    let counts = linked();
    assert_eq!((counts.local, counts.cached), (2, 2), "{counts:?}");

    let (works, told) = relto(fixture.dir(), &fixture.home, &["explain"]);
    assert!(
        works && told.contains("2 of 4 jobs have the same key"),
        "{told}"
    );
    for part in ["main.o\n", "lib.a(f.o at ", "+ input lib.a(f.o at "] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
    for part in ["no such module", "lib.a(g.o", "argument"] {
        assert!(!told.contains(part), "`{part}` in:\n{told}");
    }
    let (_, told) = relto(fixture.dir(), &fixture.home, &["explain", "lib.a(g.o)"]);
    let same = told.matches("the key is that of the link before\n").count();
    assert_eq!(same, 2, "{told}");

    let told = report(fixture.dir(), &fixture.home, &[]);
    let modules = told["modules"].as_array().expect("a column").iter();
    let f = modules
        .filter_map(|module| module.as_str())
        .find(|it| it.starts_with("lib.a(f.o"));
    let f = f.expect("a member");
    let of_main = cause(&told, "main.o").expect("it ran");
    assert_eq!(of_main, format!("changed import {f}"));
    assert_eq!(cause(&told, f).as_deref(), Some("changed module"));
    let details = told["causes"].to_string();
    assert!(!details.contains("g.o"), "{details}");

    // The place in the archive is no part of a key.
    fixture.compile("n.c", "int n(int x) { return x; }\n", &[]);
    fs_err::remove_file(fixture.path("lib.a")).expect("removed");
    fixture.archive("qcs", "lib.a", &["n.o", "f.o", "g.o", "other/g.o"]);
    let output = link(&fixture);
    assert_eq!(fixture.counts(&output, &[]).cached, 4);
    let (_, told) = relto(fixture.dir(), &fixture.home, &["explain"]);
    assert!(
        told.contains("whose keys are those of the link before it"),
        "{told}"
    );
}

#[test]
fn the_first_member_of_an_archive_grows() {
    if Release::under_test().major < 22 {
        return skip("LLVM 21 distributes no members of archives");
    }
    only_the_member_that_grew_has_changed(|fixture| {
        let mut command = fixture.command("clang");
        command.args([
            "-flto=thin",
            "-O2",
            "-fuse-ld=lld",
            "main.o",
            "lib.a",
            "-o",
            "app",
        ]);
        let distributor = env!("CARGO_BIN_EXE_relto");
        command.arg(format!("-fthinlto-distributor={distributor}"));
        command.output().expect("clang starts")
    });
}

#[test]
fn the_first_member_of_an_archive_grows_for_the_wrapper() {
    only_the_member_that_grew_has_changed(|fixture| fixture.wrapped("clang", &["main.o", "lib.a"]));
}
