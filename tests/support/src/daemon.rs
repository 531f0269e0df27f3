//! A daemon of a test's own, which ends with the test; and waiting for what other processes do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::backends::Backends;
use super::link::Home;

const PATIENCE: Duration = Duration::from_mins(1);

/// The daemon of a home, if there is one.
#[derive(Debug)]
pub struct Daemon {
    pub home: Home,
}

impl Daemon {
    /// None runs yet.
    pub fn new() -> Self {
        Self { home: Home::new() }
    }

    /// `relto cc clang`, for the daemon.
    pub fn relto(&self, backends: &Backends) -> Command {
        self.relto_with(backends, &backends.compiler())
    }

    /// The same through `executable`, another relto.
    pub fn relto_at(&self, executable: &Path, backends: &Backends) -> Command {
        let mut command = Command::new(executable);
        self.home.apply(&mut command);
        switch_on(&mut command);
        command
            .current_dir(backends.dir())
            .arg("cc")
            .arg(backends.compiler());
        command
    }

    pub fn relto_with(&self, backends: &Backends, compiler: &Path) -> Command {
        let mut command = backends.relto_with(&self.home, compiler);
        switch_on(&mut command);
        command
    }

    /// Has the daemon run the backend of one module.
    ///
    /// # Panics
    /// It fails, or another process ran it.
    pub fn run(&self, backends: &Backends, module: &str) -> Output {
        let before = self.jobs();
        let mut command = self.relto(backends);
        command.args(backends.arguments(module, "native.o"));
        let output = succeeded(&mut command);
        assert_eq!(self.jobs(), before + 1, "{}", stderr(&output));
        output
    }

    pub fn command(&self, action: &str) -> Output {
        let mut command = Command::new(crate::built::relto());
        self.home.apply(&mut command);
        let output = command.args(["daemon", action]).output();
        output.expect("relto starts")
    }

    /// What `relto daemon status` says; `None` if there is no daemon.
    pub fn status(&self) -> Option<String> {
        let output = self.command("status");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }

    pub fn process(&self) -> Option<u32> {
        number_after(&self.status()?, "process ")
    }

    /// Jobs that it has done.
    pub fn jobs(&self) -> u32 {
        let status = self.status();
        status.map_or(0, |text| number_after(&text, "jobs: ").expect("a number"))
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("runtime/relto")
    }

    /// Processes that are daemons of this home.
    pub fn processes(&self) -> Vec<u32> {
        let dir = self.dir().display().to_string();
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        let numbers = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
        let is_ours = |process: &u32| {
            let line = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
            line.contains("__daemon") && line.contains(&dir)
        };
        numbers.filter(is_ours).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for process in self.processes() {
            let pid = i32::try_from(process)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Lets `command`, which was pointed at a home, start the daemon there and use it.
pub fn switch_on(command: &mut Command) {
    command.env("RELTO_DAEMON", "on");
}

fn number_after(text: &str, words: &str) -> Option<u32> {
    let rest = text.split_once(words)?.1;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// # Panics
/// It does not.
pub fn succeeded(command: &mut Command) -> Output {
    let output = command.output().expect("started");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

/// Waits until `is_so`.
///
/// # Panics
/// It is not so after a minute.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Compilers that run in scratch directories below `tmp`.
pub fn compilers(tmp: &Path) -> usize {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let runs_there = |process: &Path| {
        let look = |name: &str| fs::read_link(process.join(name)).unwrap_or_default();
        look("cwd").starts_with(tmp) && !look("exe").ends_with("relto")
    };
    all.filter(|process| runs_there(&process.path())).count()
}
