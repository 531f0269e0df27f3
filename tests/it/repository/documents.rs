//! Each file of the repository that its documents name exists.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// Directories of the repository, below which a document names files by their whole path.
const DIRECTORIES: [&str; 6] = [
    "src/",
    "tests/",
    "fuzz/",
    "benches/",
    "examples/",
    "packaging/",
];

#[test]
fn every_file_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = [root.to_owned(), root.join("docs")].map(|dir| documents(&dir));
    let mut named = 0;
    let mut missing = Vec::new();
    for document in documents.iter().flatten() {
        let text = fs::read_to_string(document).expect("text");
        for path in paths(&text) {
            named += 1;
            if !root.join(path).exists() {
                missing.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(named > 40, "only {named} are named");
    assert!(missing.is_empty(), "{missing:#?}");
}

fn documents(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .collect()
}

/// The words in backticks or parentheses that are paths; patterns and placeholders are none.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|it: char| it.is_whitespace() || "`()[]".contains(it));
    words.filter(|word| {
        DIRECTORIES.iter().any(|dir| word.starts_with(dir))
            && word
                .chars()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "/_.-".contains(it))
    })
}
