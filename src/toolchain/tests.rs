use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use proptest::prelude::*;

use super::*;
use crate::error::Hinted as _;

fn here() -> SearchEnvironment {
    SearchEnvironment::new(
        Some("/nonexistent::/usr/bin".into()),
        None,
        PathBuf::from("/"),
    )
}

fn refused(compiler: &Path) -> ToolchainError {
    let error = Toolchain::discover(compiler, &here()).expect_err("refused");
    assert!(!error.hints().is_empty(), "no hint for: {error}");
    error
}

fn program(dir: &Path, name: &str, contents: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, contents).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("executable");
    path
}

#[test]
fn a_bare_name_is_found_in_path_with_its_loader_and_libraries() {
    let found = Toolchain::discover(Path::new("true"), &here()).expect("found");
    assert_eq!(found.name, "true");
    assert_eq!(found.called_as, Path::new("/usr/bin/true"));
    let loader = found.loader.clone().expect("true is linked dynamically");
    let tree: Vec<_> = found.files.iter().map(|file| &file.tree_path).collect();
    assert!(tree.is_sorted());
    assert!(tree.contains(&&"bin/true".to_owned()), "{tree:?}");
    assert!(tree.contains(&&"lib/libc.so.6".to_owned()), "{tree:?}");
    assert!(tree.contains(&&loader), "{tree:?}");
    assert_eq!(
        found.loader_command("tc"),
        [&format!("tc/{loader}"), "--library-path", "tc/lib"]
    );
}

#[test]
fn a_symbolic_link_keeps_its_name_and_resolves_to_the_program() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let link = dir.path().join("aarch64-linux-gnu-clang++");
    symlink("/usr/bin/true", &link).expect("linked");
    let found = Toolchain::discover(&link, &here()).expect("found");
    assert_eq!(found.name, "aarch64-linux-gnu-clang++");
    assert_eq!(found.called_as, link);
    assert_eq!(found.files[0].tree_path, "bin/aarch64-linux-gnu-clang++");
    assert_eq!(found.files[0].host, found.program);
}

#[test]
fn a_static_program_has_no_loader_and_no_libraries() {
    let found = Toolchain::discover(Path::new("/bin/busybox"), &here()).expect("found");
    assert_eq!(found.loader, None);
    assert_eq!(found.loader_command("tc"), [] as [String; 0]);
    assert_eq!(found.files.len(), 1);
}

#[test]
fn a_path_that_is_not_a_compiler_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    assert!(matches!(refused(Path::new("")), ToolchainError::EmptyName));
    assert!(matches!(
        refused(Path::new("no-such-clang")),
        ToolchainError::NotInPath { .. }
    ));
    assert!(matches!(
        refused(&at.join("none")),
        ToolchainError::Unreadable { .. }
    ));
    assert!(matches!(refused(at), ToolchainError::NotAProgram { .. }));
    assert!(matches!(
        refused(Path::new("/")),
        ToolchainError::NotAProgram { .. }
    ));
    let text = program(at, "text", b"hello");
    assert!(matches!(refused(&text), ToolchainError::NotAProgram { .. }));
    assert!(matches!(
        refused(&program(at, "empty", b"")),
        ToolchainError::NotAProgram { .. }
    ));
    fs::set_permissions(&text, Permissions::from_mode(0o644)).expect("changed");
    assert!(matches!(
        refused(&text),
        ToolchainError::NotExecutable { .. }
    ));
}

#[test]
fn a_script_is_refused_by_the_name_of_its_interpreter() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let script = program(
        dir.path(),
        "clang",
        b"#! /bin/sh -e\nexec clang-22 \"$@\"\n",
    );
    let error = refused(&script);
    assert!(
        error.to_string().contains("script for `/bin/sh -e`"),
        "{error}"
    );
}

#[test]
fn a_compiler_cache_behind_the_name_of_a_compiler_is_recognised() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::copy("/usr/bin/true", dir.path().join("ccache")).expect("copied");
    let link = dir.path().join("clang");
    symlink("ccache", &link).expect("linked");
    let error = refused(&link);
    assert!(
        matches!(&error, ToolchainError::Wrapper { tool, .. } if tool == "ccache"),
        "{error}"
    );
}

#[test]
fn a_program_for_another_machine_is_distinguished_from_a_damaged_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut bytes = fs::read("/usr/bin/true").expect("read");
    let aarch64 = 183_u8;
    bytes[18] = aarch64;
    let foreign = program(dir.path(), "foreign", &bytes);
    if Machine::host().map(Machine::platform) == Some("x86_64") {
        let error = refused(&foreign);
        assert!(
            error
                .to_string()
                .contains("is for aarch64, but this machine is x86_64"),
            "{error}"
        );
    }
    let cut = program(dir.path(), "cut", &bytes[..40]);
    assert!(refused(&cut).to_string().contains("header is cut off"));
}

#[test]
fn a_missing_loader_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut bytes = fs::read("/usr/bin/true").expect("read");
    let loader = b"/lib64/ld-linux-x86-64.so.2";
    if let Some(at) = bytes
        .windows(loader.len())
        .position(|window| window == loader)
    {
        bytes[at..at + 6].copy_from_slice(b"/nolib");
        let error = refused(&program(dir.path(), "lost", &bytes));
        assert!(
            error.to_string().contains("/nolib/ld-linux-x86-64.so.2"),
            "{error}"
        );
    }
}

#[test]
fn a_file_and_its_bytes_read_the_same() {
    let path = Path::new("/usr/bin/true");
    let bytes = fs::read(path).expect("read");
    assert_eq!(
        elf::read(path).expect("ELF"),
        elf::parse(bytes.as_slice()).expect("ELF")
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = elf::parse(bytes.as_slice());
    }

    #[test]
    fn a_damaged_program_never_panics_the_reader(
        changes in proptest::collection::vec((0_usize..4096, any::<u8>()), 1..20),
        length in 0_usize..40_000,
    ) {
        let mut bytes = fs::read("/usr/bin/true").expect("read");
        // The dynamic section lies behind the code; headers and names are in the first page.
        for (at, value) in changes {
            let at = if at < 2048 { at } else { bytes.len() * 3 / 4 + at - 2048 };
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length.max(64));
        let _ = elf::parse(bytes.as_slice());
    }
}
