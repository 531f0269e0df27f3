//! Cargo, with b3sum and a program of many crates.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::{blocks, copy_tree, has, shell, sources};
use crate::support::built;
use crate::support::link::Home;
use crate::support::llvm::run;
use crate::support::skip::skip;

/// The sources of a program of Cargo's registry, unpacked.
fn published(name: &str, version: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = format!(
        "[package]\nname = \"fetched\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
         [lib]\npath = \"lib.rs\"\n[dependencies]\n{name} = \"={version}\"\n"
    );
    fs::write(dir.path().join("Cargo.toml"), manifest).expect("written");
    fs::write(dir.path().join("lib.rs"), "").expect("written");
    run(Command::new("cargo").arg("fetch").current_dir(dir.path()));
    let registry = Path::new(&cargo_home()).join("registry/src");
    let indexes = fs::read_dir(registry).expect("a directory");
    let found = indexes
        .map(|index| index.expect("an entry").path())
        .map(|index| index.join(format!("{name}-{version}")))
        .find(|dir| dir.exists())
        .expect("fetched");
    let sources = tempfile::tempdir().expect("a directory");
    copy_tree(&found, sources.path());
    sources
}

/// Where cargo keeps what it has fetched.
fn cargo_home() -> String {
    std::env::var("CARGO_HOME").unwrap_or_else(|_| {
        let home = std::env::var("HOME").expect("a home directory");
        format!("{home}/.cargo")
    })
}

/// The outputs of the links that `cargo` does with the configuration of the page and with
/// `variables` set, in the package at `dir`; `None` if rustc is not the page's.
fn linked_by_cargo(dir: &Path, variables: &str) -> Option<Vec<String>> {
    let llvm = run(Command::new("rustc").arg("-vV"));
    if !llvm.contains("LLVM version: 22.") || !llvm.contains("host: x86_64-unknown-linux-gnu") {
        skip("rustc is not the one of the page");
        return None;
    }
    if !has(&["cargo", "clang-22", "ld.lld-22"]) {
        return None;
    }
    let [config, command] = &blocks("Cargo")[..] else {
        panic!("the page has a file and the command");
    };
    fs::create_dir(dir.join(".cargo")).expect("made");
    fs::write(dir.join(".cargo/config.toml"), config).expect("written");
    let home = Home::new();
    let variables = format!(
        "unset CARGO_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS\nexport CARGO_HOME='{}' {variables}",
        cargo_home()
    );
    shell(dir, &home, &format!("{variables}\n{command}"));
    // Cargo hides what the linker prints.
    let relto = env!("CARGO_BIN_EXE_relto");
    let stats = shell(dir, &home, &format!("{relto} stats --json"));
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).expect("JSON");
    let links = stats["links"].as_array().expect("links").iter();
    Some(links.map(|link| link["output"].to_string()).collect())
}

#[test]
fn a_program_of_crates_io_builds_with_the_configuration_of_the_page() {
    let dir = published("b3sum", "1.8.7");
    let Some(links) = linked_by_cargo(dir.path(), "") else {
        return;
    };
    assert!(links.iter().any(|name| name.contains("b3sum")), "{links:?}");
    let script = "printf abc | target/release/b3sum --no-names";
    let hashed = shell(dir.path(), &Home::new(), script);
    let hash = blake3::hash(b"abc").to_hex();
    assert_eq!(String::from_utf8_lossy(&hashed.stdout).trim(), &*hash);
}

/// With build scripts and procedural macros, which are linked as well.
#[test]
fn a_program_of_many_crates_builds_with_the_configuration_of_the_page() {
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
        [dependencies]\nserde = { version = \"1\", features = [\"derive\"] }\nserde_json = \"1\"\n";
    let main = "#[derive(serde::Deserialize)]\nstruct A { b: u32 }\n\
        fn main() { let a: A = serde_json::from_str(r#\"{\"b\": 7}\"#).unwrap(); assert_eq!(a.b, 7); }\n";
    // The versions that relto is built with are on this machine.
    let lock = fs::read_to_string(built::root().join("Cargo.lock")).expect("the lock file");
    let files = [
        ("Cargo.toml", manifest),
        ("Cargo.lock", &lock),
        ("src/main.rs", main),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("src")).expect("made");
    sources(dir.path(), &files);
    let Some(names) = linked_by_cargo(dir.path(), "CARGO_NET_OFFLINE=true") else {
        return;
    };
    run(&mut Command::new(dir.path().join("target/release/app")));
    for part in ["serde_derive", "build_script", "app"] {
        assert!(
            names.iter().any(|name| name.contains(part)),
            "no {part}: {names:?}"
        );
    }
}
