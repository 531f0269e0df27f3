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

impl Flavour {
    /// By the name of the program, and by `-flavor` where that leaves it open.
    #[must_use]
    pub fn of(program: &OsStr, words: &[OsString]) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        if name.contains("ld.lld") {
            return Some(Self::Elf);
        }
        if name.contains("wasm-ld") {
            return Some(Self::Wasm);
        }
        if name.contains("ld64.lld") {
            return Some(Self::MachO);
        }
        let flavour = match words {
            [option, flavour, ..] if option == "-flavor" => flavour.to_str()?,
            _ => return None,
        };
        match flavour {
            "gnu" | "ld" | "ld.lld" => Some(Self::Elf),
            "wasm" | "wasm-ld" => Some(Self::Wasm),
            "darwin" | "darwinnew" | "ld64" | "ld64.lld" => Some(Self::MachO),
            _ => None,
        }
    }
}

/// The linker that relto stands for when it is called by the name `called`: `relto-ld.lld-19`
/// stands for `ld.lld-19`, and so does a link called `ld.lld-19`.
#[must_use]
pub fn masked(called: &OsStr) -> Option<String> {
    let name = Path::new(called).file_name()?.to_str()?;
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    Flavour::of(OsStr::new(name), &[]).map(|_| name.to_owned())
}

/// The linker `name` beside the program that called relto, or after relto in `path`, that is none of
/// the `wrappers`.
#[must_use]
pub fn linker_behind(
    name: &str,
    caller: Option<&Path>,
    path: &OsStr,
    wrappers: &mut Wrappers,
) -> Option<PathBuf> {
    let beside = caller.and_then(Path::parent).map(Path::to_owned);
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
        for called in ["relto", "relto-clang", "lld-link", "ld64", "ld", ""] {
            assert_eq!(stands_for(called), None, "{called}");
        }
    }

    #[test]
    fn a_flavour_may_be_a_word() {
        let words = ["-flavor", "gnu", "x.o"].map(OsString::from);
        assert_eq!(
            Flavour::of(OsStr::new("/x/rust-lld"), &words),
            Some(Flavour::Elf)
        );
        let words = ["-flavor", "darwin"].map(OsString::from);
        assert_eq!(Flavour::of(OsStr::new("lld"), &words), Some(Flavour::MachO));
        assert_eq!(Flavour::of(OsStr::new("rust-lld"), &[]), None);
        assert_eq!(Flavour::of(OsStr::new("mold"), &[]), None);
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
