//! Which configuration files clang reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto::internals::toolchain::config::{self, ConfigDirs};

use crate::support::link::Home;
use crate::support::llvm::run;
use crate::support::toolchain_dir::{CLANG, ToolchainDir};

/// What the compiler prints when it is asked by `option`.
fn printed(compiler: &Path, arguments: &[&str], option: &str) -> String {
    let output = Command::new(compiler).args(arguments).arg(option).output();
    config::printed(compiler, output).expect("clang answers")
}

#[test]
fn only_the_configuration_files_that_clang_reads_count() {
    let fixture = ToolchainDir::new();
    let clang = fixture.clang_of_its_own();
    let none = fixture.discover(&clang, None).expect("complete");
    assert_eq!(none.config_candidates, [] as [PathBuf; 0]);

    let read = fixture.write("own/bin/clang.cfg", "-O1 # no comment\n# comment\n");
    let unread = fixture.write("own/bin/armv7-clang.cfg", "-O3\n");
    let some = fixture.discover(&clang, None).expect("complete");
    assert_eq!(some.config_candidates, [unread.clone(), read.clone()]);
    let paths = |arguments: &[&str]| -> Vec<PathBuf> {
        config::named_in(&printed(&some.program, arguments, "--version"))
    };
    let own = fs::canonicalize(&read).expect("there");
    assert_eq!(paths(&[]), std::slice::from_ref(&own));
    assert_eq!(paths(&["--no-default-config"]), [] as [PathBuf; 0]);
    fixture.write("own/bin/aarch64-unknown-linux-gnu.cfg", "-O2\n");
    assert_eq!(paths(&["--target=aarch64-linux-gnu"]).len(), 2);
}

#[test]
fn clang_reports_its_configuration_directories() {
    let dirs = |arguments: &[&str]| ConfigDirs::parse(&printed(Path::new(CLANG), arguments, "-v"));
    let told = dirs(&["--config-system-dir=/s s", "--config-user-dir=/u"]);
    assert_eq!(told.system.as_deref(), Some(Path::new("/s s")));
    assert_eq!(told.user.as_deref(), Some(Path::new("/u")));
    assert_ne!(told, dirs(&[]));
}

/// `-arch` changes a target of Apple, which chooses the file.
#[test]
fn the_file_of_an_architecture_is_the_one_that_clang_reads() {
    let (fixture, home) = (ToolchainDir::new(), Home::new());
    let clang = fixture.clang_of_its_own();
    fixture.write(
        "own/bin/arm64-apple-macosx13.cfg",
        "-mllvm -align-all-functions=6\n",
    );
    fixture.write("a.c", "int f(int x) { return 3 * x; }\n");
    let target = [
        "--target=x86_64-apple-macosx13",
        "-arch",
        "arm64",
        "-O2",
        "-c",
    ];
    let ran = |command: &mut Command, words: &[&str], object: &str| {
        home.apply(command);
        let command = command.current_dir(fixture.dir.path());
        run(command.args(target).args(words).args(["-o", object]));
        fs::read(fixture.path(object)).expect("compiled")
    };
    ran(&mut Command::new(&clang), &["-flto=thin", "a.c"], "a.o");
    let backend = ["-x", "ir", "a.o", "-fthinlto-index=/dev/null"];
    let alone = ran(&mut Command::new(&clang), &backend, "alone.o");
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    relto.arg("cc").arg(&clang);
    assert!(ran(&mut relto, &backend, "ours.o") == alone);
    fs::remove_file(fixture.path("own/bin/arm64-apple-macosx13.cfg")).expect("removed");
    assert!(ran(&mut Command::new(&clang), &backend, "other.o") != alone);
}
