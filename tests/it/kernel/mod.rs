//! The Linux kernel's own backends through `relto cc`: a slice of it in every run, all of it in the
//! long run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;
use relto::internals::action::arguments::{Meaning, parse, reaching};

use crate::support::backends::add;
use crate::support::kernel::Slice;
use crate::support::link::Home;
use crate::support::llvm::Llvm;
use crate::support::outcome::Counts;

mod dtlto;
mod farm;
mod flags;
mod whole;

fn relto(slice: &Slice, home: &Home, module: &str, environment: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    let object = native(module);
    command
        .current_dir(slice.dir())
        .env("RELTO_LOG", "info")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .arg("cc")
        .arg(Llvm::get().tool("clang"))
        .args(slice.flags(module))
        .args(Slice::files(module, &object));
    command.output().expect("relto starts")
}

fn clang(slice: &Slice, words: &[String]) -> Output {
    let mut command = Llvm::get().command("clang");
    command.current_dir(slice.dir()).args(words);
    command.output().expect("clang starts")
}

fn native(module: &str) -> String {
    module.replace(".o", ".thinlto-native.o")
}

fn build(slice: &Slice, home: &Home) -> Counts {
    let mut counts = Counts::default();
    for module in &slice.modules {
        let output = relto(slice, home, module, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{module}: {stderr}");
        add(&mut counts, &stderr);
    }
    counts
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    fs::read(dir.join(name)).expect("an object")
}

/// The object, the exit code and the messages: all that a backend leaves.
#[test]
fn a_slice_of_the_kernel_equals_clangs_own_is_cached_and_needs_no_front_end_flags() {
    let Some(slice) = Slice::new() else { return };
    let home = Home::new();
    assert!(slice.modules.len() > 30, "{:?}", slice.modules);
    let counts = build(&slice, &home);
    assert_eq!(counts.local, slice.modules.len(), "{counts:?}");
    for module in &slice.modules {
        let flags = slice.flags(module);
        let whole = clang(
            &slice,
            &[flags.clone(), Slice::files(module, "whole.o")].concat(),
        );
        let theirs = read(slice.dir(), "whole.o");
        assert!(
            theirs == read(slice.dir(), &native(module)),
            "the objects of `{module}` differ"
        );
        let reaching = reaching_words(&[flags, Slice::files(module, "whole.o")].concat());
        assert_same_outcome(&slice, &whole, &theirs, &reaching, module);
    }
    let elsewhere = Slice::new().expect("the same slice");
    let counts = build(&elsewhere, &home);
    assert_eq!(counts.cached, elsewhere.modules.len(), "{counts:?}");
}

fn reaching_words(words: &[String]) -> Vec<String> {
    let parsed = parse(words);
    reaching(&parsed)
        .flat_map(|argument| argument.words.to_vec())
        .collect()
}

/// `words` leave what `whole` has left, whose object is `theirs`.
fn assert_same_outcome(slice: &Slice, whole: &Output, theirs: &[u8], words: &[String], what: &str) {
    fs::remove_file(slice.dir().join("whole.o")).expect("removed");
    let fewer = clang(slice, words);
    assert_eq!(fewer.status.code(), whole.status.code(), "{what}");
    assert_eq!(fewer.stderr, whole.stderr, "{what}");
    assert!(
        read(slice.dir(), "whole.o") == theirs,
        "{what}: the objects differ"
    );
}

/// Each of them alone, in a backend of a module that has it.
#[test]
fn every_flag_that_is_left_out_is_inert() {
    let Some(slice) = Slice::new() else { return };
    let mut users: BTreeMap<Vec<String>, &String> = BTreeMap::new();
    for module in &slice.modules {
        for argument in parse(&slice.flags(module)) {
            if matches!(argument.meaning, Meaning::FrontEnd { .. }) {
                users.insert(kind_of(argument.words), module);
            }
        }
    }
    assert!(users.len() > 20, "{users:?}");
    for (kind, module) in users {
        let flags = slice.flags(module);
        let files = Slice::files(module, "whole.o");
        let whole = clang(&slice, &[flags.clone(), files.clone()].concat());
        let theirs = read(slice.dir(), "whole.o");
        let parsed = parse(&flags);
        let others = parsed
            .iter()
            .filter(|argument| kind_of(argument.words) != kind);
        let others: Vec<String> = others
            .flat_map(|argument| argument.words.to_vec())
            .collect();
        assert_same_outcome(
            &slice,
            &whole,
            &theirs,
            &[others, files].concat(),
            &kind.join(" "),
        );
    }
}

/// All `-D` are one kind, and all `-I`.
fn kind_of(words: &[String]) -> Vec<String> {
    let families = [
        "-D",
        "-U",
        "-I",
        "-include",
        "-isystem",
        "-Wp,",
        "-fmacro-prefix-map=",
    ];
    match families.iter().find(|family| words[0].starts_with(*family)) {
        Some(family) => vec![(*family).to_owned()],
        None => words.to_vec(),
    }
}
