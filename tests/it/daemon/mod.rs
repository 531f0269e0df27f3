//! The daemon: what starts it, which processes may use it, when it exits. What it does for links is
//! in `daemon/`.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Stdio;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::backends::Backends;
use crate::support::daemon::{Daemon, stderr, succeeded, wait_until};
use crate::support::executable;
use crate::support::program::{Feature, feature, generated};
use crate::support::saved::Saved;
use crate::support::skip::skip;

mod builds;
mod farms;
mod links;
mod lost;
mod places;

fn plain() -> Backends {
    Backends::new(&feature(Feature::Plain))
}

#[test]
fn the_first_backend_starts_a_daemon_that_serves_all_of_them() {
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(4));
    for module in &backends.modules {
        daemon.run(&backends, module);
    }
    backends.assert_identical_objects();
    assert_eq!(daemon.processes().len(), 1);
    assert_eq!(daemon.process(), Some(daemon.processes()[0]));
}

#[test]
fn by_default_the_launcher_starts_a_daemon_and_a_linker_does_not() {
    let daemon = Daemon::new();
    let backends = plain();
    let saved = Saved::new(&feature(Feature::Plain));
    let mut command = saved.command();
    daemon.home.apply(&mut command);
    succeeded(command.env_remove("RELTO_DAEMON"));
    assert!(daemon.processes().is_empty());
    let mut command = daemon.relto(&backends);
    command.env_remove("RELTO_DAEMON");
    succeeded(command.args(backends.arguments("main.o", "native.o")));
    assert_eq!(daemon.jobs(), 1);
}

#[test]
fn many_processes_that_start_a_daemon_are_all_served_by_one() {
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(12));
    let started: Vec<_> = backends
        .modules
        .iter()
        .map(|module| {
            let mut command = daemon.relto(&backends);
            command.args(backends.arguments(module, "native.o"));
            command.stderr(Stdio::null()).spawn().expect("started")
        })
        .collect();
    for mut child in started {
        assert!(child.wait().expect("ended").success());
    }
    assert_eq!(daemon.processes().len(), 1);
    backends.assert_identical_objects();
}

/// Of the same release the one that was built later counts as newer; a copy is.
#[test]
fn a_newer_relto_replaces_the_daemon_and_an_older_one_does_its_own_work() {
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(2));
    daemon.run(&backends, &backends.modules[0]);
    let first = daemon.process();
    let newer = backends.path("relto");
    executable::copy(env!("CARGO_BIN_EXE_relto"), &newer);
    let mut command = daemon.relto_at(&newer, &backends);
    succeeded(command.args(backends.arguments(&backends.modules[1], "native.o")));
    let second = daemon.process();
    assert_ne!(first, second);
    assert_eq!(daemon.jobs(), 1);
    wait_until("the old one is gone", || daemon.processes().len() == 1);
    let mut older = daemon.relto(&backends);
    let output = succeeded(older.args(backends.arguments(&backends.modules[2], "native.o")));
    assert!(
        stderr(&output).contains("the daemon runs another relto"),
        "{}",
        stderr(&output)
    );
    assert_eq!((daemon.process(), daemon.jobs()), (second, 1));
    backends.assert_identical_objects_of(1);
}

/// After a downgrade: no newer relto will replace it.
#[test]
fn a_daemon_whose_executable_is_gone_makes_way_for_any_other() {
    let daemon = Daemon::new();
    let backends = plain();
    let removed = backends.path("relto");
    executable::copy(env!("CARGO_BIN_EXE_relto"), &removed);
    let mut command = daemon.relto_at(&removed, &backends);
    succeeded(command.args(backends.arguments("main.o", "native.o")));
    let first = daemon.process();
    fs::remove_file(removed).expect("removed");
    let mut older = daemon.relto(&backends);
    succeeded(older.args(backends.arguments("main.o", "native.o")));
    daemon.run(&backends, "main.o");
    assert_ne!(daemon.process(), first);
}

#[test]
fn a_directory_that_others_could_enter_or_own_is_not_used() {
    let daemon = Daemon::new();
    let backends = plain();
    fs::create_dir_all(daemon.dir()).expect("made");
    let mode = std::fs::Permissions::from_mode;
    let refused = |reason: &str| {
        let mut command = daemon.relto(&backends);
        let output = succeeded(command.args(backends.arguments("main.o", "native.o")));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
        assert!(daemon.processes().is_empty());
        let asked = daemon.command("status");
        assert!(stderr(&asked).contains(reason), "{}", stderr(&asked));
        assert_eq!(asked.status.code(), Some(1));
    };
    fs::set_permissions(daemon.dir(), mode(0o755)).expect("set");
    refused("other users may enter it");
    fs::set_permissions(daemon.dir(), mode(0o700)).expect("set");
    // Only root can give a directory away.
    if chown(daemon.dir(), Some(65534), Some(65534)).is_ok() {
        refused("it belongs to another user");
    }
}

/// `su` and `sudo -E` keep the variable that names it.
#[test]
fn a_runtime_directory_of_another_user_stays_empty() {
    let daemon = Daemon::new();
    let backends = plain();
    let mut command = daemon.relto(&backends);
    let runtime = daemon.dir();
    let runtime = runtime.parent().expect("above it");
    if chown(runtime, Some(12345), Some(12345)).is_err() {
        return skip("only root can give directories away");
    }
    let beside_the_cache = daemon.home.cache().join("relto/daemon");
    succeeded(command.args(backends.arguments("main.o", "native.o")));
    assert_eq!(fs::read_dir(runtime).expect("there").count(), 0);
    assert!(beside_the_cache.exists(), "the daemon has a directory");
    assert_eq!(daemon.jobs(), 1);
    assert!(daemon.command("stop").status.success());
}

#[test]
fn a_daemon_without_work_leaves_nothing_but_its_log() {
    let daemon = Daemon::new();
    let backends = plain();
    let mut command = daemon.relto(&backends);
    command.env("RELTO_DAEMON_IDLE_TIMEOUT", "200ms");
    succeeded(command.args(backends.arguments("main.o", "native.o")));
    wait_until("it has left", || daemon.processes().is_empty());
    assert!(!daemon.dir().join("daemon.sock").exists());
    assert_eq!(
        fs::read_to_string(daemon.dir().join("daemon.log")).expect("a log"),
        ""
    );
    let output = daemon.command("stop");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "no daemon is running\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_daemon_has_exited_when_the_command_to_stop_it_returns() {
    let daemon = Daemon::new();
    let backends = plain();
    daemon.run(&backends, "main.o");
    assert_eq!(daemon.command("stop").status.code(), Some(0));
    assert_eq!(daemon.status(), None);
    wait_until("it is gone", || daemon.processes().is_empty());
    daemon.run(&backends, "main.o");
}

/// A socket that does not answer is worth one short wait, not a build.
#[test]
fn a_stopped_daemon_process_is_not_waited_for() {
    let daemon = Daemon::new();
    let backends = plain();
    daemon.run(&backends, "main.o");
    let process = daemon
        .process()
        .and_then(|it| Pid::from_raw(it.cast_signed()));
    let process = process.expect("a daemon");
    kill_process(process, Signal::STOP).expect("sent");
    let mut command = daemon.relto(&backends);
    let output = succeeded(command.args(backends.arguments("main.o", "native.o")));
    let mut again = daemon.relto(&backends);
    let unheard = succeeded(again.args(backends.arguments("main.o", "native.o")));
    assert!(
        !stderr(&unheard).contains("does the work itself"),
        "no server was asked"
    );
    kill_process(process, Signal::CONT).expect("sent");
    assert!(
        stderr(&output).contains("does the work itself"),
        "{}",
        stderr(&output)
    );
    backends.assert_identical_objects_of(usize::MAX);
}
