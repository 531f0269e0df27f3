//! Identifies the linker and its release, and finds the compiler that belongs to it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::launcher::Wrappers;

/// What a link to relto is called besides the linker's name.
const PREFIX: &str = "relto-";

/// The kinds of linkers that relto can wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Elf,
    Wasm,
    MachO,
}

/// The command line of a linker that relto can wrap.
#[derive(Debug, Clone, Copy)]
pub struct LinkerWords<'a> {
    pub flavour: Flavour,
    /// The words that select the flavour: none, or those that must stay the first ones.
    pub selection: &'a [OsString],
    pub words: &'a [OsString],
}

impl<'a> LinkerWords<'a> {
    /// `None` for other linkers than `program`.
    #[must_use]
    pub fn of(program: &OsStr, words: &'a [OsString]) -> Option<Self> {
        let (selection, words) = match words {
            [option, _, ..] if option == "-flavor" => words.split_at(2),
            _ => (&[][..], words),
        };
        let flavour = match selection {
            [_, name] => Flavour::selected(name),
            _ => Flavour::called(program),
        };
        Some(Self {
            flavour: flavour?,
            selection,
            words,
        })
    }
}

impl Flavour {
    /// By the name of the program.
    fn called(program: &OsStr) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        if name.contains("ld.lld") {
            return Some(Self::Elf);
        }
        if name.contains("wasm-ld") {
            return Some(Self::Wasm);
        }
        name.contains("ld64.lld").then_some(Self::MachO)
    }

    /// By the value of `-flavor`, which counts more than the name.
    fn selected(name: &OsStr) -> Option<Self> {
        match &name.to_str()?.to_lowercase()[..] {
            "gnu" | "ld" | "ld.lld" => Some(Self::Elf),
            "wasm" | "ld-wasm" => Some(Self::Wasm),
            "darwin" | "ld64" | "ld64.lld" => Some(Self::MachO),
            _ => None,
        }
    }
}

/// The linker that relto stands for when it is called by the name `called`: `relto-ld.lld-19`
/// stands for `ld.lld-19`, and so does a link called `ld.lld-19`. `relto-mold` stands for `mold`,
/// which relto cannot help.
#[must_use]
pub fn masked(called: &OsStr) -> Option<String> {
    let name = Path::new(called).file_name()?.to_str()?;
    let stands_for = match name.strip_prefix(PREFIX) {
        Some(name) => is_linker(name).then_some(name),
        None => Flavour::called(called).map(|_| name),
    };
    stands_for.map(str::to_owned)
}

/// `lld`, `rust-lld`, `lld-link`, `ld`, `ld64`, `ld.bfd`, `aarch64-linux-gnu-ld.gold`, `mold-2`.
fn is_linker(name: &str) -> bool {
    let words = name.split(['-', '.']);
    let mut words = words.map(|word| word.trim_end_matches(|it: char| it.is_ascii_digit()));
    words.any(|word| ["ld", "lld", "mold", "gold"].contains(&word))
}

/// Whether linkers that belong to `caller` are beside it. Beside a shell or `make` is whatever the
/// system has.
#[must_use]
pub fn has_own_linkers(caller: &Path) -> bool {
    let name = caller.file_name().unwrap_or_default().to_string_lossy();
    ["clang", "flang"].iter().any(|it| name.contains(it)) || name == "llvm"
}

/// The linker `name` beside the compiler that called relto, or after relto in `path`, that is none of
/// the `wrappers`.
#[must_use]
pub fn linker_behind(
    name: &str,
    caller: Option<&Path>,
    path: &OsStr,
    wrappers: &mut Wrappers,
) -> Option<PathBuf> {
    let compiler = caller.filter(|it| has_own_linkers(it));
    let beside = compiler.and_then(Path::parent).map(Path::to_owned);
    let dirs = beside.into_iter().chain(std::env::split_paths(path));
    // A name that holds a colon can be in no list.
    let dirs = std::env::join_paths(dirs).unwrap_or_else(|_| path.to_owned());
    wrappers.real_program(name, &dirs)
}

/// The clang in the directory of `linker`, links followed.
#[must_use]
pub fn compiler_beside(linker: &Path) -> Option<PathBuf> {
    let real = std::fs::canonicalize(linker).ok()?;
    let compiler = real.parent()?.join("clang");
    compiler.exists().then_some(compiler)
}

/// A release of LLVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    numbers: [u32; 3],
}

impl Release {
    /// Reads what `--version` says: `LLD 19.1.7 (compatible ...)`, `clang version 19.1.7`.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        text.split(|it: char| it.is_whitespace() || it == '(')
            .find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let end = word.find(|it: char| !it.is_ascii_digit() && it != '.');
        let mut numbers = word[..end.unwrap_or(word.len())].split('.');
        let mut next = || numbers.next()?.parse().ok();
        Some(Self {
            numbers: [next()?, next()?, next()?],
        })
    }

    #[must_use]
    pub fn major(&self) -> u32 {
        self.numbers[0]
    }

    #[cfg(test)]
    pub(super) fn of(major: u32) -> Self {
        Self {
            numbers: [major, 1, 0],
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_name_stands_for_a_linker() {
        let stands_for = |called: &str| masked(OsStr::new(called));
        assert_eq!(
            stands_for("/x/relto-ld.lld-19").as_deref(),
            Some("ld.lld-19")
        );
        assert_eq!(stands_for("wasm-ld").as_deref(), Some("wasm-ld"));
        assert_eq!(
            stands_for("relto-ld64.lld.darwinnew").as_deref(),
            Some("ld64.lld.darwinnew")
        );
        for called in ["relto", "relto-clang", "relto-1.0", "lld-link", "ld", ""] {
            assert_eq!(stands_for(called), None, "{called}");
        }
        for name in ["mold", "ld", "ld64", "ld.bfd", "lld-link-19", "rust-lld"] {
            let stands_for = stands_for(&format!("relto-{name}"));
            assert_eq!(stands_for.as_deref(), Some(name));
        }
    }

    #[test]
    fn only_compilers_have_linkers_beside_them() {
        for (caller, has) in [
            ("/usr/lib/llvm-22/bin/clang-22", true),
            ("/x/flang-new", true),
            ("/x/llvm", true),
            ("/usr/bin/dash", false),
            ("/usr/bin/python3", false),
            ("/usr/bin/make", false),
        ] {
            assert_eq!(has_own_linkers(Path::new(caller)), has, "{caller}");
        }
    }

    #[test]
    fn a_flavour_may_be_a_word() {
        let read = |program: &str, words: &[&str]| {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            let read = LinkerWords::of(OsStr::new(program), &words)?;
            Some((read.flavour, read.words.len()))
        };
        let elf = Some((Flavour::Elf, 1));
        assert_eq!(read("/x/rust-lld", &["-flavor", "gnu", "x.o"]), elf);
        assert_eq!(read("wasm-ld", &["-flavor", "GNU", "x.o"]), elf);
        assert_eq!(read("/x/ld.lld-19", &["x.o"]), elf);
        let apple = read("lld", &["-flavor", "darwin"]);
        assert_eq!(apple, Some((Flavour::MachO, 0)));
        assert_eq!(read("ld.lld", &["-flavor", "link"]), None);
        assert_eq!(read("rust-lld", &["-flavor"]), None);
        assert_eq!(read("rust-lld", &[]), None);
        assert_eq!(read("mold", &[]), None);
    }

    #[test]
    fn releases_are_read_from_version_output() {
        for (text, release) in [
            ("Debian LLD 19.1.7 (compatible with GNU linkers)", "19.1.7"),
            ("Debian clang version 14.0.6\nTarget: x86_64", "14.0.6"),
            ("LLD 24.0.0git (https://x 1.2)", "24.0.0"),
            ("clang version 21.1.8 (++20250101)", "21.1.8"),
        ] {
            let found = Release::find(text).map(|it| it.to_string());
            assert_eq!(found.as_deref(), Some(release));
        }
        assert_eq!(Release::find("no such thing 1.2"), None);
    }
}
