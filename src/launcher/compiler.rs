//! Finds the compiler that relto stands for, and becomes it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fs::{FileId, is_executable};
use crate::process::{ExitNotifier, SlotLock};

/// Names of compilers that a link to relto may have, besides those that contain `clang`.
const GENERIC: [&str; 2] = ["cc", "c++"];
const PREFIX: &str = "relto-";

/// The compiler that relto stands for when it is called by the name `called`: `relto-clang++`
/// stands for `clang++`, and so does a link called `clang++`.
#[must_use]
pub fn wrapper_name(called: &OsStr) -> Option<String> {
    let name = Path::new(called).file_name()?.to_str()?;
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    (name.contains("clang") || GENERIC.contains(&name)).then(|| name.to_owned())
}

/// The variable that lists the wrappers on the way to a compiler, so that two wrappers do not start
/// each other forever.
pub const STARTED_BY: &str = "RELTO_STARTED_BY";

/// The same for linkers, which a compiler starts. One program may be both.
pub const LINKER_STARTED_BY: &str = "RELTO_LINKER_STARTED_BY";

/// How often one program is started on the way to one compiler. A compiler may run something that
/// runs the compiler again; programs that only start each other end here.
const MOST_STARTS: usize = 8;

/// The programs that have stood for a compiler or a linker, in the order in which they were started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrappers {
    /// Tells the next program of them.
    variable: &'static str,
    started: Vec<FileId>,
    /// More than one program was found that may be the compiler.
    has_choice: bool,
}

impl Wrappers {
    /// This program, after those that `started_by` names, the value of `variable`: [`STARTED_BY`] or
    /// [`LINKER_STARTED_BY`].
    #[must_use]
    pub fn known(variable: &'static str, started_by: Option<&OsStr>) -> Self {
        let text = started_by.and_then(OsStr::to_str).unwrap_or_default();
        let started = text.split(',').filter_map(|item| item.parse().ok());
        let mut wrappers = Self {
            variable,
            started: started.collect(),
            has_choice: false,
        };
        if let Some(itself) = itself()
            && !wrappers.started.contains(&itself)
        {
            wrappers.started.push(itself);
        }
        wrappers
    }

    /// Adds `program`, which is about to be started.
    pub fn add(&mut self, program: &Path) {
        self.started.extend(FileId::at(program));
    }

    /// Whether no other program can stand between this one and the compiler.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        !self.has_choice && self.started.len() <= 2
    }

    /// The variable of the next program, and its value.
    #[must_use]
    pub fn variable(&self) -> (&'static str, String) {
        let started = self.started.iter().map(ToString::to_string);
        (self.variable, started.collect::<Vec<_>>().join(","))
    }

    /// The first program called `name` in the directories of `path` that has not been started yet;
    /// else the one that was started last.
    #[must_use]
    pub fn real_program(&mut self, name: &str, path: &OsStr) -> Option<PathBuf> {
        let itself = itself();
        let programs = std::env::split_paths(path).map(|dir| dir.join(name));
        let candidates: Vec<_> = programs
            .filter(|program| is_executable(program))
            .filter_map(|program| Some((FileId::at(&program)?, program)))
            .filter(|(found, _)| Some(*found) != itself)
            .collect();
        self.has_choice = candidates.len() > 1;
        let starts = |found| self.started.iter().filter(|it| **it == found).count();
        let new = candidates.iter().find(|(found, _)| starts(*found) == 0);
        let again = || {
            let allowed = candidates
                .iter()
                .filter(|(found, _)| starts(*found) < MOST_STARTS);
            allowed.max_by_key(|(found, _)| self.started.iter().rposition(|it| it == found))
        };
        new.or_else(again).map(|(_, program)| program.clone())
    }
}

/// The program that a shell would start as `name`, unless that is relto itself: a path, or what `PATH`
/// leads to.
#[must_use]
pub fn program_behind(name: &OsStr) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    Wrappers::known(STARTED_BY, None).real_program(&name.to_string_lossy(), &path)
}

fn itself() -> Option<FileId> {
    FileId::at(&std::env::current_exe().ok()?)
}

/// Tells a relto that the compiler may be, or may start, that one before it holds the slot.
pub const HOLDS_SLOT: &str = "RELTO_HOLDS_SLOT";

/// What a compiler inherits and holds until it ends.
#[derive(Debug, Default)]
pub struct InheritedOnExec {
    /// Its slot on this machine.
    pub slot: Option<SlotLock>,
    /// Notifies a relto that waits for its end.
    pub exit_notifier: Option<ExitNotifier>,
    /// The wrappers that came before it.
    pub wrappers: Option<Wrappers>,
}

/// Does not return unless `program`, a compiler or a linker, cannot be started. It gets its name, the
/// arguments unchanged, and everything else that this process has; what it inherits is released when
/// it ends.
#[must_use]
pub fn become_program(
    program: &OsStr,
    words: &[OsString],
    inherited: InheritedOnExec,
) -> io::Error {
    let mut command = Command::new(program);
    command.args(words);
    if let Some(exit_notifier) = inherited.exit_notifier {
        exit_notifier.survive_exec();
    }
    if let Some(wrappers) = inherited.wrappers {
        let (name, value) = wrappers.variable();
        command.env(name, value);
    }
    if let Some(slot) = inherited.slot {
        slot.survive_exec();
        command.env(HOLDS_SLOT, "1");
    }
    command.exec()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use fs_err as fs;

    use super::*;

    #[test]
    fn a_wrapper_name_stands_for_a_compiler() {
        let stands_for = |called: &str| wrapper_name(OsStr::new(called));
        assert_eq!(stands_for("/x/relto-clang-22").as_deref(), Some("clang-22"));
        assert_eq!(
            stands_for("aarch64-linux-gnu-clang++").as_deref(),
            Some("aarch64-linux-gnu-clang++")
        );
        assert_eq!(stands_for("relto-cc").as_deref(), Some("cc"));
        for called in ["relto", "target/debug/relto", "relto-1.0", "ld.lld", ""] {
            assert_eq!(stands_for(called), None, "{called}");
        }
    }

    #[test]
    fn the_compiler_is_the_next_one_in_the_path_that_is_not_relto() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let place = |name: &str| {
            let place = dir.path().join(name);
            fs::create_dir(&place).expect("made");
            place
        };
        let (masks, plain, real) = (place("masks"), place("plain"), place("real"));
        let itself = std::env::current_exe().expect("this test");
        fs::os::unix::fs::symlink(itself, masks.join("clang")).expect("linked");
        fs::write(plain.join("clang"), "no program").expect("written");
        let program = real.join("clang");
        fs::write(&program, "#!/bin/sh\n").expect("written");
        fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let path = std::env::join_paths([&masks, &plain, &real]).expect("a path");
        let mut wrappers = Wrappers::known(STARTED_BY, None);
        let found = wrappers.real_program("clang", &path);
        assert_eq!(found.as_ref(), Some(&program));
        assert_eq!(wrappers.real_program("gcc", &path), None);
        wrappers.add(&program);
        let (variable, started_by) = wrappers.variable();
        let mut next = Wrappers::known(variable, Some(OsStr::new(&started_by)));
        assert_eq!(next.started, wrappers.started);
        assert_eq!(next.real_program("clang", &path), Some(program.clone()));
        for _ in 1..MOST_STARTS {
            wrappers.add(&program);
        }
        assert_eq!(wrappers.real_program("clang", &path), None, "a circle");
    }

    #[test]
    fn of_two_programs_that_stand_for_a_compiler_neither_is_started_twice_before_the_compiler() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = |name: &str| {
            let program = dir.path().join(name).join("clang");
            fs::create_dir(program.parent().expect("a directory")).expect("made");
            fs::write(&program, name).expect("written");
            let executable = std::fs::Permissions::from_mode(0o755);
            fs::set_permissions(&program, executable).expect("executable");
            program
        };
        let (first, second, real) = (program("first"), program("second"), program("real"));
        let dirs = [&first, &second, &real].map(|program| program.parent().expect("a directory"));
        let path = std::env::join_paths(dirs).expect("a path");
        let mut wrappers = Wrappers::default();
        for expected in [&first, &second, &real] {
            let found = wrappers.real_program("clang", &path).expect("a program");
            assert_eq!(found, *expected);
            wrappers.add(&found);
        }
    }
}
