//! Which configuration files clang reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto::internals::toolchain::config::{self, ConfigDirs};

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
