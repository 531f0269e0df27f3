//! Other build systems with relto in front of their compiler: ninja, `CMake`, and a `PATH` with
//! links to relto in it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::support::backends::Backends;
use crate::support::executable;
use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};
use crate::support::program::{Feature, cxx, feature, generated};
use crate::support::skip::is_long;

/// What Chromium's `remote_link` and Bazel's rules do, in ninja's words.
#[test]
fn a_thin_link_backends_by_ninja_and_a_final_link_make_the_program() {
    let program = cxx();
    let home = Home::new();
    for round in 0..2 {
        let backends = Backends::unlinked(&program);
        write_recipe(&backends);
        let mut ninja = Command::new("ninja");
        home.apply(&mut ninja);
        ninja
            .current_dir(backends.dir())
            .env("RELTO_LOG", "info")
            .arg("-v");
        let said = run(&mut ninja);
        let modules = backends.modules.len();
        let (local, cached) = (
            said.matches("`: local").count(),
            said.matches("`: cached").count(),
        );
        let expected = if round == 0 {
            (modules, 0)
        } else {
            (0, modules)
        };
        assert_eq!((local, cached), expected);
        if round == 1 {
            // Twenty of them are enough every day.
            let step = if is_long() { 1 } else { modules / 20 };
            backends.assert_identical_objects_of(step);
        }
        program.check(&backends.path("app"));
    }
}

fn write_recipe(backends: &Backends) {
    let clang = backends.compiler().display().to_string();
    let relto = env!("CARGO_BIN_EXE_relto");
    let modules = backends.modules.join(" ");
    let mut text = format!(
        "rule thin_link\n  command = {clang} -flto=thin -fuse-ld=lld -Wl,--thinlto-index-only=natives,--thinlto-emit-imports-files -o app $in\n\
         rule backend\n  command = {relto} cc {clang} -O2 -x ir -c -fthinlto-index=$in.thinlto.bc -o $out $in\n\
         rule link\n  command = {clang} -fuse-ld=lld -o app $in\n\
         build natives: thin_link {modules}\n"
    );
    for module in &backends.modules {
        let _ = writeln!(text, "build {module}.native.o: backend {module} | natives");
    }
    let natives: Vec<String> = backends
        .modules
        .iter()
        .map(|module| format!("{module}.native.o"))
        .collect();
    let _ = writeln!(text, "build app: link {}\ndefault app", natives.join(" "));
    fs::write(backends.path("build.ninja"), text).expect("written");
}

const CMAKE: &str = "cmake_minimum_required(VERSION 3.20)\nproject(launched C)\n\
    add_library(parts STATIC twice.c thrice.c)\nadd_executable(app main.c)\ntarget_link_libraries(app parts)\n";

/// Configures and builds a small `CMake` project with relto as its launcher; gives what the build
/// printed.
fn cmake(home: &Home, options: &[&str]) -> String {
    let program = feature(Feature::Plain);
    let sources = program.modules[0].parent().expect("a directory");
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["main.c", "twice.c", "thrice.c"] {
        fs::copy(sources.join(name), dir.path().join(name)).expect("copied");
    }
    fs::write(dir.path().join("CMakeLists.txt"), CMAKE).expect("written");
    let build = dir.path().join("build");
    let mut configure = Command::new("cmake");
    home.apply(&mut configure);
    configure
        .args(["-G", "Ninja", "-S"])
        .arg(dir.path())
        .arg("-B")
        .arg(&build)
        .arg(format!(
            "-DCMAKE_C_COMPILER={}",
            Llvm::get().tool("clang").display()
        ))
        .arg(format!(
            "-DCMAKE_C_COMPILER_LAUNCHER={};cc",
            env!("CARGO_BIN_EXE_relto")
        ))
        .args(options);
    run(&mut configure);
    let mut make = Command::new("cmake");
    home.apply(&mut make);
    let said = run(make.arg("--build").arg(&build).arg("--verbose"));
    program.check(&build.join("app"));
    assert!(said.contains("relto cc "), "{said}");
    said
}

#[test]
fn a_cmake_project_without_lto_is_built_as_ever() {
    let home = Home::new();
    cmake(&home, &[]);
    assert!(
        !home.cache().join("relto").exists(),
        "relto had nothing to do"
    );
}

#[test]
fn a_cmake_project_with_dtlto_has_its_compiles_launched_and_its_backends_distributed() {
    let home = Home::new();
    let relto = env!("CARGO_BIN_EXE_relto");
    let link =
        format!("-DCMAKE_EXE_LINKER_FLAGS=-flto=thin -fuse-ld=lld -fthinlto-distributor={relto}");
    let ar = format!("-DCMAKE_AR={}", Llvm::get().tool("llvm-ar").display());
    let ranlib = format!(
        "-DCMAKE_RANLIB={}",
        Llvm::get().tool("llvm-ranlib").display()
    );
    let options = ["-DCMAKE_C_FLAGS=-O2 -flto=thin", &link, &ar, &ranlib];
    let said = cmake(&home, &options);
    assert!(said.contains("relto: 3 jobs, 3 local"), "{said}");
}

#[test]
fn the_compiler_takes_reltos_place_with_its_name_arguments_and_streams() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let shown = dir.path().join("aarch64-linux-gnu-clang++");
    executable::write(
        &shown,
        "#!/bin/sh\necho \"$0 $# [$1] [$2] [$3] $RELTO_TEST_MARK\"; cat; exit 42\n",
    );
    let home = Home::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    let path = std::env::join_paths([dir.path(), Path::new("/usr/bin"), Path::new("/bin")])
        .expect("a path");
    command
        .args([
            "cc",
            "--quiet",
            "--jobs",
            "3",
            "--",
            "aarch64-linux-gnu-clang++",
            "a  b",
            "",
            "--quiet",
        ])
        .env("PATH", path)
        .env("RELTO_TEST_MARK", "mark")
        .stdin(Stdio::from(
            fs::File::open(&shown).expect("opened").into_parts().0,
        ))
        .stdout(Stdio::piped());
    let output = command.output().expect("relto starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().next().expect("a line");
    assert!(
        line.ends_with("aarch64-linux-gnu-clang++ 3 [a  b] [] [--quiet] mark"),
        "{line}"
    );
    assert!(stdout.contains("exit 42"), "stdin is handed on: {stdout}");
    assert_eq!(output.status.code(), Some(42));
    assert!(
        !home.cache().join("relto").exists(),
        "nothing was looked at"
    );
}

/// `clang-22` is the compiler in a later directory of `PATH`, called by `relto-clang-22` or by its
/// own name.
#[test]
fn a_link_to_relto_stands_for_the_compiler_behind_it() {
    let program = generated(5);
    let home = Home::new();
    let masks = tempfile::tempdir().expect("a temporary directory");
    for name in ["relto-clang", "clang"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_relto"), masks.path().join(name))
            .expect("linked");
    }
    let clang = Llvm::get().tool("clang");
    let dir = clang.parent().expect("a directory");
    let path = std::env::join_paths([masks.path(), dir, Path::new("/usr/bin"), Path::new("/bin")])
        .expect("a path");
    for (name, expected) in [("relto-clang", "local"), ("clang", "cached")] {
        let backends = Backends::new(&program);
        for module in &backends.modules {
            let mut command = Command::new(name);
            home.apply(&mut command);
            command
                .current_dir(backends.dir())
                .env("PATH", &path)
                .env("RELTO_LOG", "info");
            let output = command
                .args(backends.arguments(module, "native.o"))
                .output()
                .expect("started");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(
                stderr.contains(&format!("`{module}`: {expected}")),
                "{stderr}"
            );
        }
        backends.assert_identical_objects();
        let mut version = Command::new(masks.path().join(name));
        version.env("PATH", &path).arg("--version");
        assert!(run(&mut version).contains("clang version"));
    }
}

#[test]
fn a_wrapper_name_without_a_compiler_behind_it_is_reported() {
    let masks = tempfile::tempdir().expect("a temporary directory");
    let mask = masks.path().join("clang");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_relto"), &mask).expect("linked");
    let output = Command::new(&mask)
        .env("PATH", masks.path())
        .output()
        .expect("started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("no `clang` in `PATH` after relto"),
        "{stderr}"
    );
}

/// `make -j200` for a farm starts two hundred front ends; with `local_jobs` set they wait for
/// each other.
#[test]
fn a_compiler_waits_for_a_slot_of_this_machine_when_slots_are_limited() {
    let home = Home::new();
    let slot = home.take_first_slot();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let compiler = dir.path().join("clang");
    executable::write(
        &compiler,
        "#!/bin/sh\necho \"compiled $RELTO_HOLDS_SLOT\"\n",
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    command
        .args(["cc", "--local-jobs=1"])
        .arg(&compiler)
        .arg("-c");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("relto starts");
    while !sleeps(child.id()) {
        assert_eq!(child.try_wait().expect("a child"), None, "it did not wait");
    }
    drop(slot);
    let output = child.wait_with_output().expect("ended");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "compiled 1\n");
}

/// Whether the process is in the system call that waits for a time: `clock_nanosleep` of x86-64, or
/// of 64-bit Arm.
fn sleeps(process: u32) -> bool {
    let call = fs::read_to_string(format!("/proc/{process}/syscall")).unwrap_or_default();
    ["230 ", "115 "]
        .iter()
        .any(|number| call.starts_with(number))
}

/// Two builds that run at the same time are told apart, and so is the next one in the same directory.
#[test]
fn stats_have_a_line_for_each_build_that_launches_compilers() {
    let program = feature(Feature::Plain);
    let home = Home::new();
    let dirs = [(); 2].map(|()| Backends::new(&program));
    let launch = |dir: &Backends, module: &str, build: &str| {
        let mut command = dir.relto(&home);
        command.env("RELTO_INVOCATION_ID", build);
        run(command.args(dir.arguments(module, "native.o")));
    };
    for module in &dirs[0].modules {
        launch(&dirs[0], module, "first");
        launch(&dirs[1], module, "second");
    }
    let module = &dirs[0].modules[0];
    launch(&dirs[0], module, "third");
    let mut stats = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut stats);
    let told = run(stats.args(["stats", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let links = told["links"].as_array().expect("a list").iter();
    let counts: Vec<_> = links.map(|it| [&it["jobs"], &it["disk_cache"]]).collect();
    let all = dirs[0].modules.len();
    assert_eq!(counts, [[1, 1], [all, all], [all, 0]]);
}
