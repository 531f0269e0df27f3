//! Checks what the sources use against the layers of ARCHITECTURE.md.
//!
//! The table there lists the modules of each layer; every path through `crate::` (or enough
//! `super::`) in `src` that leads to the same or a higher layer is a failure. Unit tests may use
//! anything: they are cut off, which is why they stand at the end of a file, in `tests.rs` or
//! `NAME_tests.rs`, or in a directory `tests`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

#[test]
fn a_module_uses_only_modules_of_lower_layers() {
    let layers = table(&architecture());
    let mut found = Vec::new();
    for path in sources(&src()) {
        let Some(user) = module_path(&path).into_iter().next() else {
            continue;
        };
        let text = fs::read_to_string(&path).expect("a source file");
        for used in used(&without_tests(&text), module_path(&path).len()) {
            let (Some(mine), Some(theirs)) = (layers.get(&user), layers.get(&used)) else {
                continue;
            };
            if used != user && theirs >= mine {
                let file = path
                    .strip_prefix(src())
                    .expect("inside")
                    .display()
                    .to_string();
                found.push(format!(
                    "{file}: `{user}` of layer {mine} uses `{used}` of layer {theirs}"
                ));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_table_and_the_source_tree_have_the_same_modules() {
    let listed: BTreeSet<_> = table(&architecture()).into_keys().collect();
    let there = modules();
    let unlisted: Vec<_> = there.difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "not in the table of ARCHITECTURE.md: {unlisted:?}"
    );
    let gone: Vec<_> = listed.difference(&there).collect();
    assert!(
        gone.is_empty(),
        "only in the table of ARCHITECTURE.md: {gone:?}"
    );
}

#[test]
fn the_reader_of_paths_sees_groups_comments_and_supers() {
    let text = "use crate::{digest::{self, Digest}, error};\nlet x = crate::fs::read();\n// crate::cli\n\
                use super::events;\nuse super::super::pb;\n#[cfg(test)]\nmod tests { use crate::link; }\n";
    let names = |depth| {
        used(&without_tests(text), depth)
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(1), ["digest", "error", "events", "fs"]);
    assert_eq!(names(2), ["digest", "error", "fs", "pb"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn src() -> PathBuf {
    root().join("src")
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map")
}

/// Layer of each module: the rows that begin with a number.
fn table(text: &str) -> BTreeMap<String, u32> {
    let mut layers = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, layer, modules, ..] = cells[..] else {
            continue;
        };
        let Ok(layer) = layer.parse() else { continue };
        for name in modules.split(',').map(str::trim) {
            let earlier = layers.insert(name.to_owned(), layer);
            assert_eq!(earlier, None, "`{name}` stands in two layers");
        }
    }
    assert!(layers.len() > 5, "ARCHITECTURE.md has a table of layers");
    layers
}

/// Rust files below `dir` but those of unit tests.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        if name.ends_with("tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Top-level modules, by file or directory name.
fn modules() -> BTreeSet<String> {
    sources(&src())
        .iter()
        .filter_map(|path| module_path(path).into_iter().next())
        .collect()
}

/// `src/thinlto/index.rs` is `[thinlto, index]`; `lib.rs` and `main.rs` are the crate's roots:
/// empty.
fn module_path(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(src()).expect("inside").with_extension("");
    let names = inside
        .iter()
        .map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<_> = names.collect();
    if names.last().is_some_and(|name| name == "mod") || names == ["lib"] || names == ["main"] {
        names.pop();
    }
    names
}

/// The code before the unit tests, without comments.
fn without_tests(text: &str) -> String {
    let code = text
        .split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// First names of all paths from the crate's root, in a file whose module lies `depth` below it.
fn used(code: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let to_root = "super::".repeat(depth);
    for prefix in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            let whole = !before.is_some_and(|c| c.is_alphanumeric() || "_:$".contains(c));
            if whole {
                found.extend(first_names(&code[at + prefix.len()..]));
            }
        }
    }
    found.remove("super");
    found
}

/// `a::b` gives `a`; `{a::{b, c}, d}` gives `a` and `d`.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![identifier(rest)];
    };
    let mut names = Vec::new();
    let (mut depth, mut begin) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => begin = true,
            _ if begin && !c.is_whitespace() => {
                names.push(identifier(&group[at..]));
                begin = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
