//! Links that are stopped leave no file and no process.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::executable;
use crate::support::wrapped::{Release, WrapperDir};

/// A directory whose linker reports the named step and then waits forever.
struct Stopped {
    fixture: WrapperDir,
    linker: PathBuf,
    scratch: PathBuf,
}

impl Stopped {
    fn at(step: &str) -> Self {
        let fixture = WrapperDir::new(&Release::under_test());
        fixture.module("main.c", "int main(void) { return 0; }\n");
        let bin = fixture.path("bin");
        fs::create_dir(&bin).expect("made");
        let (real, clang) = (
            fixture.release.tool("ld.lld"),
            fixture.release.tool("clang"),
        );
        fs::os::unix::fs::symlink(clang, bin.join("clang")).expect("linked");
        rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("there"), 0o600.into()).expect("a pipe");
        let linker = bin.join("ld.lld");
        let there = fixture.path("there");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *{step}*) echo $$ > {}; exec sleep 1000;; esac\nexec {} \"$@\"\n",
            there.display(),
            real.display()
        );
        executable::write(&linker, script);
        let scratch = fixture.path("tmp");
        fs::create_dir(&scratch).expect("made");
        Self {
            fixture,
            linker,
            scratch,
        }
    }

    fn start(&self) -> Child {
        let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
        self.fixture.home.apply(&mut relto);
        relto
            .current_dir(self.fixture.dir())
            .env("TMPDIR", &self.scratch)
            .args(["ld", "--"])
            .arg(&self.linker)
            .args(["-shared", "-o", "app", "main.o"])
            .stderr(Stdio::null())
            .process_group(0);
        relto.spawn().expect("relto starts")
    }

    /// Waits until the linker is in its step; returns its process.
    fn linker_pid(&self) -> Pid {
        let text = fs::read_to_string(self.fixture.path("there")).expect("the linker says so");
        let number = text.trim().parse().expect("a number");
        Pid::from_raw(number).expect("a process")
    }

    fn assert_gone(&self, linker: Pid) {
        crate::process::eventually("the linker is gone", || {
            rustix::process::test_kill_process(linker).is_err()
        });
        crate::process::eventually("the scratch directory is gone", || {
            fs::read_dir(&self.scratch)
                .expect("listed")
                .next()
                .is_none()
        });
        assert!(!self.fixture.path("app").exists());
    }
}

#[test]
fn a_signal_ends_linker_and_scratch_in_every_step() {
    for step in ["thin-link", "final-link"] {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let stopped = Stopped::at(step);
            let mut relto = stopped.start();
            let linker = stopped.linker_pid();
            kill_process(Pid::from_child(&relto), signal).expect("sent");
            let status = relto.wait().expect("ended");
            assert_eq!(status.signal(), Some(signal.as_raw()), "{step}: {status}");
            stopped.assert_gone(linker);
        }
    }
}

#[test]
fn a_killed_relto_leaves_nothing() {
    for step in ["thin-link", "final-link"] {
        let stopped = Stopped::at(step);
        let mut relto = stopped.start();
        let linker = stopped.linker_pid();
        relto.kill().expect("killed");
        let status = relto.wait().expect("ended");
        assert_eq!(status.signal(), Some(9));
        stopped.assert_gone(linker);
    }
}

#[test]
fn a_killed_linker_fails_or_is_run_again_and_leaves_nothing() {
    let stopped = Stopped::at("final-link");
    let mut relto = stopped.start();
    let linker = stopped.linker_pid();
    kill_process(linker, Signal::KILL).expect("killed");
    // The linker that does the link alone is not in the step.
    assert!(relto.wait().expect("ended").success());
    assert!(stopped.fixture.path("app").exists());
    assert_eq!(fs::read_dir(&stopped.scratch).expect("listed").count(), 0);
}
