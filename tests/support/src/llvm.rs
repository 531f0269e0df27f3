//! The LLVM under test: the path of each tool, and commands with a clean environment.
//!
//! `RELTO_TEST_LLVM_ROOT` names the directory above `bin/clang`. Without it Debian's newest
//! supported release is used.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Debian's directories, the release that most people have first.
const ROOTS: &[&str] = &[
    "/usr/lib/llvm-22",
    "/usr/lib/llvm-23",
    "/usr/lib/llvm-24",
    "/usr/lib/llvm-21",
];

/// One installed release of clang, lld and the LLVM tools.
#[derive(Debug)]
pub struct Llvm {
    bin: PathBuf,
    version: String,
}

impl Llvm {
    /// The release that this run of the tests is about.
    ///
    /// # Panics
    /// Nothing is installed: `tests/run.sh` would have seen to it.
    pub fn get() -> &'static Self {
        static FOUND: OnceLock<Llvm> = OnceLock::new();
        FOUND.get_or_init(|| {
            let root =
                std::env::var_os("RELTO_TEST_LLVM_ROOT").map_or_else(
                    || {
                        let found = ROOTS.iter().find(|root| has_linker(Path::new(root)));
                        PathBuf::from(found.expect(
                            "clang and lld 21 to 24 of Debian (`tests/run.sh` installs them)",
                        ))
                    },
                    PathBuf::from,
                );
            Self::at(&root)
        })
    }

    fn at(root: &Path) -> Self {
        let bin = root.join("bin");
        let output = Command::new(bin.join("clang"))
            .arg("--version")
            .output()
            .expect("clang tells its version");
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().expect("a version line").to_owned();
        Self { bin, version }
    }

    /// First line of `clang --version`: part of every cached corpus's key.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The release's first number, 22 for example.
    pub fn major(&self) -> u32 {
        let number = self.version.split("version ").nth(1).expect("a version");
        let major = number.split('.').next().expect("a first number");
        major.parse().expect("a number")
    }

    /// Path of `clang`, `clang++`, `ld.lld`, `lld-link`, `llvm-ar`, `llvm-profdata`...
    pub fn tool(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// A command for a tool, with nothing of the caller's environment that clang or lld listen to.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.tool(name));
        for variable in [
            "CCC_OVERRIDE_OPTIONS",
            "SOURCE_DATE_EPOCH",
            "CPATH",
            "LLVM_PROFILE_FILE",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// Assembles a module for ThinLTO from LLVM's textual form, with further `flags` of `opt`.
    /// `None` if `opt` refuses it.
    #[must_use]
    pub fn assemble(&self, text: &str, flags: &[&str]) -> Option<Vec<u8>> {
        let mut opt = self.command("opt");
        opt.args(["-module-summary", "-o", "-", "-"]).args(flags);
        let pipes = opt.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut opt = pipes.stderr(Stdio::piped()).spawn().expect("opt starts");
        let mut input = opt.stdin.take().expect("a pipe");
        input.write_all(text.as_bytes()).expect("opt reads");
        drop(input);
        let output = opt.wait_with_output().expect("opt ends");
        output.status.success().then_some(output.stdout)
    }

    /// Compiles a source to a module for ThinLTO.
    pub fn thin_module(&self, source: &Path, module: &Path) {
        let mut clang = self.command("clang");
        clang.args(["-O2", "-flto=thin", "-c"]).arg(source);
        run(clang.arg("-o").arg(module));
    }
}

fn has_linker(root: &Path) -> bool {
    root.join("bin/clang").exists() && root.join("bin/ld.lld").exists()
}

/// Runs `command` to its end.
///
/// # Panics
/// It cannot be started or fails; the message holds its stderr.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("the tool starts");
    assert!(
        output.status.success(),
        "{command:?}\n{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
