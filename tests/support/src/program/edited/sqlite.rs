//! SQLite, 102 modules of C and a `main`: the files that its amalgamation, which comes with a crate
//! that relto depends on, was made of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::super::super::corpus::crate_sources;
use super::super::sources::SQLITE_MAIN;
use super::{Check, Edit, EditedProgram, Recipe};

const FLAGS: [&str; 8] = [
    "-O2",
    "-flto=thin",
    "-w",
    "-DSQLITE_CORE=1",
    "-DSQLITE_PRIVATE=",
    "-DSQLITE_OMIT_LOAD_EXTENSION",
    "-DSQLITE_THREADSAFE=0",
    "-I.",
];
/// Part of another file.
const LEFT_OUT: &str = "geopoly.c";
/// What only the amalgamation itself defines.
const SOURCE_ID: &str = "\nconst char *sqlite3_sourceid(void) { return \"split\"; }\n";

/// Marks of the amalgamation: where a file begins and ends in it, and which headers, that are there
/// already, a file had asked for.
const BEGIN: &str = "/************** Begin file ";
const END: &str = "/************** End of ";
const INCLUDED: &str = "/* #include ";

const EDITS: [Edit; 10] = [
    Edit {
        name: "a buffer's size",
        file: "printf.c",
        from: "define SQLITE_PRINT_BUF_SIZE 70",
        to: "define SQLITE_PRINT_BUF_SIZE 80",
    },
    Edit {
        name: "a multiplier",
        file: "hash.c",
        from: "h *= 0x9e3779b1",
        to: "h *= 0x9e3779b3",
    },
    Edit {
        name: "a message",
        file: "expr.c",
        from: "row value misused",
        to: "a row value is misused",
    },
    Edit {
        name: "a function more",
        file: "util.c",
        from: "SQLITE_PRIVATE LogEst sqlite3LogEstAdd(",
        to: "int sqlite3New(int x){ return x*3; }\nSQLITE_PRIVATE LogEst sqlite3LogEstAdd(",
    },
    Edit {
        name: "a limit",
        file: "os_unix.c",
        from: "#define MAX_PATHNAME 512",
        to: "#define MAX_PATHNAME 513",
    },
    Edit {
        name: "a share",
        file: "bitvec.c",
        from: "#define BITVEC_MXHASH    (BITVEC_NINT/2)",
        to: "#define BITVEC_MXHASH    (BITVEC_NINT/3)",
    },
    Edit {
        name: "one more",
        file: "pcache1.c",
        from: "nPinned = pCache->nPage - pCache->nRecyclable;",
        to: "nPinned = pCache->nPage - pCache->nRecyclable + 1;",
    },
    Edit {
        name: "a literal",
        file: "main.c",
        from: "\"not an error\"",
        to: "\"no error\"",
    },
    Edit {
        name: "a message",
        file: "callback.c",
        from: "no such collation sequence: %s",
        to: "no collation sequence: %s",
    },
    Edit {
        name: "a table",
        file: "utf.c",
        from: "sqlite3Utf8Trans1[] = {\n  0x00, 0x01, 0x02",
        to: "sqlite3Utf8Trans1[] = {\n  0x00, 0x01, 0x03",
    },
];

pub(super) fn sqlite() -> EditedProgram {
    let source = crate_sources("libsqlite3-sys").join("sqlite3/sqlite3.c");
    let recipe = Recipe {
        name: "sqlite",
        edits: &EDITS,
        driver: "clang",
        flags: &FLAGS,
        link_arguments: &["-O2", "-lm"],
        check: Some(Check {
            arguments: Vec::new(),
            says: "ok".to_owned(),
            dir: None,
        }),
        version: format!("{}\n{SQLITE_MAIN}", source.display()),
    };
    recipe.make(|dir| fill(&source, dir))
}

/// Writes the sources. Returns those that become modules.
fn fill(amalgamation: &Path, dir: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(amalgamation).expect("a text");
    let mut modules = vec![PathBuf::from("shell.c")];
    fs::write(dir.join("shell.c"), [SQLITE_MAIN, SOURCE_ID].concat()).expect("written");
    for (name, text) in split(&text) {
        let name = PathBuf::from(name);
        let is_header = name.extension().is_some_and(|it| it == "h");
        let text = if is_header { declared(&text) } else { text };
        fs::write(dir.join(&name), text).expect("written");
        if !is_header && name != Path::new(LEFT_OUT) {
            modules.push(name);
        }
    }
    modules
}

/// The files of an amalgamation.
fn split(amalgamation: &str) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |name: &str, line: &str| {
        let file = files.entry(name.to_owned()).or_default();
        file.push_str(line);
        file.push('\n');
    };
    let mut open: Vec<&str> = Vec::new();
    for line in amalgamation.lines() {
        if let Some(name) = marked(line, BEGIN) {
            if let Some(outer) = open.last() {
                add(outer, &format!("#include \"{name}\""));
            }
            open.push(name);
        } else if let Some(&name) = open.last() {
            if marked(line, END) == Some(name) {
                open.pop();
            } else {
                add(name, &with_include(line));
            }
        }
    }
    files
}

/// The file that a mark names.
fn marked<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.strip_prefix(mark)?.split(' ').next()
}

/// A line as the file had it.
fn with_include(line: &str) -> String {
    let included = line.strip_prefix(INCLUDED);
    match included.and_then(|rest| rest.split_once(" */")) {
        Some((header, _)) => format!("#include {header}"),
        None => line.to_owned(),
    }
}

/// A header whose variables are declared, not defined, as they were before the amalgamation.
fn declared(header: &str) -> String {
    let lines = header.lines().map(|line| {
        let words = ["SQLITE_PRIVATE ", "SQLITE_API "];
        let rest = words.iter().find_map(|word| line.strip_prefix(word));
        let line = match rest {
            Some(rest) => format!("extern {}", rest.trim_start_matches("extern ")),
            None => line.to_owned(),
        };
        line.replace("[] = SQLITE_VERSION;", "[];") + "\n"
    });
    lines.collect()
}
