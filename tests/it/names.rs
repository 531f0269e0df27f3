//! File names of every spelling, character and length that the file system and lld allow.
//!
//! lld passes names on unchanged, and clang compares them byte by byte with those in the shard. So
//! no name may be changed on the way, and none may decide where a result is found again.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::process::Output;

use fs_err as fs;
use relto::internals::thinlto::Index;

use crate::support::link::Home;
use crate::support::llvm::Llvm;
use crate::support::outcome::Counts;
use crate::support::program::{Feature, Program, feature};
use crate::support::saved::{Saved, leftovers};
use crate::support::skip::skip;

const RELTO: &str = env!("CARGO_BIN_EXE_relto");

fn plain() -> Program {
    feature(Feature::Plain)
}

/// A link of three files under names of the test's choice, in a directory of its own.
struct Files {
    dir: tempfile::TempDir,
    home: Home,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home::new();
        Self { dir, home }
    }

    /// Puts the modules of the plain program at `names`, relative to the link's directory.
    fn place(&self, names: &[impl AsRef<OsStr>]) {
        for (module, name) in plain().modules.iter().zip(names) {
            let path = self.dir.path().join(name.as_ref());
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::copy(module, path).expect("copied");
        }
    }

    fn link(&self, inputs: &[impl AsRef<OsStr>], output: &str, more: &[&str]) -> Output {
        let mut command = Llvm::get().command("clang");
        self.home.apply(&mut command);
        command
            .current_dir(self.dir.path())
            .args(["-flto=thin", "-fuse-ld=lld", "-O2"])
            .arg(format!("-fthinlto-distributor={RELTO}"))
            .args(["-o", output])
            .args(inputs)
            .args(more)
            .output()
            .expect("clang starts")
    }

    /// Links twice, first all jobs run and then none, and runs the program.
    fn works_twice(&self, inputs: &[impl AsRef<OsStr>], output: &str) {
        for first in [true, false] {
            let linked = self.link(inputs, output, &[]);
            let stderr = text(&linked.stderr);
            assert!(linked.status.success(), "{stderr}");
            assert_eq!(text(&linked.stdout), "", "stdout belongs to the linker");
            let counts = Counts::parse(&stderr).expect("a summary");
            let there = if first { counts.local } else { counts.cached };
            assert_eq!(there, 3, "{stderr}");
            plain().check(&self.dir.path().join(output));
        }
        assert!(leftovers(self.dir.path()).is_empty());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_spelling_of_a_path_works_and_finds_the_same_results() {
    let files = Files::new();
    files.place(&["main.o", "sub/a/twice.o", "sub/b/thrice.o"]);
    let here = files.dir.path().display().to_string();
    let absolute =
        ["main.o", "sub/a/twice.o", "sub/b/thrice.o"].map(|name| format!("{here}/{name}"));
    // The byte order of the names decides the order of imports, so spellings that keep it give the
    // same actions.
    let spellings = [
        ["main.o", "sub/a/twice.o", "sub/b/thrice.o"].map(str::to_owned),
        [
            "./main.o",
            "./sub/../sub/a/twice.o",
            "./sub//b/../b/thrice.o",
        ]
        .map(str::to_owned),
        absolute,
    ];
    fs::create_dir(files.dir.path().join("out")).expect("a directory");
    let outputs = ["app", "./app2", &format!("{here}/out/app")];
    for (number, (inputs, output)) in spellings.iter().zip(outputs).enumerate() {
        let linked = files.link(inputs, output, &[]);
        let stderr = text(&linked.stderr);
        assert!(linked.status.success(), "{inputs:?}: {stderr}");
        let counts = Counts::parse(&stderr).expect("a summary");
        assert_eq!(
            counts.cached,
            if number == 0 { 0 } else { 3 },
            "{inputs:?}: {stderr}"
        );
        plain().check(&files.dir.path().join(output));
    }
}

#[test]
fn a_link_from_another_directory_works() {
    let files = Files::new();
    files.place(&["../main.o", "twice.o", "thrice.o"].map(|name| format!("base/{name}")));
    let mut inner = Files::new();
    inner.dir = tempfile::tempdir_in(files.dir.path()).expect("a directory");
    inner.works_twice(
        &["../main.o", "./../base/twice.o", "../base/thrice.o"],
        "app",
    );
}

#[test]
fn names_with_spaces_parentheses_quotes_and_backslashes_work() {
    let files = Files::new();
    let names = [
        "my directory/main (1).o",
        "it's \"twice\".o",
        "back\\slash $HOME `x` *?[a];&|<>#~.o",
    ];
    files.place(&names);
    files.works_twice(&names, "the app (2)");
}

#[test]
fn names_that_look_like_options_or_response_files_work_behind_a_directory() {
    let files = Files::new();
    let names = ["-o/-main.o", "@dir/@twice.o", "./-thrice=@x.o"];
    files.place(&names);
    files.works_twice(
        &["./-o/-main.o", "./@dir/@twice.o", "./-thrice=@x.o"],
        "app",
    );
}

#[test]
fn names_as_long_as_lld_can_make_them_work() {
    // A name is at most 255 bytes, and lld adds a task, its process id and `.native.o.thinlto.bc`.
    let files = Files::new();
    let long = |letter: &str| format!("{}.o", letter.repeat(215));
    let deep = |name: &str| format!("{}/{}/{name}", "d".repeat(200), "e".repeat(200));
    let names = [long("m"), deep("twice.o"), deep(&long("t"))];
    files.place(&names);
    files.works_twice(&names, "app");
}

#[test]
fn members_of_an_archive_with_an_odd_name_work() {
    let files = Files::new();
    files.place(&["main.o", "a (b).o", "c d.o"]);
    if Llvm::get().major() < 22 {
        return skip("LLVM 21 cannot distribute members of archives");
    }
    let mut ar = Llvm::get().command("llvm-ar");
    ar.current_dir(files.dir.path());
    ar.args(["rcs", "lib (x) 'y'.a", "a (b).o", "c d.o"]);
    assert!(ar.status().expect("llvm-ar starts").success());
    files.works_twice(&["main.o", "lib (x) 'y'.a"], "app");
}

#[test]
fn a_link_to_dev_null_works_and_the_device_stays() {
    let files = Files::new();
    files.place(&["main.o", "twice.o", "thrice.o"]);
    let linked = files.link(&["main.o", "twice.o", "thrice.o"], "/dev/null", &[]);
    let stderr = text(&linked.stderr);
    // Who may not write there cannot link either without relto.
    if !stderr.contains("ermission denied") {
        assert!(linked.status.success(), "{stderr}");
    }
    let null = fs::metadata("/dev/null").expect("there");
    assert!(null.file_type().is_char_device());
}

#[test]
fn a_name_that_is_not_utf8_is_refused() {
    let files = Files::new();
    let odd = OsStr::from_bytes(b"in\xffvalid.o");
    let names = [OsStr::new("main.o"), odd, OsStr::new("thrice.o")];
    files.place(&names);
    let linked = files.link(&names, "app", &[]);
    let stderr = text(&linked.stderr);
    assert!(!linked.status.success(), "{stderr}");
    assert!(stderr.contains("relto: error: job file `"), "{stderr}");
    assert!(
        stderr.contains("whose real name lld could not write"),
        "{stderr}"
    );
    assert!(stderr.contains("  hint: "), "{stderr}");
}

#[test]
fn a_name_that_is_not_ascii_is_refused_where_lld_breaks_it_and_works_elsewhere() {
    let files = Files::new();
    let names = ["main.o", "dïr/zwei.o", "你好.o"];
    files.place(&names);
    if Llvm::get().major() >= 23 {
        files.works_twice(&names, "app");
        return;
    }
    let linked = files.link(&names, "app", &[]);
    let stderr = text(&linked.stderr);
    assert!(!linked.status.success(), "{stderr}");
    for part in [
        "relto: error: cannot compile `",
        "wrongly",
        "LLVM 23",
        "  hint: ",
    ] {
        assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
    }
}

#[test]
fn a_name_that_is_not_ascii_works_where_the_shard_has_it_right() {
    // What lld writes from release 23 on, with the lld and the clang under test.
    let mut saved = Saved::new(&plain()).only("main.o");
    let shard = fs::read(saved.index()).expect("read");
    let index = Index::parse(&shard).expect("a good shard");
    let others = index.modules().iter().map(|entry| {
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        fs::copy(saved.path(&name), saved.path(&format!("ü{name}"))).expect("copied");
        format!("ü{name}")
    });
    let others: Vec<_> = others.collect();
    let rewritten = index.rewrite(&others);
    fs::write(saved.index(), rewritten.expect("rewritten").bytes).expect("written");
    saved.job()["args"][0] = "ümain.o".into();
    let inputs = saved.job()["inputs"].as_array_mut().expect("a list");
    for (_, name) in inputs
        .iter_mut()
        .enumerate()
        .filter(|(number, _)| *number != 1)
    {
        *name = format!("ü{}", name.as_str().expect("a name")).into();
    }
    let output = saved.run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("relto: 1 job, 1 local"));
}
