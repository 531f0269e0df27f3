//! Relto's own reasons to stop, in processes of their own: a test that dies of a signal would take the others along.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use relto::process::Watch;
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(10);
const FOLDER: &str = "RELTO_TEST_WATCH_FOLDER";

/// Not a test of its own: it watches until it has a reason to stop, and writes that down.
#[test]
#[ignore = "runs only as the child of another test"]
fn a_relto_that_watches() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut watch = Watch::start().expect("handlers");
        assert!(!watch.is_parent_gone());
        let parent = watch.parent().expect("a parent").to_string();
        fs_err::rename(
            written(&folder.join("parent.tmp"), &parent),
            folder.join("parent"),
        )
        .expect("renamed");
        let reason = watch.interrupted().await.to_string();
        fs::rename(
            written(&folder.join("reason.tmp"), &reason),
            folder.join("reason"),
        )
        .expect("renamed");
    });
}

fn written<'a>(path: &'a Path, text: &str) -> &'a Path {
    fs::write(path, text).expect("written");
    path
}

/// What the watching process wrote into `name`, once it has.
fn told(folder: &Path, name: &str) -> String {
    let start = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(folder.join(name)) {
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "no {name}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A shell that runs `script`, in which `"$@"` starts the watching process.
fn start(folder: &Path, script: &str) -> Child {
    Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().expect("this executable"))
        .args(["--exact", "--ignored", "parent::a_relto_that_watches"])
        .env(FOLDER, folder)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

#[test]
fn each_signal_that_ends_a_program_is_a_reason_to_stop() {
    for (signal, reason) in [
        (Signal::INT, "interrupted"),
        (Signal::TERM, "terminated"),
        (Signal::HUP, "the terminal is gone"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        // Below `nohup` the signal would be ignored by all that this process starts.
        let mut child = start(folder.path(), "exec env --default-signal=HUP \"$@\"");
        let parent = told(folder.path(), "parent");
        assert_eq!(parent, std::process::id().to_string());
        kill_process(Pid::from_child(&child), signal).expect("sent");
        assert_eq!(told(folder.path(), "reason"), reason);
        assert!(child.wait().expect("reaped").success());
    }
}

#[test]
fn a_dead_parent_is_a_reason_to_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut parent = start(folder.path(), "\"$@\" & wait");
    assert_eq!(told(folder.path(), "parent"), parent.id().to_string());
    parent.kill().expect("killed");
    parent.wait().expect("reaped");
    assert_eq!(told(folder.path(), "reason"), "the linker is gone");
}

#[test]
fn an_ignored_signal_stays_ignored_and_the_end_of_a_mere_thread_means_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = start(folder.path(), "trap '' HUP; exec \"$@\"");
    told(folder.path(), "parent");
    let pid = Pid::from_child(&child);
    for signal in [Signal::HUP, Signal::USR2, Signal::TERM] {
        kill_process(pid, signal).expect("sent");
    }
    assert_eq!(told(folder.path(), "reason"), "terminated");
    assert!(child.wait().expect("reaped").success());
}
