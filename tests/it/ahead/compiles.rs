//! `relto cc` with `remote_upload_ahead`: what it leaves to the farm, and how little a build notices of it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use relto::digest::{Digest, DigestFunction};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::farm::{Farm, Profile};
use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};

const PATIENCE: Duration = Duration::from_mins(1);
const SOURCES: [(&str, &str); 2] = [
    (
        "main.c",
        "#include <stdio.h>\nint twice(int);\nint main(void) { puts(twice(3) == 6 ? \"ok\" : \"no\"); return 0; }\n",
    ),
    ("twice.c", "int twice(int x) { return 2 * x; }\n"),
];

/// Sources, a farm, and an empty home.
struct Build {
    folder: TempDir,
    home: Home,
    farm: Farm,
    has_daemon: bool,
}

/// A daemon sends, or, without one, a process for each compile.
const SENDERS: [bool; 2] = [false, true];

impl Build {
    fn new() -> Self {
        Self::with_daemon(false)
    }

    fn with_daemon(has_daemon: bool) -> Self {
        let folder = TempDir::new().expect("a folder");
        for (name, text) in SOURCES {
            fs::write(folder.path().join(name), text).expect("written");
        }
        Self {
            folder,
            home: Home::new(),
            farm: Farm::start(Profile::plain()),
            has_daemon,
        }
    }

    fn daemon(&self, word: &str) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
        self.home.apply(&mut command);
        command.env("RELTO_DAEMON", "auto").args(["daemon", word]);
        command.output().expect("relto starts")
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// `relto cc OPTIONS -- COMPILER`, with the farm.
    fn cc(&self, options: &[&str], compiler: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
        self.home.apply(&mut command);
        command
            .current_dir(self.folder.path())
            .envs(self.farm.environment())
            .env("RELTO_REMOTE_UPLOAD_AHEAD", "true")
            .env("RELTO_DAEMON", if self.has_daemon { "auto" } else { "off" })
            .arg("cc")
            .args(options)
            .arg("--")
            .arg(compiler);
        command
    }

    fn clang(&self) -> Command {
        self.cc(&[], &Llvm::get().tool("clang"))
    }

    /// Another compiler, which is a script.
    fn script(&self, text: &str) -> std::path::PathBuf {
        let path = self.path("clang-script");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("executable");
        path
    }

    fn digest(&self, name: &str) -> Digest {
        DigestFunction::Sha256.digest(&fs::read(self.path(name)).expect("a module"))
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_there(self) {
            assert!(start.elapsed() < PATIENCE, "{what} never came");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_for_blob(&self, name: &str) {
        let digest = self.digest(name);
        self.wait_for(name, |build| build.farm.blob(&digest).is_some());
    }

    /// All has been done that follows a compile; a daemon keeps to itself when it is done.
    fn wait_for_senders(&self) {
        self.wait_for("the end of the senders", |build| build.followers() == 0);
    }

    /// Processes that wait for a compiler of this build, or send for it.
    fn followers(&self) -> usize {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let follows = |process: &Path| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let there = fs::read_link(process.join("cwd")).unwrap_or_default();
            there.starts_with(self.folder.path())
                && line.windows(13).any(|part| part == b"--after-stdin")
        };
        all.filter(|process| follows(&process.path())).count()
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        if self.has_daemon {
            self.daemon("stop");
        }
    }
}

#[test]
fn a_module_is_at_the_farm_before_the_link_and_the_link_sends_none() {
    for has_daemon in SENDERS {
        sent_before_the_link(&Build::with_daemon(has_daemon));
    }
}

fn sent_before_the_link(build: &Build) {
    for (source, object) in [("main.c", "main.o"), ("twice.c", "twice.o")] {
        let mut command = build.clang();
        run(command.args(["-O2", "-flto=thin", "-c", source, "-o", object]));
    }
    let modules = ["main.o", "twice.o"];
    for module in modules {
        build.wait_for_blob(module);
    }
    build.wait_for_senders();
    assert_eq!(build.daemon("status").status.success(), build.has_daemon);
    // The compiler comes last; who asks for it waits for it.
    let mut compiler = Command::new(env!("CARGO_BIN_EXE_relto"));
    build.home.apply(&mut compiler);
    compiler.envs(build.farm.environment());
    compiler.arg("prefetch").arg(build.path("main.o"));
    run(compiler.arg("--compiler").arg(Llvm::get().tool("clang")));
    build.farm.forget_record();
    let mut link = Llvm::get().command("clang");
    build.home.apply(&mut link);
    link.current_dir(build.folder.path())
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
        assert!(!record.uploads.contains_key(&build.digest(module)));
    }
    assert!(record.uploaded_bytes() < super::LITTLE);
    assert_eq!(run(&mut Command::new(build.path("app"))), "ok\n");
}

#[test]
fn nothing_is_sent_where_nobody_asked_for_it_or_there_is_no_module() {
    let build = Build::new();
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
    let build = Build::new();
    let clang = Llvm::get().tool("clang");
    let words = ["-flto=thin", "-c", "twice.c", "-o", "twice.o"];
    let mut by_word = build.cc(&["--remote-upload-ahead", "--jobs", "3"], &clang);
    run(by_word.env_remove("RELTO_REMOTE_UPLOAD_AHEAD").args(words));
    build.wait_for_blob("twice.o");
    fs::write(build.path(".relto.toml"), "remote_upload_ahead = true\n").expect("written");
    let mut by_file = build.clang();
    by_file.env_remove("RELTO_REMOTE_UPLOAD_AHEAD");
    run(by_file.args(["-flto=thin", "-c", "main.c"]));
    build.wait_for_blob("main.o");
}

#[test]
fn settings_that_make_no_sense_fail_no_compile() {
    let build = Build::new();
    let mut command = build.clang();
    command.env("RELTO_REMOTE_RETRIES", "many");
    let output = command.args(["-flto=thin", "-c", "twice.c"]).output();
    let output = output.expect("relto starts");
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(build.path("twice.o").exists());
}

#[test]
fn a_compile_that_fails_is_the_compilers_own_and_nothing_is_sent() {
    let build = Build::new();
    fs::write(build.path("bad.c"), "int f(\n").expect("written");
    let words = ["-flto=thin", "-c", "bad.c", "-o", "bad.o"];
    let ours = build.clang().args(words).output().expect("relto starts");
    let mut clang = Llvm::get().command("clang");
    let theirs = clang.current_dir(build.folder.path()).args(words).output();
    let theirs = theirs.expect("clang starts");
    assert_eq!(ours.status.code(), theirs.status.code());
    assert_eq!(ours.stderr, theirs.stderr);
    build.wait_for_senders();
    assert_eq!(build.farm.record().uploads.len(), 0);
}

/// It is the compiler that gets them, for relto is no longer there.
#[test]
fn signals_reach_the_compiler_and_how_it_ends_is_what_the_build_sees() {
    for has_daemon in SENDERS {
        ended_by_signals(&Build::with_daemon(has_daemon));
    }
}

fn ended_by_signals(build: &Build) {
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
        let mut child = command
            .args(["-flto=thin", "-c", "twice.c", "-o", "twice.o"])
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
fn the_compiler_has_all_that_the_build_gave_it_and_leaves_its_streams_to_nobody() {
    for has_daemon in SENDERS {
        descriptors_of_a_compiler(&Build::with_daemon(has_daemon));
    }
}

fn descriptors_of_a_compiler(build: &Build) {
    let script =
        build.script("cat; ls /proc/$$/fd | tr '\\n' ' '; echo \"$MAKEFLAGS\"; echo x > a.o");
    let relto = build.cc(&[], &script);
    let mut shell = Command::new("bash");
    for (name, value) in relto.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    // As make gives a pipe to those of its children that may use it.
    let text = "exec 3<> <(:) 4<> <(:); \"$@\" -flto=thin -c a.c -o a.o";
    shell
        .current_dir(build.folder.path())
        .env("MAKEFLAGS", " -j2 --jobserver-auth=3,4")
        .args(["-c", text, "bash"])
        .arg(relto.get_program())
        .args(relto.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = shell.spawn().expect("bash starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"of stdin\n").expect("written");
    drop(stdin);
    // It ends although somebody follows: nobody else holds stdout.
    let output = child.wait_with_output().expect("ended");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut lines = stdout.lines();
    assert_eq!(lines.next(), Some("of stdin"));
    let descriptors = lines.next().expect("a line");
    for inherited in ["0 ", "1 ", "2 ", "3 ", "4 "] {
        assert!(descriptors.contains(inherited), "{stdout}");
    }
    assert!(descriptors.contains("--jobserver-auth=3,4"), "{stdout}");
    let own = descriptors.split(' ').filter_map(|word| word.parse().ok());
    let own: Vec<u32> = own.filter(|number| (5..100).contains(number)).collect();
    // The shell's own are 10 and above where it has any; none is relto's.
    assert!(own.iter().all(|number| *number >= 10), "{stdout}");
}

#[test]
fn a_farm_that_is_away_costs_the_compiles_nothing() {
    for has_daemon in SENDERS {
        let mut build = Build::with_daemon(has_daemon);
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
fn a_daemon_that_does_not_answer_holds_up_no_build() {
    let build = Build::with_daemon(true);
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
