//! Programs and libraries that are made for a test.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use relto::internals::toolchain::{SearchEnvironment, Toolchain, ToolchainError};

/// The compiler that the tests are written for.
pub const CLANG: &str = "/usr/bin/clang-22";

/// A directory with libraries and programs that are made for the test.
pub struct ToolchainDir {
    pub dir: tempfile::TempDir,
}

impl ToolchainDir {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["bin", "lib", "other"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A copy of clang's small program, whose libraries are found by its `$ORIGIN/../lib`.
    pub fn clang_of_its_own(&self) -> PathBuf {
        let clang = self.path("own/bin/clang-22");
        fs::create_dir_all(self.path("own/bin")).expect("made");
        fs::copy(CLANG, &clang).expect("copied");
        symlink("/usr/lib/llvm-22/lib", self.path("own/lib")).expect("linked");
        clang
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside the directory")).expect("made");
        fs::write(&path, text).expect("written");
        path
    }

    /// A shared library `DIR/lib{name}.so` with the given further arguments.
    pub fn library(&self, dir: &str, name: &str, arguments: &[&str]) -> PathBuf {
        let source = self.write(
            &format!("{name}.c"),
            &format!("int {name}(void){{return 1;}}"),
        );
        let path = self.path(&format!("{dir}/lib{name}.so"));
        fs::create_dir_all(path.parent().expect("inside the directory")).expect("made");
        let soname = format!("-Wl,-soname,lib{name}.so");
        let output = path.to_str().expect("UTF-8");
        let source = source.to_str().expect("UTF-8");
        self.clang(
            &[
                "-shared",
                "-fPIC",
                "-nostdlib",
                source,
                "-o",
                output,
                &soname,
            ],
            arguments,
        );
        path
    }

    /// The program `bin/app`, which needs the libraries in `arguments`.
    pub fn program(&self, arguments: &[&str]) -> PathBuf {
        let source = self.write("main.c", "int main(void){return 0;}");
        let path = self.path("bin/app");
        let output = path.to_str().expect("UTF-8");
        let source = source.to_str().expect("UTF-8");
        self.clang(&[source, "-o", output, "-Wl,--no-as-needed"], arguments);
        path
    }

    pub fn clang(&self, first: &[&str], arguments: &[&str]) {
        let output = Command::new(CLANG)
            .current_dir(self.dir.path())
            .args(first)
            .args(arguments)
            .output()
            .expect("clang runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub fn environment(&self, library_path: Option<&str>) -> SearchEnvironment {
        SearchEnvironment::new(
            Some(self.path("bin").into()),
            library_path.map(Into::into),
            self.dir.path().to_owned(),
        )
    }

    pub fn discover(
        &self,
        program: &Path,
        library_path: Option<&str>,
    ) -> Result<Toolchain, ToolchainError> {
        Toolchain::discover(program, &self.environment(library_path))
    }
}
