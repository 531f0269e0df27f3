//! Links through `relto ld`, with each release of LLVM that is installed, beside the linker's own.
//!
//! A [`WrapperDir`] is a directory with sources of its own; the program that relto links there is
//! held against the one that the linker links alone, byte by byte.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;
use tempfile::TempDir;

use super::link::Home;
use super::llvm::{Llvm, run};
use super::outcome::Counts;

/// An installed clang with its lld.
#[derive(Debug, Clone)]
pub struct Release {
    pub major: u32,
    pub bin: PathBuf,
}

/// Those that Debian has, of each kind of summary one.
const MAJORS: [u32; 7] = [14, 16, 19, 21, 22, 23, 24];

impl Release {
    /// The releases of this machine; 22 is always among them.
    #[expect(clippy::print_stdout, reason = "what was skipped is for the log")]
    pub fn installed() -> Vec<Self> {
        let release = |major: u32| Self {
            major,
            bin: format!("/usr/lib/llvm-{major}/bin").into(),
        };
        let (there, missing): (Vec<_>, Vec<_>) = MAJORS
            .into_iter()
            .map(release)
            .partition(|it| it.bin.join("clang").exists() && it.bin.join("ld.lld").exists());
        for release in missing {
            println!(
                "skipped: clang {0} with lld {0} is not installed",
                release.major
            );
        }
        there
    }

    /// The one that this run of the tests is about.
    pub fn under_test() -> Self {
        let llvm = Llvm::get();
        Self {
            major: llvm.major(),
            bin: llvm.tool(""),
        }
    }

    pub fn tool(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// A directory where programs are compiled and linked.
#[derive(Debug)]
pub struct WrapperDir {
    dir: TempDir,
    pub home: Home,
    pub release: Release,
}

impl WrapperDir {
    pub fn new(release: &Release) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        for name in ["relto-ld.lld", "relto-wasm-ld", "relto-ld64.lld"] {
            let relto = crate::built::relto();
            fs::os::unix::fs::symlink(relto, dir.path().join(name)).expect("linked");
        }
        Self {
            dir,
            home: Home::new(),
            release: release.clone(),
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    pub fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(self.release.tool(tool));
        command.current_dir(self.dir());
        self.home.apply(&mut command);
        command
    }

    /// Compiles `text` as `NAME.o`; a name in C++ ends in `.cc`.
    pub fn compile(&self, name: &str, text: &str, flags: &[&str]) {
        self.write(name, text);
        let stem = name.split('.').next().expect("a stem");
        let tool = if Path::new(name)
            .extension()
            .is_some_and(|ending| ending == "cc")
        {
            "clang++"
        } else {
            "clang"
        };
        let mut command = self.command(tool);
        run(command
            .args(["-O2", "-c", name, "-o"])
            .arg(format!("{stem}.o"))
            .args(flags));
    }

    /// The same for ThinLTO.
    pub fn module(&self, name: &str, text: &str) {
        self.compile(name, text, &["-flto=thin"]);
    }

    /// `kind` is for `ar`: `rcs` or, for a thin archive, `rcsT`.
    pub fn archive(&self, kind: &str, name: &str, members: &[&str]) {
        run(self.command("llvm-ar").arg(kind).arg(name).args(members));
    }

    /// clang's command for a link; `linker` by its path.
    pub fn link_command(&self, driver: &str, linker: &Path, words: &[&str]) -> Command {
        let mut command = self.command(driver);
        command.args(["-flto=thin", "-O2", "-fuse-ld=lld"]);
        command
            .arg(format!("--ld-path={}", linker.display()))
            .args(words);
        command
    }

    /// Links as `app` through relto.
    pub fn wrapped(&self, driver: &str, words: &[&str]) -> Output {
        let linker = self.path("relto-ld.lld");
        let mut command = self.link_command(driver, &linker, words);
        command.args(["-o", "app"]).output().expect("clang starts")
    }

    /// Links as `app` through the linker alone, and takes the result away.
    pub fn plain(&self, driver: &str, words: &[&str]) -> Vec<u8> {
        let linker = self.release.tool("ld.lld");
        let mut command = self.link_command(driver, &linker, words);
        run(command.args(["-o", "app"]));
        let program = fs::read(self.path("app")).expect("linked");
        fs::remove_file(self.path("app")).expect("removed");
        program
    }

    /// Links both ways. relto must have made `jobs` jobs of it, and the program must be the same.
    pub fn same(&self, driver: &str, words: &[&str], jobs: usize) -> Counts {
        let alone = self.plain(driver, words);
        let output = self.wrapped(driver, words);
        let counts = self.counts(&output, words);
        assert_eq!(counts.jobs, jobs, "{words:?}");
        let ours = fs::read(self.path("app")).expect("linked");
        let release = self.release.major;
        assert!(
            ours == alone,
            "LLVM {release}, {words:?}: another program than the linker's"
        );
        self.assert_nothing_is_left();
        counts
    }

    /// Links both ways, where relto must leave the link to the linker for this reason.
    pub fn alone(&self, driver: &str, words: &[&str], reason: &str) {
        let theirs = self.plain(driver, words);
        let output = self.wrapped(driver, words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        assert!(
            said.contains("the linker does this link alone: ") && said.contains(reason),
            "{words:?}: {said}"
        );
        let ours = fs::read(self.path("app")).expect("linked");
        assert!(
            ours == theirs,
            "{words:?}: another program than the linker's"
        );
    }

    /// What a link through relto says of its jobs, and nothing else.
    pub fn counts(&self, output: &Output, words: &[&str]) -> Counts {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let release = self.release.major;
        assert!(
            output.status.success(),
            "LLVM {release}, {words:?}: {stderr}"
        );
        assert!(
            !stderr.contains("warning"),
            "LLVM {release}, {words:?}: {stderr}"
        );
        Counts::parse(&stderr).unwrap_or_else(|| panic!("LLVM {release}, {words:?}: {stderr}"))
    }

    /// Nothing beside the inputs and `app`.
    pub fn assert_nothing_is_left(&self) {
        let entries = fs::read_dir(self.dir()).expect("listed");
        for entry in entries {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy();
            let ours = name.ends_with(".thinlto.bc") || name.ends_with(".imports");
            assert!(!ours, "`{name}` is left");
        }
    }

    /// What `app` prints.
    pub fn run_app(&self) -> String {
        run(Command::new(self.path("app")).current_dir(self.dir()))
    }
}
