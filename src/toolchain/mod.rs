//! The files that a compiler needs to run anywhere.
//!
//! [`Toolchain::discover`] starts from the compiler's path as the linker or the user gave it, and
//! finds the libraries that it loads by reading ELF headers, without running or hashing anything:
//! it runs in every link and costs a few hundred system calls. [`action`](crate::action) builds a
//! tree from the files; [`config`] knows clang's configuration files.

mod closure;
mod conf;
pub mod config;
pub mod elf;
mod error;
mod ld_so_cache;
mod program;
mod search;
mod subdirs;
mod system;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::{Path, PathBuf};

pub use conf::ld_so_conf;
pub use elf::Machine;
pub use error::ToolchainError;
pub use ld_so_cache::LdSoCache;
pub use search::SearchEnvironment;

use closure::Closure;
use config::ConfigDirs;
use program::Program;

/// One file of a toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolchainFile {
    /// Path in the tree, with `/` between the parts: `bin/clang-22`, `lib/libLLVM.so.22.1`.
    pub tree_path: String,
    /// Path on this machine; may be a symbolic link.
    pub host: PathBuf,
    pub executable: bool,
}

/// A compiler and everything that it loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The file name that the compiler is called by, from which clang derives its driver mode and
    /// target.
    pub name: String,
    /// The program, with all symbolic links resolved.
    pub program: PathBuf,
    /// The absolute path by which the compiler was named or found in `PATH`.
    pub called_as: PathBuf,
    /// Sorted by `tree_path`.
    pub files: Vec<ToolchainFile>,
    /// Path of the dynamic loader in the tree, `None` for a static compiler. It is called with
    /// `--library-path lib`.
    pub loader: Option<String>,
    /// Files with a `DT_RPATH`, which has precedence over `--library-path` and may name directories
    /// of the machine that the compiler runs on.
    pub inhibit_rpath: Vec<String>,
    /// Configuration files that the compiler may read, whatever their names; mostly none.
    /// The compiler itself says which it reads for given arguments ([`config::named_in`]).
    pub config_candidates: Vec<PathBuf>,
    pub machine: Machine,
    /// Why the dynamic loader of this machine may load other libraries than these; mostly nothing.
    pub doubt: Option<String>,
}

impl Toolchain {
    /// Finds the files of `compiler`: a path, or a bare name that is looked up in `PATH`.
    ///
    /// Only the directories of the compiler are searched for configuration files;
    /// [`add_config_dirs`](Self::add_config_dirs) searches others.
    ///
    /// # Errors
    /// The path does not name a program, or names a script, a compiler wrapper, a program for
    /// another machine, or one whose loader or libraries are missing.
    pub fn discover(
        compiler: &Path,
        environment: &SearchEnvironment,
    ) -> Result<Self, ToolchainError> {
        let program = Program::find(compiler, environment)?;
        let config_candidates = config::candidates(&[&program.called_as, &program.path], None);
        let machine = program.image.machine;
        let Closure {
            files,
            loader,
            inhibit_rpath,
            doubt,
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
            doubt,
        })
    }

    /// Adds the configuration files in `dirs`, which [`ConfigDirs::parse`] found for this compiler.
    pub fn add_config_dirs(&mut self, dirs: &ConfigDirs) {
        let programs: [&Path; 2] = [&self.called_as, &self.program];
        self.config_candidates = config::candidates(&programs, Some(dirs));
    }

    /// The words before the compiler's path on the command line when the tree is in `root`
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
