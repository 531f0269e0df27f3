//! Faulty backends of other build systems: where clang exits 0 silently, relto reports the fault
//! and exits 1; where clang reports one, clang's own message is shown.

use std::path::PathBuf;
use std::process::Command;

use fs_err as fs;
use relto::internals::thinlto::Index;

use crate::support::backends::{Backends, WORDS};
use crate::support::fake::fake_clang;
use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};
use crate::support::program::{Feature, feature};
use crate::support::saved::{leftovers, results};

fn plain() -> Backends {
    Backends::new(&feature(Feature::Plain))
}

/// clang exits 0 with these words; relto must exit 1, say each of `parts` and a way out, and leave
/// no object and nothing in the cache.
fn refused(backends: &Backends, words: &[&str], parts: &[&str]) {
    let mut clang = Command::new(backends.compiler());
    let output = clang
        .current_dir(backends.dir())
        .args(words)
        .output()
        .expect("clang starts");
    assert_eq!(output.status.code(), Some(0), "clang sees it: {output:?}");
    told(backends, &Home::new(), words, parts);
}

fn told(backends: &Backends, home: &Home, words: &[&str], parts: &[&str]) {
    fs::write(backends.path("o.o"), "of an earlier build").expect("written");
    let output = backends
        .relto(home)
        .args(words)
        .output()
        .expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
    }
    assert!(stderr.contains("  hint: "), "no way out in:\n{stderr}");
    assert!(!backends.path("o.o").exists(), "an object is left");
    if home.cache().join("relto").exists() {
        assert_eq!(results(home), 0, "kept in the cache:\n{stderr}");
    }
    assert_eq!(leftovers(backends.dir()), Vec::<PathBuf>::new());
}

#[test]
fn a_missing_import_is_reported() {
    let backends = plain();
    fs::remove_file(backends.path("twice.o")).expect("removed");
    refused(
        &backends,
        &WORDS,
        &["`main.o` imports from `twice.o`, which does not exist"],
    );
}

#[test]
fn a_damaged_import_is_reported() {
    let backends = plain();
    let bytes = fs::read(backends.path("twice.o")).expect("bitcode");
    fs::write(backends.path("twice.o"), &bytes[..bytes.len() / 2]).expect("written");
    refused(&backends, &WORDS, &["cannot compile `main.o`", "`twice.o`"]);
    fs::write(backends.path("twice.o"), "").expect("written");
    refused(
        &backends,
        &WORDS,
        &["cannot compile `main.o`", "`twice.o` is empty"],
    );
}

#[test]
fn a_stale_import_is_reported() {
    let backends = plain();
    let source = backends.path("new.c");
    fs::write(
        &source,
        "int thrice(int);\nint twice(int x) { return thrice(x) - x + 1; }\n",
    )
    .expect("written");
    Llvm::get().thin_module(&source, &backends.path("twice.o"));
    refused(
        &backends,
        &WORDS,
        &["`twice.o` is not the module that the index shard `main.o.thinlto.bc` was made for"],
    );
}

#[test]
fn a_missing_truncated_or_foreign_index_is_reported() {
    let backends = plain();
    let index = backends.path("main.o.thinlto.bc");
    let good = fs::read(&index).expect("a shard");
    fs::write(&index, &good[..good.len() / 2]).expect("written");
    refused(
        &backends,
        &WORDS,
        &["the index `main.o.thinlto.bc` of `main.o` is damaged"],
    );
    fs::write(&index, b"garbage of a kind").expect("written");
    refused(
        &backends,
        &WORDS,
        &[
            "the index `main.o.thinlto.bc` of `main.o` is damaged",
            "looks like text",
        ],
    );
    fs::copy(backends.path("twice.o.thinlto.bc"), &index).expect("copied");
    refused(
        &backends,
        &WORDS,
        &["the index `main.o.thinlto.bc` does not know `main.o`"],
    );
    fs::remove_file(&index).expect("removed");
    refused(&backends, &WORDS, &["cannot read the index of `main.o`"]);
}

#[test]
fn a_name_that_the_index_spells_differently_is_reported() {
    let backends = plain();
    let absolute = backends.path_of("main.o");
    for name in ["./main.o", &absolute] {
        let mut words = WORDS;
        words[7] = name;
        refused(
            &backends,
            &words,
            &["does not know", name, "`main.o`", "use exactly the name"],
        );
    }
}

#[test]
fn a_hash_that_matches_no_module_is_reported() {
    let backends = plain();
    let path = backends.path("main.o.thinlto.bc");
    let mut shard = fs::read(&path).expect("a shard");
    let hash = Index::parse(&shard).expect("a shard").modules()[0]
        .hash
        .expect("a hash");
    let bits: Vec<u8> = hash.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert!(zeroed(&mut shard, &bits), "the hash stands in the shard");
    fs::write(&path, &shard).expect("written");
    refused(
        &backends,
        &WORDS,
        &["is not the module that the index shard"],
    );
}

/// Writes zeros over `pattern`, which stands in `stream` at any bit.
fn zeroed(stream: &mut [u8], pattern: &[u8]) -> bool {
    let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (at % 8) & 1;
    let size = pattern.len() * 8;
    let found = (0..stream.len() * 8 - size)
        .find(|&at| (0..size).all(|i| bit(stream, at + i) == bit(pattern, i)));
    let Some(at) = found else { return false };
    for i in at..at + size {
        stream[i / 8] &= !(1 << (i % 8));
    }
    true
}

#[test]
fn a_member_of_an_archive_is_reported_with_a_hint() {
    let program = feature(Feature::Plain);
    let mut backends = Backends::unlinked(&program);
    let mut ar = Llvm::get().command("llvm-ar");
    run(ar
        .current_dir(backends.dir())
        .args(["rcs", "lib.a", "twice.o", "thrice.o"]));
    backends.modules = vec!["main.o".to_owned(), "lib.a".to_owned()];
    run(&mut backends.thin_link());
    refused(
        &backends,
        &WORDS,
        &["`main.o` imports from `lib.a(t", "expand the archive"],
    );
}

#[test]
fn an_output_that_is_not_an_object_is_reported_and_never_cached() {
    for (behaviour, complaint) in [
        ("put(out, \"\", 0); return 0;", "empty"),
        ("return 0;", "left no"),
        (
            "object(ET_REL); fputs(\"Error loading imported file x\\n\", stderr); return 0;",
            "Error loading",
        ),
        (
            "put(out, \"BC\\xc0\\xde....\", 8); return 0;",
            "expected ELF object output",
        ),
    ] {
        let backends = plain();
        let home = Home::new();
        let mut command = backends.relto_with(&home, &fake_clang(behaviour));
        let output = command.args(WORDS).output().expect("relto starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(complaint), "no `{complaint}` in:\n{stderr}");
        assert!(!backends.path("o.o").exists());
        assert_eq!(results(&home), 0);
    }
}
