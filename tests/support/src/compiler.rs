//! A copy of the compiler under test that a test may change, in a directory with nothing but its
//! libraries.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use fs_err as fs;
use tempfile::TempDir;

use super::executable;
use super::llvm::Llvm;

/// A copy of the compiler under test in a directory of its own. The libraries, which it finds
/// beside itself, are the same.
#[derive(Debug)]
pub struct CompilerCopy {
    dir: TempDir,
}

impl CompilerCopy {
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let clang = fs::canonicalize(Llvm::get().tool("clang")).expect("clang");
        let root = clang.ancestors().nth(2).expect("a directory above `bin`");
        symlink(root.join("lib"), dir.path().join("lib")).expect("a link");
        fs::create_dir(dir.path().join("bin")).expect("made");
        fs::copy(&clang, dir.path().join("bin/clang")).expect("copied");
        Self { dir }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("bin").join(name)
    }

    /// The linker's option that makes the backends use the copy by the name `name`.
    pub fn option(&self, name: &str) -> String {
        let path = self.file(name);
        format!("-Wl,--thinlto-remote-compiler={}", path.display())
    }

    /// Puts another program in place of `clang`, one that does the same: what follows a program's
    /// sections is never loaded. By rename, so that a running compiler stays what it is.
    pub fn become_another_build(&self) {
        let old = fs::read(self.file("clang")).expect("a program");
        self.replace(&[&old[..], b"\n"].concat());
    }

    /// Makes `clang` the program that it was in the beginning.
    pub fn become_the_original(&self) {
        self.replace(&fs::read(Llvm::get().tool("clang")).expect("a program"));
    }

    fn replace(&self, bytes: &[u8]) {
        let new = self.file("new");
        executable::write(&new, bytes);
        fs::rename(&new, self.file("clang")).expect("renamed");
    }
}
