//! Backends on other command lines than those of clang's usual driver, each compared with clang
//! alone: whatever names an index is checked, and all output of clang is passed on.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;

use crate::support::backends::Backends;
use crate::support::executable;
use crate::support::link::Home;
use crate::support::llvm::run;
use crate::support::program::{Feature, feature, of_texts};
use crate::support::repeat::through;

const MODULE: &str = "main.o";
const IMPORT: &str = "thrice.o";

fn plain() -> Backends {
    Backends::new(&feature(Feature::Plain))
}

/// Runs clang alone and relto with `words`; both write `object`, which is put aside in between.
fn both(backends: &Backends, words: &[&OsStr], object: &str) -> (Output, Output) {
    let mut clang = Command::new(backends.compiler());
    let clang = clang.current_dir(backends.dir()).args(words).output();
    let clang = clang.expect("clang starts");
    assert!(clang.status.success(), "{clang:?}");
    fs::rename(backends.path(object), backends.path("theirs.o")).expect("clang's object");
    let mut relto = backends.relto(&Home::new());
    let relto = relto.env_remove("RELTO_LOG").args(words).output();
    let relto = relto.expect("relto starts");
    assert!(relto.status.success(), "{relto:?}");
    let theirs = fs::read(backends.path("theirs.o")).expect("read");
    assert!(fs::read(backends.path(object)).expect("an object") == theirs);
    (clang, relto)
}

fn words<'a>(line: &'a str, more: &[&'a str]) -> Vec<&'a OsStr> {
    let words = line.split(' ').chain(more.iter().copied());
    words.map(OsStr::new).collect()
}

const BACKEND: &str = "-O2 -x ir -c -fthinlto-index=main.o.thinlto.bc main.o -o main.native.o";

#[test]
fn what_clang_prints_on_standard_output_comes_through() {
    let backends = plain();
    let words = words(BACKEND, &["-mllvm", "-print-pipeline-passes"]);
    let (clang, relto) = both(&backends, &words, "main.native.o");
    assert!(!clang.stdout.is_empty());
    assert_eq!(relto.stdout, clang.stdout);
}

#[test]
fn messages_have_the_colours_that_the_arguments_ask_for() {
    let text = "int puts(const char *); __attribute__((noinline)) void fill(volatile char *p) { *p = 0; }\n\
        int main(void) { volatile char large[5000]; fill(large); return puts(\"ok\") < 0; }";
    let limit = "-Wframe-larger-than=100";
    let backends = Backends::new(&of_texts("large-frame", &[("main.c", text)], &[limit]));
    let more = [limit, "-fcolor-diagnostics"];
    let (clang, relto) = both(&backends, &words(BACKEND, &more), "main.native.o");
    assert!(clang.stderr.contains(&0x1b), "{clang:?}");
    assert_eq!(relto.stderr, clang.stderr);
}

#[test]
fn an_object_that_embeds_its_command_line_embeds_the_users_own() {
    let backends = plain();
    let more = ["-mllvm", "-lto-embed-bitcode=post-merge-pre-opt"];
    both(&backends, &words(BACKEND, &more), "main.native.o");
}

/// `CodeView` holds the path of the object, the current directory and the command of `clang -cc1`.
#[test]
fn debug_information_of_windows_names_the_users_own_object_and_command() {
    let backends = plain();
    let target = "--target=x86_64-pc-windows-msvc";
    fs::write(backends.path("w.c"), "int main(void) { return 0; }").expect("written");
    let mut clang = Command::new(backends.compiler());
    clang
        .current_dir(backends.dir())
        .args([target, "-g", "-O2", "-flto=thin", "-c", "w.c"]);
    run(&mut clang);
    // The incremental linker wants the time in the header.
    let line =
        "-c -O2 -x ir w.o -fthinlto-index=/dev/null -o w.obj -mno-incremental-linker-compatible";
    for more in [&[target, "-g"][..], &[target], &[target, "-S"]] {
        both(&backends, &words(line, more), "w.obj");
    }
    // clang names the object also where the module has no debug information.
    run(clang.arg("-g0"));
    for more in [
        "-g",
        "-gdbx",
        "-gcodeview",
        "-gdwarf32",
        "-gline-tables-only",
        "--debug",
    ] {
        both(&backends, &words(line, &[target, more]), "w.obj");
    }
}

#[test]
fn a_response_file_may_be_longer_than_a_command_line() {
    let backends = plain();
    let mut text = BACKEND.replace(' ', "\n");
    for number in 0..60_000 {
        text.push_str("\n-fdebug-prefix-map=/a/long/directory/");
        text.push_str(&number.to_string());
        text.push_str("=.");
    }
    fs::write(backends.path("long"), text).expect("written");
    both(&backends, &[OsStr::new("@long")], "main.native.o");
}

/// Each of these compiles `MODULE` into `o.o`.
fn unusual_forms() -> Vec<Vec<OsString>> {
    let line = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    vec![
        line("-cc1 -emit-obj -O2 -fthinlto-index=main.o.thinlto.bc -x ir main.o -o o.o"),
        line("-O2 -c -Xclang -fthinlto-index=main.o.thinlto.bc -x ir main.o -o o.o"),
        line("--driver-mode=cl /c /O2 -fthinlto-index=main.o.thinlto.bc /Foo.o main.o"),
        line("--driver-mode=cl /c /clang:-fthinlto-index=main.o.thinlto.bc -Fo:o.o main.o"),
    ]
}

#[test]
fn a_missing_import_is_noticed_however_the_backend_is_spelled() {
    for form in unusual_forms() {
        let (backends, home) = (plain(), Home::new());
        let run = || {
            let mut relto = backends.relto(&home);
            relto.args(&form).output().expect("relto starts")
        };
        let whole = run();
        // clang-cl takes a target of its own for the default one.
        assert!(whole.status.success(), "{form:?}: {whole:?}");
        assert_ne!(fs::read(backends.path("o.o")).expect("an object"), b"");
        fs::remove_file(backends.path(IMPORT)).expect("removed");
        let spoiled = run();
        assert_eq!(spoiled.status.code(), Some(1), "{form:?}: {spoiled:?}");
        assert!(!backends.path("o.o").exists(), "{form:?}");
    }
}

#[test]
fn an_import_of_another_build_is_noticed_however_the_backend_is_spelled() {
    for form in unusual_forms() {
        let (backends, home) = (plain(), Home::new());
        fs::copy(backends.path("twice.o"), backends.path(IMPORT)).expect("copied");
        let output = backends.relto(&home).args(&form).output();
        let output = output.expect("relto starts");
        assert_eq!(output.status.code(), Some(1), "{form:?}: {output:?}");
        assert!(!backends.path("o.o").exists(), "{form:?}");
    }
}

#[test]
fn an_index_that_no_word_names_is_guarded_wherever_the_compiler_finds_it() {
    const INDEX: &str = "-fthinlto-index=main.o.thinlto.bc";
    let line = "-O2 -x ir -c main.o -o o.o";
    let wide: Vec<u8> = format!("\u{feff}{INDEX}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let files: [(&str, &[u8]); 4] = [
        ("back.cfg", INDEX.as_bytes()),
        ("quoted", b"'-f'\"thin\"lto-index=main.o.thinlto.b\\c"),
        ("wide", &wide),
        ("leads", b"--config=./back.cfg"),
    ];
    let override_options = format!("+{INDEX}");
    let shell = "\"$0\" \"$@\" -fthinlto-index=main.o.thinlto.bc";
    for (first, variable) in [
        ("--config=./back.cfg", None),
        ("@quoted", None),
        ("@wide", None),
        ("@leads", None),
        ("@pipe", None),
        ("-g0", Some(("CCC_OVERRIDE_OPTIONS", &override_options))),
        ("sh", None),
    ] {
        let (backends, home) = (plain(), Home::new());
        for (name, bytes) in files {
            fs::write(backends.path(name), bytes).expect("written");
        }
        let run = || {
            let mut relto = backends.relto(&home);
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            match first {
                "sh" => {
                    relto = Command::new(env!("CARGO_BIN_EXE_relto"));
                    home.apply(&mut relto);
                    relto
                        .current_dir(backends.dir())
                        .args(["cc", "sh", "-c", shell]);
                    relto.arg(backends.compiler()).args(words);
                }
                "@pipe" => {
                    let script = format!("exec \"$@\" @<(printf %s {INDEX})");
                    relto = through(&["bash", "-c", &script, "bash"], relto.args(words));
                }
                first => {
                    relto.arg(first).args(words);
                }
            }
            if let Some((name, value)) = variable {
                relto.env(name, value);
            }
            relto.output().expect("relto starts")
        };
        fs::remove_file(backends.path(IMPORT)).expect("removed");
        let spoiled = run();
        assert_ne!(spoiled.status.code(), Some(0), "{first}: {spoiled:?}");
        let object = fs::read(backends.path("o.o")).unwrap_or_default();
        assert!(object.is_empty(), "{first}");
    }
}

#[test]
fn a_compiler_that_is_only_guarded_reads_standard_input() {
    let (backends, home) = (plain(), Home::new());
    let mut relto = backends.relto(&home);
    let words = ["-x", "c", "-c", "-", "-o", "o.o"];
    let script = "echo 'int x;' | \"$@\" @<(printf %s -O2)";
    let mut relto = through(&["bash", "-c", script, "bash"], relto.args(words));
    let output = relto.output().expect("bash starts");
    assert!(output.status.success(), "{output:?}");
    let object = fs::read(backends.path("o.o")).expect("an object");
    assert!(object.starts_with(b"\x7fELF"));
}

#[test]
fn a_module_whose_name_is_not_text_is_checked_after_its_compile() {
    let (backends, home) = (plain(), Home::new());
    let name = OsStr::from_bytes(b"m\xff.o");
    fs::rename(backends.path(MODULE), backends.dir().join(name)).expect("renamed");
    let run = |object: &[&str]| {
        let mut relto = backends.relto(&home);
        relto.args(["-O2", "-x", "ir", "-c", "-fthinlto-index=gone"]);
        relto.arg(name).args(object).output().expect("relto starts")
    };
    let output = run(&["-o", "o.o"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!backends.path("o.o").exists());
    let stderr = String::from_utf8_lossy(&run(&[]).stderr).into_owned();
    assert!(stderr.contains("not UTF-8"), "{stderr}");
}

#[test]
fn an_object_on_standard_output_is_checked_too() {
    let (backends, home) = (plain(), Home::new());
    let line = BACKEND.replace("main.native.o", "-");
    let run = || {
        let mut relto = backends.relto(&home);
        let output = relto.args(line.split(' ')).output();
        output.expect("relto starts")
    };
    let good = run();
    assert!(good.status.success() && good.stdout.starts_with(b"\x7fELF"));
    fs::remove_file(backends.path(IMPORT)).expect("removed");
    let spoiled = run();
    assert_eq!(spoiled.status.code(), Some(1), "{spoiled:?}");
    assert!(spoiled.stdout.is_empty());
}

/// A directory whose `clang` is `program`.
fn dir_with_clang(parent: &Path, name: &str, program: &Path) -> PathBuf {
    let dir = parent.join(name);
    fs::create_dir(&dir).expect("made");
    symlink(program, dir.join("clang")).expect("linked");
    dir
}

#[test]
fn programs_that_all_stand_for_the_compiler_end_at_the_compiler_in_any_order() {
    let (backends, home) = (plain(), Home::new());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let relto = Path::new(env!("CARGO_BIN_EXE_relto"));
    let other = dir.path().join("another-relto");
    executable::copy(relto, &other);
    // As ccache does: the next `clang` of `PATH` that is not itself.
    let cache = dir.path().join("cache");
    let text = "#!/bin/sh\nIFS=:\nfor dir in $PATH; do\n  \
        [ -x \"$dir/clang\" ] && [ ! \"$dir/clang\" -ef \"$0\" ] && exec \"$dir/clang\" \"$@\"\ndone\nexit 9\n";
    executable::write(&cache, text);
    let first = dir_with_clang(dir.path(), "first", relto);
    let second = dir_with_clang(dir.path(), "second", &other);
    let cache = dir_with_clang(dir.path(), "cached", &cache);
    let real = dir_with_clang(dir.path(), "real", &backends.compiler());
    fs::write(backends.path("a.c"), "int a;").expect("written");
    for order in [
        [&first, &second, &cache, &real],
        [&first, &cache, &second, &real],
        [&cache, &first, &second, &real],
    ] {
        for words in ["-c a.c -o a.o", BACKEND] {
            let mut command = Command::new(order[0].join("clang"));
            home.apply(&mut command);
            let system = std::env::var_os("PATH").unwrap_or_default();
            let dirs = order.map(PathBuf::clone).into_iter();
            let path = std::env::join_paths(dirs.chain(std::env::split_paths(&system)));
            command.env("PATH", path.expect("a path"));
            command.current_dir(backends.dir()).args(words.split(' '));
            let output = bounded(&mut command);
            assert!(output.status.success(), "{order:?} {words}: {output:?}");
        }
    }
    assert!(backends.path("main.native.o").exists());
}

/// The output of a command that must not go on for ever.
fn bounded(command: &mut Command) -> Output {
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let began = std::time::Instant::now();
    while child.try_wait().expect("awaited").is_none() {
        if began.elapsed() > std::time::Duration::from_mins(1) {
            child.kill().expect("killed");
            panic!("it does not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.wait_with_output().expect("read")
}
