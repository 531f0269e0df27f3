//! Objects in which something is in the order of promoted names, of which the hashes are a part.

use std::collections::BTreeMap;

use fs_err as fs;
use tempfile::TempDir;

use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};
use crate::support::program::Program;

use super::links::linked;

/// Throws and catches a type of its own: in position-independent code the pointers to caught types stand
/// in the data in the order of their names. `NAME` is the module's, `NUMBER` stands in a function that
/// nothing imports.
const CATCHER: &str = "void throws_NAME(int);\n\
    int unrelated_NAME(int x) { return x * NUMBER; }\n\
    namespace { struct Fault { int x; }; }\n\
    [[gnu::noinline]] void fails_NAME(int x) { throw Fault{x}; }\n\
    int catches_NAME(int x) {\n\
      try { throws_NAME(x); } catch (Fault &fault) { return fault.x; } return 1; }\n";
const THROWER: &str = "void fails_one(int); void fails_two(int);\n\
    [[gnu::noinline]] void throws_one(int x) { if (x) fails_one(x); }\n\
    [[gnu::noinline]] void throws_two(int x) { if (x) fails_two(x); }\n";
const MAIN: &str = "#include <cstdio>\nint catches_one(int); int catches_two(int);\n\
    int main(int count, char **) {\n\
      std::puts(catches_one(count) + catches_two(count) ? \"ok\" : \"bad\"); }\n";

fn catching(number: u32) -> (Program, TempDir) {
    program([
        ("main", MAIN.to_owned()),
        ("one", module(CATCHER, "one", 3)),
        ("two", module(CATCHER, "two", number)),
        ("thrower", THROWER.to_owned()),
    ])
}

/// Adds addresses of tables of one name: operands of sums are sorted by name.
const TABLE: &str = "static int table[64];\n\
    int *at_NAME(long i) { return &table[i]; }\n\
    void set_NAME(long i, int x) { table[i] = x + table[i + 1]; }\n\
    int unrelated_NAME(int x) { return x * NUMBER; }\n";
const SUMS: &str = "#include <cstdio>\nint *at_one(long); int *at_two(long);\n\
    [[gnu::noinline]] void sums(long n, volatile long *to) {\n\
      for (long i = 0; i < n; i++) to[i] = (long)at_one(i) + (long)at_two(i); }\n\
    int main(int count, char **) { volatile long to[64]; sums(count, to); std::puts(\"ok\"); }\n";

fn summing(number: u32) -> (Program, TempDir) {
    program([
        ("main", SUMS.to_owned()),
        ("one", module(TABLE, "one", 3)),
        ("two", module(TABLE, "two", number)),
    ])
}

/// One of the two modules of a kind.
fn module(text: &str, name: &str, number: u32) -> String {
    let text = text.replace("NAME", name);
    text.replace("NUMBER", &number.to_string())
}

fn program<const N: usize>(texts: [(&str, String); N]) -> (Program, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let compiled = texts.map(|(name, text)| {
        let source = format!("{name}.cpp");
        fs::write(dir.path().join(&source), text).expect("written");
        let mut clang = Llvm::get().command("clang++");
        clang.current_dir(dir.path());
        run(clang.args(["-O2", "-fPIC", "-flto=thin", "-c", &source]));
        dir.path().join(format!("{name}.o"))
    });
    let program = Program {
        driver: "clang++",
        ..Program::c("ordered", compiled.into())
    };
    (program, dir)
}

/// The promoted names of the types that are caught, in the order of the object's data.
fn order_in_data(object: &[u8]) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a.o");
    fs::write(&file, object).expect("written");
    let mut tool = Llvm::get().command("llvm-readelf");
    let text = run(tool.args(["--relocations", "--wide"]).arg(file));
    let data = text.split("'.rela.data'").nth(1).unwrap_or_default();
    let names = data.split_whitespace();
    let names = names.filter(|name| name.contains("Fault") && name.contains(".llvm."));
    names.map(str::to_owned).collect()
}

#[test]
fn caught_types_of_one_name_are_in_the_order_in_which_the_compiler_writes_them() {
    let home = Home::new();
    let (mut firsts, mut found) = (BTreeMap::new(), 0);
    for number in 0..12 {
        let (program, _kept) = catching(number);
        let outcome = linked(&program, &home);
        found += usize::from(number > 0) * outcome.counts().cached;
        let main = &outcome.objects()[0];
        if let [first, _] = &order_in_data(main)[..] {
            *firsts.entry(first.clone()).or_insert(0) += 1;
        }
    }
    // The type of `one.cpp` has the same name in all of them, and is not always the first.
    let most = firsts.values().max().copied().unwrap_or(0);
    assert!((2..12).contains(&most), "{firsts:?}");
    // `one.o` and `thrower.o` each time, and `main.o` unless the order has changed.
    assert!(found > 2 * 11, "{found}");
}

#[test]
fn operands_that_are_sorted_by_name_are_in_the_compilers_order() {
    let home = Home::new();
    let mut found = 0;
    for number in 0..12 {
        let (program, _kept) = summing(number);
        let outcome = linked(&program, &home);
        found += usize::from(number > 0) * outcome.counts().cached;
    }
    // `one.o` each time, and `main.o` unless the order has changed.
    assert!((11 + 1..2 * 11).contains(&found), "{found}");
}
