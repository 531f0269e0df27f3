//! clang's configuration files.
//!
//! clang adds the arguments in certain `*.cfg` files to every command
//! (<https://clang.llvm.org/docs/UsersManual.html>, "Configuration files").
//! [`Toolchain::discover`](super::Toolchain::discover) lists the files that may be read, without
//! running anything. Where there are some, clang itself is asked which ones it reads for given
//! arguments, because that depends on the name it is called by, on the target and on its release.
//!
//! Measured with clang 22: it searches the user's directory, the system's directory, then the
//! directory of the program, which is where `/proc/self/exe` points. When a dynamic loader starts
//! it (`ld-linux-x86-64.so.2 --library-path lib bin/clang`), that is the loader's directory: the
//! files in `bin` are not seen, those in `lib` are. It takes the first existing name of
//! `TRIPLE-MODE.cfg`, or else both `MODE.cfg` and `TRIPLE.cfg`; a version in the program's name
//! (`clang-22`) is not part of the name. `--no-default-config --config=FILE --config=FILE` names
//! the files explicitly, in that order, from anywhere. [`action::response`](crate::action::response) reads
//! them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::tokens::dir_of;
use crate::error::Hinted;

/// Directories, besides its own, in which a compiler looks for configuration files. They are built
/// into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigDirs {
    pub system: Option<PathBuf>,
    pub user: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CompilerConfigError {
    #[error("cannot run `{compiler}` to find its configuration files")]
    NotStarted {
        compiler: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{compiler}` does not report its configuration files: {message}")]
    NoAnswer { compiler: PathBuf, message: String },
}

impl Hinted for CompilerConfigError {}

impl ConfigDirs {
    /// Finds the directories in the output of `clang -v`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let dir = |label: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| Some(PathBuf::from(line.strip_prefix(label)?.trim())))
        };
        Self {
            system: dir("System configuration file directory:"),
            user: dir("User configuration file directory:"),
        }
    }
}

/// All `*.cfg` files in the directories of `programs` and in `dirs`, sorted and unique.
#[must_use]
pub fn candidates(programs: &[&Path], dirs: Option<&ConfigDirs>) -> Vec<PathBuf> {
    let mut searched: Vec<&Path> = programs.iter().map(|program| dir_of(program)).collect();
    if let Some(dirs) = dirs {
        searched.extend(dirs.system.iter().chain(&dirs.user).map(PathBuf::as_path));
    }
    searched.dedup();
    let mut files: Vec<_> = searched
        .into_iter()
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().as_encoded_bytes().ends_with(b".cfg"))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.dedup();
    files
}

/// All that `compiler` printed when it was asked with `-v` or `--version`: version, target,
/// directories, configuration files.
///
/// # Errors
/// The compiler could not be started or failed.
pub fn printed(compiler: &Path, output: io::Result<Output>) -> Result<String, CompilerConfigError> {
    let output = output.map_err(|source| CompilerConfigError::NotStarted {
        compiler: compiler.to_owned(),
        source,
    })?;
    let error = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(CompilerConfigError::NoAnswer {
            compiler: compiler.to_owned(),
            message: error.trim().to_owned(),
        });
    }
    Ok(format!(
        "{}{error}",
        String::from_utf8_lossy(&output.stdout)
    ))
}

/// The triple that a compiler that printed `text` compiles for.
#[must_use]
pub fn target_in(text: &str) -> Option<&str> {
    let target = text.lines().find_map(|line| line.strip_prefix("Target: "));
    target.map(str::trim)
}

/// The files that the output of `clang --version` names, in the order in which they apply. The
/// options that name a target, a driver mode or configuration files choose them.
#[must_use]
pub fn named_in(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.strip_prefix("Configuration file: "))
        .map(|path| PathBuf::from(path.trim_end()))
        .collect()
}
