//! What lld expects of its distributor, shown by real links and by job files: arguments, exit
//! codes, streams, formats.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;
use serde_json::json;

use crate::support::executable;
use crate::support::link::{Form, Home, Link};
use crate::support::llvm::Llvm;
use crate::support::program::{Feature, Program, feature};
use crate::support::saved::Saved;

const RELTO: &str = env!("CARGO_BIN_EXE_relto");

fn plain() -> Program {
    feature(Feature::Plain)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn options_come_before_the_job_file_which_is_the_last_argument() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let script = dir.path().join("distributor");
    let seen = dir.path().join("seen");
    let body = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >'{}'\nexec '{RELTO}' \"$@\"\n",
        seen.display()
    );
    executable::write(&script, body);
    let program = plain();
    let outcome = Link::through(&script, &program)
        .option("--quiet")
        .option("--cache-salt=two words")
        .run()
        .expect_works();
    assert_eq!(outcome.stderr, "", "`--quiet` reached relto");
    let seen = fs::read_to_string(seen).expect("started");
    let seen: Vec<_> = seen.lines().collect();
    assert_eq!(seen[..2], ["--quiet", "--cache-salt=two words"]);
    assert!(seen[2].ends_with(".dist-file.json"), "{seen:?}");
    assert_eq!(seen.len(), 3);
}

#[test]
fn objects_for_dev_null_leave_the_device_and_a_failure_too() {
    for compiler in [None, Some("/bin/false")] {
        let mut saved = Saved::new(&plain()).only("main.o");
        saved.job()["outputs"][0] = "/dev/null".into();
        saved.job()["args"][3] = "/dev/null".into();
        if let Some(compiler) = compiler {
            saved.compile_with(Path::new(compiler));
        }
        let output = saved.run();
        assert_eq!(output.status.success(), compiler.is_none(), "{output:?}");
        let null = fs::metadata("/dev/null").expect("there");
        assert!(null.file_type().is_char_device());
    }
}

#[test]
fn a_compiler_without_a_name_is_refused_with_a_way_out() {
    let (code, stderr) = bare_lld(&[]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("`common.args` names no compiler"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: give lld `--thinlto-remote-compiler="),
        "{stderr}"
    );
}

#[test]
fn a_bare_compiler_name_is_looked_up_in_path() {
    let (code, stderr) = bare_lld(&["--thinlto-remote-compiler=clang"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("relto: 3 jobs, 3 local"), "{stderr}");
    let (code, stderr) = bare_lld(&["--thinlto-remote-compiler=no-such-clang"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("`no-such-clang` was not found in `PATH`"),
        "{stderr}"
    );
}

/// Links without clang's driver, with the LLVM under test first in `PATH`.
fn bare_lld(more: &[&str]) -> (Option<i32>, String) {
    let saved = Saved::new(&plain());
    let clang = Llvm::get().tool("clang");
    let mut command = Llvm::get().command("ld.lld");
    saved.home.apply(&mut command);
    let output = command
        .current_dir(saved.path(""))
        .env("PATH", clang.parent().expect("a directory"))
        .args(["-shared", "-o", "app.so", "main.o", "twice.o", "thrice.o"])
        .arg(format!("--thinlto-distributor={RELTO}"))
        .args(more)
        .output()
        .expect("lld starts");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn coff_objects_link_and_are_kept() {
    let home = Home::new();
    let program = feature(Feature::Coff);
    for first in [true, false] {
        let outcome = Link::new(&program).keep_objects().run_at(&home);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let counts = outcome.counts();
        assert_eq!(counts.cached, if first { 0 } else { counts.jobs });
        outcome.assert_identical_objects();
    }
}

#[test]
fn assembly_is_written_when_the_remote_arguments_ask_for_it() {
    let home = Home::new();
    for first in [true, false] {
        let program = plain();
        // lld 23 and 24 make empty files of it, with any distributor: so the jobs' own outputs are
        // looked at.
        let link = Link::new(&program)
            .keep_objects()
            .argument("-Wl,--lto-emit-asm")
            .argument("-Wl,--thinlto-remote-compiler-arg=-S")
            .run_at(&home);
        assert_eq!(link.code, Some(0), "{}", link.stderr);
        let counts = link.counts();
        assert_eq!(counts.cached, if first { 0 } else { counts.jobs });
        let assembly = String::from_utf8(link.objects().concat()).expect("text");
        assert!(assembly.contains("main:"), "{assembly}");
        link.assert_identical_objects();
    }
}

#[test]
fn an_unknown_key_is_a_warning() {
    let mut saved = Saved::new(&plain());
    saved.link["common"]["linker_version"] = "25.0".into();
    saved.job()["priority"] = 7.into();
    let output = saved.run();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for key in ["`common.linker_version`", "`jobs.0.priority`"] {
        assert!(stderr.contains(key), "no {key} in:\n{stderr}");
    }
    assert!(stderr.contains("relto: warning: "), "{stderr}");
    assert!(saved.objects().iter().all(|object| object.exists()));
}

#[test]
fn a_malformed_job_file_is_an_error_that_names_file_and_field() {
    let mut spoilt = Vec::new();
    for (field, value) in [
        ("/common/args", json!([7])),
        ("/common/args", json!("clang")),
        ("/common/inputs", json!(null)),
        ("/common/linker_output", json!({})),
        ("/jobs", json!({})),
        ("/jobs/0/args", json!(1)),
        ("/jobs/0/inputs", json!(["main.o"])),
        ("/jobs/0/outputs", json!([])),
        ("/jobs/1/outputs", json!([true])),
    ] {
        let mut saved = Saved::new(&plain());
        *saved.link.pointer_mut(field).expect("there") = value;
        spoilt.push((field, saved));
    }
    for field in [
        "/common/args",
        "/common/inputs",
        "/jobs/0/args",
        "/jobs/2/inputs",
        "/jobs/1/outputs",
        "/common",
        "/jobs",
    ] {
        let mut saved = Saved::new(&plain());
        let (parent, key) = field.rsplit_once('/').expect("a pointer");
        let parent = saved.link.pointer_mut(parent).expect("there");
        parent.as_object_mut().expect("an object").remove(key);
        spoilt.push((field, saved));
    }
    for (field, saved) in spoilt {
        let stderr = refused(&saved.run());
        assert!(stderr.contains("job file `jobs.json`"), "{field}: {stderr}");
        let name = field.rsplit('/').next().expect("a name");
        assert!(stderr.contains(name), "{field}: {stderr}");
    }
}

#[test]
fn a_file_that_is_not_a_job_file_is_refused() {
    let saved = Saved::new(&plain());
    for bad in ["", "{", "[]", "null", "\u{0}", "{}{}"] {
        fs::write(saved.path("bad.json"), bad).expect("written");
        let output = saved.command_on("bad.json").output().expect("relto starts");
        let stderr = refused(&output);
        assert!(stderr.contains("bad.json"), "{stderr}");
    }
    fs::write(saved.path("bad.json"), vec![b'['; 1 << 20]).expect("written");
    refused(&saved.command_on("bad.json").output().expect("relto starts"));
    for missing in ["nowhere.json", "."] {
        refused(&saved.command_on(missing).output().expect("relto starts"));
    }
}

fn refused(output: &Output) -> String {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "stdout belongs to the linker");
    assert!(stderr.starts_with("relto: error: "), "{stderr}");
    assert!(stderr.contains("  hint: "), "no way out in:\n{stderr}");
    stderr
}

#[test]
fn wrong_use_exits_with_2_and_nothing_exits_with_a_code_that_lld_misreads() {
    let saved = Saved::new(&plain());
    let dir = saved.path("");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(RELTO);
        saved.home.apply(&mut command);
        command.current_dir(&dir).args(arguments);
        command.output().expect("relto starts").status.code()
    };
    assert_eq!(run(&[]), Some(2));
    assert_eq!(run(&["--no-such-option", "jobs.json"]), Some(2));
    assert_eq!(run(&["jobs.json", "more.json"]), Some(2));
    assert_eq!(run(&["--jobs=many", "jobs.json"]), Some(2));
    assert_eq!(run(&["nowhere.json"]), Some(1));
}

#[test]
fn a_missing_compiler_or_one_that_is_not_a_program_is_refused_with_exit_code_1() {
    for compiler in ["/nonexistent/clang", "/etc/passwd", "/bin", "./main.o"] {
        let mut saved = Saved::new(&plain()).only("main.o");
        saved.compile_with(Path::new(compiler));
        saved.refused(&["compiler `", compiler.trim_start_matches("./")]);
    }
}

#[test]
fn a_job_that_asks_for_a_second_output_gets_it_or_fails() {
    let mut saved = Saved::new(&plain()).only("main.o");
    let outputs = saved.job()["outputs"].as_array_mut().expect("a list");
    outputs.push("main.extra".into());
    saved.refused(&["`main.o`", "main.extra"]);
}

#[test]
fn a_link_without_jobs_is_done() {
    let mut saved = Saved::new(&plain());
    saved.link["jobs"] = json!([]);
    let output = saved.run();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
}

#[test]
fn every_form_of_input_is_accepted() {
    for form in Form::all() {
        Link::new(&plain()).form(form).run().expect_works();
    }
}
