//! Targets whose programs equal the linker's own, and those that are left to it.

use std::process::{Command, Output};

use fs_err as fs;

use crate::support::daemon::stderr;
use crate::support::wrapped::{Release, WrapperDir};

const FIRST: &str = "extern int outside(int); int second(int, double); static int ran;\n\
    __attribute__((constructor)) static void c(void) { ran = outside(1); }\n\
    static int kept[64]; int sum(int n) { int s = 0; for (int i = 0; i < 64; i++) s += kept[i] * n; return s; }\n\
    int first(int x) { kept[x & 63] = x; return second(x, 0.5) + sum(x) + ran; }\n";
const SECOND: &str = "int second(int x, double y) { return (int)(x * y) + x; }\n\
    __attribute__((weak)) float third(float x) { return x * 3.5f; }\n";

/// With both sources as modules for `target`.
fn fixture(release: &Release, target: &str) -> WrapperDir {
    let fixture = WrapperDir::new(release);
    let target = format!("--target={target}");
    let mut flags = vec!["-flto=thin", &target[..]];
    if !target.contains("apple") && !target.contains("wasm") {
        flags.push("-fPIC");
    }
    fixture.compile("first.c", FIRST, &flags);
    fixture.compile("second.c", SECOND, &flags);
    fixture
}

fn alone(fixture: &WrapperDir, linker: &str, words: &[&str]) -> Vec<u8> {
    let output = fixture.command(linker).args(words).output();
    let output = output.expect("the linker starts");
    assert!(output.status.success(), "{words:?}: {output:?}");
    let program = fs::read(fixture.path("app")).expect("linked");
    fs::remove_file(fixture.path("app")).expect("removed");
    program
}

fn wrapped(fixture: &WrapperDir, linker: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    fixture.home.apply(&mut command);
    command.current_dir(fixture.dir()).args(["ld", "--"]);
    command.arg(fixture.release.tool(linker)).args(words);
    command.output().expect("relto starts")
}

const OBJECTS: [&str; 4] = ["first.o", "second.o", "-o", "app"];

#[test]
fn programs_for_known_targets_are_the_linkers_own() {
    for release in Release::installed() {
        let mut targets = vec![
            "aarch64-linux-gnu",
            "aarch64-linux-android24",
            "x86_64-unknown-fuchsia",
            "x86_64-unknown-none-elf",
        ];
        if release.major >= 19 {
            targets.extend(["i686-linux-gnu", "x86_64-unknown-freebsd"]);
        }
        for target in targets {
            let fixture = fixture(&release, target);
            let words = [&["-shared"][..], &OBJECTS].concat();
            let theirs = alone(&fixture, "ld.lld", &words);
            let output = wrapped(&fixture, "ld.lld", &words);
            let said = stderr(&output);
            assert!(said.contains("relto: 2 jobs"), "{target}: {said}");
            let ours = fs::read(fixture.path("app")).expect("linked");
            assert!(ours == theirs, "LLVM {}, {target}", release.major);
        }
    }
}

/// Code that shows for which processor it is.
const PLAIN: &str = "int counted(int *p) { return ++*p; }\n\
    unsigned long divided(unsigned long x, unsigned long y) { return x / y * 5; }\n\
    int added(int *p, int v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }\n\
    int bits(unsigned x) { return __builtin_popcount(x); }\n\
    long both(long *p, long x, long y) { return *p + x * y; }\n\
    int sum(int *p, long n) { int s = 0; for (long i = 0; i < n; i++) s += p[i] * 7; return s; }\n";

/// Functions of hand-written IR, and some that LLVM makes, say nothing of a processor.
#[test]
fn functions_that_name_no_processor_are_for_the_linkers() {
    const APPLE: &[&str] = &[
        "-arch",
        "arm64",
        "-platform_version",
        "macos",
        "13",
        "13",
        "-dylib",
    ];
    const ELF: &[&[&str]] = &[&["-shared"], &["-shared", "-plugin-opt=mcpu=x86-64"]];
    const ARM: &[&[&str]] = &[&["-shared"], &["-shared", "-plugin-opt=mcpu=generic"]];
    let under_test = Release::under_test().major;
    for release in Release::installed() {
        let mut rows = vec![
            ("x86_64-linux-gnu", "ld.lld", ELF),
            ("x86_64-linux-android24", "ld.lld", ELF),
            ("aarch64-linux-gnu", "ld.lld", ARM),
            ("aarch64-linux-android24", "ld.lld", ARM),
        ];
        if release.major >= 19 {
            rows.push(("i686-linux-android24", "ld.lld", &[&["-shared"]]));
        }
        if release.major == under_test {
            rows.push(("arm64-apple-macos13", "ld64.lld", &[APPLE]));
            rows.push((
                "wasm32-unknown-unknown",
                "wasm-ld",
                &[
                    &["--no-entry", "--export-all"],
                    &["--no-entry", "--export-all", "-mllvm", "-mcpu=mvp"],
                ],
            ));
        }
        for (target, linker, all) in rows {
            let fixture = WrapperDir::new(&release);
            compile_without_processor(&fixture, target);
            for words in all {
                let words = [*words, &["plain.o", "-o", "app"]].concat();
                let theirs = alone(&fixture, linker, &words);
                let output = wrapped(&fixture, linker, &words);
                let said = stderr(&output);
                assert!(said.contains("relto: 1 job"), "{words:?}: {said}");
                let ours = fs::read(fixture.path("app")).expect("linked");
                let major = release.major;
                assert!(ours == theirs, "LLVM {major}, {target}, {words:?}");
            }
        }
    }
}

/// Also where the linker's processor for other functions is not clang's own.
#[test]
fn links_whose_functions_name_their_processor_share_results_with_dtlto() {
    let distributor = format!("--thinlto-distributor={}", env!("CARGO_BIN_EXE_relto"));
    for release in Release::installed().into_iter().filter(|it| it.major >= 22) {
        let compiler = release.tool("clang").display().to_string();
        let compiler = format!("--thinlto-remote-compiler={compiler}");
        for (target, words) in [
            ("x86_64-linux-gnu", &["-shared"][..]),
            ("aarch64-linux-gnu", &["-shared"]),
            (
                "aarch64-linux-gnu",
                &["-shared", "-plugin-opt=mcpu=generic"],
            ),
        ] {
            let fixture = fixture(&release, target);
            let words = [words, &OBJECTS].concat();
            let dtlto = [&words[..], &[&distributor, &compiler]].concat();
            let theirs = alone(&fixture, "ld.lld", &dtlto);
            let said = stderr(&wrapped(&fixture, "ld.lld", &words));
            let shared = said.contains("relto: 2 jobs, 2 cached");
            assert!(shared, "{target}, {words:?}: {said}");
            let ours = fs::read(fixture.path("app")).expect("linked");
            assert!(ours == theirs, "{target}, {words:?}");
        }
    }
}

/// Writes `plain.o`, a module whose functions have no attributes of a processor.
fn compile_without_processor(fixture: &WrapperDir, target: &str) {
    let target = format!("--target={target}");
    let flags = [
        "-O1",
        "-emit-llvm",
        "-S",
        "-Xclang",
        "-disable-llvm-passes",
        &target,
    ];
    let mut flags = flags.to_vec();
    if !target.contains("wasm") {
        flags.push("-fPIC");
    }
    fixture.compile("plain.c", PLAIN, &flags);
    let text = fs::read_to_string(fixture.path("plain.o")).expect("written");
    let mut plain = String::new();
    for line in text.lines() {
        let words = line.split(' ').filter(|word| {
            let of_processor = ["\"target-", "\"tune-cpu\""];
            !of_processor.iter().any(|start| word.starts_with(start))
        });
        plain.push_str(&words.collect::<Vec<_>>().join(" "));
        plain.push('\n');
    }
    fixture.compile("plain.ll", &plain, &["-flto=thin", &target]);
}

/// Of these clang's backends make other code, other attributes or another list of constructors.
#[test]
fn links_for_other_targets_are_the_linkers() {
    const ELF: &[&str] = &["-shared"];
    const WASM64: &[&str] = &["-mwasm64", "--no-entry", "--allow-undefined"];
    const ARM64E: &[&str] = &[
        "-arch",
        "arm64e",
        "-platform_version",
        "macos",
        "12",
        "12",
        "-dylib",
        "-undefined",
        "dynamic_lookup",
    ];
    let release = Release::under_test();
    for (target, linker, words) in [
        ("x86_64-scei-ps4", "ld.lld", ELF),
        ("x86_64-sie-ps5", "ld.lld", ELF),
        ("mips64-linux-gnuabi64", "ld.lld", ELF),
        ("armv7a-linux-gnueabihf", "ld.lld", ELF),
        ("riscv64-linux-gnu", "ld.lld", ELF),
        ("powerpc64-linux-gnu", "ld.lld", ELF),
        ("wasm64-unknown-unknown", "wasm-ld", WASM64),
        ("arm64e-apple-macos12", "ld64.lld", ARM64E),
    ] {
        let fixture = fixture(&release, target);
        let words = [words, &OBJECTS].concat();
        let theirs = alone(&fixture, linker, &words);
        let output = wrapped(&fixture, linker, &words);
        let said = stderr(&output);
        assert!(
            said.contains("clang is not known to make the linker's own code"),
            "{target}: {said}"
        );
        assert!(!said.contains("job"), "{target}: {said}");
        let ours = fs::read(fixture.path("app")).expect("linked");
        assert!(ours == theirs, "{target}");
    }
}

#[test]
fn modules_of_two_systems_that_need_other_options_are_the_linkers() {
    let release = Release::under_test();
    let fixture = fixture(&release, "x86_64-linux-gnu");
    let flags = ["-flto=thin", "-fPIC", "--target=x86_64-unknown-fuchsia"];
    fixture.compile("second.c", SECOND, &flags);
    let words = [&["-shared"][..], &OBJECTS].concat();
    let theirs = alone(&fixture, "ld.lld", &words);
    let output = wrapped(&fixture, "ld.lld", &words);
    let said = stderr(&output);
    assert!(said.contains("need different options"), "{said}");
    assert!(fs::read(fixture.path("app")).expect("linked") == theirs);
}

/// Each linker under the name that leaves its flavour open.
#[test]
fn a_flavour_that_the_command_line_selects_is_linked_in_three_steps() {
    let release = Release::under_test();
    let apple = [
        "-arch",
        "arm64",
        "-platform_version",
        "ios",
        "16",
        "16",
        "-dylib",
        "-undefined",
        "dynamic_lookup",
    ];
    for (target, flavour, words) in [
        ("x86_64-linux-gnu", "gnu", &["-shared"][..]),
        (
            "wasm32-unknown-unknown",
            "wasm",
            &["--no-entry", "--allow-undefined", "--export-all"],
        ),
        ("arm64-apple-ios16", "darwin", &apple),
    ] {
        let fixture = fixture(&release, target);
        let words = [&["-flavor", flavour][..], words, &OBJECTS].concat();
        let theirs = alone(&fixture, "lld", &words);
        let output = wrapped(&fixture, "lld", &words);
        let said = stderr(&output);
        assert!(said.contains("relto: 2 jobs"), "{flavour}: {said}");
        let ours = fs::read(fixture.path("app")).expect("linked");
        assert!(ours == theirs, "{flavour}");
    }
}
