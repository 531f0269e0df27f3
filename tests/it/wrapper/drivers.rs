//! What names relto as the linker: a build of `CMake`, and a linker's name in `PATH`.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::support::daemon::stderr;
use crate::support::executable;
use crate::support::llvm::run;
use crate::support::skip::skip;
use crate::support::wrapped::{Release, WrapperDir};

const CMAKE_LISTS: &str = "cmake_minimum_required(VERSION 3.20)\nproject(app C)\n\
    add_library(part STATIC part.c native.c)\nset_source_files_properties(native.c PROPERTIES COMPILE_OPTIONS -fno-lto)\n\
    add_library(lib SHARED lib.c)\nadd_executable(app main.c)\ntarget_link_libraries(app part lib)\n";

#[test]
fn a_build_of_cmake_links_what_the_linker_named_in_its_flags_links() {
    if Command::new("cmake").arg("--version").output().is_err() {
        return skip("no cmake");
    }
    for release in Release::installed() {
        let fixture = WrapperDir::new(&release);
        for (name, text) in [
            ("CMakeLists.txt", CMAKE_LISTS),
            (
                "main.c",
                "int part(int); int native(int); int lib(int); int main(int c, char **v) { return part(c) + native(c) + lib(c) - 12; }\n",
            ),
            ("part.c", "int part(int x) { return x * 3; }\n"),
            ("native.c", "int native(int x) { return x * 4; }\n"),
            ("lib.c", "int lib(int x) { return x * 5; }\n"),
        ] {
            fixture.write(name, text);
        }
        let build = |linker: &Path| {
            let flags = format!("-fuse-ld=lld --ld-path={}", linker.display());
            let mut configure = Command::new("cmake");
            fixture.home.apply(&mut configure);
            configure.current_dir(fixture.dir());
            configure.args(["-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Release"]);
            for (name, value) in [
                ("C_COMPILER", release.tool("clang").display().to_string()),
                ("AR", release.tool("llvm-ar").display().to_string()),
                ("RANLIB", release.tool("llvm-ranlib").display().to_string()),
                ("C_FLAGS", "-flto=thin".to_owned()),
                ("EXE_LINKER_FLAGS", flags.clone()),
                ("SHARED_LINKER_FLAGS", flags),
            ] {
                configure.arg(format!("-DCMAKE_{name}={value}"));
            }
            run(&mut configure);
            let mut make = Command::new("cmake");
            fixture.home.apply(&mut make);
            make.current_dir(fixture.dir()).args(["--build", "build"]);
            let output = make.output().expect("cmake starts");
            let said = [&output.stdout[..], &output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(output.status.success(), "LLVM {}: {said}", release.major);
            let files = ["app", "liblib.so"].map(|name| fixture.path("build").join(name));
            let files = files.map(|path| fs::read(path).expect("linked"));
            run(&mut Command::new(fixture.path("build/app")));
            fs::remove_dir_all(fixture.path("build")).expect("removed");
            (said, files)
        };
        let (_, theirs) = build(&release.tool("ld.lld"));
        let (said, ours) = build(&fixture.path("relto-ld.lld"));
        assert!(said.contains("relto: 2 jobs"), "{said}");
        assert!(ours == theirs, "LLVM {}", release.major);
    }
}

/// The first directory has relto under the linker's own name.
#[test]
fn a_linker_is_the_one_in_path_that_is_not_relto() {
    for release in Release::installed() {
        let fixture = WrapperDir::new(&release);
        fixture.module("main.c", "int main(void) { return 0; }\n");
        let relto = env!("CARGO_BIN_EXE_relto");
        fs::create_dir(fixture.path("first")).expect("made");
        fs::os::unix::fs::symlink(relto, fixture.path("first/ld.lld")).expect("linked");
        let path = std::env::join_paths([&fixture.path("first"), &release.bin]);
        let words = ["-e", "main", "main.o", "-o", "app"];
        let mut theirs = Command::new(release.tool("ld.lld"));
        run(theirs.current_dir(fixture.dir()).args(words));
        let theirs = fs::read(fixture.path("app")).expect("linked");
        let mut command = Command::new(relto);
        fixture.home.apply(&mut command);
        command.current_dir(fixture.dir());
        command.env("PATH", path.expect("no colons"));
        command.args(["ld", "ld.lld"]).args(words);
        let output = command.output().expect("relto starts");
        let said = stderr(&output);
        assert!(said.contains("relto: 1 job"), "{said}");
        assert!(fs::read(fixture.path("app")).expect("linked") == theirs);
    }
}

/// Each directory has a relto of its own under the linker's name.
#[test]
fn of_two_copies_of_relto_neither_starts_the_other_for_ever() {
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.module("main.c", "int main(void) { return 0; }\n");
    let mut dirs = Vec::new();
    for name in ["first", "second"] {
        let dir = fixture.path(name);
        fs::create_dir(&dir).expect("made");
        executable::copy(env!("CARGO_BIN_EXE_relto"), dir.join("relto"));
        fs::os::unix::fs::symlink("relto", dir.join("ld.lld")).expect("linked");
        dirs.push(dir);
    }
    dirs.push(fixture.release.bin.clone());
    let system = std::env::var_os("PATH").unwrap_or_default();
    dirs.extend(std::env::split_paths(&system));
    let path = std::env::join_paths(dirs).expect("no colons");
    let words = ["-e", "main", "main.o", "-o", "app"];
    run(fixture.command("ld.lld").args(words));
    let theirs = fs::read(fixture.path("app")).expect("linked");
    for words in [&["--version"][..], &words] {
        let mut command = Command::new("sh");
        fixture.home.apply(&mut command);
        command.current_dir(fixture.dir()).env("PATH", &path);
        command.args(["-c", "ulimit -t 60; ld.lld \"$@\"; exit $?", "sh"]);
        let output = command.args(words).output().expect("sh starts");
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    assert!(fs::read(fixture.path("app")).expect("linked") == theirs);
}

/// A copy of the shell stands for a compiler, and for what runs linkers besides compilers.
#[test]
fn the_linker_beside_a_compiler_counts_and_that_beside_another_caller_does_not() {
    let fixture = WrapperDir::new(&Release::under_test());
    let script = |place: &str| {
        let says = format!("#!/bin/sh\necho {place}\n");
        executable::write(fixture.path(place).join("ld.lld"), says);
    };
    for place in ["beside", "path"] {
        fs::create_dir(fixture.path(place)).expect("made");
        script(place);
    }
    let system = std::env::var_os("PATH").unwrap_or_default();
    let dirs = [fixture.path("path")].into_iter();
    let dirs = dirs.chain(std::env::split_paths(&system));
    let path = std::env::join_paths(dirs).expect("no colons");
    for (caller, place) in [("clang-22", "beside"), ("make", "path")] {
        let shell = fixture.path("beside").join(caller);
        executable::copy("/bin/sh", &shell);
        let mut command = Command::new(shell);
        fixture.home.apply(&mut command);
        command.current_dir(fixture.dir()).env("PATH", &path);
        command.args(["-c", "./relto-ld.lld --version; exit $?"]);
        let output = command.output().expect("the shell starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), place, "{caller}: {output:?}");
    }
}

#[test]
fn a_linker_that_relto_cannot_help_is_started_at_once() {
    let fixture = WrapperDir::new(&Release::under_test());
    fs::create_dir(fixture.path("bin")).expect("made");
    let system = std::env::var_os("PATH").unwrap_or_default();
    let dirs = [fixture.path("bin")].into_iter();
    let dirs = dirs.chain(std::env::split_paths(&system));
    let path = std::env::join_paths(dirs).expect("no colons");
    for name in ["mold", "ld", "lld-link"] {
        let says = "#!/bin/sh\necho \"${0##*/} $*\"\n";
        executable::write(fixture.path("bin").join(name), says);
        let wrapper = fixture.path(&format!("relto-{name}"));
        fs::os::unix::fs::symlink(env!("CARGO_BIN_EXE_relto"), &wrapper).expect("linked");
        let mut command = Command::new(wrapper);
        fixture.home.apply(&mut command);
        command.env("PATH", &path).args(["a.o", "-o", "app"]);
        let output = command.output().expect("relto starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), format!("{name} a.o -o app"), "{output:?}");
    }
}
