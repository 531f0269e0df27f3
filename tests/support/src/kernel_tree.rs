//! A whole Linux, built once a machine by clang alone, and copies of the build whose backends run
//! again.
//!
//! A [`Tree`] is an output directory of a test's own beside sources that no test changes. The
//! kernel's own `make` runs in it, through relto or without, and the first build's files are there
//! to compare with. Front ends take most of a build, so they run once: a copy counts as compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

use fs_err as fs;
use relto::internals::digest::DigestFunction;
use relto::internals::task::lock;
use tempfile::TempDir;

use super::backends::add;
use super::corpus::cached;
use super::kernel::{configure, scripts, sources, suffix};
use super::link::Home;
use super::llvm::run;
use super::outcome::Counts;
use super::skip::runs_long;

/// Two builds of one tree differ in these, and in nothing else.
const STAMP: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "2026-01-01"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("KBUILD_BUILD_USER", "user"),
    ("KBUILD_BUILD_HOST", "host"),
];

/// Beyond the small configuration: a module that includes a file by assembly, and `.ko` files of
/// one object and of several.
const OPTIONS: [&str; 10] = [
    "-e",
    "IKCONFIG",
    "-e",
    "IKCONFIG_PROC",
    "-e",
    "BLK_DEV",
    "-m",
    "BLK_DEV_LOOP",
    "-m",
    "VFAT_FS",
];

/// The configuration would name the Rust compiler that is found, which is none of ours.
const NO_RUST: &str = "RUSTC=false";

/// The `.ko` files of that configuration that have code of more than one kind.
pub const MODULES: [&str; 3] = ["drivers/block/loop.ko", "fs/fat/fat.ko", "fs/fat/vfat.ko"];

/// The one whose backend opens a file that no index names.
pub const INCLUDES_A_FILE: &str = "kernel/configs.thinlto-native.o";

/// An output directory of Linux, and the directory where the first one is.
#[derive(Debug)]
pub struct Tree {
    dir: TempDir,
    sources: PathBuf,
    first: PathBuf,
    /// A kernel at a time is enough for a machine.
    _turn: MutexGuard<'static, ()>,
}

/// What `make` did: where the objects came from, and what was said.
#[derive(Debug)]
pub struct BuiltKernel {
    pub counts: Counts,
    /// Compilers that were started for something else than a backend, as far as `make` shows.
    pub front_ends: usize,
    pub stderr: String,
}

impl Tree {
    /// Returns a copy of the build with nothing left to do, or `None` after recording the test as
    /// skipped.
    #[track_caller]
    pub fn copy() -> Option<Self> {
        let tree = Self::empty()?;
        run(Command::new("cp")
            .arg("-a")
            .arg(tree.first.join("out"))
            .arg(tree.dir.path()));
        Some(tree)
    }

    /// Sources, and the configuration of the first build in an output directory that holds nothing
    /// else; or `None` after recording the test as skipped.
    #[track_caller]
    pub fn configured() -> Option<Self> {
        let tree = Self::empty()?;
        fs::create_dir(tree.path("")).expect("a directory");
        fs::copy(tree.original(".config"), tree.path(".config")).expect("copied");
        Some(tree)
    }

    #[track_caller]
    fn empty() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        if !runs_long() {
            return None;
        }
        let scripts = scripts()?;
        let turn = lock(&TURN);
        let sources = sources(&scripts);
        let recipe = format!("{} {OPTIONS:?} {STAMP:?} {NO_RUST}", sources.display());
        let first = cached("kernel", &recipe, |dir| {
            build_first(&scripts, &sources, dir);
        });
        Some(Self {
            dir: TempDir::new().expect("a temporary directory"),
            sources,
            first,
            _turn: turn,
        })
    }

    /// A file of the output directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("out").join(name)
    }

    /// The same file of the first build, where nothing may write.
    pub fn original(&self, name: &str) -> PathBuf {
        self.first.join("out").join(name)
    }

    /// A place beside the output directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn source(&self, name: &str) -> PathBuf {
        self.sources.join(name)
    }

    /// The kernel's `make`, to which `relto cc clang` is clang.
    pub fn plain(&self, words: &[&str]) -> Command {
        self.through(&self.first.join("plain"), words)
    }

    /// The kernel's `make`, to which `relto` is the program of that name in `dir`.
    pub fn through(&self, dir: &Path, words: &[&str]) -> Command {
        make(&self.sources, &self.path(""), dir, words)
    }

    /// The kernel's `make` with relto's compilers, its state in `home`.
    pub fn relto(&self, home: &Home, words: &[&str]) -> Command {
        let mut command = self.through(relto_dir(), words);
        home.apply(&mut command);
        command.env("RELTO_LOG", "info");
        command
    }

    /// Those commands alone that `make` runs between the thin link and the final link:
    /// `scripts/Makefile.thinlto`.
    pub fn backends(&self, home: &Home) -> Command {
        let mut command = Command::new("nice");
        home.apply(&mut command);
        command
            .current_dir(self.path(""))
            .args(["make", "-rR", "-j2", "-f"])
            .arg(self.source("scripts/Makefile.thinlto"))
            .arg(format!("srctree={}", self.sources.display()))
            .arg(format!("CC=relto cc clang{}", suffix()))
            .args(["objtree=.", "SRCARCH=x86"])
            .env("PATH", path_with(relto_dir()))
            .env("RELTO_LOG", "info");
        command
    }

    /// Another configuration, in the words of the kernel's `scripts/config`.
    pub fn reconfigure(&self, words: &[&str]) {
        let mut config = Command::new(self.source("scripts/config"));
        run(config.arg("--file").arg(self.path(".config")).args(words));
        run(&mut self.plain(&["olddefconfig"]));
    }

    /// What the backends have made so far.
    pub fn natives(&self) -> Vec<String> {
        natives(&self.path(""))
    }

    pub fn forget_natives(&self) {
        for name in self.natives() {
            fs::remove_file(self.path(&name)).expect("removed");
        }
    }

    /// All backends' objects are there, and are those of the first build.
    ///
    /// # Panics
    /// With the names of those that are not.
    pub fn assert_same_objects(&self) {
        let (ours, theirs) = (digests(&self.path("")), digests(&self.original("")));
        let names = theirs.keys().chain(ours.keys());
        let different: Vec<_> = names
            .filter(|&name| ours.get(name) != theirs.get(name))
            .take(20)
            .collect();
        assert!(different.is_empty() && !ours.is_empty(), "{different:?}");
    }

    /// `names` are those of the first build.
    ///
    /// # Panics
    /// With those that are not.
    pub fn assert_same(&self, names: &[&str]) {
        let differs = |name: &&&str| digest(&self.path(name)) != digest(&self.original(name));
        let different: Vec<_> = names.iter().filter(differs).collect();
        assert!(different.is_empty(), "{different:?}");
    }
}

impl BuiltKernel {
    /// Runs `make` to its end.
    ///
    /// # Panics
    /// It fails.
    pub fn by(command: &mut Command) -> Self {
        Self::of(&command.output().expect("make starts"))
    }

    /// What a `make` that has ended did.
    ///
    /// # Panics
    /// It failed.
    pub fn of(output: &Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{stderr}");
        let mut counts = Counts::default();
        add(&mut counts, &stderr);
        let is_front_end = |line: &&str| {
            let mut words = line.split_whitespace();
            words.next() == Some("CC")
                && words.last().is_some_and(|name| {
                    // The kernel's tools are named from the root.
                    let is_object = Path::new(name).extension().is_some_and(|it| it == "o");
                    is_object && !name.starts_with('/') && !name.ends_with(".thinlto-native.o")
                })
        };
        Self {
            counts,
            front_ends: stdout.lines().filter(is_front_end).count(),
            stderr,
        }
    }

    /// What relto said to the user.
    pub fn warnings(&self) -> Vec<&str> {
        let lines = self.stderr.lines();
        lines.filter(|line| line.starts_with("relto: ")).collect()
    }
}

/// The objects of all backends below `out`.
fn natives(out: &Path) -> Vec<String> {
    let mut find = Command::new("find");
    let found =
        run(find
            .current_dir(out)
            .args([".", "-name", "*.thinlto-native.o", "-printf", "%P\n"]));
    let mut names: Vec<_> = found.lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn digests(out: &Path) -> BTreeMap<String, String> {
    let names = natives(out).into_iter();
    names
        .map(|name| (name.clone(), digest(&out.join(name))))
        .collect()
}

pub fn digest(path: &Path) -> String {
    let bytes = fs::read(path).expect("a file");
    DigestFunction::Sha256.digest(&bytes).hex()
}

fn relto_dir() -> &'static Path {
    let program = crate::built::relto();
    program.parent().expect("a directory")
}

/// `dir`, where a `relto` is, before everything else.
fn path_with(dir: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = [dir.to_owned()].into_iter();
    std::env::join_paths(dirs.chain(std::env::split_paths(&path))).expect("a path")
}

fn make(sources: &Path, out: &Path, relto: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("nice");
    command
        .args(["make", "-j2", "-C"])
        .arg(sources)
        .arg(format!("O={}", out.display()))
        .arg(format!("LLVM={}", suffix()))
        .arg(format!("CC=relto cc clang{}", suffix()))
        .arg(NO_RUST)
        .args(words)
        .env("PATH", path_with(relto))
        .envs(STAMP);
    command
}

fn build_first(scripts: &Path, sources: &Path, dir: &Path) {
    let (out, plain) = (dir.join("out"), dir.join("plain"));
    // `relto` that is only a way to the compiler: the build's words stay the same.
    fs::create_dir(&plain).expect("a directory");
    fs::write(plain.join("relto"), "#!/bin/sh\nshift\nexec \"$@\"\n").expect("written");
    run(Command::new("chmod").arg("+x").arg(plain.join("relto")));
    configure(scripts, sources, &out);
    let mut config = Command::new(sources.join("scripts/config"));
    run(config.arg("--file").arg(out.join(".config")).args(OPTIONS));
    run(&mut make(sources, &out, &plain, &["olddefconfig"]));
    run(&mut make(sources, &out, &plain, &["vmlinux", "modules"]));
}
