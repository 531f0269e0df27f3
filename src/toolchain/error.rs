//! The errors of finding a compiler's files, with what to do about them.

use std::path::PathBuf;

use super::elf::Machine;
use crate::error::Hinted;

/// Why the files of a compiler cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    #[error("the compiler's name is empty")]
    EmptyName,
    #[error("compiler `{name}` was not found in `PATH`")]
    NotInPath { name: String },
    #[error("cannot use compiler `{path}`")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("compiler `{path}` is not executable")]
    NotExecutable { path: PathBuf },
    #[error("compiler `{path}` is a script for `{interpreter}`")]
    Script { path: PathBuf, interpreter: String },
    #[error("compiler `{path}` is `{tool}`, which starts another compiler")]
    Wrapper { path: PathBuf, tool: String },
    #[error("compiler `{path}` is not a program: {reason}")]
    NotAProgram { path: PathBuf, reason: String },
    #[error("compiler `{path}` is for {machine}, but this machine is {host}")]
    WrongMachine {
        path: PathBuf,
        machine: Machine,
        host: Machine,
    },
    #[error("`{path}` needs the dynamic loader `{loader}`: {reason}")]
    NoLoader {
        path: PathBuf,
        loader: PathBuf,
        reason: String,
    },
    #[error("`{needed_by}` needs the library `{name}`, which was not found in the search path")]
    MissingLibrary {
        name: String,
        needed_by: PathBuf,
        /// Files of that name that cannot be used, and why.
        passed_over: Vec<String>,
    },
    #[error("`{needed_by}` needs the library `{name}` by its path")]
    NeededByPath { name: String, needed_by: PathBuf },
    #[error("`{first}` and `{second}` would both be `{tree_path}` in the toolchain")]
    NameConflict {
        tree_path: String,
        first: PathBuf,
        second: PathBuf,
    },
    #[error("the name of `{path}` is not UTF-8")]
    NotUtf8 { path: PathBuf },
}

impl Hinted for ToolchainError {
    fn hints(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::EmptyName => one(
                "lld gets the compiler from `--thinlto-remote-compiler=`; clang sets that itself when `-fthinlto-distributor=` is given to clang",
            ),
            Self::NotInPath { .. } => one("give the compiler's path, or extend `PATH`"),
            Self::Unreadable { .. } => one("check the compiler that the linker was told to use"),
            Self::NotExecutable { .. } => one("`chmod +x` it, or name another compiler"),
            Self::Script { .. } => one(
                "relto sends the compiler itself to the workers: point the compiler option (for lld `--thinlto-remote-compiler=`) at the program that the script runs",
            ),
            Self::Wrapper { tool, .. } => vec![format!(
                "point the compiler option (for lld `--thinlto-remote-compiler=`) at the clang that `{tool}` runs; relto caches by itself"
            )],
            Self::NotAProgram { .. } => one("a clang for Linux is needed, as an ELF program"),
            Self::WrongMachine { host, .. } => {
                vec![format!(
                    "use a clang built for {host}; `--target=` chooses what it compiles for"
                )]
            }
            Self::NoLoader { .. } => one(
                "install the C library that this compiler was built for, or use a compiler built for this system",
            ),
            Self::MissingLibrary { passed_over, .. } => {
                let mut hints = passed_over.clone();
                hints.push(
                    "install the library, or set `LD_LIBRARY_PATH` as for running the compiler; what is new in a directory of `/etc/ld.so.conf` needs `ldconfig`"
                        .to_owned(),
                );
                hints
            }
            Self::NeededByPath { .. } => one(
                "such a compiler runs only where it is installed: link the compiler with plain `-lNAME`",
            ),
            Self::NameConflict { .. } => one("rename one of the two"),
            Self::NotUtf8 { .. } => one("REAPI allows UTF-8 names only: rename the file"),
        }
    }
}
