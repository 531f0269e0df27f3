//! The forms in which a thin link and a build pass backends to the compiler, each compared with
//! clang alone.

use std::process::Command;

use fs_err as fs;

use crate::support::backends::{Backends, ONCE, WORDS, same, taken};
use crate::support::executable;
use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};
use crate::support::outcome::Counts;
use crate::support::program::{Feature, feature, generated};

fn plain() -> Backends {
    Backends::new(&feature(Feature::Plain))
}

#[test]
fn without_an_index_a_module_is_compiled_by_itself() {
    let (backends, home) = (plain(), Home::new());
    fs::write(backends.path("empty"), "").expect("written");
    let null = [
        "-O2",
        "-x",
        "ir",
        "-c",
        "-fthinlto-index=/dev/null",
        "-o",
        "o.o",
        "main.o",
    ];
    assert_eq!(same(&backends, &home, &null, &["o.o"]), ONCE);
    let empty = [
        "-O2",
        "-x",
        "ir",
        "-c",
        "-fthinlto-index=empty",
        "-o",
        "o.o",
        "main.o",
    ];
    let counts = same(&backends, &home, &empty, &["o.o"]);
    assert_eq!(
        counts.cached, 2,
        "an empty file and /dev/null are the same to clang"
    );
}

#[test]
fn a_module_that_the_thin_link_skipped_gives_an_empty_object() {
    let program = generated(5);
    let mut backends = Backends::unlinked(&program);
    // Nothing refers to what only this module has.
    fs::write(
        backends.path("lonely.c"),
        "int lonely(void) { return 1; }\n",
    )
    .expect("written");
    let mut clang = Llvm::get().command("clang");
    run(clang
        .current_dir(backends.dir())
        .args(["-O2", "-flto=thin", "-c", "lonely.c"]));
    let linked = backends.modules.clone();
    backends.modules.extend([
        "-Wl,--start-lib".to_owned(),
        "lonely.o".to_owned(),
        "-Wl,--end-lib".to_owned(),
    ]);
    run(&mut backends.thin_link());
    backends.modules = linked;
    let home = Home::new();
    let words = [
        "-O2",
        "-x",
        "ir",
        "-c",
        "-fthinlto-index=lonely.o.thinlto.bc",
        "-o",
        "o.o",
        "lonely.o",
    ];
    assert_eq!(same(&backends, &home, &words, &["o.o"]), ONCE);
}

#[test]
fn files_of_two_modules_compile_their_thin_half() {
    for kind in [Feature::SplitLtoUnit, Feature::WholeProgramVtables] {
        let backends = Backends::new(&feature(kind));
        let home = Home::new();
        let counts = backends.run_all(&home);
        assert_eq!(counts.local, counts.jobs, "{counts:?}");
        backends.assert_identical_objects();
        backends.final_link("native.o");
        let counts = backends.run_all(&home);
        assert_eq!(counts.cached, counts.jobs, "{counts:?}");
    }
}

/// Darwin's tools put a header before bitcode.
#[test]
fn bitcode_and_shards_may_be_wrapped() {
    let backends = plain();
    for name in ["main.o", "main.o.thinlto.bc"] {
        let bytes = fs::read(backends.path(name)).expect("bitcode");
        let size = u32::try_from(bytes.len()).expect("small");
        let header = [0x0B17_C0DE, 0, 20, size, 7].map(u32::to_le_bytes).concat();
        fs::write(backends.path(name), [header, bytes].concat()).expect("written");
    }
    assert_eq!(same(&backends, &Home::new(), &WORDS, &["o.o"]), ONCE);
}

#[test]
fn a_response_file_and_every_order_of_words_mean_the_same_job() {
    let (backends, home) = (plain(), Home::new());
    fs::write(
        backends.path("args"),
        "-O2 -x ir -c -fthinlto-index=main.o.thinlto.bc\n-o 'o.o'  main.o\n",
    )
    .expect("written");
    assert_eq!(same(&backends, &home, &["@args"], &["o.o"]), ONCE);
    let orders: [&[&str]; 4] = [
        &[
            "-O2",
            "-c",
            "main.o",
            "-oo.o",
            "-fthinlto-index=main.o.thinlto.bc",
        ],
        &[
            "-O2",
            "-fthinlto-index=main.o.thinlto.bc",
            "-c",
            "-o",
            "o.o",
            "--",
            "main.o",
        ],
        &[
            "main.o",
            "-O2",
            "-fthinlto-index=main.o.thinlto.bc",
            "-c",
            "-o",
            "o.o",
        ],
        &[
            "-O2",
            "-xir",
            "-c",
            "-o",
            "./o.o",
            "-fthinlto-index=./main.o.thinlto.bc",
            "main.o",
        ],
    ];
    for words in orders {
        same(&backends, &home, words, &["o.o"]);
    }
}

#[test]
fn an_object_without_a_name_is_called_after_its_module() {
    let (backends, home) = (plain(), Home::new());
    fs::create_dir(backends.path("out")).expect("made");
    let mut command = backends.relto(&home);
    fs::copy(backends.path("main.o"), backends.path("main.bc")).expect("copied");
    let words = ["-O2", "-c", "-fthinlto-index=/dev/null", "main.bc"];
    // `main.o` is the module's own name in the index; compiled by itself it may have any.
    run(command.args(words));
    let ours = taken(&backends.path("main.o"));
    let mut clang = Command::new(backends.compiler());
    run(clang.current_dir(backends.dir()).args(words));
    assert!(ours == taken(&backends.path("main.o")));
}

#[test]
fn the_list_of_imports_is_compared_with_the_index() {
    let program = generated(5);
    let backends = Backends::thin_linked(&program, &["-Wl,--thinlto-emit-imports-files"]);
    let home = Home::new();
    let list = backends.path("main.o.imports");
    assert!(list.exists(), "lld writes it");
    let output = backends.run(&home, "main.o");
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("warning"),
        "{output:?}"
    );
    fs::write(&list, "m0000.o\nother.o\n").expect("written");
    let output = backends.run(&home, "main.o");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("relto: warning: `main.o.imports` and the index beside it"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(0));
}

/// `@<(echo ...)`: reading it leaves nothing for the compiler.
#[test]
fn a_response_file_that_is_a_pipe_is_left_to_the_compiler() {
    let (backends, home) = (plain(), Home::new());
    let mut shell = Command::new("bash");
    home.apply(&mut shell);
    let script = "exec \"$0\" cc \"$1\" @<(echo -O2 -x ir -c -fthinlto-index=main.o.thinlto.bc -o o.o main.o)";
    shell
        .current_dir(backends.dir())
        .args(["-c", script, env!("CARGO_BIN_EXE_relto")])
        .arg(backends.compiler());
    run(&mut shell);
    assert!(!taken(&backends.path("o.o")).is_empty());
}

#[test]
fn assembly_and_bitcode_are_compiled_and_cached_like_objects() {
    let (backends, home) = (plain(), Home::new());
    // The textual form holds the module's name, and so it is made in place.
    let cases: [(&[&str], &str, Counts); 4] = [
        (&["-S", "-o", "o.s"], "o.s", ONCE),
        (&["-S", "-fno-pic"], "main.s", ONCE),
        (&["-c", "-emit-llvm", "-o", "o.bc"], "o.bc", ONCE),
        (
            &["-S", "-emit-llvm", "-o", "o.ll"],
            "o.ll",
            Counts::default(),
        ),
    ];
    for (flags, output, expected) in cases {
        let base = [
            "-O2",
            "-x",
            "ir",
            "-fthinlto-index=main.o.thinlto.bc",
            "main.o",
        ];
        let words = [&base[..], flags].concat();
        let counts = same(&backends, &home, &words, &[output]);
        assert_eq!(counts, expected, "{flags:?}");
    }
}

/// A compiler that exits 0 and leaves something else.
#[test]
fn outputs_written_in_place_are_of_the_requested_kind() {
    let backends = plain();
    let script = backends.path("clang-wrapper");
    for (text, flags, good) in [
        ("echo .text > o.s", "-S -o o.s", true),
        ("cp main.o o.s", "-S -o o.s", false),
        (": > o.ll", "-S -emit-llvm -o o.ll", false),
        ("cp main.o o.bc", "-c -emit-llvm -o o.bc", true),
        ("echo .text > o.bc", "-c -emit-llvm -o o.bc", false),
        (
            "echo .text > o.o",
            "-c --target=x86_64-linux-gnu -o o.o",
            false,
        ),
    ] {
        executable::write(&script, format!("#!/bin/sh\n{text}\n"));
        let mut command = backends.relto_with(&Home::new(), &script);
        let output = command
            .args(["-x", "ir", "-fthinlto-index=main.o.thinlto.bc", "main.o"])
            .args(flags.split(' '))
            .output()
            .expect("relto starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), good, "{text}: {stderr}");
        let name = flags.rsplit(' ').next().expect("a name");
        assert_eq!(backends.path(name).exists(), good, "{text}");
    }
}

/// clang exits 0 with no assembly at all.
#[test]
fn assembly_of_a_damaged_index_is_refused() {
    let backends = plain();
    let shard = fs::read(backends.path("main.o.thinlto.bc")).expect("a shard");
    let half = &shard[..shard.len() / 2];
    fs::write(backends.path("main.o.thinlto.bc"), half).expect("written");
    let words = [
        "-O2",
        "-x",
        "ir",
        "-S",
        "-fthinlto-index=main.o.thinlto.bc",
        "-o",
        "o.s",
        "main.o",
    ];
    let mut command = backends.relto(&Home::new());
    let output = command.args(words).output().expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("run the thin link again"), "{stderr}");
    assert!(!backends.path("o.s").exists());
}
