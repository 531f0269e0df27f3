//! A compiler as a set of files that runs anywhere.
//!
//! Enters: the compiler's path as the linker or the user gave it, and the client_context that
//! decide which libraries it loads. Leaves: `Toolchain`, a sorted list of files and their places in
//! a tree, found by reading ELF headers; or an error that says why the path names no compiler that
//! could be sent. Nothing is run and nothing is hashed here: it happens in every link, and costs
//! some hundred system calls. `action` makes a tree of it; `config` knows clang's configuration
//! files.

mod closure;
mod conf;
pub mod config;
pub mod elf;
mod error;
mod program;
mod search;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::{Path, PathBuf};

pub use elf::Machine;
pub use error::ToolchainError;
pub use search::SearchEnvironment;

use closure::Closure;
use config::ConfigDirs;
use program::Program;

/// One file of a toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolchainFile {
    /// Where it stands in the tree, with `/` between the parts: `bin/clang-22`,
    /// `lib/libLLVM.so.22.1`.
    pub tree_path: String,
    /// Where its content is on this machine; may be a link.
    pub host: PathBuf,
    pub executable: bool,
}

/// A compiler and everything that it loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The file name that the compiler is called by: clang takes its driver mode and target from
    /// it.
    pub name: String,
    /// The program, all links resolved.
    pub program: PathBuf,
    /// The path by which it was named or found in `PATH`, absolute.
    pub called_as: PathBuf,
    /// Sorted by `tree_path`.
    pub files: Vec<ToolchainFile>,
    /// The dynamic loader's path in the tree; a static compiler has none. It is called with
    /// `--library-path lib`.
    pub loader: Option<String>,
    /// Files with a `DT_RPATH`, which counts before `--library-path` and may name directories of
    /// the machine it runs on.
    pub inhibit_rpath: Vec<String>,
    /// Configuration files that the compiler might read, whatever their names. Mostly none; then it
    /// reads none. Which of them it does read depends on its arguments: `config::loaded`.
    pub config_candidates: Vec<PathBuf>,
    pub machine: Machine,
}

impl Toolchain {
    /// Finds the files of `compiler`: a path, or a bare name that is looked up in `PATH`.
    ///
    /// `config_dirs` is what `ConfigDirs::ask` once said of this compiler; without it only the
    /// directories of the compiler are looked through for configuration files.
    ///
    /// # Errors
    /// The path names no program, a script or a wrapper, a program for another machine, or one
    /// whose loader or libraries are missing.
    pub fn discover(
        compiler: &Path,
        environment: &SearchEnvironment,
        config_dirs: Option<&ConfigDirs>,
    ) -> Result<Self, ToolchainError> {
        let program = Program::find(compiler, environment)?;
        let config_candidates =
            config::candidates(&[&program.called_as, &program.path], config_dirs);
        let machine = program.image.machine;
        let Closure {
            files,
            loader,
            inhibit_rpath,
        } = closure::of_program(
            environment,
            &program.path,
            program.image,
            format!("bin/{}", program.name),
        )?;
        Ok(Self {
            name: program.name,
            program: program.path,
            called_as: program.called_as,
            files,
            loader,
            inhibit_rpath,
            config_candidates,
            machine,
        })
    }

    /// What the command line has before the compiler's path when the tree stands in `root`
    /// (`relto/tc`): the loader and its options. Empty for a static compiler.
    #[must_use]
    pub fn loader_command(&self, root: &str) -> Vec<String> {
        let Some(loader) = &self.loader else {
            return Vec::new();
        };
        let mut words = vec![
            format!("{root}/{loader}"),
            "--library-path".to_owned(),
            format!("{root}/lib"),
        ];
        if !self.inhibit_rpath.is_empty() {
            let place = |tree_path: &String| match tree_path.as_str() {
                "" => String::new(),
                tree_path => format!("{root}/{tree_path}"),
            };
            let list: Vec<_> = self.inhibit_rpath.iter().map(place).collect();
            words.extend(["--inhibit-rpath".to_owned(), list.join(":")]);
        }
        words
    }
}
