//! A build with relto in front of its compiler, a farm, and perhaps a daemon.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fs_err as fs;
use relto::internals::digest::{Digest, DigestFunction};
use tempfile::TempDir;

use crate::support::executable;
use crate::support::farm::{Farm, Profile};
use crate::support::link::Home;
use crate::support::llvm::Llvm;

const PATIENCE: Duration = Duration::from_mins(1);
const SOURCES: [(&str, &str); 2] = [
    (
        "main.c",
        "#include <stdio.h>\nint twice(int);\nint main(void) { puts(twice(3) == 6 ? \"ok\" : \"no\"); return 0; }\n",
    ),
    ("twice.c", "int twice(int x) { return 2 * x; }\n"),
];

/// Sources, a farm, and an empty home.
pub(super) struct AheadBuild {
    pub(super) dir: TempDir,
    pub(super) home: Home,
    pub(super) farm: Farm,
    pub(super) has_daemon: bool,
}

/// A daemon sends, or, without one, a process for each compile.
pub(super) const SENDERS: [bool; 2] = [false, true];

impl AheadBuild {
    pub(super) fn new() -> Self {
        Self::with_daemon(false)
    }

    pub(super) fn with_daemon(has_daemon: bool) -> Self {
        let dir = TempDir::new().expect("a directory");
        for (name, text) in SOURCES {
            fs::write(dir.path().join(name), text).expect("written");
        }
        Self {
            dir,
            home: Home::new(),
            farm: Farm::start(Profile::plain()),
            has_daemon,
        }
    }

    pub(super) fn daemon(&self, word: &str) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
        self.home.apply(&mut command);
        command.env("RELTO_DAEMON", "auto").args(["daemon", word]);
        command.output().expect("relto starts")
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// `relto cc OPTIONS -- COMPILER`, with the farm.
    pub(super) fn cc(&self, options: &[&str], compiler: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
        self.home.apply(&mut command);
        command
            .current_dir(self.dir.path())
            .envs(self.farm.environment())
            .env("RELTO_REMOTE_UPLOAD_AHEAD", "true")
            .env("RELTO_DAEMON", if self.has_daemon { "auto" } else { "off" })
            .arg("cc")
            .args(options)
            .arg("--")
            .arg(compiler);
        command
    }

    pub(super) fn clang(&self) -> Command {
        self.cc(&[], &Llvm::get().tool("clang"))
    }

    /// Another compiler, which is a script.
    pub(super) fn script(&self, text: &str) -> std::path::PathBuf {
        let path = self.path("clang-script");
        executable::write(&path, format!("#!/bin/sh\n{text}\n"));
        path
    }

    pub(super) fn digest(&self, name: &str) -> Digest {
        DigestFunction::Sha256.digest(&fs::read(self.path(name)).expect("a module"))
    }

    pub(super) fn wait_for(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_there(self) {
            assert!(start.elapsed() < PATIENCE, "{what} did not appear");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn wait_for_blob(&self, name: &str) {
        let digest = self.digest(name);
        self.wait_for(name, |build| build.farm.blob(&digest).is_some());
    }

    /// All has been done that follows a compile; a daemon keeps to itself when it is done.
    pub(super) fn wait_for_senders(&self) {
        self.wait_for("the end of the senders", |build| build.followers() == 0);
    }

    /// Processes that wait for a compiler of this build, or send for it.
    pub(super) fn followers(&self) -> usize {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let follows = |process: &Path| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let there = fs::read_link(process.join("cwd")).unwrap_or_default();
            there.starts_with(self.dir.path())
                && line.windows(13).any(|part| part == b"--after-stdin")
        };
        all.filter(|process| follows(&process.path())).count()
    }
}

impl Drop for AheadBuild {
    fn drop(&mut self) {
        if self.has_daemon {
            self.daemon("stop");
        }
    }
}
