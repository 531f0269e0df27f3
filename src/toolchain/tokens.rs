//! Expands the tokens in a loader's search paths, and knows the directories that are built into it.
//!
//! Relative directories stay relative.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::elf::Machine;

/// A directory of a search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SearchDir {
    pub(super) path: PathBuf,
    /// A loader has its own value for a token in the entry, which is not known.
    pub(super) is_guess: bool,
}

impl SearchDir {
    pub(super) fn certain(path: PathBuf) -> Self {
        Self {
            path,
            is_guess: false,
        }
    }
}

/// The directories of a list with `$ORIGIN`, `$LIB` and `$PLATFORM` expanded; an empty entry is the
/// current directory.
pub(super) fn expand(
    list: &[u8],
    separators: &[u8],
    origin: &Path,
    machine: Machine,
) -> Vec<SearchDir> {
    let mut dirs: Vec<SearchDir> = Vec::new();
    for entry in list.split(|byte| separators.contains(byte)) {
        let text = replace(entry, "ORIGIN", origin.as_os_str().as_bytes());
        let text = replace(&text, "PLATFORM", machine.platform().as_bytes());
        for lib in lib_names(machine) {
            let dir = replace(&text, "LIB", lib.as_bytes());
            let path = PathBuf::from(OsStr::from_bytes(&dir));
            if !dirs.iter().any(|known| known.path == path) {
                // `$ORIGIN` alone has one value.
                let is_guess = dir != replace(entry, "ORIGIN", origin.as_os_str().as_bytes());
                dirs.push(SearchDir { path, is_guess });
            }
        }
    }
    dirs
}

/// Replaces `$NAME` and `${NAME}`.
fn replace(text: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let braced = after
            .strip_prefix(b"{")
            .and_then(|after| after.strip_prefix(name.as_bytes()))
            .and_then(|after| after.strip_prefix(b"}"));
        let plain = after
            .strip_prefix(name.as_bytes())
            .filter(|after| !after.first().is_some_and(|&byte| is_word(byte)));
        match braced.or(plain) {
            Some(after) if first == b'$' => {
                out.extend_from_slice(value);
                rest = after;
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The possible values of `$LIB`. The loader has one built in, so all are tried, Debian's spelling
/// first.
fn lib_names(machine: Machine) -> [String; 3] {
    [
        format!("lib/{}", multiarch(machine)),
        "lib64".to_owned(),
        "lib".to_owned(),
    ]
}

fn multiarch(machine: Machine) -> String {
    match machine.platform() {
        "arm" => "arm-linux-gnueabihf".to_owned(),
        platform => format!("{platform}-linux-gnu"),
    }
}

/// The directories that are built into glibc's loader, on Debian and elsewhere.
pub(super) fn default_dirs(machine: Machine) -> impl Iterator<Item = PathBuf> {
    let lib = multiarch(machine);
    [
        format!("/lib/{lib}"),
        format!("/usr/lib/{lib}"),
        "/lib64".to_owned(),
        "/usr/lib64".to_owned(),
        "/lib".to_owned(),
        "/usr/lib".to_owned(),
    ]
    .into_iter()
    .map(PathBuf::from)
}

/// The directory that `path` is in.
pub(super) fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_expanded_with_and_without_braces_but_not_inside_longer_words() {
        let replaced = |text: &str| {
            let bytes = replace(text.as_bytes(), "ORIGIN", b"/o");
            String::from_utf8(bytes).expect("UTF-8")
        };
        for (text, expected) in [
            ("$ORIGIN/../lib", "/o/../lib"),
            ("${ORIGIN}x:$ORIGIN", "/ox:/o"),
            ("$ORIGINAL", "$ORIGINAL"),
            ("${ORIGIN", "${ORIGIN"),
            ("xORIGIN$", "xORIGIN$"),
        ] {
            assert_eq!(replaced(text), expected);
        }
    }

    #[test]
    fn every_spelling_of_lib_is_tried() {
        let Some(machine) = Machine::host() else {
            return;
        };
        let dirs = expand(b"/a/$LIB:$ORIGIN/b::/b", b":", Path::new(""), machine);
        let multiarch = format!("/a/lib/{}", multiarch(machine));
        let paths = [&multiarch, "/a/lib64", "/a/lib", "/b", ""].map(PathBuf::from);
        assert!(dirs.iter().map(|dir| &dir.path).eq(&paths));
        let guesses = dirs.iter().map(|dir| dir.is_guess);
        assert!(guesses.eq([true, true, true, false, false]));
    }
}
