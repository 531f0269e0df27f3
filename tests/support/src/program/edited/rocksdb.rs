//! `RocksDB`, 272 modules of C++, as a shared library.
//!
//! The sources come in a crate that nothing depends on; cargo downloads it for a package of no
//! content.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::super::super::corpus::package_directory;
use super::super::super::llvm::run;
use super::{Edit, EditedProgram, Recipe};

const CRATE: &str = "librocksdb-sys";
const VERSION: &str = "6.20.3";
const FLAGS: [&str; 12] = [
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-flto=thin",
    "-w",
    "-DROCKSDB_PLATFORM_POSIX",
    "-DROCKSDB_LIB_IO_POSIX",
    "-DOS_LINUX",
    "-DNDEBUG",
    "-Irocksdb",
    "-Irocksdb/include",
    "-I.",
];
/// Extensions of files that the compiler reads.
const EXTENSIONS: [&str; 4] = ["cc", "c", "h", "inc"];
/// What a script writes, and what needs a definition that says how threads have variables.
const LEFT_OUT: [&str; 3] = [
    "rocksdb/util/build_version.cc",
    "rocksdb/monitoring/iostats_context.cc",
    "rocksdb/monitoring/perf_context.cc",
];

const EDITS: [Edit; 11] = [
    Edit {
        name: "a buffer's size",
        file: "rocksdb/db/dbformat.cc",
        from: "char buf[50]",
        to: "char buf[51]",
    },
    Edit {
        name: "a literal",
        file: "rocksdb/db/dbformat.cc",
        from: "\"(bad)\"",
        to: "\"(worse)\"",
    },
    Edit {
        name: "a message",
        file: "rocksdb/table/format.cc",
        from: "\"bad first key in block info\"",
        to: "\"bad first key in the block info\"",
    },
    Edit {
        name: "a constant",
        file: "rocksdb/monitoring/histogram.cc",
        from: "char buf[1650]",
        to: "char buf[1651]",
    },
    Edit {
        name: "a buffer's size",
        file: "rocksdb/util/status.cc",
        from: "char tmp[30]",
        to: "char tmp[31]",
    },
    Edit {
        name: "a function more",
        file: "rocksdb/util/coding.cc",
        from: "\n}  // namespace ROCKSDB_NAMESPACE\n",
        to: "\nint CheckSum(const char* p, int n) {\n  int s = 7;\n\
             for (int i = 0; i < n; i++) s = s * 31 + p[i];\n  return s;\n}\n\
             }  // namespace ROCKSDB_NAMESPACE\n",
    },
    Edit {
        name: "a format",
        file: "rocksdb/db/version_set.cc",
        from: "\"] max score %.2f\"",
        to: "\"] maximum score %.2f\"",
    },
    Edit {
        name: "a name",
        file: "rocksdb/env/env.cc",
        from: "\"Legacy File System\"",
        to: "\"Legacy FS\"",
    },
    Edit {
        name: "a log line",
        file: "rocksdb/options/options.cc",
        from: "\"              Options.comparator: %s\"",
        to: "\"+             Options.comparator: %s\"",
    },
    Edit {
        name: "a comparison",
        file: "rocksdb/util/slice.cc",
        from: "return prefix.size() >= cap_len_",
        to: "return prefix.size() > cap_len_",
    },
    Edit {
        name: "a literal more",
        file: "rocksdb/env/env_posix.cc",
        from: "\"Error finding symbol: \" + sym_name, err",
        to: "\"Error finding symbol: \" + sym_name + \" !\", err",
    },
];

pub(super) fn rocksdb() -> EditedProgram {
    let recipe = Recipe {
        name: "rocksdb",
        edits: &EDITS,
        driver: "clang++",
        flags: &FLAGS,
        link_arguments: &["-O2", "-shared"],
        // What it lacks is in libraries that it is not linked with.
        check: None,
        version: format!("{CRATE} {VERSION}\n{LEFT_OUT:?}"),
    };
    recipe.make(fill)
}

/// Copies the sources. Returns those that become modules.
fn fill(dir: &Path) -> Vec<PathBuf> {
    let found = download();
    copy_sources(&found.join("rocksdb"), &dir.join("rocksdb"));
    let list = found.join("rocksdb_lib_sources.txt");
    let list = fs::read_to_string(list).expect("a list of sources");
    let names = list.lines().map(|line| format!("rocksdb/{}", line.trim()));
    let names = names.filter(|name| !LEFT_OUT.contains(&name.as_str()));
    names.map(PathBuf::from).collect()
}

/// Copies what the compiler may read below a directory.
fn copy_sources(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_sources(&path, &target);
        } else if path
            .extension()
            .is_some_and(|it| EXTENSIONS.iter().any(|known| it == *known))
        {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// The directory where cargo has put the crate.
fn download() -> PathBuf {
    let package = tempfile::tempdir().expect("a directory");
    fs::create_dir(package.path().join("src")).expect("made");
    fs::write(package.path().join("src/lib.rs"), "").expect("written");
    let manifest = package.path().join("Cargo.toml");
    let text = format!(
        "[package]\nname = \"sources\"\nedition = \"2024\"\n\
         [dependencies]\n{CRATE} = {{ version = \"={VERSION}\", default-features = false }}\n"
    );
    fs::write(&manifest, text).expect("written");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--manifest-path"]);
    package_directory(&run(cargo.arg(&manifest)), CRATE)
}
