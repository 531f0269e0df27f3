//! Rust programs: rustc calls clang, clang calls relto in the linker's place.

use std::process::Output;

use fs_err as fs;

use crate::support::llvm::{Llvm, run};
use crate::support::skip::skip;
use crate::support::wrapped::{Release, WrapperDir};

const PROGRAM: &str = r#"
mod words {
    #[inline(never)]
    pub fn count(text: &str) -> std::collections::BTreeMap<&str, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for word in text.split_whitespace() {
            *counts.entry(word).or_insert(0) += 1;
        }
        counts
    }
}
fn main() {
    let counts = words::count("a b a c b a");
    println!("{} {}", counts["a"], std::thread::spawn(|| 7).join().expect("a thread"));
}
"#;

/// Whether rustc writes bitcode that clang 22 reads.
#[track_caller]
fn rustc_fits() -> bool {
    let version = run(std::process::Command::new("rustc").arg("-vV"));
    let fits = version.contains(&format!("LLVM version: {}.", Llvm::get().major()));
    if !fits {
        skip("rustc has another LLVM than clang");
    }
    fits
}

fn rustc(fixture: &WrapperDir, linker: &str) -> Output {
    let mut rustc = std::process::Command::new("rustc");
    fixture.home.apply(&mut rustc);
    if let Some(home) = std::env::var_os("HOME") {
        // rustup's programs find their toolchain there.
        rustc.env("HOME", home);
    }
    rustc.current_dir(fixture.dir());
    rustc.args(["main.rs", "-o", "app", "-Copt-level=2", "-Ccodegen-units=4"]);
    rustc.args(["-Clinker-plugin-lto", "-Clink-arg=-fuse-ld=lld"]);
    let clang = fixture.release.tool("clang");
    rustc.arg(format!("-Clinker={}", clang.display()));
    rustc.arg(format!("-Clink-arg=--ld-path={linker}"));
    rustc.output().expect("rustc starts")
}

#[test]
fn a_rust_program_is_the_linkers_own() {
    if !rustc_fits() {
        return;
    }
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.write("main.rs", PROGRAM);
    let linker = fixture.release.tool("ld.lld").display().to_string();
    let output = rustc(&fixture, &linker);
    assert!(output.status.success(), "{output:?}");
    let theirs = fs::read(fixture.path("app")).expect("linked");
    fs::remove_file(fixture.path("app")).expect("removed");
    let linker = fixture.path("relto-ld.lld").display().to_string();
    let output = rustc(&fixture, &linker);
    assert!(output.status.success(), "{output:?}");
    let ours = fs::read(fixture.path("app")).expect("linked");
    assert!(ours == theirs, "another program than the linker's");
    assert_eq!(fixture.run_app(), "3 7\n");
    let keys = fixture.home.cache().join("relto/ac");
    assert!(keys.exists(), "its modules were jobs of relto");
}
