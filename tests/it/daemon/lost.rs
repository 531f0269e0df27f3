//! Daemons and callers that end during a compile.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::plain;
use crate::support::backends::{Backends, WORDS};
use crate::support::daemon::{Daemon, compilers, stderr, switch_on, wait_until};
use crate::support::fake::{fake_clang, wait_for};
use crate::support::outcome::Counts;
use crate::support::program::generated;
use crate::support::repeat::through;
use crate::support::saved::Saved;

/// A compile that waits until it is told to go on.
struct LostDaemon {
    dir: TempDir,
    daemon: Daemon,
    backends: Backends,
    caller: Child,
}

impl LostDaemon {
    fn new() -> Self {
        let (dir, compiler) = patient_compiler();
        let (daemon, backends) = (Daemon::new(), plain());
        let mut command = daemon.relto_with(&backends, &compiler);
        command.env("TMPDIR", dir.path().join("tmp"));
        let caller = command.args(WORDS).stderr(Stdio::null()).spawn();
        let stage = Self {
            dir,
            daemon,
            backends,
            caller: caller.expect("started"),
        };
        wait_until("it compiles", || compilers(&stage.tmp()) == 1);
        assert!(
            stage
                .daemon
                .status()
                .expect("a daemon")
                .contains("1 under way")
        );
        stage
    }

    fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// The caller gets its object.
    fn goes_on(mut self) {
        fs::write(self.dir.path().join("go"), "").expect("written");
        assert!(self.caller.wait().expect("ended").success());
        let object = fs::read(self.backends.path("o.o")).expect("an object");
        assert_eq!((&object[..4], object.len()), (&b"\x7fELF"[..], 64));
        wait_until("scratch directories are gone", || {
            fs::read_dir(self.tmp()).expect("a directory").count() == 0
        });
    }
}

/// A compiler that waits for a file `go` in a directory, where its scratch directories can be, too.
fn patient_compiler() -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a directory");
    fs::create_dir(dir.path().join("tmp")).expect("made");
    let go = dir.path().join("go");
    let compiler = fake_clang(&(wait_for(&go) + "object(ET_REL); return 0;"));
    (dir, compiler)
}

/// A link of three jobs in the daemon, started by the program of `starter`.
fn link(starter: &[&str]) -> (TempDir, Daemon, Saved, Child) {
    let (dir, compiler) = patient_compiler();
    let (daemon, mut saved) = (Daemon::new(), Saved::new(&generated(2)));
    saved.compile_with(&compiler);
    let mut command = saved.command();
    daemon.home.apply(&mut command);
    switch_on(&mut command);
    command.env("TMPDIR", dir.path().join("tmp"));
    let mut command = through(starter, &command);
    let caller = command.stderr(Stdio::piped()).spawn().expect("started");
    let tmp = dir.path().join("tmp");
    wait_until("it compiles", || compilers(&tmp) > 0);
    assert!(daemon.status().expect("a daemon").contains("1 under way"));
    (dir, daemon, saved, caller)
}

#[test]
fn a_link_whose_daemon_is_killed_restarts_and_counts_each_job_once() {
    let (dir, daemon, saved, caller) = link(&["env"]);
    send(daemon.processes()[0], Signal::KILL);
    fs::write(dir.path().join("go"), "").expect("written");
    let output = caller.wait_with_output().expect("ended");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let counts = Counts::parse(&said).expect("a summary");
    assert_eq!(
        (counts.jobs, counts.local + counts.cached),
        (3, 3),
        "{said}"
    );
    assert!(saved.objects().iter().all(|object| object.exists()));
}

/// lld is gone without a word; its distributor notices, and the daemon hears it from there.
#[test]
fn a_link_whose_linker_is_killed_is_cancelled() {
    let (dir, daemon, saved, mut linker) = link(&["sh", "-c", "\"$@\"; true", "sh"]);
    send(linker.id(), Signal::KILL);
    linker.wait().expect("ended");
    let tmp = dir.path().join("tmp");
    wait_until("the compilers are gone", || compilers(&tmp) == 0);
    wait_until("the daemon rests", || {
        let status = daemon.status().expect("it lives");
        status.contains("1 ended, 0 under way")
    });
    assert!(saved.objects().iter().all(|object| !object.exists()));
}

fn send(process: u32, signal: Signal) {
    let process = Pid::from_raw(process.cast_signed()).expect("a process");
    kill_process(process, signal).expect("sent");
}

#[test]
fn a_link_whose_daemon_is_killed_restarts_locally() {
    let stage = LostDaemon::new();
    send(stage.daemon.processes()[0], Signal::KILL);
    wait_until("the caller compiles by itself", || {
        stage.daemon.processes().is_empty() && compilers(&stage.tmp()) == 1
    });
    stage.goes_on();
}

/// It takes half a minute until a daemon that says nothing is taken for lost.
#[test]
fn a_frozen_daemon_does_not_touch_what_its_caller_has_written_meanwhile() {
    let mut stage = LostDaemon::new();
    let daemon = stage.daemon.processes()[0];
    send(daemon, Signal::STOP);
    wait_until("the caller compiles by itself", || {
        compilers(&stage.tmp()) == 2
    });
    fs::write(stage.dir.path().join("go"), "").expect("written");
    assert!(stage.caller.wait().expect("ended").success());
    let object = fs::read(stage.backends.path("o.o")).expect("an object");
    send(daemon, Signal::CONT);
    wait_until("the daemon rests", || {
        let status = stage.daemon.status();
        status.is_some_and(|status| status.contains("0 under way"))
    });
    assert!(fs::read(stage.backends.path("o.o")).expect("still there") == object);
}

#[test]
fn a_daemon_that_is_stopped_during_a_link_leaves_it_to_its_caller() {
    let stage = LostDaemon::new();
    stage.daemon.command("stop");
    wait_until("it is gone", || stage.daemon.processes().is_empty());
    stage.goes_on();
}

#[test]
fn the_compiler_of_a_killed_caller_ends_and_leaves_nothing() {
    let mut stage = LostDaemon::new();
    fs::write(stage.backends.path("o.o"), "of an earlier build").expect("written");
    send(stage.caller.id(), Signal::KILL);
    stage.caller.wait().expect("ended");
    wait_until("the compiler is gone", || compilers(&stage.tmp()) == 0);
    wait_until("the object is gone", || {
        !stage.backends.path("o.o").exists()
    });
    let rests = || {
        let status = stage.daemon.status().expect("it lives");
        status.contains("1 ended, 0 under way") && status.contains("jobs: 0 jobs")
    };
    wait_until("the daemon rests", rests);
}

#[test]
fn a_caller_that_is_interrupted_waits_for_the_end_of_its_compiler() {
    let mut stage = LostDaemon::new();
    send(stage.caller.id(), Signal::INT);
    let status = stage.caller.wait().expect("ended");
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{status}");
    assert_eq!(compilers(&stage.tmp()), 0);
    assert!(!stage.backends.path("o.o").exists());
    assert_eq!(stage.daemon.processes().len(), 1);
}
