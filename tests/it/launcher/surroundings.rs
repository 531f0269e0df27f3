//! Backends whose object depends on what stands beside their command line, each compared with clang
//! alone.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::support::backends::Backends;
use crate::support::link::Home;
use crate::support::llvm::run;
use crate::support::program::{Feature, feature};

const OBJECT: &str = "main.native.o";
const BACKEND: &str = "-O2 -x ir -c -fthinlto-index=main.o.thinlto.bc main.o -o main.native.o";

/// A program, and the caches of one user.
struct Fixture {
    backends: Backends,
    home: Home,
}

impl Fixture {
    fn new() -> Self {
        Self {
            backends: Backends::new(&feature(Feature::Plain)),
            home: Home::new(),
        }
    }

    /// relto writes the object that clang writes for `line`, which is returned.
    fn assert_same(&self, compiler: &Path, line: &str, variables: &[(&str, &str)]) -> Vec<u8> {
        let clang = Command::new(compiler);
        let relto = self.backends.relto_with(&self.home, compiler);
        let [clang, relto] = [clang, relto].map(|mut command| {
            command.current_dir(self.backends.dir());
            let words = line.split(' ').filter(|word| !word.is_empty());
            command.args(words).envs(variables.iter().copied());
            run(&mut command);
            let object = fs::read(self.backends.path(OBJECT)).expect("an object");
            fs::remove_file(self.backends.path(OBJECT)).expect("removed");
            object
        });
        assert!(clang == relto, "{line} {variables:?}");
        clang
    }
}

/// Compiles `w.c` into `main.o`, the module of [`ALONE`].
fn module_alone(fixture: &Fixture, target: &str) {
    let dir = fixture.backends.dir();
    fs::write(dir.join("w.c"), "int main(void) { return 0; }").expect("written");
    let mut clang = Command::new(fixture.backends.compiler());
    clang
        .current_dir(dir)
        .args(["-O2", "-flto=thin", "-c", "w.c", "-o", "main.o", target]);
    run(&mut clang);
}

/// A module that imports nothing.
const ALONE: &str = "-c -O2 -x ir main.o -fthinlto-index=/dev/null -o main.native.o";

/// The name of an SDK, or the settings in it, may give the version of the target's system.
#[test]
fn the_version_of_apples_system_is_that_of_the_sdk() {
    let fixture = Fixture::new();
    let target = "--target=arm64-apple-darwin";
    module_alone(&fixture, target);
    let clang = fixture.backends.compiler();
    let object = |line: &str, variables: &[(&str, &str)]| {
        fixture.assert_same(&clang, &format!("{ALONE} {target} {line}"), variables)
    };
    let none = object("", &[]);
    let sdk = "MacOSX12.0.sdk";
    let path = fixture.backends.path(sdk);
    let root = [("SDKROOT", path.to_str().expect("text"))];
    assert!(object("", &root) == none, "it is not there");
    fs::create_dir(&path).expect("made");
    assert!(object("", &root) != none);
    let quiet = format!("-Wno-unused-command-line-argument -isysroot {sdk}");
    assert!(object(&quiet, &[]) != none);
    assert!(object(&format!("-mmacos-version-min=13.0 {quiet}"), &[]) != none);
}

/// Which files are read depends on the driver, on what completes the target, and on where the compiler
/// is said to be.
#[test]
fn the_configuration_files_are_those_that_clang_reads() {
    let fixture = Fixture::new();
    let dir = fixture.backends.path("configuration");
    fs::create_dir(&dir).expect("made");
    let sections = "-ffunction-sections\n";
    fs::write(dir.join("clang.cfg"), "-g0\n").expect("written");
    let clang = fixture.backends.compiler();
    let user = format!("--config-user-dir={}", dir.display());
    let plain = fixture.assert_same(&clang, &format!("{BACKEND} {user}"), &[]);
    fs::write(dir.join("clang++.cfg"), sections).expect("written");
    let cxx = format!("{BACKEND} {user} --driver-mode=g++");
    assert!(fixture.assert_same(&clang, &cxx, &[]) != plain);

    // Beside the name by which it is called.
    let bin = fixture.backends.path("bin");
    fs::create_dir(&bin).expect("made");
    symlink(&clang, bin.join("clang")).expect("linked");
    fs::write(bin.join("clang.cfg"), sections).expect("written");
    let named = bin.join("clang");
    assert!(fixture.assert_same(&named, BACKEND, &[]) == plain);
    let as_named = format!("{BACKEND} -no-canonical-prefixes");
    assert!(fixture.assert_same(&named, &as_named, &[]) != plain);

    module_alone(&fixture, "-m32");
    let narrow = format!("{ALONE} -m32 {user}");
    let plain = fixture.assert_same(&clang, &narrow, &[]);
    fs::write(dir.join("i386-pc-linux-gnu-clang.cfg"), sections).expect("written");
    assert!(fixture.assert_same(&clang, &narrow, &[]) != plain);
}

#[test]
fn response_files_are_read_in_the_way_of_windows_where_the_command_line_says_so() {
    let fixture = Fixture::new();
    let object = r"main\native.o";
    let text = BACKEND.replace(OBJECT, object);
    fs::write(fixture.backends.path("words"), text).expect("written");
    let mut relto = fixture.backends.relto(&fixture.home);
    let output = relto.args(["--rsp-quoting=windows", "@words"]).output();
    assert!(output.expect("relto starts").status.success());
    fs::rename(fixture.backends.path(object), fixture.backends.path(OBJECT)).expect("an object");
    let ours = fs::read(fixture.backends.path(OBJECT)).expect("read");
    let clang = fixture.backends.compiler();
    assert!(fixture.assert_same(&clang, BACKEND, &[]) == ours);
}

#[test]
fn edits_of_a_variable_are_those_that_clang_makes() {
    let fixture = Fixture::new();
    let clang = fixture.backends.compiler();
    for edits in [
        "#+-mllvm +-lto-embed-bitcode=post-merge-pre-opt",
        "#+--driver-mode=g++",
        "#+-ffunction-sections O1",
    ] {
        fixture.assert_same(&clang, BACKEND, &[("CCC_OVERRIDE_OPTIONS", edits)]);
    }
    let bitcode = BACKEND.replace(" -c ", " -c -emit-llvm ");
    fixture.assert_same(&clang, &bitcode, &[("LLVM_OVERRIDE_PRODUCER", "other")]);
}

/// clang calls functions for atomic operations where it finds a GCC whose library has them.
#[test]
fn functions_that_name_no_processor_are_compiled_for_what_clang_finds() {
    let fixture = Fixture::new();
    let dir = fixture.backends.dir();
    let target = "--target=aarch64-linux-gnu";
    let text = "target triple = \"aarch64-unknown-linux-gnu\"\n\
        define i32 @main() {\n  %1 = alloca i32\n  store volatile i32 0, ptr %1\n  \
        %2 = atomicrmw add ptr %1, i32 1 seq_cst\n  ret i32 %2\n}\n";
    fs::write(dir.join("w.ll"), text).expect("written");
    let clang = fixture.backends.compiler();
    let mut command = Command::new(&clang);
    command
        .current_dir(dir)
        .args(["-O2", "-flto=thin", "-c", "w.ll", "-o", "main.o", target]);
    run(&mut command);
    // As an installation of GCC looks.
    let gcc = dir.join("gcc/lib/gcc/aarch64-linux-gnu/12");
    fs::create_dir_all(&gcc).expect("made");
    fs::write(gcc.join("crtbegin.o"), "").expect("written");
    let object = |more: &str| {
        let line = format!("{ALONE} -Wno-unused-command-line-argument {target} {more}");
        fixture.assert_same(&clang, &line, &[])
    };
    let with = object("--gcc-toolchain=gcc");
    let other_name = "--target=arm64-linux-gnu --gcc-install-dir=gcc/lib/gcc/aarch64-linux-gnu/12";
    assert!(object(other_name) == with);
    fs::remove_file(gcc.join("crtbegin.o")).expect("removed");
    assert!(object("--gcc-toolchain=gcc") != with);
    assert!(object("-moutline-atomics") == with);
}

#[test]
fn kinds_of_output_have_long_names_too() {
    let fixture = Fixture::new();
    let clang = fixture.backends.compiler();
    let assembly = fixture.assert_same(&clang, &format!("{BACKEND} --assemble"), &[]);
    assert!(assembly.starts_with(b"\t"));
    let long = BACKEND.replace(" -c ", " --compile ");
    let object = fixture.assert_same(&clang, &long, &[]);
    assert!(object == fixture.assert_same(&clang, BACKEND, &[]));
}

/// Where the shard is empty, a backend is a whole compile, and instruments the module itself.
#[test]
fn counters_of_coverage_are_written_beside_the_users_own_object() {
    let fixture = Fixture::new();
    let dir = fixture.backends.dir();
    module_alone(&fixture, "-g");
    let clang = fixture.backends.compiler();
    for option in [
        "-fprofile-arcs",
        "--coverage",
        "-Xclang -coverage-data-file=x.gcda",
    ] {
        let object = fixture.assert_same(&clang, &format!("{ALONE} {option}"), &[]);
        let dir = dir.to_str().expect("text").as_bytes();
        let mut places = object.windows(dir.len());
        assert!(places.any(|place| place == dir), "{option}");
    }
}

/// What LLVM makes of the name of a module's file, or of the directory, in an object.
#[test]
fn names_that_an_object_holds_are_those_of_the_user() {
    let fixture = Fixture::new();
    let clang = fixture.backends.compiler();
    let dir = fixture.backends.dir();
    let text = "int g(int, int); extern int A[9], B[9];\n\
        int f1(int i) { return g(A[i], 1) * 3 + A[i + 1] - g(i, 7) + A[3]; }\n\
        int f2(int i) { return g(B[i], 1) * 3 + B[i + 1] - g(i, 7) + B[3]; }\n\
        void *malloc(unsigned long); void *h(int n) { void *p = malloc(8); return n ? p : malloc(24); }\n";
    fs::write(dir.join("w.c"), text).expect("written");
    let module = |options: &[&str]| {
        let mut command = Command::new(&clang);
        let command = command.current_dir(dir);
        command.args(["-O2", "-flto=thin", "-c", "w.c", "-o", "main.o"]);
        command.args(options).status().expect("clang").success()
    };
    assert!(module(&[]));
    let merged = "-fcodegen-data-generate -mllvm -enable-global-merge-func";
    let line = format!("{ALONE} -Wno-override-module");
    let macho = "--target=arm64-apple-macos13 -fsave-optimization-record=bitstream";
    for more in [merged, macho] {
        fixture.assert_same(&clang, &format!("{line} {more}"), &[]);
    }
    // Since LLVM 22.
    if module(&[
        "-fsanitize=alloc-token",
        "-Xclang",
        "-falloc-token-mode=random",
    ]) {
        fixture.assert_same(&clang, ALONE, &[]);
    }
}

/// A module without functions has no stack to tell of.
#[test]
fn a_further_output_that_clang_does_not_write_is_not_missed() {
    let fixture = Fixture::new();
    let clang = fixture.backends.compiler();
    fs::write(fixture.backends.path("w.c"), "int data[3] = {1, 2};").expect("written");
    let mut command = Command::new(&clang);
    let command = command.current_dir(fixture.backends.dir());
    run(command.args(["-O2", "-g", "-flto=thin", "-c", "w.c", "-o", "main.o"]));
    for option in ["-fstack-usage", "-gsplit-dwarf -g0"] {
        fixture.assert_same(&clang, &format!("{ALONE} {option}"), &[]);
    }
}
