//! Crypto++, 158 modules of C++, out of Debian's source package.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::super::super::corpus::files;
use super::super::cxx::{MAIN, belongs, cxx_sources};
use super::{Edit, EditedProgram, Recipe};

const FLAGS: [&str; 6] = [
    "-O2",
    "-flto=thin",
    "-w",
    "-DNDEBUG",
    "-DCRYPTOPP_DISABLE_ASM",
    "-I.",
];

const EDITS: [Edit; 9] = [
    Edit {
        name: "a limit",
        file: "queue.cpp",
        from: "16*1024u",
        to: "32*1024u",
    },
    Edit {
        name: "a message",
        file: "cryptlib.cpp",
        from: "this object requires an IV",
        to: "this object needs an IV",
    },
    Edit {
        name: "two messages",
        file: "filters.cpp",
        from: "FilterWithBufferedInput: invalid buffer size",
        to: "FilterWithBufferedInput: invalid size of a buffer",
    },
    Edit {
        name: "a table's size",
        file: "nbtheory.cpp",
        from: "maxPrimeTableSize = 3511",
        to: "maxPrimeTableSize = 3510",
    },
    Edit {
        name: "a table",
        file: "integer.cpp",
        from: "RoundupSizeTable[] = {2, 2, 2, 4",
        to: "RoundupSizeTable[] = {2, 2, 3, 4",
    },
    Edit {
        name: "a function more",
        file: "misc.cpp",
        from: "bool VerifyBufsEqual(",
        to: "int NewFunction(int x) { return x * 3; }\n\nbool VerifyBufsEqual(",
    },
    Edit {
        name: "a mask",
        file: "asn.cpp",
        from: "lengthBytes = b & 0x7f",
        to: "lengthBytes = b & 0x3f",
    },
    Edit {
        name: "a flag",
        file: "fips140.cpp",
        from: "s_inProgress = false",
        to: "s_inProgress = true",
    },
    Edit {
        name: "a literal",
        file: "osrng.cpp",
        from: "open /dev/urandom",
        to: "the device /dev/urandom",
    },
];

pub(super) fn cryptopp() -> EditedProgram {
    let source = cxx_sources();
    let recipe = Recipe {
        name: "cryptopp",
        edits: &EDITS,
        driver: "clang++",
        flags: &FLAGS,
        link_arguments: &["-O2"],
        // Edits of algorithms fail its test vectors.
        check: None,
        version: format!("{}\n{MAIN}", source.display()),
    };
    recipe.make(|dir| fill(&source, dir))
}

/// Copies the sources. Returns those that become modules.
fn fill(source: &Path, dir: &Path) -> Vec<PathBuf> {
    let mut modules = vec![PathBuf::from("main.cpp")];
    fs::write(dir.join("main.cpp"), MAIN).expect("written");
    for extension in ["cpp", "h"] {
        for file in files(source, extension) {
            let name = PathBuf::from(file.file_name().expect("a file"));
            fs::copy(&file, dir.join(&name)).expect("copied");
            if extension == "cpp" && belongs(&file) {
                modules.push(name);
            }
        }
    }
    modules
}
