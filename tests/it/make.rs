//! Links that share the machine: they use no more processors than make's jobserver or other links
//! leave.
//!
//! The compiler of these links reports when it runs, and waits for the test. So the number of
//! running compilers is observed from outside, and checked over the whole time.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::daemon::compilers;
use crate::support::executable;
use crate::support::fake::{fake_clang, wait_for};
use crate::support::program::generated;
use crate::support::saved::Saved;

const PATIENCE: Duration = Duration::from_mins(1);

/// Directories of links that may go on together.
struct LinksUnderMake {
    dir: TempDir,
    links: Vec<Saved>,
}

impl LinksUnderMake {
    fn new(links: usize) -> Self {
        let dir = TempDir::new().expect("a directory");
        let go = dir.path().join("go");
        let behaviour = format!(
            "struct timespec from, to; clock_gettime(CLOCK_MONOTONIC, &from);\n\
             {}object(ET_REL); clock_gettime(CLOCK_MONOTONIC, &to);\n\
             fprintf(stderr, \"ran from %ld.%09ld to %ld.%09ld\\n\", (long)from.tv_sec, from.tv_nsec, (long)to.tv_sec, to.tv_nsec);\n\
             return 0;",
            wait_for(&go)
        );
        let compiler = dir.path().join("clang");
        executable::copy(fake_clang(&behaviour), &compiler);
        fs::create_dir(dir.path().join("tmp")).expect("a directory");
        let program = generated(7);
        let links = (0..links).map(|_| {
            let mut saved = Saved::new(&program);
            saved.compile_with(&compiler);
            drop(saved.command());
            saved
        });
        Self {
            links: links.collect(),
            dir,
        }
    }

    fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    fn start(&self, command: &mut Command) -> Child {
        self.links[0].home.apply(command);
        command
            .env("TMPDIR", self.tmp())
            .env("RELTO_DISK_CACHE", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    }

    /// One recipe a link.
    fn make(&self, jobs: usize, mark: &str, options: &str) -> Child {
        let mut makefile = "all:".to_owned();
        for number in 0..self.links.len() {
            write!(makefile, " link{number}").expect("a string");
        }
        for (number, link) in self.links.iter().enumerate() {
            let (relto, dir) = (env!("CARGO_BIN_EXE_relto"), link.path(""));
            let dir = dir.display();
            write!(
                makefile,
                "\nlink{number}:\n\t{mark}cd {dir} && {relto} {options} jobs.json\n"
            )
            .expect("a string");
        }
        let path = self.dir.path().join("Makefile");
        fs::write(&path, makefile).expect("written");
        let mut make = Command::new("make");
        make.env_remove("MAKEFLAGS").arg(format!("-j{jobs}"));
        self.start(make.arg("-f").arg(path))
    }

    /// relto with a jobserver of a name, which holds so many tokens.
    fn beside_pipe(&self, tokens: &[u8]) -> (Child, fs::File) {
        let path = self.dir.path().join("tokens");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        let mut pipe = fs::OpenOptions::new();
        let mut pipe = pipe.read(true).write(true).open(&path).expect("opened");
        std::io::Write::write_all(&mut pipe, tokens).expect("written");
        let flags = format!(" -j --jobserver-auth=fifo:{}", path.display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
        command.current_dir(self.links[0].path(""));
        command.args(["--local-jobs=8", "jobs.json"]);
        command.env("MAKEFLAGS", flags);
        (self.start(&mut command), pipe)
    }

    fn wait_for_compilers(&self, wanted: usize) {
        let start = Instant::now();
        while compilers(&self.tmp()) != wanted {
            let found = compilers(&self.tmp());
            assert!(found <= wanted, "{found} compilers instead of {wanted}");
            assert!(start.elapsed() < PATIENCE, "{found} of {wanted} compilers");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn go(&self, child: Child) -> Output {
        fs::write(self.dir.path().join("go"), "").expect("written");
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        output
    }
}

/// Most compilers that ran at any time, as they say themselves.
fn most_at_once(output: &Output) -> usize {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut changes: Vec<(f64, i32)> = Vec::new();
    for line in stderr.lines() {
        let Some((from, to)) = line
            .strip_prefix("ran from ")
            .and_then(|l| l.split_once(" to "))
        else {
            continue;
        };
        changes.push((from.parse().expect("a time"), 1));
        changes.push((to.parse().expect("a time"), -1));
    }
    assert!(!changes.is_empty(), "{stderr}");
    changes.sort_by(|one, other| one.0.total_cmp(&other.0));
    let running = changes.iter().scan(0, |running, (_, change)| {
        *running += change;
        Some(*running)
    });
    usize::try_from(running.max().unwrap_or(0)).expect("not negative")
}

fn tokens_in(pipe: &mut fs::File) -> Vec<u8> {
    rustix::fs::fcntl_setfl(&*pipe, rustix::fs::OFlags::NONBLOCK).expect("set");
    let mut found = [0; 64];
    let count = std::io::Read::read(pipe, &mut found).unwrap_or(0);
    let mut found = found[..count].to_vec();
    found.sort_unstable();
    found
}

#[test]
fn a_recipe_with_a_plus_takes_the_tokens_of_make_and_the_one_it_has() {
    let stage = LinksUnderMake::new(1);
    let make = stage.make(3, "+", "--local-jobs=8");
    stage.wait_for_compilers(3);
    assert!(most_at_once(&stage.go(make)) <= 3);
}

#[test]
fn two_recipes_share_the_tokens_of_make() {
    let stage = LinksUnderMake::new(2);
    let make = stage.make(4, "+", "--local-jobs=8");
    stage.wait_for_compilers(4);
    assert!(most_at_once(&stage.go(make)) <= 4);
}

#[test]
fn a_recipe_without_a_plus_is_one_link_of_the_machine() {
    let stage = LinksUnderMake::new(3);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let all = (processors + 3).min(3 * processors);
    let make = stage.make(3, "", "");
    stage.wait_for_compilers(all);
    assert!(most_at_once(&stage.go(make)) <= all);
}

#[test]
fn tokens_of_a_named_pipe_are_returned_unchanged() {
    let stage = LinksUnderMake::new(1);
    let (relto, mut pipe) = stage.beside_pipe(b"xy");
    stage.wait_for_compilers(3);
    assert!(most_at_once(&stage.go(relto)) <= 3);
    assert_eq!(tokens_in(&mut pipe), b"xy");
}

#[test]
fn a_stopped_link_returns_its_tokens() {
    let stage = LinksUnderMake::new(1);
    let (relto, mut pipe) = stage.beside_pipe(b"xy");
    stage.wait_for_compilers(3);
    kill_process(Pid::from_child(&relto), Signal::TERM).expect("sent");
    let output = relto.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(tokens_in(&mut pipe), b"xy");
}
