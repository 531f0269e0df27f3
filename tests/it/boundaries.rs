//! Trust boundaries of this machine: other mount namespaces, groups and users, and files that are
//! not what their name promises.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use fs_err as fs;

use crate::support::backends::Backends;
use crate::support::cgroup::Cgroup;
use crate::support::daemon::{Daemon, stderr, succeeded};
use crate::support::link::Home;
use crate::support::program::{Feature, feature};
use crate::support::repeat::through;

fn plain() -> Backends {
    Backends::new(&feature(Feature::Plain))
}

/// Runs a backend through `starter` and expects that the daemon leaves it to the caller.
fn assert_declined(starter: &[&str], difference: &str) {
    assert_declined_as(&|relto| through(starter, relto), difference);
}

/// The same for a command that `change` makes of relto's.
fn assert_declined_as(change: &dyn Fn(&Command) -> Command, difference: &str) {
    let (daemon, backends) = (Daemon::new(), plain());
    daemon.run(&backends, "main.o");
    let before = daemon.jobs();
    let mut relto = daemon.relto(&backends);
    relto.args(backends.arguments("main.o", "native.o"));
    relto.env("RELTO_LOG", "debug");
    let output = succeeded(&mut change(&relto));
    let said = stderr(&output);
    assert!(said.contains(difference), "{said}");
    assert_eq!(daemon.jobs(), before);
    backends.assert_identical_objects_of(usize::MAX);
}

#[test]
fn a_caller_in_another_mount_namespace_does_the_work_itself() {
    if rustix::process::geteuid().is_root() {
        assert_declined(&["unshare", "--mount"], "another mnt namespace");
    }
}

#[test]
fn a_caller_with_other_groups_does_the_work_itself() {
    if rustix::process::geteuid().is_root() {
        let groups = &["setpriv", "--groups=54321"];
        assert_declined(groups, "other supplementary groups");
    }
}

#[test]
fn a_caller_in_a_cgroup_with_less_memory_does_the_work_itself() {
    if let Some(cgroup) = Cgroup::new("caller", 1 << 30) {
        assert_declined_as(&|relto| cgroup.command(relto), "other cgroup limits");
    }
}

/// These mean other files in the daemon.
#[test]
fn names_by_way_of_the_process_are_left_to_the_process_itself() {
    let (daemon, backends) = (Daemon::new(), plain());
    daemon.run(&backends, "main.o");
    let before = daemon.jobs();
    let arguments = |object: &str| {
        let words = backends.arguments("main.o", "native.o").into_iter();
        words
            .map(|word| {
                if word == "main.o.native.o" {
                    object.to_owned()
                } else {
                    word
                }
            })
            .collect::<Vec<_>>()
    };
    let mut plain = daemon.relto(&backends);
    succeeded(plain.args(arguments("want.o")));
    assert_eq!(daemon.jobs(), before + 1);
    let want = fs::read(backends.path("want.o")).expect("an object");
    let mut relto = daemon.relto(&backends);
    succeeded(relto.args(arguments("/proc/self/cwd/got.o")));
    assert!(fs::read(backends.path("got.o")).expect("an object") == want);
    let mut relto = daemon.relto(&backends);
    let output = succeeded(relto.args(arguments("/dev/stdout")));
    assert!(output.stdout == want);
    fs::write(
        backends.path("args"),
        arguments("/proc/self/cwd/third.o").join(" "),
    )
    .expect("written");
    succeeded(daemon.relto(&backends).arg("@args"));
    assert!(fs::read(backends.path("third.o")).expect("an object") == want);
    assert_eq!(daemon.jobs(), before + 1);
}

#[test]
fn a_caller_that_cannot_read_the_daemons_key_is_not_served() {
    let (daemon, backends) = (Daemon::new(), plain());
    daemon.run(&backends, "main.o");
    fs::remove_file(daemon.dir().join("daemon.key")).expect("removed");
    let mut relto = daemon.relto(&backends);
    relto.env("RELTO_LOG", "debug");
    let output = succeeded(relto.args(backends.arguments("main.o", "native.o")));
    let said = stderr(&output);
    assert!(said.contains("cannot read the daemon's key"), "{said}");
    // The daemon of this test must end by its own means: nothing can reach it any more.
    for process in daemon.processes() {
        let process = i32::try_from(process)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(process) = process {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
    }
}

#[test]
fn slots_are_private_whatever_the_umask() {
    let (home, backends) = (Home::new(), plain());
    let mut relto = backends.relto(&home);
    relto.env("RELTO_LOCAL_JOBS", "2");
    relto.args(backends.arguments("main.o", "native.o"));
    let script = ["sh", "-c", "umask 000; exec \"$@\"", "sh"];
    succeeded(&mut through(&script, &relto));
    let mut dirs = vec![home.cache()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let mode = entry.metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
            if entry.path().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
}
