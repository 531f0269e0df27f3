//! Real programs with edits of their sources: what developers at a keyboard do.
//!
//! The modules of a program's base are compiled once a machine. The compiler is given names relative
//! to the sources' directory, since names stand in the modules.

mod cryptopp;
mod lua;
mod rocksdb;
mod sqlite;
mod zstd;

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use tempfile::TempDir;

use super::super::corpus::{Compile, cached, compile_in};
use super::super::llvm::{Llvm, run};
use super::{Check, Program};

/// One edit of one file: a text that stands there, and what replaces it.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    pub name: &'static str,
    pub file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// A program whose sources can be edited.
#[derive(Debug)]
pub struct EditedProgram {
    pub name: &'static str,
    pub edits: &'static [Edit],
    driver: &'static str,
    flags: &'static [&'static str],
    link_arguments: &'static [&'static str],
    check: Option<Check>,
    /// Names relative to the sources' directory, the one with `main` first.
    sources: Vec<PathBuf>,
    dir: PathBuf,
}

/// The program after an edit, with the files that only this version has.
#[derive(Debug)]
pub struct Edited {
    pub program: Program,
    /// Which of the modules is another one.
    pub module: usize,
    _dir: TempDir,
}

/// What a program is made of, before anything is compiled.
struct Recipe {
    name: &'static str,
    edits: &'static [Edit],
    driver: &'static str,
    flags: &'static [&'static str],
    link_arguments: &'static [&'static str],
    check: Option<Check>,
    /// Names the version of the sources.
    version: String,
}

impl Recipe {
    /// The program; `fill` puts its sources into a directory, and returns the relative names of
    /// those that become modules.
    fn make(self, fill: impl FnOnce(&Path) -> Vec<PathBuf>) -> EditedProgram {
        let text = format!("{}\n{}\n{:?}", self.version, self.driver, self.flags);
        let dir = cached(&format!("edits-{}", self.name), &text, |dir| {
            let [sources, objects] = ["sources", "objects"].map(|name| dir.join(name));
            fs::create_dir(&sources).expect("made");
            fs::create_dir(&objects).expect("made");
            let names = fill(&sources);
            let steps = names.iter().map(|source| Compile {
                object: objects.join(object_name(source)),
                source: source.clone(),
            });
            let flags: Vec<String> = self.flags.iter().map(|&flag| flag.to_owned()).collect();
            compile_in(&sources, self.driver, &flags, steps.collect());
            let lines = names.iter().map(|name| format!("{}\n", name.display()));
            let lines: String = lines.collect();
            fs::write(dir.join("sources.txt"), lines).expect("written");
        });
        let list = fs::read_to_string(dir.join("sources.txt")).expect("a list");
        EditedProgram {
            name: self.name,
            edits: self.edits,
            driver: self.driver,
            flags: self.flags,
            link_arguments: self.link_arguments,
            check: self.check,
            sources: list.lines().map(PathBuf::from).collect(),
            dir,
        }
    }
}

impl EditedProgram {
    /// The program of this name.
    ///
    /// # Panics
    /// There is none.
    pub fn named(name: &str) -> Self {
        match name {
            "zstd" => zstd::zstd(),
            "lua" => lua::lua(),
            "sqlite" => sqlite::sqlite(),
            "cryptopp" => cryptopp::cryptopp(),
            "rocksdb" => rocksdb::rocksdb(),
            _ => panic!("`{name}` is no program with edits"),
        }
    }

    /// The program as it is.
    pub fn base(&self) -> Program {
        let modules = self.sources.iter().map(|source| self.object(source));
        Program {
            name: self.name.to_owned(),
            driver: self.driver,
            modules: modules.collect(),
            files: Vec::new(),
            link_arguments: self
                .link_arguments
                .iter()
                .map(|&it| it.to_owned())
                .collect(),
            check: self.check.clone(),
        }
    }

    /// The program after `edit` alone.
    ///
    /// # Panics
    /// The file does not hold the edit's text, or does not compile.
    pub fn edited(&self, edit: &Edit) -> Edited {
        let dir = TempDir::new().expect("a directory");
        let sources = dir.path().join("sources");
        let mut copy = Command::new("cp");
        // Links for all but one file.
        run(copy.arg("-rs").arg(self.dir.join("sources")).arg(&sources));
        let file = sources.join(edit.file);
        let text = fs::read_to_string(&file).expect("a text");
        let known = text.contains(edit.from);
        assert!(known, "`{}` has no `{}`", edit.file, edit.from);
        fs::remove_file(&file).expect("removed");
        fs::write(&file, text.replace(edit.from, edit.to)).expect("written");
        let source = Path::new(edit.file);
        let object = dir.path().join(object_name(source));
        let mut clang = Llvm::get().command(self.driver);
        clang.current_dir(&sources).args(self.flags).arg("-c");
        run(clang.arg(source).arg("-o").arg(&object));
        let at = self.sources.iter().position(|known| known == source);
        let module = at.expect("a source of the program");
        let mut program = self.base();
        program.modules[module] = object;
        Edited {
            program,
            module,
            _dir: dir,
        }
    }

    fn object(&self, source: &Path) -> PathBuf {
        self.dir.join("objects").join(object_name(source))
    }
}

/// A file name that no other source of the program has.
fn object_name(source: &Path) -> PathBuf {
    let text = source.display().to_string().replace('/', "_");
    PathBuf::from(text).with_extension("o")
}
