//! C programs of any size, written by a loop.
//!
//! In `generated(n)` each module calls a few others, as in usual programs; in `dense(n)` each calls
//! all, the shape that makes job files and shards large.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::super::corpus::{Compile, cached, compile, files};
use super::sources::main_first;
use super::{Program, strings};
use fs_err as fs;

/// How many others a module of `generated` calls.
const NEIGHBOURS: usize = 6;

/// `n` modules and `main`, each importing from a few others.
pub fn generated(n: usize) -> Program {
    program(&format!("generated-{n}"), n, NEIGHBOURS.min(n - 1))
}

/// `n` modules and `main`, each calling all the others: job inputs grow with the square of `n`.
pub fn dense(n: usize) -> Program {
    program(&format!("dense-{n}"), n, n - 1)
}

fn program(name: &str, n: usize, calls: usize) -> Program {
    let sources: Vec<_> = (0..n).map(|i| module(i, n, calls)).collect();
    let main = main(n, calls);
    let recipe = format!("{main}{}", sources.concat());
    let dir = cached(name, &recipe, |dir| {
        let texts = sources.iter().chain([&main]);
        let names = (0..n)
            .map(|i| format!("m{i:04}"))
            .chain(["main".to_owned()]);
        let steps = names.zip(texts).map(|(name, text)| {
            let source = dir.join(&name).with_extension("c");
            fs::write(&source, text).expect("written");
            let object = source.with_extension("o");
            Compile { source, object }
        });
        compile("clang", &strings(&["-O2", "-flto=thin"]), steps.collect());
    });
    Program::c(name, main_first(files(&dir, "o")))
}

/// Small enough to be imported everywhere; `bulk` stays, so that each object has code of its own.
fn module(i: usize, n: usize, calls: usize) -> String {
    let others: Vec<_> = (1..=calls).map(|step| (i + step) % n).collect();
    let mut text = String::new();
    for other in &others {
        writeln!(text, "int leaf{other}(int);").expect("a string");
    }
    let sum: Vec<_> = others
        .iter()
        .map(|other| format!("leaf{other}(x)"))
        .collect();
    let body = format!(
        "unsigned s = {i};\n  for (int k = 0; k < x; k++) s = s * 31u + (unsigned)k;\n  return (int)(s % 97u)"
    );
    writeln!(text, "int leaf{i}(int x) {{ return x + {i}; }}").expect("a string");
    writeln!(
        text,
        "__attribute__((noinline)) int bulk{i}(int x) {{\n  {body};\n}}"
    )
    .expect("a string");
    writeln!(
        text,
        "int sum{i}(int x) {{ return bulk{i}(x) - bulk{i}(x) + {}; }}",
        sum.join(" + ")
    )
    .expect("a string");
    text
}

/// Knows by arithmetic what the sum of all sums is.
fn main(n: usize, calls: usize) -> String {
    let mut text = "#include <stdio.h>\n".to_owned();
    for i in 0..n {
        writeln!(text, "int sum{i}(int);").expect("a string");
    }
    text.push_str("int main(void) {\n  long all = 0;\n");
    for i in 0..n {
        writeln!(text, "  all += sum{i}(1);").expect("a string");
    }
    let expected = calls * (n * (n - 1) / 2 + n);
    writeln!(
        text,
        "  puts(all == {expected}L ? \"ok\" : \"another sum\");\n  return 0;\n}}"
    )
    .expect("a string");
    text
}

/// Texts of a program written by hand, compiled with `flags`: `(file name, text)`, `main` first.
pub(super) fn written(
    name: &str,
    tool: &str,
    texts: &[(&str, &str)],
    flags: &[&str],
) -> Vec<PathBuf> {
    let recipe = format!("{tool}{texts:?}{flags:?}");
    let dir = cached(name, &recipe, |dir| {
        let sources = texts.iter().map(|(file, text)| {
            let source = dir.join(file);
            fs::write(&source, text).expect("written");
            source
        });
        let sources: Vec<_> = sources.collect();
        let steps = sources
            .into_iter()
            .filter(|path| path.extension().is_some_and(|kind| kind != "h"));
        let steps = steps.map(|source| Compile {
            object: source.with_extension("o"),
            source,
        });
        let here = format!("-I{}", dir.display());
        compile(
            tool,
            &[strings(flags), vec![here]].concat(),
            steps.collect(),
        );
    });
    let compiled = texts
        .iter()
        .filter(|(file, _)| Path::new(file).extension().is_some_and(|kind| kind != "h"));
    compiled
        .map(|(file, _)| dir.join(file).with_extension("o"))
        .collect()
}
