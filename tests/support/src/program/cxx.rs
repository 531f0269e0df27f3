//! A real C++ program: Crypto++, some 160 modules full of templates, with its own test vectors.
//!
//! The sources are Debian's source package. The library, its test driver and a small `main` become
//! bitcode.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::super::corpus::{Compile, cached, compile_with, files};
use super::super::debian::unpack;
use super::super::llvm::{Llvm, run};
use super::super::wrapped::Release;
use super::sources::main_first;
use super::{Check, Program, strings};

const PACKAGE: &str = "libcrypto++";

/// Runs the vectors of all algorithms. The library's own driver does more, at the price of minutes
/// of compilation.
pub(super) const MAIN: &str = r#"
#include "cryptlib.h"
#include "factory.h"
#include "osrng.h"
#include "bench.h"
#include "validate.h"
#include <cstdio>

using namespace CryptoPP;

namespace CryptoPP { namespace Test {
extern std::string g_argvPathHint;
std::string g_argvPathHint;
RandomNumberGenerator &GlobalRNG() { static DefaultAutoSeededRNG generator; return generator; }
} }

void RegisterFactories(Test::TestClass suites);

int main() {
  RegisterFactories(Test::All);
  bool good = Test::RunTestDataFile("TestVectors/all.txt");
  std::puts(good ? "every vector passed" : "a vector failed");
  return !good;
}
"#;

/// Sources that are programs of their own, need assembly, or belong to the driver that `MAIN`
/// replaces.
const LEFT_OUT: &[&str] = &[
    "pch", "simple", "adhoc", "test", "dlltest", "fipsalgt", "fipstest", "bench", "validat",
    "neon_", "ppc_", "sse_",
];
const LEFT_OUT_ENDS: &[&str] = &["_simd", "_sse", "_avx"];

/// Crypto++ with its test vectors.
pub fn cxx() -> Program {
    compiled("clang++", &Llvm::get().tool("clang++"), &["-g"])
}

/// The same from the compiler of `release`, and without debug information.
pub fn cxx_of(release: &Release) -> Program {
    let clang = release.tool("clang++");
    let version = run(Command::new(&clang).arg("--version"));
    compiled(&version, &clang, &[])
}

/// `name` identifies the compiler.
fn compiled(name: &str, compiler: &Path, more: &[&str]) -> Program {
    let source = cxx_sources();
    let flags = [
        &["-O2"],
        more,
        &["-flto=thin", "-w", "-DNDEBUG", "-DCRYPTOPP_DISABLE_ASM"],
    ];
    let flags = strings(&flags.concat());
    let recipe = format!(
        "{name}\n{MAIN}\n{}\n{flags:?}\n{LEFT_OUT:?}{LEFT_OUT_ENDS:?}",
        source.display()
    );
    let dir = cached("cxx", &recipe, |dir| {
        let main = dir.join("main.cpp");
        fs::write(&main, MAIN).expect("written");
        let sources = files(&source, "cpp")
            .into_iter()
            .filter(|path| belongs(path));
        let steps = sources.chain([main]).map(|source| {
            let name = source.file_name().expect("a file");
            let object = dir.join(name).with_extension("o");
            Compile { source, object }
        });
        let include = format!("-I{}", source.display());
        let flags = [flags, vec![include]].concat();
        compile_with(dir, compiler, &flags, steps.collect());
    });
    Program {
        driver: "clang++",
        check: Some(Check {
            arguments: Vec::new(),
            says: "every vector passed".to_owned(),
            dir: Some(source),
        }),
        ..Program::c("cxx", main_first(files(&dir, "o")))
    }
}

/// Whether a file of the sources is one of the program's modules.
pub(super) fn belongs(path: &Path) -> bool {
    let stem = path.file_stem().expect("a file").to_string_lossy();
    !LEFT_OUT.iter().any(|start| stem.starts_with(start))
        && !LEFT_OUT_ENDS.iter().any(|end| stem.ends_with(end))
}

/// The variable that names a directory with the sources, where apt cannot fetch them.
pub const CXX_SOURCES: &str = "RELTO_TEST_CXX_SOURCES";

/// The unpacked upstream sources.
pub fn cxx_sources() -> PathBuf {
    if let Some(dir) = std::env::var_os(CXX_SOURCES) {
        return dir.into();
    }
    let dir = cached("cxx-source", PACKAGE, |dir| unpack(PACKAGE, dir));
    assert!(
        dir.join("cryptlib.h").exists(),
        "{PACKAGE} has its known files"
    );
    dir
}
