//! Scratch directories, and that a killed link leaves nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fs_err as fs;
use relto::internals::process::Scratch;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::process::{eventually, is_alive, relto, run, shell};

/// Not a test of its own: what the next test kills. It holds a scratch directory and a running
/// program.
#[test]
#[ignore = "runs only as the child of another test"]
fn a_link_to_be_killed() {
    let Some(parent) = std::env::var_os("RELTO_TEST_SCRATCH_PARENT") else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let scratch = Scratch::create(&relto(), Path::new(&parent)).expect("a scratch directory");
        fs::write(scratch.path().join("object"), b"half").expect("written");
        let file = Path::new(&parent).join("pid");
        let script = format!("echo $$ > {}; exec sleep 1000", file.display());
        run(&shell(&script)).await.expect("it runs for long");
    });
}

fn start_link(parent: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this executable"))
        .args(["--exact", "--ignored", "scratch::a_link_to_be_killed"])
        .env("RELTO_TEST_SCRATCH_PARENT", parent)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

#[test]
fn when_relto_is_killed_neither_compiler_nor_scratch_directory_is_left() {
    for whole_group in [false, true] {
        let parent = tempfile::tempdir().expect("a directory");
        let mut link = start_link(parent.path());
        let mut compiler = String::new();
        eventually("the start of the compiler", || {
            compiler = fs::read_to_string(parent.path().join("pid")).unwrap_or_default();
            compiler.ends_with('\n')
        });
        let compiler = compiler.trim_end();
        assert!(is_alive(compiler));
        let scratch: Vec<PathBuf> = fs::read_dir(parent.path())
            .expect("listed")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_dir())
            .collect();
        assert_eq!(scratch.len(), 1, "{scratch:?}");

        let pid = Pid::from_child(&link);
        let killed = if whole_group {
            kill_process_group(pid, Signal::KILL)
        } else {
            kill_process(pid, Signal::KILL)
        };
        killed.expect("killed");
        link.wait().expect("reaped");
        eventually("the end of the compiler", || !is_alive(compiler));
        eventually("the end of the scratch directory", || !scratch[0].exists());
    }
}

#[test]
fn an_orderly_end_leaves_neither_directory_nor_janitor() {
    let parent = tempfile::tempdir().expect("a directory");
    let scratch = Scratch::create(&relto(), parent.path()).expect("a scratch directory");
    let path = scratch.path().to_owned();
    fs::create_dir(path.join("m")).expect("made");
    fs::write(path.join("m/0000.bc"), b"BC").expect("written");
    let janitors = || {
        let wanted = path.as_os_str().as_encoded_bytes();
        fs::read_dir("/proc")
            .expect("listed")
            .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
            .filter(|line| line.split(|byte| *byte == 0).any(|word| word == wanted))
            .count()
    };
    eventually("the start of the janitor", || janitors() == 1);
    drop(scratch);
    assert!(!path.exists());
    assert_eq!(janitors(), 0);
}

#[test]
fn a_scratch_directory_is_private_and_the_janitor_removes_nothing_else() {
    let parent = tempfile::tempdir().expect("a directory");
    let scratch = Scratch::create(&relto(), parent.path()).expect("a scratch directory");
    let mode = fs::metadata(scratch.path()).expect("there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);

    let precious = parent.path().join("precious");
    fs::create_dir(&precious).expect("made");
    let status = Command::new(env!("CARGO_BIN_EXE_relto"))
        .arg("__janitor")
        .arg(&precious)
        .stdin(Stdio::null())
        .status()
        .expect("started");
    assert_eq!(status.code(), Some(2));
    assert!(precious.exists());
}
