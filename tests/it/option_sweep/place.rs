//! A directory with a backend's files, and what a compile in a copy of it leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use fs_err as fs;

use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};

/// A file that options may read.
pub(super) const FILE: &str = "x.txt";

const SOURCES: [(&str, &str); 2] = [
    (
        "a.c",
        "int shared(int); static int cells[4] = {1, 2};\n\
         __attribute__((noinline)) static int sum(int x) { int s = 0; for (int i = 0; i < x; i++) s += cells[i & 3] * i; return s; }\n\
         int twice(int x) { return 2 * x + cells[x & 3] + sum(x); }\n\
         #ifdef __APPLE__\n\
         int again(int x) { return x; }\n\
         #else\n\
         int again(int x) __attribute__((alias(\"twice\")));\n\
         #endif\n\
         float total(float *a, int n) { float s = 0; for (int i = 0; i < n; i++) s += a[i]; return s; }\n\
         int pick(int x) { switch (x) { case 1: return 5; case 2: return 8; case 9: return 1; default: return shared(x); } }\n\
         int main(int argc, char **argv) { return shared(argc) + again(argc) + pick(argc); }\n",
    ),
    (
        "b.c",
        "int twice(int); static int cells[4] = {3}; const char *name(void) { return \"hello\"; }\n\
         __attribute__((noinline)) static int local(int x) { return cells[x & 3]++; }\n\
         int shared(int x) { char b[64]; __builtin_memset(b, x, 64); return twice(x + 1) + local(x) + b[x & 63]; }\n",
    ),
];

/// What a backend compiles for, and how its shards are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Of the campaign.
    pub(super) campaign: &'static str,
    /// Empty: clang's own.
    triple: &'static str,
    /// For the source. Debug information in the form of Windows always runs in place.
    debug: &'static str,
    /// For the backend. Objects for Windows would hold the time.
    backend: &'static [&'static str],
    linker: &'static str,
    thin_link: &'static [&'static str],
}

impl Target {
    pub(super) const ELF: Self = Self {
        campaign: "options",
        triple: "",
        debug: "-g",
        backend: &[],
        linker: "ld.lld",
        thin_link: &["--thinlto-index-only", "-e", "main", "-o", "app"],
    };
    pub(super) const COFF: Self = Self {
        campaign: "options-coff",
        triple: "x86_64-pc-windows-msvc",
        debug: "-gdwarf",
        backend: &["-mno-incremental-linker-compatible"],
        linker: "lld-link",
        thin_link: &[
            "-thinlto-index-only",
            "-nodefaultlib",
            "-entry:main",
            "-subsystem:console",
            "-out:app.exe",
        ],
    };
    pub(super) const MACHO: Self = Self {
        campaign: "options-macho",
        triple: "x86_64-apple-macos13",
        debug: "-g",
        backend: &[],
        linker: "ld64.lld",
        thin_link: &Self::macho_thin_link("x86_64"),
    };
    pub(super) const MACHO_ARM64: Self = Self {
        campaign: "options-macho-arm64",
        triple: "arm64-apple-macos13",
        thin_link: &Self::macho_thin_link("arm64"),
        ..Self::MACHO
    };
    pub(super) const OTHERS: [Self; 3] = [Self::COFF, Self::MACHO, Self::MACHO_ARM64];

    const fn macho_thin_link(arch: &'static str) -> [&'static str; 12] {
        [
            "--thinlto-index-only",
            "-arch",
            arch,
            "-platform_version",
            "macos",
            "13",
            "13",
            "-dylib",
            "-undefined",
            "dynamic_lookup",
            "-o",
            "app",
        ]
    }

    pub(super) fn is_elf(&self) -> bool {
        self.triple.is_empty()
    }

    fn triple(&self) -> Option<String> {
        (!self.is_elf()).then(|| format!("--target={}", self.triple))
    }
}

/// Names of the files of a backend, seen from its directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) modules: [&'static str; 2],
    pub(super) output: &'static str,
    /// Whether [`FILE`] is there.
    pub(super) has_file: bool,
}

/// A directory that is never compiled in, only its copies are.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    names: Names,
    target: Target,
    copies: AtomicUsize,
}

/// What a compile leaves and prints.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compiled {
    pub(super) works: bool,
    /// All files that were not there before or have changed, by name without random parts.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
    /// Whether [`FILE`] was read.
    pub(super) read_file: bool,
}

impl Place {
    /// Both modules are compiled in `root`'s parent, so that they are the same in all places.
    pub(super) fn new(root: PathBuf, names: Names, target: Target) -> Self {
        let parent = root.parent().expect("a directory");
        fs::create_dir_all(parent).expect("made");
        for ((source, text), module) in SOURCES.iter().zip(names.modules) {
            fs::write(parent.join(source), text).expect("written");
            let module = root.join(module);
            fs::create_dir_all(module.parent().expect("a directory")).expect("made");
            let mut clang = Command::new(Llvm::get().tool("clang"));
            clang.current_dir(parent).args(target.triple()).args([
                target.debug,
                "-O2",
                "-flto=thin",
                "-c",
                source,
                "-o",
            ]);
            run(clang.arg(module));
        }
        let mut thin_link = Command::new(Llvm::get().tool(target.linker));
        thin_link.current_dir(&root).args(target.thin_link);
        run(thin_link.args(names.modules));
        let copies = AtomicUsize::new(0);
        Self {
            root,
            names,
            target,
            copies,
        }
    }

    /// A copy with a name of its own.
    pub(super) fn copy(&self) -> PlaceCopy<'_> {
        let number = self.copies.fetch_add(1, Ordering::Relaxed);
        PlaceCopy {
            place: self,
            dir: self.root.with_extension(number.to_string()),
        }
    }
}

/// A copy of a place, made anew for each compile. It is gone when it is dropped.
#[derive(Debug)]
pub(super) struct PlaceCopy<'p> {
    place: &'p Place,
    dir: PathBuf,
}

impl PlaceCopy<'_> {
    /// clang alone.
    pub(super) fn clang(&self, options: &[String]) -> Compiled {
        self.clang_reading(options, "main\n")
    }

    /// clang alone, with `text` in [`FILE`].
    pub(super) fn clang_reading(&self, options: &[String], text: &str) -> Compiled {
        let mut command = Command::new("timeout");
        command.env_clear().arg("120");
        self.compile(command, options, text)
    }

    /// relto in front of clang, with `text` in [`FILE`].
    pub(super) fn relto(&self, home: &Home, options: &[String], text: &str) -> Compiled {
        let mut command = Command::new("timeout");
        home.apply(&mut command);
        command.env("RELTO_LOG", "info").arg("120");
        command.arg(crate::support::built::relto()).arg("cc");
        self.compile(command, options, text)
    }

    fn compile(&self, mut command: Command, options: &[String], text: &str) -> Compiled {
        let _ = fs::remove_dir_all(&self.dir);
        copy_tree(&self.place.root, &self.dir);
        let names = &self.place.names;
        let file = self.dir.join(FILE);
        if names.has_file {
            fs::write(&file, text).expect("written");
            // The time of the last read moves where it is older than that of the last change.
            let times = std::fs::FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
            let opened = fs::OpenOptions::new().write(true).open(&file);
            opened
                .expect("opened")
                .file()
                .set_times(times)
                .expect("set");
        }
        let before = files(&self.dir);
        command.current_dir(&self.dir).env("TMPDIR", &self.dir);
        command.env("PATH", "/usr/bin:/bin");
        command.arg(Llvm::get().tool("clang"));
        command.args([
            "-c",
            "-O2",
            "-ffunction-sections",
            "-x",
            "ir",
            names.modules[0],
        ]);
        command.arg(format!("-fthinlto-index={}.thinlto.bc", names.modules[0]));
        let target = &self.place.target;
        command.args(target.triple()).args(target.backend);
        command.args(["-o", names.output]).args(options);
        let output = command.output().expect("it starts");
        self.compiled(output, text, &before)
    }

    fn compiled(&self, output: Output, text: &str, before: &BTreeMap<String, PathBuf>) -> Compiled {
        let accessed = || fs::metadata(self.dir.join(FILE)).ok()?.accessed().ok();
        let read_file =
            accessed().is_some_and(|at| at > SystemTime::UNIX_EPOCH + Duration::from_hours(24));
        let new = files(&self.dir).into_iter().filter(|(name, path)| {
            !before.contains_key(name)
                || (name == FILE && fs::read_to_string(path).ok().as_deref() != Some(text))
        });
        let read = |(name, path)| (name, fs::read(path).unwrap_or_default());
        Compiled {
            works: output.status.success(),
            files: new.map(read).collect(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            read_file,
        }
    }

    /// The name of the object.
    pub(super) fn output(&self) -> &'static str {
        self.place.names.output
    }
}

impl Drop for PlaceCopy<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Compiled {
    /// The object, and whether there are other files.
    pub(super) fn object(&self, output: &str) -> Option<&[u8]> {
        self.files.get(output).map(Vec::as_slice)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// The files below a directory, by their names seen from it. Temporary files of clang have names
/// with random parts, which are left out.
fn files(dir: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(&next).expect("listed") {
            let path = entry.expect("listed").path();
            if fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir()) {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below it");
                found.insert(without_random_parts(&name.to_string_lossy()), path);
            }
        }
    }
    found
}

/// `a-1b2c3d.s` is `a.s`.
fn without_random_parts(name: &str) -> String {
    let split = name.rsplit_once('-').and_then(|(before, after)| {
        let random = after.get(..6)?;
        let is_hex = random.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| format!("{before}{}", &after[6..]))
    });
    split.unwrap_or_else(|| name.to_owned())
}
