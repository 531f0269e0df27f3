//! `relto cc` under a real make: how many compilers run here, and that relto leaves make's tokens
//! alone.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::support::backends::{Backends, WORDS};
use crate::support::executable;
use crate::support::link::Home;
use crate::support::program::{Feature, feature};

const PATIENCE: Duration = Duration::from_mins(1);

/// It says when it begins and when it ends, and waits between until it may go on.
const COMPILER: &str =
    "#!/bin/sh\necho begin >> log\nwhile [ ! -e go ]; do sleep 0.01; done\necho end >> log\n";

struct CompilesUnderMake {
    dir: TempDir,
    home: Home,
}

impl CompilesUnderMake {
    /// `count` compiles, each by a recipe of its own.
    fn new(count: usize) -> Self {
        let dir = TempDir::new().expect("a directory");
        let relto = env!("CARGO_BIN_EXE_relto");
        let names: Vec<String> = (0..count).map(|number| format!("o{number}")).collect();
        let makefile = format!(
            "CC = {relto} cc $(OPTIONS) ./clang\nall: {0}\n{0}:\n\t$(CC) -flto=thin -c x.c -o /dev/null\n",
            names.join(" ")
        );
        fs::write(dir.path().join("Makefile"), makefile).expect("written");
        let compiler = dir.path().join("clang");
        executable::write(&compiler, COMPILER);
        Self {
            dir,
            home: Home::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn make(&self, words: &[&str]) -> Child {
        let mut command = Command::new("make");
        self.home.apply(&mut command);
        command
            .current_dir(self.dir.path())
            .env_remove("MAKEFLAGS")
            .args(words)
            .stdout(Stdio::null())
            .spawn()
            .expect("make starts")
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Processes of this build that are relto still: they wait for a slot.
    fn waiting(&self) -> usize {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let waits = |process: PathBuf| {
            let look = |name: &str| fs::read_link(process.join(name)).unwrap_or_default();
            look("cwd") == self.dir.path() && look("exe").ends_with("relto")
        };
        all.filter(|process| waits(process.path())).count()
    }

    fn wait_for(&self, running: usize, waiting: usize) {
        let start = Instant::now();
        while (self.log().len(), self.waiting()) != (running, waiting) {
            let now = self.log().len();
            assert!(now <= running, "{now} compilers instead of {running}");
            assert!(start.elapsed() < PATIENCE, "{now} of {running} compilers");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The most that ran at a time, by the log.
fn most(log: &[String]) -> usize {
    let running = log.iter().scan(0_usize, |running, line| {
        *running = match line.as_str() {
            "begin" => *running + 1,
            _ => *running - 1,
        };
        Some(*running)
    });
    running.max().unwrap_or(0)
}

#[test]
fn many_jobs_for_a_farm_start_no_more_compilers_here_than_the_user_allows() {
    let build = CompilesUnderMake::new(20);
    let mut make = build.make(&["-j20", "OPTIONS=--local-jobs=2"]);
    build.wait_for(2, 18);
    fs::write(build.path("go"), "").expect("written");
    assert!(make.wait().expect("ended").success());
    let log = build.log();
    assert_eq!(log.len(), 40);
    assert_eq!(most(&log), 2, "{log:?}");
}

#[test]
fn without_a_limit_make_alone_decides_how_many_compilers_run() {
    let build = CompilesUnderMake::new(5);
    let mut make = build.make(&["-j4"]);
    build.wait_for(4, 0);
    fs::write(build.path("go"), "").expect("written");
    assert!(make.wait().expect("ended").success());
    assert_eq!(most(&build.log()), 4);
}

/// The recipe that started it has one, and it runs one compiler: with a pipe that gives none, one
/// that waited would wait for ever.
#[test]
fn a_backend_uses_no_token_of_make() {
    let backends = Backends::new(&feature(Feature::Plain));
    let pipe = backends.path("tokens");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let mut both = fs::OpenOptions::new();
    let mut both = both.read(true).write(true).open(&pipe).expect("opened");
    for tokens in [&b""[..], b"xy"] {
        std::io::Write::write_all(&mut both, tokens).expect("written");
        let mut command = backends.relto(&Home::new());
        let flags = format!(" -j3 --jobserver-auth=fifo:{}", pipe.display());
        let mut child = command
            .env("MAKEFLAGS", flags)
            .args(WORDS)
            .stderr(Stdio::piped())
            .spawn()
            .expect("relto starts");
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("it waits for a token");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success());
        if !tokens.is_empty() {
            let mut found = [0; 8];
            let count = std::io::Read::read(&mut both, &mut found).expect("tokens");
            assert_eq!(&found[..count], tokens);
        }
    }
}
