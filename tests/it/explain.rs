//! `relto explain`: the key that a link used, and what changed it.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::support::link::{Home, Link};
use crate::support::llvm::{Llvm, run};
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Feature, feature, generated};
use crate::support::saved::Saved;
use crate::support::toolchain_dir::ToolchainDir;

fn explain(outcome: &LinkOutcome, home: &Home, earlier: &[&str]) -> String {
    let entries = fs::read_dir(outcome.dir()).expect("a directory");
    let mut names = entries.map(|entry| entry.expect("an entry").file_name());
    let job_file = names.find(|name| name.to_string_lossy().ends_with(".dist-file.json"));
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut relto);
    relto.current_dir(outcome.dir()).arg("explain");
    run(relto.arg(job_file.expect("a job file")).args(earlier))
}

#[test]
fn the_action_is_the_one_that_the_cache_is_asked_for_and_a_change_is_named() {
    let home = Home::new();
    let program = feature(Feature::Plain);
    let linked = Link::new(&program)
        .keep_objects()
        .run_at(&home)
        .expect_works();
    let before = explain(&linked, &home, &[]);
    let keys: Vec<&str> = before
        .lines()
        .filter_map(|line| line.strip_prefix("  action "))
        .collect();
    assert_eq!(keys.len(), 3, "{before}");
    for key in keys {
        let hash = key.split('/').next().expect("a hash");
        let kept = home.cache().join("relto/ac").join(&hash[..2]).join(hash);
        assert!(kept.exists(), "`{}` is not there", kept.display());
    }
    assert!(
        before.contains("  input relto/m/0000.bc ") && before.contains("(main.o)"),
        "{before}"
    );
    let loader = before.matches("  toolchain relto/tc/lib/ld-").count();
    assert!(loader <= 1, "once, not for each module: {before}");

    let link = Link::new(&program).argument("-Wl,--lto-O1").keep_objects();
    let source = link.dir().join("thrice.c");
    fs::write(&source, "int thrice(int x) { return x + x + x; }\n").expect("written");
    Llvm::get().thin_module(&source, &link.dir().join("thrice.o"));
    let linked = link.run_at(&home).expect_works();
    fs::write(linked.dir().join("before"), &before).expect("written");
    let told = explain(&linked, &home, &["before"]);
    for part in [
        "- argument -O2",
        "+ argument -O1",
        "- input thrice.o ",
        "+ input thrice.o ",
        "0 of 3 jobs have the same key",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
    fs::write(linked.dir().join("now"), explain(&linked, &home, &[])).expect("written");
    let told = explain(&linked, &home, &["now"]);
    assert_eq!(told, "3 of 3 jobs have the same key in both links\n");
}

/// The module of a source that is read as `path`.
fn compile(path: &Path, source: &str, module: &Path) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("created");
    fs::write(path, source).expect("written");
    Llvm::get().thin_module(path, module);
}

/// What relto says in the directory of `link`.
fn relto(link: &Link<'_>, home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut relto);
    let output = relto.current_dir(link.dir()).args(arguments).output();
    let output = output.expect("relto starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    (output.status.code(), text)
}

#[test]
fn without_a_job_file_the_last_two_links_of_an_output_are_compared() {
    const THRICE: &str = "int thrice(int x) { return x + x + x; }\n";
    let home = Home::new();
    let program = feature(Feature::Plain);
    let link = Link::new(&program);
    let (_, told) = relto(&link, &home, &["explain"]);
    assert_eq!(told, "no link is recorded yet\n");
    run(&mut link.command(&home));
    let (_, told) = relto(&link, &home, &["explain"]);
    assert!(told.contains("no earlier one with other keys"), "{told}");

    let module = link.dir().join("thrice.o");
    compile(&link.dir().join("one/thrice.c"), THRICE, &module);
    run(&mut link.command(&home));
    let (code, told) = relto(&link, &home, &["explain"]);
    assert_eq!(code, Some(0), "{told}");
    for part in [
        "- input thrice.o ",
        "+ input thrice.o ",
        " of 3 jobs have the same key",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
    for arguments in [
        &["explain", "thrice.o"][..],
        &["explain", "--last", "thrice.o"],
    ] {
        let (_, told) = relto(&link, &home, arguments);
        for part in ["thrice.o\n  object: compiled here\n", "+ input thrice.o "] {
            assert!(told.contains(part), "no `{part}` in:\n{told}");
        }
    }

    compile(&link.dir().join("other/thrice.c"), THRICE, &module);
    run(&mut link.command(&home));
    let (_, told) = relto(&link, &home, &["explain", "thrice.o"]);
    let only = "input thrice.o: the module differs in source_filename only";
    assert!(told.contains(only), "{told}");

    run(&mut link.command(&home));
    let (_, told) = relto(&link, &home, &["explain", "main.o"]);
    for part in [
        "from the disk cache",
        "the key is that of the link before\n",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
    let (code, _) = relto(&link, &home, &["cache", "clear"]);
    assert_eq!(code, Some(0));
    run(&mut link.command(&home));
    let (_, told) = relto(&link, &home, &["explain", "main.o"]);
    let evicted = "its result was not in a cache, or not any more";
    assert!(told.contains(evicted), "{told}");

    let (code, told) = relto(&link, &home, &["explain", "nothing.o"]);
    assert_eq!(code, Some(1));
    assert!(
        told.contains("no link that was recorded has a module `nothing.o`"),
        "{told}"
    );
}

#[test]
fn an_earlier_job_file_is_explained_or_told_to_be_stale() {
    let home = Home::new();
    let program = feature(Feature::Plain);
    let link = Link::new(&program).keep_objects();
    let job_file = |known: &[String]| -> String {
        run(&mut link.command(&home));
        let entries = fs::read_dir(link.dir()).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names = names.map(|name| name.to_string_lossy().into_owned());
        let new = |name: &String| name.ends_with(".dist-file.json") && !known.contains(name);
        names.find(new).expect("a job file")
    };
    let first = job_file(&[]);
    let second = job_file(std::slice::from_ref(&first));
    let (code, told) = relto(&link, &home, &["explain", &second, &first]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told, "3 of 3 jobs have the same key in both links\n");
    for entry in fs::read_dir(link.dir()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let stem = first.split(".dist-file").next().expect("a stem");
        let number = stem.rsplit('.').next().expect("a process id");
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if name.contains(number) && name != first {
            fs::remove_file(path).expect("removed");
        }
    }
    let (code, told) = relto(&link, &home, &["explain", &second, &first]);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("is there any more") && told.contains("hint: "),
        "{told}"
    );
    fs::write(link.dir().join("strange"), "abc\n").expect("written");
    let (code, told) = relto(&link, &home, &["explain", &second, "strange"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("neither a job file nor"), "{told}");
}

/// A program that leaves a file, and answers nothing where it may not.
fn compiler_of_a_tree(dir: &Path) -> PathBuf {
    const SOURCE: &str = "#include <stdio.h>\n\
        int main(void) {\n\
          FILE *file = fopen(RAN, \"w\");\n\
          if (!file) return 1;\n\
          fclose(file);\n\
          fputs(\"clang version 22.0.0\\nTarget: x86_64-pc-linux-gnu\\n\", stderr);\n\
          return 0;\n\
        }\n";
    let ran = dir.join("RAN");
    fs::write(dir.join("evil.c"), SOURCE).expect("written");
    let mut clang = Llvm::get().command("clang");
    clang.arg(format!("-DRAN=\"{}\"", ran.display()));
    run(clang.current_dir(dir).args(["evil.c", "-o", "evil"]));
    dir.join("evil")
}

/// Looking at a job file is no consent to what it names.
#[test]
fn a_compiler_that_a_job_file_names_is_asked_in_the_sandbox_only() {
    let mut saved = Saved::new(&generated(4));
    saved.compile_with(&compiler_of_a_tree(&saved.path("")));
    let ran = saved.path("RAN");
    drop(saved.command());
    for arguments in [&["explain"][..], &["doctor", "--verify"]] {
        let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
        saved.home.apply(&mut relto);
        relto.current_dir(saved.path("")).args(arguments);
        let output = relto.arg("jobs.json").output().expect("relto starts");
        let told = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("gives no answer in a sandbox"), "{told}");
        assert!(!ran.exists(), "{arguments:?}");
    }
    let _ = saved.run();
    assert!(ran.exists(), "a link starts it as the user would");
}

/// It is in no sandbox of a link, which hashes what the files say.
#[test]
fn a_compiler_with_configuration_files_is_asked_in_the_sandbox_too() {
    let (own, home) = (ToolchainDir::new(), Home::new());
    let clang = own.clang_of_its_own();
    own.write("own/bin/clang.cfg", "-O1\n");
    let program = feature(Feature::Plain);
    let compiler = format!("-Wl,--thinlto-remote-compiler={}", clang.display());
    let link = Link::new(&program).argument(&compiler).keep_objects();
    let linked = link.run_at(&home).expect_works();
    let told = explain(&linked, &home, &[]);
    let keys = told
        .lines()
        .filter_map(|line| line.strip_prefix("  action "));
    let keys: Vec<&str> = keys.collect();
    assert_eq!(keys.len(), 3, "{told}");
    for key in keys {
        let hash = key.split('/').next().expect("a hash");
        let kept = home.cache().join("relto/ac").join(&hash[..2]).join(hash);
        assert!(kept.exists(), "{told}");
    }
}
