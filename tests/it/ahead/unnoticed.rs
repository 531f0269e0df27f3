//! A build sees no difference between the compiler and one whose output relto uploads.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use super::build::{AheadBuild, SENDERS};
use crate::support::repeat::through;

/// It is the compiler that gets them, for relto is no longer there.
#[test]
fn signals_reach_the_compiler_and_the_build_sees_how_it_ended() {
    for has_daemon in SENDERS {
        ended_by_signals(&AheadBuild::with_daemon(has_daemon));
    }
}

fn ended_by_signals(build: &AheadBuild) {
    let trap =
        "trap 'echo got >> log; exit 7' TERM; echo x > twice.o; while :; do sleep 0.01; done";
    let plain = "echo x > twice.o; exec sleep 600";
    for (text, signal, code, ending) in [
        (trap, Signal::TERM, Some(7), None),
        (plain, Signal::TERM, None, Some(15)),
        (plain, Signal::INT, None, Some(2)),
        (plain, Signal::HUP, None, Some(1)),
        (plain, Signal::KILL, None, Some(9)),
    ] {
        let _ = fs::remove_file(build.path("twice.o"));
        let mut command = build.cc(&[], &build.script(text));
        command.args(["-flto=thin", "-c", "twice.c", "-o", "twice.o"]);
        // Below `nohup` the signal would be ignored by all that this process starts.
        let mut child = through(&["env", "--default-signal=HUP"], &command)
            .spawn()
            .expect("relto starts");
        build.wait_for("the compiler", |build| {
            fs::read_to_string(build.path("twice.o")).is_ok_and(|text| text == "x\n")
        });
        assert_eq!(build.followers(), usize::from(!build.has_daemon));
        kill_process(Pid::from_child(&child), signal).expect("sent");
        let status = child.wait().expect("ended");
        assert_eq!((status.code(), status.signal()), (code, ending));
        build.wait_for_senders();
    }
    assert_eq!(
        fs::read_to_string(build.path("log")).expect("a log"),
        "got\n"
    );
    assert_eq!(build.farm.record().uploads.len(), 0);
}

/// With its descriptors: stdin, make's jobserver, and what else the build gave it.
#[test]
fn the_compiler_inherits_what_the_build_gave_it_and_no_other_process_keeps_its_streams() {
    for has_daemon in SENDERS {
        descriptors_of_a_compiler(&AheadBuild::with_daemon(has_daemon));
    }
}

fn descriptors_of_a_compiler(build: &AheadBuild) {
    let script = build.script(
        "cat; cd /proc/$$/fd; for f in *; do echo \"$f $(readlink $f)\"; done; echo \"$MAKEFLAGS\"",
    );
    let alone = streams(build, &Command::new(&script));
    let launched = streams(build, &build.cc(&[], &script));
    let line = |text: &str, number: usize| text.lines().nth(number).map(str::to_owned);
    assert_eq!(line(&launched, 0).as_deref(), Some("of stdin"));
    assert!(launched.ends_with(" -j2 --jobserver-auth=3,4\n"));
    let numbers = |text: &str| -> BTreeSet<u32> {
        let words = text.lines().filter_map(|line| line.split(' ').next());
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let (alone_has, launched_has) = (numbers(&alone), numbers(&launched));
    assert!(alone_has.is_superset(&(0..5).collect()), "{alone}");
    let added: Vec<u32> = launched_has.difference(&alone_has).copied().collect();
    assert_eq!(added, [100], "{alone}{launched}");
    assert_eq!(alone_has.difference(&launched_has).count(), 0);
}

/// A pipe that stays open keeps its reader waiting, and a lock everybody else.
#[test]
fn whoever_sends_after_a_compile_holds_nothing_that_the_build_gave_it() {
    let farm = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("grpc://{}", farm.local_addr().expect("an address"));
    let build = AheadBuild::new();
    let mut command = build.clang();
    command.env("RELTO_REMOTE_EXECUTOR", &address);
    command.env("RELTO_REMOTE_CACHE", &address);
    command.args(["-flto=thin", "-c", "main.c", "-o", "main.o"]);
    let mut shell = through(&["bash", "-c", "exec 7>&1; \"$@\"", "bash"], &command);
    let output = shell.stdout(Stdio::piped()).output().expect("bash starts");
    assert!(output.status.success());
    // The end of the pipe was not that of the sender, which waits for a farm that does not answer.
    assert_eq!(build.followers(), 1);
    drop(farm);
    build.wait_for_senders();
}

/// What the compiler says that `command` starts, with a pipe at each number that make's jobserver
/// has.
fn streams(build: &AheadBuild, command: &Command) -> String {
    let mut shell = Command::new("bash");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let text = "exec 3<> <(:) 4<> <(:); \"$@\" -flto=thin -c a.c -o a.o";
    shell
        .current_dir(build.dir.path())
        .env("MAKEFLAGS", " -j2 --jobserver-auth=3,4")
        .args(["-c", text, "bash"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = shell.spawn().expect("bash starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"of stdin\n").expect("written");
    drop(stdin);
    // It ends although a process follows: no other process holds stdout.
    let output = child.wait_with_output().expect("ended");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
