//! A real C++ program: Crypto++, some 160 modules full of templates, with its own test vectors.
//!
//! The sources are Debian's source package, fetched with an apt configuration of its own so that
//! the machine's stays untouched. The library, its test driver and a small `main` become bitcode.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::super::corpus::{Compile, cached, compile_with, files};
use super::super::llvm::{Llvm, run};
use super::super::wrapped::Release;
use super::sources::main_first;
use super::{Check, Program, strings};

const PACKAGE: &str = "libcrypto++";

/// Runs the vectors of all algorithms. The library's own driver does more, at the price of minutes
/// of compilation.
const MAIN: &str = r#"
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

fn belongs(path: &Path) -> bool {
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
    let dir = cached("cxx-source", PACKAGE, |dir| {
        let download = dir.join("download");
        fs::create_dir(&download).expect("a directory");
        let apt = Apt::new(dir);
        run(apt.command(&download).arg("update"));
        run(apt
            .command(&download)
            .args(["source", "--download-only", PACKAGE]));
        let archives = files(&download, "gz");
        let archive = archives.first().expect("the upstream archive");
        let mut tar = Command::new("tar");
        run(tar
            .arg("xzf")
            .arg(archive)
            .args(["--strip-components=1", "-C"])
            .arg(dir));
    });
    assert!(
        dir.join("cryptlib.h").exists(),
        "{PACKAGE} has its known files"
    );
    dir
}

/// A private apt configuration with source packages, from the mirror that the machine uses already.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(dir: &Path) -> Self {
        let root = dir.join("apt");
        for name in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(root.join(name)).expect("a directory");
        }
        let (site, release) = mirror();
        let sources = root.join("sources.list");
        let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let line = format!("deb-src [signed-by={key}] {site} {release} main\n");
        fs::write(&sources, line).expect("written");
        let options = [
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={}", root.join("lists").display()),
            format!("Dir::Cache={}", root.join("cache").display()),
            "APT::Sandbox::User=".to_owned(),
        ];
        Self {
            options: options.to_vec(),
        }
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new("apt-get");
        command.current_dir(dir).arg("-q");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// Address and release of Debian's main archive, as the machine is set up to use it.
fn mirror() -> (String, String) {
    let mut command = Command::new("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE)",
        "Created-By: Packages",
    ]);
    let listed = run(&mut command);
    let lines = listed.lines().filter_map(|line| line.split_once(' '));
    let main = lines.into_iter().find(|(site, release)| {
        site.trim_end_matches('/').ends_with("/debian") && !release.contains('-')
    });
    let (site, release) = main.expect("a mirror of Debian's main archive");
    (site.to_owned(), release.to_owned())
}
