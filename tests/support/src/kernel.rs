//! A real Linux, 7.2 or later, whose build runs its own ThinLTO backends
//! (`CONFIG_LTO_CLANG_THIN_DIST`).
//!
//! `RELTO_TEST_LINUX` names a directory with two scripts: `get-linux.sh` prints the directory of
//! the sources, `configure.sh SOURCES OUT` makes a small configuration in OUT. A slice of the
//! kernel becomes bitcode, with the flags of each backend, once a machine; the long run uses all of
//! it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use tempfile::TempDir;

use super::corpus::cached;
use super::llvm::{Llvm, run};
use super::skip::skip;

/// The thin link of the modules in the list `modules`, in its directory.
pub const THIN_LINK: [&str; 7] = [
    "-m",
    "elf_x86_64",
    "-r",
    "--thinlto-index-only=natives",
    "-o",
    "all.o",
    "@modules",
];

/// What the slice holds: parts that every configuration has, some 50 modules.
const PARTS: [&str; 5] = [
    "kernel/time/",
    "kernel/locking/",
    "kernel/irq/",
    "kernel/sched/",
    "lib/math/",
];

/// Returns the directory of the two scripts, or `None` after recording the test as skipped.
#[track_caller]
pub fn scripts() -> Option<PathBuf> {
    let found = std::env::var_os("RELTO_TEST_LINUX").map(PathBuf::from);
    if found.is_none() {
        skip("`RELTO_TEST_LINUX` names no directory with the kernel's scripts");
    }
    found
}

/// The directory of the sources, fetched if need be.
pub fn sources(scripts: &Path) -> PathBuf {
    let said = run(&mut Command::new(scripts.join("get-linux.sh")));
    PathBuf::from(said.lines().last().expect("a path"))
}

/// Makes a configuration in `out`.
pub fn configure(scripts: &Path, sources: &Path, out: &Path) {
    run(Command::new(scripts.join("configure.sh"))
        .arg(sources)
        .arg(out));
}

/// The number that Debian's names of the LLVM tools end with, as the kernel's `LLVM=` takes it.
pub fn suffix() -> String {
    format!("-{}", Llvm::get().major())
}

/// A part of the kernel before its thin link: `NAME.o`, and `NAME.flags`, the words of its backend
/// as a shell reads them.
#[derive(Debug)]
pub struct Slice {
    dir: TempDir,
    /// As the thin link gets them.
    pub modules: Vec<String>,
}

impl Slice {
    /// Returns a copy in a directory of its own, thin-linked, or `None` after recording the test as
    /// skipped.
    #[track_caller]
    pub fn new() -> Option<Self> {
        let scripts = scripts()?;
        let recipe = format!("{PARTS:?}");
        let kept = cached("kernel-slice", &recipe, |dir| {
            collect_parts(&scripts, dir, &PARTS, |_, _| ());
        });
        let dir = TempDir::new().expect("a temporary directory");
        run(Command::new("cp")
            .arg("-r")
            .arg(kept.join("."))
            .arg(dir.path()));
        let modules = modules_in(dir.path());
        let slice = Self { dir, modules };
        let mut link = Llvm::get().command("ld.lld");
        run(link.current_dir(slice.dir()).args(THIN_LINK));
        Some(slice)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The flags of a module's backend, quotes taken off as the shell would.
    pub fn flags(&self, module: &str) -> Vec<String> {
        flags(self.dir(), module)
    }

    /// What `scripts/Makefile.thinlto` says besides the flags.
    pub fn files(module: &str, object: &str) -> Vec<String> {
        let index = format!("-fthinlto-index={module}.thinlto.bc");
        let words = [
            "-x",
            "ir",
            "-fno-lto",
            "-Wno-unused-command-line-argument",
            &index,
            "-c",
            "-o",
            object,
            module,
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// The modules that [`collect_parts`] has left in `dir`.
pub(super) fn modules_in(dir: &Path) -> Vec<String> {
    let list = fs::read_to_string(dir.join("modules")).expect("a list");
    list.lines().map(str::to_owned).collect()
}

/// The flags of the backend of a module in `dir`, quotes taken off as the shell would.
pub fn flags(dir: &Path, module: &str) -> Vec<String> {
    let text = fs::read_to_string(dir.join(format!("{module}.flags"))).expect("flags");
    words_of(&text)
}

/// Compiles `parts` of the kernel, and collects their modules and a list of them in `dir`. `finish`
/// gets the sources and the output directory before that is removed.
pub(super) fn collect_parts(
    scripts: &Path,
    dir: &Path,
    parts: &[&str],
    finish: impl FnOnce(&Path, &Path),
) {
    let sources = sources(scripts);
    let build = dir.join("build");
    configure(scripts, &sources, &build);
    run(make(&build).args(parts));
    let mut list = String::new();
    for part in parts {
        collect(&build, Path::new(part), dir, &mut list);
    }
    fs::write(dir.join("modules"), list).expect("written");
    finish(&sources, &build);
    fs::remove_dir_all(build).expect("removed");
}

/// The kernel's `make` in an output directory.
pub(super) fn make(build: &Path) -> Command {
    let mut make = Command::new("nice");
    make.args(["make", "-j2", "-C"])
        .arg(build)
        .arg(format!("LLVM={}", suffix()))
        .arg(format!("CC=clang{}", suffix()));
    make
}

/// Takes the bitcode below `part` over, with the flags that the build has noted beside it.
fn collect(build: &Path, part: &Path, dir: &Path, list: &mut String) {
    fs::create_dir_all(dir.join(part)).expect("a directory");
    let mut entries: Vec<_> = fs::read_dir(build.join(part))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let inside = path.strip_prefix(build).expect("inside");
        if path.is_dir() {
            collect(build, inside, dir, list);
            continue;
        }
        let name = path.file_name().expect("a file").to_string_lossy();
        let notes = path.with_file_name(format!(".{name}.cmd"));
        let flags = fs::read_to_string(&notes)
            .ok()
            .and_then(|text| saved_flags(&text));
        let is_object = path.extension().is_some_and(|it| it == "o");
        if let Some(flags) = flags.filter(|_| is_object && is_bitcode(&path)) {
            fs::copy(&path, dir.join(inside)).expect("copied");
            fs::write(dir.join(format!("{}.flags", inside.display())), flags).expect("written");
            writeln!(list, "{}", inside.display()).expect("a string");
        }
    }
}

/// Parts of the kernel that run elsewhere, such as what programs map, are compiled to the end.
fn is_bitcode(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"BC\xC0\xDE"))
}

/// `text` as a shell takes it apart.
pub fn words_of(text: &str) -> Vec<String> {
    let script = format!("printf '%s\\n' {}", text.trim());
    let said = run(Command::new("sh").arg("-c").arg(script));
    said.lines().map(str::to_owned).collect()
}

/// The flags of the front end as the build has noted them for the backend.
pub fn saved_flags(notes: &str) -> Option<String> {
    let mut lines = notes
        .lines()
        .filter(|line| line.starts_with("saved_c_flags_"));
    let (_, flags) = lines.next()?.split_once(" := ")?;
    Some(flags.to_owned())
}
