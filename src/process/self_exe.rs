//! The running executable, and the hidden subcommands with which it starts itself.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ProcessSpec;

/// Becomes a compiler.
pub(super) const RUN: &str = "__run";
/// Removes a scratch directory when relto has ended.
pub(super) const JANITOR: &str = "__janitor";

/// The executable that knows the hidden subcommands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relto(PathBuf);

impl Relto {
    /// The running executable. The kernel's link to it stays right when the file is replaced or
    /// removed during a link: the helper is always of the same build as the relto that starts it.
    /// It is resolved after the fork, but a child that has not executed anything yet is still this
    /// executable.
    #[must_use]
    pub fn itself() -> Self {
        let link = Path::new("/proc/self/exe");
        if link.exists() {
            return Self(link.to_owned());
        }
        Self(std::env::current_exe().unwrap_or_else(|_| called_as()))
    }

    /// An executable that is relto, for programs that are not: tests and benchmarks.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Becomes relto with other arguments and one variable more. Returns only if that fails.
    pub fn become_with(
        &self,
        variable: &str,
        value: &str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> io::Error {
        let mut command = Command::new(&self.0);
        command.arg0("relto").env(variable, value).args(arguments);
        command.exec()
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A command for one of the hidden subcommands, shown as `relto` in process lists.
    pub(super) fn command(&self, subcommand: &str) -> Command {
        let mut command = self.bare_command();
        command.arg(subcommand);
        command
    }

    /// The command that becomes the program of `spec`. What the dynamic loader, or a library that it
    /// loads by a variable, says while that is still relto, would count as the program's message. So
    /// it has such variables only if it must pass them on.
    pub(super) fn helper(&self, spec: &ProcessSpec) -> Command {
        let mut command = self.command(RUN);
        if spec.environment.is_whole() {
            for (name, _) in std::env::vars_os().filter(|(name, _)| is_heeded_by_loader(name)) {
                command.env_remove(name);
            }
        }
        command
    }

    pub(super) fn bare_command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.arg0("relto");
        command
    }
}

/// Whether the dynamic loader or the C library heeds the variable at the start of any program.
fn is_heeded_by_loader(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"LD_") || name.starts_with(b"MALLOC_") || name == b"GLIBC_TUNABLES"
}

/// How this process was called: without `/proc`, the best guess at its executable.
fn called_as() -> PathBuf {
    let name = std::env::args_os().next().unwrap_or_default();
    let path = PathBuf::from(name);
    if path.components().count() > 1 {
        std::path::absolute(&path).unwrap_or(path)
    } else {
        PathBuf::from("relto")
    }
}
