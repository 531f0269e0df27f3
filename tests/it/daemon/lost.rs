//! Daemons and callers that go away in the middle of a compile.

use std::path::PathBuf;
use std::process::{Child, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::plain;
use crate::support::backends::{Backends, WORDS};
use crate::support::daemon::{Daemon, compilers, wait_until};
use crate::support::fake::fake_clang;

/// A compile that waits until it is told to go on.
struct Stage {
    folder: TempDir,
    daemon: Daemon,
    backends: Backends,
    caller: Child,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(folder.path().join("tmp")).expect("made");
        let go = folder.path().join("go");
        let behaviour = format!(
            "while (access(\"{}\", F_OK)) usleep(5000); object(ET_REL); return 0;",
            go.display()
        );
        let (daemon, backends) = (Daemon::new(), plain());
        let mut command = daemon.relto_with(&backends, &fake_clang(&behaviour));
        command.env("TMPDIR", folder.path().join("tmp"));
        let caller = command.args(WORDS).stderr(Stdio::null()).spawn();
        let stage = Self {
            folder,
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
        self.folder.path().join("tmp")
    }

    /// The caller gets its object.
    fn goes_on(mut self) {
        fs::write(self.folder.path().join("go"), "").expect("written");
        assert!(self.caller.wait().expect("ended").success());
        let object = fs::read(self.backends.path("o.o")).expect("an object");
        assert_eq!((&object[..4], object.len()), (&b"\x7fELF"[..], 64));
        wait_until("scratch folders are gone", || {
            fs::read_dir(self.tmp()).expect("a folder").count() == 0
        });
    }
}

fn send(process: u32, signal: Signal) {
    let process = Pid::from_raw(process.cast_signed()).expect("a process");
    kill_process(process, signal).expect("sent");
}

#[test]
fn a_daemon_that_is_killed_in_the_middle_costs_a_new_beginning() {
    let stage = Stage::new();
    send(stage.daemon.processes()[0], Signal::KILL);
    wait_until("the caller compiles by itself", || {
        stage.daemon.processes().is_empty() && compilers(&stage.tmp()) == 1
    });
    stage.goes_on();
}

#[test]
fn a_daemon_that_is_stopped_in_the_middle_leaves_the_work_to_its_caller() {
    let stage = Stage::new();
    stage.daemon.command("stop");
    wait_until("it is gone", || stage.daemon.processes().is_empty());
    stage.goes_on();
}

#[test]
fn the_compiler_of_a_killed_caller_ends_and_leaves_nothing() {
    let mut stage = Stage::new();
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
    let mut stage = Stage::new();
    send(stage.caller.id(), Signal::INT);
    let status = stage.caller.wait().expect("ended");
    assert_eq!(status.code(), Some(130));
    assert_eq!(compilers(&stage.tmp()), 0);
    assert!(!stage.backends.path("o.o").exists());
    assert_eq!(stage.daemon.processes().len(), 1);
}
