//! Each test that `docs/security.md` names exists.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// The names in backticks of the last column of each table.
fn named_tests() -> Vec<String> {
    let text = include_str!("../../../docs/security.md");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit_once(" | "));
    let words = cells.flat_map(|(_, cell)| cell.split('`').skip(1).step_by(2));
    words.map(str::to_owned).collect()
}

fn sources(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            found.push((path, text));
        }
    }
}

/// An empty line within a table ends it: what follows would be shown as text.
#[test]
fn each_row_of_the_security_page_belongs_to_a_table() {
    let text = include_str!("../../../docs/security.md");
    let blocks = text.split("\n\n").filter(|block| block.starts_with("| "));
    for block in blocks {
        let second = block.lines().nth(1).unwrap_or_default();
        assert!(second.starts_with("|---"), "{block}");
    }
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests/it"), &mut files);
    let exists = |name: &str| {
        let (modules, last) = name.rsplit_once("::").unwrap_or(("", name));
        let wanted = match last {
            "tests" => "mod tests".to_owned(),
            test => format!("fn {test}("),
        };
        files.iter().any(|(path, text)| {
            let path = path.with_extension("");
            let is_in = |module: &str| path.iter().any(|part| part == module);
            let mut modules = modules.split("::").filter(|it| !["", "tests"].contains(it));
            text.contains(&wanted) && modules.all(is_in)
        })
    };
    let named = named_tests();
    assert!(named.len() > 40, "only {} are named", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
