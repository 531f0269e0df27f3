//! The compiler behind the launcher.
//!
//! Enters: the name that relto was called by, or the compiler that it was told. Leaves: the
//! compiler's own path, found behind relto in `PATH`; and at last the compiler itself, by `exec`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::process::{ExitNotifier, SlotLock};

/// What a link to relto may be called besides compilers of a name with `clang` in it.
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

/// The first program called `name` in the directories of `path` that is not relto itself.
#[must_use]
pub fn real_compiler(name: &str, path: &OsStr) -> Option<PathBuf> {
    let itself = std::env::current_exe().ok().and_then(|it| identity(&it));
    std::env::split_paths(path)
        .map(|dir| dir.join(name))
        .find(|program| {
            let found = identity(program);
            found.is_some() && found != itself && is_executable(program)
        })
}

/// Device and inode, links followed.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Tells a relto that the compiler may be, or may start, that one before it holds the slot.
pub const HOLDS_SLOT: &str = "RELTO_HOLDS_SLOT";

/// What a compiler holds from its start to its end.
#[derive(Debug, Default)]
pub struct InheritedOnExec {
    /// Its place on this machine.
    pub slot: Option<SlotLock>,
    /// What waits for its end.
    pub exit_notifier: Option<ExitNotifier>,
}

/// Does not return unless the compiler cannot be started. It gets the name that it is called by,
/// the arguments as they are, and everything else that this process has; what is inherited is free
/// when it ends.
#[must_use]
pub fn become_the_compiler(
    compiler: &OsStr,
    words: &[OsString],
    inherited: InheritedOnExec,
) -> io::Error {
    let mut command = Command::new(compiler);
    command.args(words);
    if let Some(exit_notifier) = inherited.exit_notifier {
        exit_notifier.survive_exec();
    }
    if let Some(slot) = inherited.slot {
        slot.survive_exec();
        command.env(HOLDS_SLOT, "1");
    }
    command.exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_the_compiler_behind_it() {
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
        assert_eq!(real_compiler("clang", &path), Some(program));
        assert_eq!(real_compiler("gcc", &path), None);
    }
}
