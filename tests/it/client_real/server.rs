//! Starts servers that others wrote, and ends them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// A server of this test's own; ends with it.
pub(crate) struct Server {
    pub(crate) port: u16,
    pids: Vec<String>,
    pub(crate) folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Each process leads a group of its own. Nothing of it is worth an orderly end, and Buildbarn's may last.
        let groups = self.pids.iter().map(|pid| format!("-{pid}"));
        let _ = Command::new("kill")
            .args(["-KILL", "--"])
            .args(groups)
            .status();
    }
}

/// `None`, and a word about it, where the variable is not set.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub(crate) fn start(name: &str, extra: &[String], prepare: impl FnOnce(&Path)) -> Option<Server> {
    let variable = format!("RELTO_TEST_{}", name.to_uppercase());
    let Some(script) = std::env::var_os(&variable) else {
        let required = std::env::var("RELTO_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|one| one == name),
            "{variable} is not set, and RELTO_TEST_REQUIRE asks for it"
        );
        eprintln!("SKIPPED: {variable} names no script that starts a server");
        return None;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    let port = free_ports();
    let output = Command::new(PathBuf::from(script))
        .arg(port.to_string())
        .arg(folder.path())
        .args(
            extra
                .iter()
                .map(|text| text.replace("DIR", &folder.path().display().to_string())),
        )
        .output()
        .expect("the script runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).expect("text");
    let numbers = printed
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace();
    let pids = numbers
        .filter(|n| *n != port.to_string())
        .map(str::to_owned);
    Some(Server {
        port,
        pids: pids.collect(),
        folder,
    })
}

/// The first of five ports in a row that nobody listens on. Tests of this program do not give out one twice.
fn free_ports() -> u16 {
    static NEXT: Mutex<u16> = Mutex::new(0);
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    if *next == 0 {
        *next = 20_000 + u16::try_from(std::process::id() % 2000).expect("small") * 5;
    }
    loop {
        let first = *next;
        *next += 5;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (first..first + 5).all(free) {
            return first;
        }
    }
}
