//! Programs to link: their modules as ThinLTO bitcode, and a way to see that the linked program
//! works.
//!
//! A [`Program`]'s modules lie in the machine's cache (`corpus`) and are copied into each link's
//! own directory. How they are linked is up to `link`.

mod cxx;
mod edited;
mod features;
mod generated;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::llvm::run;

pub use cxx::{CXX_SOURCES, cxx, cxx_of, cxx_sources};
pub use edited::{Edit, Edited, EditedProgram};
pub use features::{Feature, feature};
pub use generated::{dense, generated};
pub use sources::{sqlite, zstd};

/// What the finished program must do.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What stands somewhere on its stdout when all is well; it must also exit with 0.
    pub says: String,
    /// Directory to start it in, when it reads files of its own.
    pub dir: Option<PathBuf>,
}

/// A program as bitcode.
#[derive(Debug, Clone)]
pub struct Program {
    pub name: String,
    /// What links it: `clang`, `clang++` or `lld-link`.
    pub driver: &'static str,
    /// The modules in link order, the one with `main` first. File names are unique.
    pub modules: Vec<PathBuf>,
    /// Files that the link reads under their own names beside the modules: profiles, lists, data.
    pub files: Vec<PathBuf>,
    /// What the link line needs besides the modules.
    pub link_arguments: Vec<String>,
    /// `None` when the result cannot run on this machine.
    pub check: Option<Check>,
}

impl Program {
    /// A C program whose own test prints `ok`.
    pub fn c(name: &str, modules: Vec<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            driver: "clang",
            modules,
            files: Vec::new(),
            link_arguments: vec!["-O2".to_owned()],
            check: Some(Check {
                arguments: Vec::new(),
                says: "ok".to_owned(),
                dir: None,
            }),
        }
    }

    /// The same program, the module with `main` copied into `dir` under a name that sorts after all
    /// others. Members of an archive sort before `main.o`, plain objects around it; and the order
    /// of names is part of the key.
    pub fn with_main_last(&self, dir: &Path) -> Self {
        let main = dir.join("zz_main.o");
        fs::copy(&self.modules[0], &main).expect("copied");
        let mut program = self.clone();
        program.modules[0] = main;
        program
    }

    /// Runs the linked program and looks at what it says.
    ///
    /// # Panics
    /// It fails, or does not say what it should.
    pub fn check(&self, executable: &Path) {
        let Some(check) = &self.check else { return };
        let mut command = Command::new(executable);
        command.args(&check.arguments);
        // The program may write files of its own there, and other tests run it at the same time.
        let own = tempfile::tempdir().expect("a temporary directory");
        if let Some(dir) = &check.dir {
            for entry in fs::read_dir(dir).expect("listed") {
                let entry = entry.expect("an entry");
                if entry.path().is_dir() {
                    let link = own.path().join(entry.file_name());
                    fs::os::unix::fs::symlink(entry.path(), link).expect("linked");
                }
            }
            command.current_dir(own.path());
        }
        let said = run(&mut command);
        assert!(said.contains(&check.says), "`{}` says:\n{said}", self.name);
    }
}

/// The C program of `texts`, files by their names, `main.c` among them; it prints `ok`.
pub fn of_texts(name: &str, texts: &[(&str, &str)], flags: &[&str]) -> Program {
    let flags = [&["-O2", "-flto=thin"], flags].concat();
    Program::c(name, generated::written(name, "clang", texts, &flags))
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
