//! `wasm-ld`: programs that run under node.

use std::path::PathBuf;
use std::process::Command;

use fs_err as fs;

use crate::support::llvm::run;
use crate::support::skip::skip;
use crate::support::wrapped::{Release, WrapperDir};

const RUN: &str = "const { WASI } = require('wasi'); const fs = require('fs');\n\
    const wasi = new WASI({ version: 'preview1', args: ['app'], env: {}, preopens: {} });\n\
    WebAssembly.instantiate(fs.readFileSync('app'), wasi.getImportObject()).then(it => wasi.start(it.instance));\n";

/// `None` after recording the test as skipped, where Debian's packages for WebAssembly are missing.
#[track_caller]
fn fixture() -> Option<WrapperDir> {
    let release = Release::under_test();
    let builtins = format!("../lib/clang/{}/lib/wasi", release.major);
    let needed = [
        PathBuf::from("/usr/lib/wasm32-wasi/libc++.a"),
        PathBuf::from("/usr/bin/node"),
        release.bin.join(builtins),
    ];
    if let Some(missing) = needed.iter().find(|it| !it.exists()) {
        skip(&format!("there is no `{}`", missing.display()));
        return None;
    }
    let fixture = WrapperDir::new(&release);
    fixture.write("run.js", RUN);
    Some(fixture)
}

const TARGET: [&str; 2] = ["--target=wasm32-wasi", "-Wno-deprecated"];

fn link(fixture: &WrapperDir, driver: &str, linker: &str, words: &[&str]) -> String {
    let mut command = fixture.command(driver);
    command
        .args(TARGET)
        .args(["-O2", "-flto=thin", "-o", "app"]);
    let output = command
        .arg(format!("-fuse-ld={linker}"))
        .args(words)
        .output();
    let output = output.expect("clang starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    stderr
}

fn wrapped(fixture: &WrapperDir, driver: &str, words: &[&str]) -> String {
    let linker = fixture.path("relto-wasm-ld").display().to_string();
    link(fixture, driver, &linker, words)
}

/// Links both ways; the programs must be the same. Returns what it prints.
fn same(fixture: &WrapperDir, driver: &str, words: &[&str], jobs: usize) -> String {
    compared(fixture, driver, words, jobs);
    run(Command::new("node")
        .current_dir(fixture.dir())
        .args(["--no-warnings", "run.js"]))
}

/// Links both ways; the programs must be the same.
fn compared(fixture: &WrapperDir, driver: &str, words: &[&str], jobs: usize) {
    let plain = fixture.release.tool("wasm-ld").display().to_string();
    link(fixture, driver, &plain, words);
    let theirs = fs::read(fixture.path("app")).expect("linked");
    let said = wrapped(fixture, driver, words);
    assert!(said.contains(&format!("relto: {jobs} job")), "{said}");
    assert!(!said.contains("warning"), "{said}");
    assert!(
        fs::read(fixture.path("app")).expect("linked") == theirs,
        "{words:?}"
    );
}

#[test]
fn a_c_program_is_wasm_lds_own_and_runs() {
    let Some(fixture) = fixture() else { return };
    let thin = [&TARGET[..], &["-flto=thin"]].concat();
    fixture.compile("main.c", "#include <stdio.h>\nint f(int); int h(int); int main(void) { printf(\"%d\\n\", f(1) + h(2)); return 0; }\n", &thin);
    fixture.compile("f.c", "int f(int x) { return x * 3; }\n", &thin);
    fixture.compile("h.c", "int h(int x) { return x * 11; }\n", &TARGET);
    fixture.archive("rcs", "libx.a", &["f.o", "h.o"]);
    assert_eq!(same(&fixture, "clang", &["main.o", "libx.a"], 2), "25\n");
    assert_eq!(
        same(
            &fixture,
            "clang",
            &["main.o", "f.o", "h.o", "-Wl,--gc-sections"],
            2
        ),
        "25\n"
    );
}

/// The linker's own LTO runs the constructors of an archive's member if something of the member is
/// used after optimization; of `--whole-archive`, always.
#[test]
fn constructors_of_native_members_run_as_in_the_linkers_own_lto() {
    let Some(fixture) = fixture() else { return };
    let thin = [&TARGET[..], &["-flto=thin"]].concat();
    let main = "#include <stdio.h>\nint zero(void); void unused(void); void used(void);\n\
        int main(void) { if (zero()) unused(); used(); puts(\"main\"); return 0; }\n";
    fixture.compile("main.c", main, &thin);
    fixture.compile("zero.c", "int zero(void) { return 0; }\n", &thin);
    for name in ["unused", "used", "alone"] {
        let member = format!(
            "#include <stdio.h>\n__attribute__((weak)) void both(void) {{}}\n\
             __attribute__((constructor)) static void c(void) {{ puts(\"constructor of {name}\"); }}\n\
             void {name}(void) {{ puts(\"{name}\"); }}\n"
        );
        fixture.compile(&format!("{name}.c"), &member, &TARGET);
    }
    fixture.archive("rcs", "libn.a", &["unused.o", "alone.o", "used.o"]);
    let printed = same(&fixture, "clang", &["main.o", "zero.o", "libn.a"], 2);
    assert_eq!(printed, "constructor of used\nused\nmain\n");
    let whole = [
        "main.o",
        "zero.o",
        "-Wl,--whole-archive",
        "libn.a",
        "-Wl,--no-whole-archive",
    ];
    let printed = same(&fixture, "clang", &whole, 2);
    assert_eq!(printed.matches("constructor").count(), 3, "{printed}");
}

/// The same of variables that must not be removed, and of objects that are linked when they are
/// needed.
#[test]
fn what_stays_of_native_files_by_need_is_what_stays_in_the_linkers_own_lto() {
    let Some(fixture) = fixture() else { return };
    let thin = [&TARGET[..], &["-flto=thin"]].concat();
    let main = "#include <stdio.h>\nint zero(void); void unused(void); void used(void);\n\
        int main(void) { if (zero()) unused(); used(); puts(\"main\"); return 0; }\n";
    fixture.compile("main.c", main, &thin);
    fixture.compile("zero.c", "int zero(void) { return 0; }\n", &thin);
    for name in ["unused", "used"] {
        let text = format!(
            "__attribute__((used)) static int kept = 3;\n#include <stdio.h>\nvoid {name}(void) {{ puts(\"{name}\"); }}\n"
        );
        fixture.compile(&format!("{name}.c"), &text, &TARGET);
        let text = format!(
            "#include <stdio.h>\n__attribute__((constructor)) static void c(void) {{ puts(\"c of {name}\"); }}\nvoid {name}(void) {{ puts(\"{name}\"); }}\n"
        );
        fixture.compile(&format!("c{name}.c"), &text, &TARGET);
    }
    fixture.archive("rcs", "libn.a", &["unused.o", "used.o"]);
    for (library, printed) in [
        (&["libn.a"][..], "used\nmain\n"),
        (
            &["-Wl,--start-lib", "unused.o", "used.o", "-Wl,--end-lib"],
            "used\nmain\n",
        ),
        (
            &["-Wl,--start-lib", "cunused.o", "cused.o", "-Wl,--end-lib"],
            "c of used\nused\nmain\n",
        ),
    ] {
        let words = [&["main.o", "zero.o"], library].concat();
        assert_eq!(same(&fixture, "clang", &words, 2), printed, "{words:?}");
    }
}

#[test]
fn variables_of_the_linker_are_there_where_optimization_removed_their_uses() {
    let Some(fixture) = fixture() else { return };
    let thin = [&TARGET[..], &["-flto=thin"]].concat();
    let counted = "static __attribute__((noinline)) int own(int x) { static int s; __asm__(\"\"); return x + s++; }\n";
    let main = "extern char __heap_base[], __data_end[]; int never(void); int f(int);\n\
        int main(void) { return never() ? (int)(__heap_base - __data_end) : f(1) + own(2); }\n";
    fixture.compile("main.c", &format!("{counted}{main}"), &thin);
    let f = "int never(void) { return 0; } int f(int x) { return own(x) + own(x + 1); }\n";
    fixture.compile("f.c", &format!("{counted}{f}"), &thin);
    for option in [
        "-Wl,--export-all",
        "-Wl,--export=__heap_base,--export-if-defined=__data_end",
        "-Wl,--emit-relocs,--no-gc-sections",
    ] {
        let words = ["-nostdlib", "-Wl,--no-entry", "main.o", "f.o", option];
        compared(&fixture, "clang", &words, 2);
    }
}

/// The linker lists it once for each file that names it, and one file more does in the final link.
#[test]
fn relocations_of_functions_that_may_be_missing_are_the_linkers() {
    let Some(fixture) = fixture() else { return };
    let main = "int n(void); int main(void) { return n(); }\n";
    fixture.compile("main.c", main, &[&TARGET[..], &["-flto=thin"]].concat());
    let native = "extern int nowhere(void) __attribute__((weak)); int n(void) { return nowhere ? nowhere() : 0; }\n";
    fixture.compile("n.c", native, &TARGET);
    let words = ["main.o", "n.o", "-Wl,--emit-relocs"];
    let said = wrapped(&fixture, "clang", &words);
    let reason = "`--emit-relocs` with the function `nowhere`, which may be missing";
    assert!(said.contains(reason), "{said}");
}

/// Destructors are registered by a function of the C library, which only the backend calls, and so
/// are `memcpy` and `memset`.
#[test]
fn members_that_only_an_object_asks_for_come_before_it() {
    let Some(fixture) = fixture() else { return };
    let thin = [&TARGET[..], &["-flto=thin"]].concat();
    for (name, text) in [
        (
            "main.c",
            "int a(void), b(void), n(void); int main(void) { return (a() + b() + n()) & 0; }\n",
        ),
        (
            "a.c",
            "char z[5000]; int puts(const char *); __attribute__((destructor)) static void d(void) { puts(\"d\"); }\nint a(void) { for (int i = 0; i < 5000; i++) z[i] = 0; return z[7]; }\n",
        ),
        (
            "b.c",
            "struct S { char b[4096]; } from, to; int b(void) { to = from; return to.b[3]; }\n",
        ),
    ] {
        fixture.compile(name, text, &thin);
    }
    let n = "int n(void) { return 1; }\n__attribute__((destructor)) static void e(void) {}\n";
    fixture.compile("n.c", n, &TARGET);
    fixture.archive("rcs", "libx.a", &["b.o", "a.o", "n.o"]);
    for words in [&["main.o", "libx.a"][..], &["b.o", "n.o", "a.o", "main.o"]] {
        let printed = same(&fixture, "clang", words, 3);
        assert_eq!(printed, "d\n");
        let words = [words, &["-Wl,--no-gc-sections"]].concat();
        compared(&fixture, "clang", &words, 3);
    }
}

/// Options that the final link must do the same with as the linker's own LTO does.
const OPTIONS: &[&[&str]] = &[
    &["-Wl,--export=f"],
    &["-Wl,--export=g", "-Wl,--export=t"],
    &["-Wl,--export-all"],
    &[
        "-Wl,--export-if-defined=h",
        "-Wl,--export-if-defined=nowhere",
    ],
    &["-Wl,--export-dynamic"],
    &["-Wl,--no-entry"],
    &["-Wl,--entry=f"],
    &["-Wl,--no-gc-sections"],
    &["-Wl,--import-undefined"],
    &["-Wl,--allow-undefined"],
    &["-Wl,--unresolved-symbols=ignore-all"],
    &["-Wl,--import-memory"],
    &["-Wl,--import-table"],
    &["-Wl,--export-table"],
    &["-Wl,--growable-table"],
    &["-Wl,--table-base=7"],
    &["-Wl,--stack-first"],
    &["-Wl,-z,stack-size=131072"],
    &["-Wl,--initial-memory=1048576"],
    &["-Wl,--max-memory=4194304"],
    &["-Wl,--strip-all", "-Wl,--keep-section=name"],
    &["-Wl,--strip-debug"],
    &["-Wl,--no-merge-data-segments"],
    &["-Wl,--extra-features=tail-call"],
    &["-Wl,--no-check-features"],
    &["-Wl,--build-id"],
    &["-Wl,-O2", "-Wl,--lto-O3"],
    &["-Wl,-mllvm,-inline-threshold=0"],
    &["-Wl,-u,h"],
    &["-Wl,-u,h,-u,f,-u,never,--export-all"],
    &["-Wl,--emit-relocs"],
];

#[test]
fn options_of_wasm_ld_mean_what_they_mean_in_its_own_lto() {
    let Some(fixture) = fixture() else { return };
    let thin = [&TARGET[..], &["-flto=thin"]].concat();
    fixture.compile("main.c", "#include <stdio.h>\nint f(int); int h(int); __attribute__((weak)) int w(void) { return 7; }\nint main(void) { printf(\"%d\\n\", f(1) + h(2) + w()); return 0; }\n", &thin);
    fixture.compile(
        "f.c",
        "int g(int); int f(int x) { return g(x) * 3; }\n",
        &thin,
    );
    fixture.compile("g.c", "int t = 5; static char b[40]; int puts(const char *);\n__attribute__((constructor)) static void c(void) { puts(\"c\"); }\nint g(int x) { b[x & 3]++; return x + t + ++b[1]; }\n", &thin);
    fixture.compile(
        "h.c",
        "extern int t; int h(int x) { return x * 11 + t; }\n",
        &TARGET,
    );
    fixture.archive("rcs", "libx.a", &["f.o", "h.o"]);
    fixture.archive("rcs", "liby.a", &["g.o"]);
    for words in OPTIONS {
        let words = [&["main.o", "libx.a", "liby.a"], *words].concat();
        compared(&fixture, "clang", &words, 3);
    }
    let thin = [&thin[..], &["-fPIC"]].concat();
    fixture.compile("lib.c", "int und(int); int n(int); int add(int a) { return und(a) + n(a) + 1; }\nint data = 4; int *p = &data; int (*fp)(int) = und;\n", &thin);
    fixture.compile(
        "n.c",
        "int add(int); int n(int x) { return x * 7; } int m(int x) { return add(x); }\n",
        &["-fPIC", TARGET[0]],
    );
    for words in [
        &[
            "-shared",
            "-Wl,--experimental-pic,--unresolved-symbols=import-dynamic",
        ][..],
        &["-Wl,-pie,--experimental-pic,--import-undefined"],
        &["-Wl,--allow-undefined,--export=m"],
    ] {
        let words = [&["-nostdlib", "lib.o", "n.o", "-Wl,--no-entry"], words].concat();
        compared(&fixture, "clang", &words, 1);
    }
}

/// Its thin link would write an empty one there, over what the user has.
#[test]
fn no_index_is_written_beside_a_module_for_regular_lto() {
    let Some(fixture) = fixture() else { return };
    let main = "int f(void); int main(void) { return f(); }\n";
    fixture.compile("main.c", main, &[&TARGET[..], &["-flto=thin"]].concat());
    let f = "int f(void) { return 0; }\n";
    fixture.compile("f.c", f, &[&TARGET[..], &["-flto"]].concat());
    fixture.archive("rcs", "libf.a", &["f.o"]);
    fixture.write("f.o.thinlto.bc", "the user's");
    for input in ["f.o", "libf.a"] {
        let said = wrapped(&fixture, "clang", &["main.o", input]);
        assert!(said.contains("a module for regular LTO"), "{said}");
        let kept = fs::read(fixture.path("f.o.thinlto.bc")).expect("there");
        assert_eq!(kept, b"the user's", "{input}");
        let names = fs::read_dir(fixture.dir()).expect("a directory");
        let names = names.map(|entry| entry.expect("a file").file_name().into_string());
        let made = names.filter(|name| name.as_ref().is_ok_and(|it| it.ends_with(".thinlto.bc")));
        assert_eq!(made.count(), 1, "{input}");
    }
}

#[test]
fn a_cxx_program_is_wasm_lds_own_and_runs() {
    let Some(fixture) = fixture() else { return };
    let thin = [&TARGET[..], &["-flto=thin", "-fno-exceptions"]].concat();
    let native = [&TARGET[..], &["-fno-exceptions"]].concat();
    fixture.compile(
        "main.cc",
        "#include <cstdio>\n#include <map>\n#include <string>\nstruct S { S() { std::puts(\"main\"); } } s;\nstd::string g(int); std::string n(int);\n\
         int main() { std::map<int, std::string> m; for (int i = 0; i < 3; i++) m[i] = g(i) + n(i); std::string t; for (auto &p : m) t += p.second; std::puts(t.c_str()); return 0; }\n",
        &thin,
    );
    fixture.compile("g.cc", "#include <cstdio>\n#include <string>\nstruct S { S() { std::puts(\"g\"); } }; static S s;\nstd::string g(int i) { return std::string(i + 1, 'a'); }\n", &thin);
    fixture.compile("n.cc", "#include <cstdio>\n#include <string>\nstruct T { T() { std::puts(\"n\"); } }; static T t;\nstd::string n(int i) { return std::to_string(i) + std::string(i, 'b'); }\n", &native);
    let printed = same(
        &fixture,
        "clang++",
        &["-fno-exceptions", "main.o", "n.o", "g.o"],
        2,
    );
    assert!(printed.ends_with("a0aa1baaa2bb\n"), "{printed}");
}
