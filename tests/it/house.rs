//! The rules that hold in every file, read from the files.
//!
//! Enters: the sources. Leaves: one failure that names every file which breaks a rule, and the
//! rule.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[("src/wrapper/command_line/elf.rs", "a table of options")];

/// The longest a source file may be: what one reads in a sitting.
const MAX_LINES: usize = 350;

/// Texts that would tie the repository to a place where somebody works on it. Spelled in halves, so
/// that this file passes its own test.
const FOREIGN: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("../sha", "red"),
    ("deb.deb", "ian"),
    ("py", "pi.org"),
    ("proxy.go", "lang"),
    ("registry.npm", "js"),
    ("arti", "factory"),
];

/// Who may name a directory beside the repository: the two scripts that look for optional servers
/// there.
const NEIGHBOUR: (&str, &str) = ("../sha", "red");
const MAY_NAME_NEIGHBOUR: &[&str] = &["tests/run.sh", ".ci/run"];

#[test]
fn source_files_are_short_and_say_what_they_are() {
    let mut found = String::new();
    for path in sources() {
        let text = read(&path);
        // Unit tests that grew into a file of their own belong to the file that names them.
        if !text.starts_with("//! ") && !is_unit_test(&path) {
            writeln!(found, "{path}: does not open with a `//!` header").expect("a string");
        }
        let lines = text.lines().count();
        let excused = LONG.iter().any(|(long, _)| *long == path);
        if lines > MAX_LINES && !excused {
            writeln!(found, "{path}: {lines} lines, the limit is {MAX_LINES}").expect("a string");
        }
        if lines <= MAX_LINES && excused {
            writeln!(
                found,
                "{path}: short enough now, take it off the list of long files"
            )
            .expect("a string");
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn nothing_is_left_to_do_in_the_sources() {
    let marks = [
        ("todo", "!("),
        ("unimplemented", "!("),
        ("FIX", "ME"),
        ("XX", "X:"),
    ];
    let unfinished = |path: &String| {
        let text = read(path);
        marks.iter().any(|(a, b)| text.contains(&format!("{a}{b}")))
    };
    let found: Vec<_> = sources().into_iter().filter(unfinished).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_repository_speaks_of_relto_alone() {
    let mut found = String::new();
    for path in tracked() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for halves in FOREIGN {
            let word = format!("{}{}", halves.0, halves.1);
            let excused = *halves == NEIGHBOUR && MAY_NAME_NEIGHBOUR.contains(&path.as_str());
            for (number, line) in text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.contains(&word))
            {
                if !excused {
                    writeln!(
                        found,
                        "{path}:{}: `{word}` in `{}`",
                        number + 1,
                        line.trim()
                    )
                    .expect("a string");
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

/// `tests.rs`, `NAME_tests.rs`, or a file in a directory `tests` below `src`.
fn is_unit_test(path: &str) -> bool {
    path.starts_with("src/") && (path.ends_with("tests.rs") || path.contains("/tests/"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a text")
}

/// Rust files of the library, the tests and what is beside them.
fn sources() -> Vec<String> {
    let rust = |path: &String| Path::new(path).extension().is_some_and(|kind| kind == "rs");
    tracked().into_iter().filter(rust).collect()
}

/// All files of the repository but what cargo and git make, relative to its root.
fn tracked() -> Vec<String> {
    let mut dirs = vec![root().to_owned()];
    let mut found = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if !is_made(&path) {
                    dirs.push(path);
                }
            } else if !path.ends_with(".git") && !path.ends_with("Cargo.lock") {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn is_made(dir: &Path) -> bool {
    let name = dir.file_name().expect("a name").to_string_lossy();
    ["target", ".git", "corpus", "artifacts"].contains(&name.as_ref())
}

fn relative(path: &Path) -> String {
    let inside: PathBuf = path.strip_prefix(root()).expect("inside").into();
    inside.to_string_lossy().into_owned()
}
