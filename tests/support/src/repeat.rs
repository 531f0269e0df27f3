//! A link that is made again, in another way or by another user: caches that a first link has
//! filled, and ways to disguise the second one.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::corpus::files;
use super::link::{Home, Link};
use super::llvm::{Llvm, run};
use super::program::Program;

/// A program that starts others as a user with no rights: for `through`. Needs root.
pub const NOBODY: &[&str] = &[
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

/// An argument that lld appends to every backend's command line.
pub fn remote(argument: &str) -> String {
    format!("-Wl,--thinlto-remote-compiler-arg={argument}")
}

/// The caches after one link of `program`.
pub fn filled(program: &Program) -> Home {
    let home = Home::new();
    let first = Link::new(program).run_at(&home).expect_works();
    first.assert_none_cached();
    home
}

/// The same program, all modules but the one with `main` behind `words` of the link line. They lie
/// in the link's directory.
pub fn behind(program: &Program, words: &[&str]) -> Program {
    let mut changed = program.clone();
    changed.files.extend(changed.modules.split_off(1));
    let words = words.iter().map(|&word| word.to_owned());
    changed.link_arguments.extend(words);
    changed
}

/// The same command, started by the program of `starter`, which has the command as its last
/// arguments.
pub fn through(starter: &[&str], command: &Command) -> Command {
    let mut other = Command::new(starter[0]);
    other
        .args(&starter[1..])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        other.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

/// Makes the user of `NOBODY` the owner of a directory and all that is in it.
pub fn give_to_nobody(dir: &Path) {
    let user = 65534;
    chown(dir, Some(user), Some(user)).expect("a new owner");
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            give_to_nobody(&path);
        } else {
            chown(&path, Some(user), Some(user)).expect("a new owner");
        }
    }
}

/// The same program with `all.a` in the place of its modules, but for the one with `main`. Whole,
/// because members that are not needed stay out, which changes what is imported in the others. Then
/// `archive(&link, "rcs", "all.a")`.
pub fn with_whole_archive(program: &Program) -> Program {
    let words = ["-Wl,--whole-archive", "all.a", "-Wl,--no-whole-archive"];
    behind(program, &words)
}

/// Puts the modules that do not hold `main` into the archive `name`, by their names from the
/// directory of `link`.
pub fn archive(link: &Link<'_>, kind: &str, name: &str) {
    let modules = files(link.dir(), "o");
    let names = modules.iter().filter_map(|path| path.file_name());
    let path = link.dir().join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    run(Llvm::get()
        .command("llvm-ar")
        .current_dir(link.dir())
        .args([kind, name])
        .args(names.filter(|name| !name.as_encoded_bytes().ends_with(b"main.o"))));
}
