//! `relto cc` with `remote_upload_ahead`: what it uploads to the farm, and when.

use std::process::Command;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use super::build::{AheadBuild, SENDERS};
use crate::support::llvm::{Llvm, run};

#[test]
fn a_module_is_at_the_farm_before_the_link_and_the_link_uploads_none() {
    for has_daemon in SENDERS {
        sent_before_the_link(&AheadBuild::with_daemon(has_daemon));
    }
}

fn sent_before_the_link(build: &AheadBuild) {
    for (source, object) in [("main.c", "main.o"), ("twice.c", "twice.o")] {
        let mut command = build.clang();
        run(command.args(["-O2", "-flto=thin", "-c", source, "-o", object]));
    }
    let modules = ["main.o", "twice.o"];
    for module in modules {
        build.wait_for_blob(module);
    }
    build.wait_for_senders();
    let status = || build.daemon("status");
    assert_eq!(status().status.success(), build.has_daemon);
    if build.has_daemon {
        build.wait_for("the daemon has counted them", |_| {
            String::from_utf8_lossy(&status().stdout).contains("; 2 modules uploaded ahead")
        });
    }
    // The compiler comes last, perhaps still on its way; a prefetch by hand waits for it.
    let mut compiler = Command::new(env!("CARGO_BIN_EXE_relto"));
    build.home.apply(&mut compiler);
    compiler.envs(build.farm.environment());
    compiler.arg("prefetch").arg(build.path("main.o"));
    run(compiler.arg("--compiler").arg(Llvm::get().tool("clang")));
    let before = build.farm.record().uploads;
    let mut link = Llvm::get().command("clang");
    build.home.apply(&mut link);
    link.current_dir(build.dir.path())
        .envs(build.farm.environment())
        .env("RELTO_STRATEGY", "remote")
        .args(["-O2", "-flto=thin", "-fuse-ld=lld", "-o", "app"])
        .arg(concat!(
            "-fthinlto-distributor=",
            env!("CARGO_BIN_EXE_relto")
        ))
        .args(modules);
    let output = link.output().expect("clang starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("relto: 2 jobs, 2 remote"), "{stderr}");
    let record = build.farm.record();
    record.assert_no_violations();
    for module in modules {
        assert_eq!(record.uploads.get(&build.digest(module)), Some(&1));
    }
    let late = record.uploads.keys().filter(|it| !before.contains_key(it));
    assert!(late.map(|digest| digest.size).sum::<u64>() < super::LITTLE);
    assert_eq!(run(&mut Command::new(build.path("app"))), "ok\n");
}

#[test]
fn nothing_is_uploaded_without_the_option_or_without_a_module() {
    let build = AheadBuild::new();
    let twice = ["-O2", "-flto=thin", "-c", "twice.c", "-o", "twice.o"];
    run(build
        .clang()
        .env("RELTO_REMOTE_UPLOAD_AHEAD", "no")
        .args(twice));
    run(build.clang().args(["-O2", "-c", "twice.c"]));
    run(build
        .clang()
        .args(["-flto=thin", "-c", "twice.c", "-o", "/dev/null"]));
    run(build
        .clang()
        .args(["-flto=thin", "-S", "twice.c", "-o", "twice.s"]));
    let mut here = build.clang();
    run(here.env("RELTO_STRATEGY", "local").args(twice));
    assert_eq!(build.followers(), 0);
    assert_eq!(build.farm.record().connections, 0);
}

#[test]
fn the_option_may_stand_on_the_command_line_and_in_a_file() {
    let build = AheadBuild::new();
    let clang = Llvm::get().tool("clang");
    let words = ["-flto=thin", "-c", "twice.c", "-o", "twice.o"];
    let mut by_word = build.cc(&["--remote-upload-ahead", "--jobs", "3"], &clang);
    run(by_word.env_remove("RELTO_REMOTE_UPLOAD_AHEAD").args(words));
    build.wait_for_blob("twice.o");
    fs::write(build.path(".relto.toml"), "remote_upload_ahead = true\n").expect("written");
    let mut allow = Command::new(env!("CARGO_BIN_EXE_relto"));
    build.home.apply(&mut allow);
    run(allow.current_dir(build.dir.path()).arg("allow"));
    let mut by_file = build.clang();
    by_file.env_remove("RELTO_REMOTE_UPLOAD_AHEAD");
    run(by_file.args(["-flto=thin", "-c", "main.c"]));
    build.wait_for_blob("main.o");
}

#[test]
fn invalid_settings_fail_no_compile() {
    let build = AheadBuild::new();
    let mut command = build.clang();
    command.env("RELTO_REMOTE_RETRIES", "many");
    let output = command.args(["-flto=thin", "-c", "twice.c"]).output();
    let output = output.expect("relto starts");
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(build.path("twice.o").exists());
}

#[test]
fn a_failing_compile_is_the_compilers_own_and_nothing_is_uploaded() {
    let build = AheadBuild::new();
    fs::write(build.path("bad.c"), "int f(\n").expect("written");
    let words = ["-flto=thin", "-c", "bad.c", "-o", "bad.o"];
    let ours = build.clang().args(words).output().expect("relto starts");
    let mut clang = Llvm::get().command("clang");
    let theirs = clang.current_dir(build.dir.path()).args(words).output();
    let theirs = theirs.expect("clang starts");
    assert_eq!(ours.status.code(), theirs.status.code());
    assert_eq!(ours.stderr, theirs.stderr);
    build.wait_for_senders();
    assert_eq!(build.farm.record().uploads.len(), 0);
}

#[test]
fn an_unreachable_farm_does_not_delay_compiles() {
    for has_daemon in SENDERS {
        let mut build = AheadBuild::with_daemon(has_daemon);
        build.farm.kill();
        for _ in 0..2 {
            let output = build.clang().args(["-flto=thin", "-c", "twice.c"]).output();
            let output = output.expect("relto starts");
            assert!(output.status.success() && output.stderr.is_empty());
            build.wait_for_senders();
        }
    }
}

/// Stopped, it takes connections and says nothing.
#[test]
fn a_daemon_that_does_not_answer_delays_no_build() {
    let build = AheadBuild::with_daemon(true);
    let words = ["-flto=thin", "-c", "twice.c", "-o", "twice.o"];
    run(build.clang().args(words));
    build.wait_for_blob("twice.o");
    let status = build.daemon("status");
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    let (_, rest) = status.split_once("process ").expect("its number");
    let number = rest.split(',').next().expect("its number").parse();
    let daemon = Pid::from_raw(number.expect("a number")).expect("a process");
    kill_process(daemon, Signal::STOP).expect("sent");
    for source in ["main.c", "twice.c"] {
        let output = build.clang().args(["-flto=thin", "-c", source]).output();
        let output = output.expect("relto starts");
        assert!(output.status.success() && output.stderr.is_empty());
    }
    build.wait_for_blob("main.o");
    kill_process(daemon, Signal::CONT).expect("sent");
}
