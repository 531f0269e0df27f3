//! What goes wrong with backends of a build's own: where clang says nothing and exits 0, relto says what and exits 1; where
//! clang has something to say, it is clang that says it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fs_err as fs;
use relto::thinlto::Index;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::backends::Backends;
use crate::support::fake::fake_clang;
use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};
use crate::support::program::{Feature, feature, of_texts};
use crate::support::saved::{leftovers, results};

const WORDS: [&str; 8] = [
    "-O2",
    "-x",
    "ir",
    "-c",
    "-fthinlto-index=main.o.thinlto.bc",
    "-o",
    "o.o",
    "main.o",
];

fn plain() -> Backends {
    Backends::new(&feature(Feature::Plain))
}

/// clang exits 0 with these words; relto must exit 1, say each of `parts` and a way out, and leave no object and nothing in
/// the cache.
fn refused(backends: &Backends, words: &[&str], parts: &[&str]) {
    let mut clang = Command::new(backends.compiler());
    let output = clang
        .current_dir(backends.folder())
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
    assert_eq!(leftovers(backends.folder()), Vec::<PathBuf>::new());
}

#[test]
fn a_missing_import_is_told() {
    let backends = plain();
    fs::remove_file(backends.path("twice.o")).expect("removed");
    refused(
        &backends,
        &WORDS,
        &["`main.o` imports from `twice.o`, which is not there"],
    );
}

#[test]
fn a_damaged_import_is_told() {
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
fn a_stale_import_is_told() {
    let backends = plain();
    let source = backends.path("new.c");
    fs::write(
        &source,
        "int thrice(int);\nint twice(int x) { return thrice(x) - x + 1; }\n",
    )
    .expect("written");
    let mut clang = Llvm::get().command("clang");
    run(clang
        .args(["-O2", "-flto=thin", "-c"])
        .arg(&source)
        .arg("-o")
        .arg(backends.path("twice.o")));
    refused(
        &backends,
        &WORDS,
        &["`twice.o` is not the module that the index shard `main.o.thinlto.bc` was made for"],
    );
}

#[test]
fn a_missing_cut_or_foreign_index_is_told() {
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
fn a_name_that_the_index_spells_otherwise_is_told() {
    let backends = plain();
    let absolute = backends.path_of("main.o");
    for name in ["./main.o", &absolute] {
        let mut words = WORDS;
        words[7] = name;
        refused(
            &backends,
            &words,
            &["does not know", name, "`main.o`", "letter for letter"],
        );
    }
}

#[test]
fn a_hash_that_fits_no_module_is_told() {
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
fn a_member_of_an_archive_is_told_with_the_way_out() {
    let program = feature(Feature::Plain);
    let mut backends = Backends::unlinked(&program);
    let mut ar = Llvm::get().command("llvm-ar");
    run(ar
        .current_dir(backends.folder())
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
fn an_object_that_is_none_is_told_and_never_kept() {
    for (behaviour, complaint) in [
        ("put(out, \"\", 0); return 0;", "empty"),
        ("return 0;", "left no"),
        (
            "object(ET_REL); fputs(\"Error loading imported file x\\n\", stderr); return 0;",
            "Error loading",
        ),
        (
            "put(out, \"BC\\xc0\\xde....\", 8); return 0;",
            "no ELF object",
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

#[test]
fn a_compile_that_fails_has_clangs_messages_and_exit_code() {
    let assembly = "__attribute__((used)) void bad(void) { __asm__(\"bogus 1, 2\"); }\nint main(void) { return 0; }\n";
    let program = of_texts("bad-assembly-alone", &[("main.c", assembly)], &[]);
    let backends = Backends::new(&program);
    let mut clang = Command::new(backends.compiler());
    let theirs = clang
        .current_dir(backends.folder())
        .args(WORDS)
        .output()
        .expect("clang starts");
    let home = Home::new();
    fs::write(backends.path("o.o"), "of an earlier build").expect("written");
    let mut command = backends.relto(&home);
    let ours = command
        .env_remove("RELTO_LOG")
        .args(WORDS)
        .output()
        .expect("relto starts");
    assert_eq!(ours.status.code(), theirs.status.code());
    assert_eq!(ours.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ours.stderr),
        String::from_utf8_lossy(&theirs.stderr)
    );
    assert!(!backends.path("o.o").exists());
    assert_eq!(results(&home), 0);
}

#[test]
fn an_exit_code_of_the_compilers_own_is_handed_on() {
    let (backends, home) = (plain(), Home::new());
    for code in [3, 70, 126, 127] {
        let compiler = fake_clang(&format!("fputs(\"no, really\\n\", stderr); return {code};"));
        let output = backends
            .relto_with(&home, &compiler)
            .args(WORDS)
            .output()
            .expect("relto starts");
        assert_eq!(output.status.code(), Some(code));
        assert!(String::from_utf8_lossy(&output.stderr).contains("no, really"));
    }
}

#[test]
fn what_the_compiler_refuses_by_itself_it_refuses_in_its_own_words() {
    let backends = plain();
    fs::write(backends.path("text.o"), "no bitcode").expect("written");
    for module in ["nowhere.o", "text.o"] {
        let mut words = WORDS;
        words[7] = module;
        let mut clang = Command::new(backends.compiler());
        let theirs = clang
            .current_dir(backends.folder())
            .args(words)
            .output()
            .expect("clang starts");
        let ours = backends
            .relto(&Home::new())
            .args(words)
            .output()
            .expect("relto starts");
        assert_eq!(ours.status.code(), theirs.status.code());
        assert_eq!(
            String::from_utf8_lossy(&ours.stderr),
            String::from_utf8_lossy(&theirs.stderr)
        );
    }
}

/// The warning comes once, though each backend is a process of its own.
#[test]
fn an_argument_that_relto_does_not_know_makes_backends_run_in_place_and_is_told_once() {
    let (backends, home) = (plain(), Home::new());
    let mut told = 0;
    for module in &backends.modules {
        let mut command = backends.relto(&home);
        command
            .args(backends.arguments(module, "native.o"))
            .arg("-fms-secure-hotpatch-functions-file=./list");
        fs::write(backends.path("list"), "").expect("written");
        let output = command.output().expect("relto starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("`: in place"), "{stderr}");
        told += stderr
            .matches("relto: warning: ThinLTO backends run in place, uncached: `-fms-secure")
            .count();
    }
    assert_eq!(told, 1);
    assert_eq!(results(&home), 0);
}

#[test]
fn a_file_that_an_unknown_argument_writes_is_not_lost() {
    // A compiler of tomorrow, which writes a report beside its object.
    let compiler = fake_clang(
        "object(ET_REL); for (int i = 1; i < count; i++) if (!strcmp(arguments[i], \"-freport\")) put(\"report\", \"x\", 1); return 0;",
    );
    let (backends, home) = (plain(), Home::new());
    let output = backends
        .relto_with(&home, &compiler)
        .args(WORDS)
        .arg("-freport")
        .output()
        .expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("`: in place"),
        "{stderr}"
    );
    assert!(backends.path("report").exists());
    assert_eq!(results(&home), 0);
}

/// A script may be a compiler; relto cannot send it anywhere, but what it leaves is looked at.
#[test]
fn a_compiler_that_is_a_script_compiles_in_place_under_the_same_guard() {
    let (backends, home) = (plain(), Home::new());
    let script = backends.path("clang-wrapper");
    for (text, code) in [
        (
            format!("#!/bin/sh\nexec {} \"$@\"\n", backends.compiler().display()),
            0,
        ),
        ("#!/bin/sh\n: > o.o\n".to_owned(), 1),
        ("#!/bin/sh\necho said; exit 7\n".to_owned(), 7),
    ] {
        fs::write(&script, text).expect("written");
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("executable");
        let output = backends
            .relto_with(&home, &script)
            .args(WORDS)
            .output()
            .expect("relto starts");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(backends.path("o.o").exists(), code == 0);
        let _ = fs::remove_file(backends.path("o.o"));
    }
}

#[test]
fn a_signal_ends_the_compiler_and_relto_and_leaves_nothing() {
    // It tells its process id on a file of the test's, and sleeps.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mark = folder.path().join("started");
    let backends = plain();
    let script = backends.path("clang-wrapper");
    let text = format!(
        "#!/bin/sh\necho $$ > {0}.new; mv {0}.new {0}\nexec sleep 600\n",
        mark.display()
    );
    fs::write(&script, text).expect("written");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("executable");
    let home = Home::new();
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = backends.relto_with(&home, &script);
        let mut relto = command
            .args(WORDS)
            .stderr(Stdio::piped())
            .spawn()
            .expect("relto starts");
        while !mark.exists() {
            assert!(
                relto.try_wait().expect("a child").is_none(),
                "it ended early"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let compiler = fs::read_to_string(&mark).expect("a number");
        fs::remove_file(&mark).expect("removed");
        kill_process(Pid::from_child(&relto), signal).expect("sent");
        let status = relto.wait().expect("ended");
        assert_eq!(
            status.code().or(status.signal().map(|it| 128 + it)),
            Some(128 + signal.as_raw())
        );
        assert!(
            !std::path::Path::new(&format!("/proc/{}", compiler.trim())).exists(),
            "the compiler lives on"
        );
        assert!(!backends.path("o.o").exists());
    }
}
