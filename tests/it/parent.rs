//! relto's reasons to stop, tested in separate processes: a signal that ends one test must not end
//! the others.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use relto::internals::process::Watch;
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(10);
const DIR: &str = "RELTO_TEST_WATCH_DIR";

/// Not a test of its own: it watches until it has a reason to stop, and writes that down.
#[test]
#[ignore = "runs only as the child of another test"]
fn a_relto_that_watches() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut watch = Watch::start().expect("handlers");
        assert!(!watch.is_parent_gone());
        let parent = std::os::unix::process::parent_id().to_string();
        fs_err::rename(
            written(&dir.join("parent.tmp"), &parent),
            dir.join("parent"),
        )
        .expect("renamed");
        let reason = watch.interrupted().await.to_string();
        fs::rename(
            written(&dir.join("reason.tmp"), &reason),
            dir.join("reason"),
        )
        .expect("renamed");
    });
}

fn written<'a>(path: &'a Path, text: &str) -> &'a Path {
    fs::write(path, text).expect("written");
    path
}

/// What the watching process wrote into `name`, once it has.
fn told(dir: &Path, name: &str) -> String {
    let start = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(dir.join(name)) {
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "no {name}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A shell that runs `script`, in which `"$@"` starts the watching process.
fn start(dir: &Path, script: &str) -> Child {
    Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().expect("this executable"))
        .args(["--exact", "--ignored", "parent::a_relto_that_watches"])
        .env(DIR, dir)
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
        let dir = tempfile::tempdir().expect("a directory");
        // Below `nohup` the signal would be ignored by all that this process starts.
        let mut child = start(dir.path(), "exec env --default-signal=HUP \"$@\"");
        let parent = told(dir.path(), "parent");
        assert_eq!(parent, std::process::id().to_string());
        kill_process(Pid::from_child(&child), signal).expect("sent");
        assert_eq!(told(dir.path(), "reason"), reason);
        assert!(child.wait().expect("reaped").success());
    }
}

#[test]
fn a_dead_parent_is_a_reason_to_stop() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut parent = start(dir.path(), "\"$@\" & wait");
    assert_eq!(told(dir.path(), "parent"), parent.id().to_string());
    parent.kill().expect("killed");
    parent.wait().expect("reaped");
    assert_eq!(told(dir.path(), "reason"), "the linker is gone");
}

#[test]
fn an_ignored_signal_stays_ignored_and_the_end_of_a_mere_thread_means_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = start(dir.path(), "trap '' HUP; exec \"$@\"");
    told(dir.path(), "parent");
    let pid = Pid::from_child(&child);
    for signal in [Signal::HUP, Signal::USR2, Signal::TERM] {
        kill_process(pid, signal).expect("sent");
    }
    assert_eq!(told(dir.path(), "reason"), "terminated");
    assert!(child.wait().expect("reaped").success());
}
