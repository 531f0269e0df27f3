//! Outputs of backends besides objects, inputs besides modules, and their messages.

use std::process::Command;

use fs_err as fs;

use crate::support::backends::{Backends, NEVER, ONCE, WORDS, same};
use crate::support::link::Home;
use crate::support::program::{Feature, feature};

#[test]
fn further_outputs_are_fetched_and_cached_with_the_object() {
    let backends = Backends::new(&feature(Feature::Debug));
    let home = Home::new();
    fs::create_dir(backends.path("sub")).expect("made");
    let base = [
        "-O2",
        "-x",
        "ir",
        "-c",
        "-fthinlto-index=main.o.thinlto.bc",
        "main.o",
    ];
    let cases: [(&[&str], &[&str]); 5] = [
        (
            &["-gsplit-dwarf", "-o", "sub/o.n.o"],
            &["sub/o.n.o", "sub/o.n.dwo"],
        ),
        (&["-gsplit-dwarf=single", "-o", "o.o"], &["o.o"]),
        (&["-fstack-usage", "-o", "o.o"], &["o.o", "o.su"]),
        (
            &["-fsave-optimization-record", "-o", "o.o"],
            &["o.o", "o.opt.yaml"],
        ),
        (
            &[
                "-foptimization-record-file=sub/record",
                "-gsplit-dwarf",
                "-fstack-usage",
                "-o",
                "o.o",
            ],
            &["o.o", "sub/record", "o.dwo", "o.su"],
        ),
    ];
    for (flags, outputs) in cases {
        let words = [&base[..], flags].concat();
        assert_eq!(same(&backends, &home, &words, outputs), ONCE, "{flags:?}");
    }
}

/// Without debug information the file has no other name to call a function by.
#[test]
fn a_file_of_stack_usage_names_the_module_as_the_user_does() {
    let backends = Backends::new(&feature(Feature::Plain));
    let words = [&WORDS[..], &["-fstack-usage"]].concat();
    let counts = same(&backends, &Home::new(), &words, &["o.o", "o.su"]);
    assert_eq!(counts, ONCE);
}

#[test]
fn an_object_that_also_has_bitcode_is_an_object() {
    let backends = Backends::new(&feature(Feature::Plain));
    let words = [&WORDS[..], &["-flto=thin", "-ffat-lto-objects"]].concat();
    assert_eq!(same(&backends, &Home::new(), &words, &["o.o"]), ONCE);
}

#[test]
fn outputs_that_no_action_can_name_are_written_in_place() {
    let backends = Backends::new(&feature(Feature::Debug));
    let home = Home::new();
    let record = backends.path_of("record");
    let absolute = format!("-foptimization-record-file={record}");
    let words = [&WORDS[..], &[&absolute]].concat();
    assert_eq!(same(&backends, &home, &words, &["o.o", "record"]), NEVER);
    let words = [&WORDS[..], &["-save-temps=obj"]].concat();
    assert_eq!(same(&backends, &home, &words, &["o.o", "main.s"]), NEVER);
    let words = [&WORDS[..], &["-gsplit-dwarf", "-dumpdir", "x-"]].concat();
    let counts = same(&backends, &home, &words, &["o.o", "x-main.dwo"]);
    assert_eq!(counts, NEVER);
}

#[test]
fn measurements_of_the_run_are_written_beside_the_object() {
    let (backends, home) = (Backends::new(&feature(Feature::Plain)), Home::new());
    let words = [&WORDS[..], &["-ftime-trace"]].concat();
    assert_eq!(same(&backends, &home, &words, &["o.o"]), NEVER);
    assert!(backends.path("o.json").exists());
}

#[test]
fn files_that_arguments_name_are_part_of_the_key() {
    let backends = Backends::new(&feature(Feature::SampleProfile));
    let home = Home::new();
    let words = [
        "-O2",
        "-x",
        "ir",
        "-c",
        "-fthinlto-index=main.o.thinlto.bc",
        "-fprofile-sample-use=sample.prof",
        "-o",
        "o.o",
        "main.o",
    ];
    assert_eq!(same(&backends, &home, &words, &["o.o"]), ONCE);
    let profile = fs::read_to_string(backends.path("sample.prof")).expect("a profile");
    fs::write(
        backends.path("sample.prof"),
        profile.replace("main:1000:0", "main:5000:0"),
    )
    .expect("written");
    assert_eq!(
        same(&backends, &home, &words, &["o.o"]),
        ONCE,
        "another profile, another result"
    );
}

#[test]
fn an_object_with_an_included_file_is_right_and_never_cached() {
    let (backends, home) = (Backends::new(&feature(Feature::Incbin)), Home::new());
    for text in ["ok, one", "ok, another"] {
        fs::write(backends.path("data.bin"), text).expect("written");
        assert_eq!(same(&backends, &home, &WORDS, &["o.o"]), NEVER);
    }
}

#[test]
fn the_warnings_of_a_cached_compile_are_shown_as_the_compilers_own() {
    let backends = Backends::new(&feature(Feature::Warning)).flags(&["-Wframe-larger-than=100"]);
    let home = Home::new();
    let words = backends.arguments("main.o", "native.o");
    let mut clang = Command::new(backends.compiler());
    let output = clang
        .current_dir(backends.dir())
        .args(&words)
        .output()
        .expect("clang starts");
    let theirs = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(theirs.contains("stack frame size"), "{theirs}");
    for _ in 0..2 {
        let mut command = backends.relto(&home);
        let output = command
            .env_remove("RELTO_LOG")
            .args(&words)
            .output()
            .expect("relto starts");
        assert_eq!(String::from_utf8_lossy(&output.stderr), theirs);
    }
}
