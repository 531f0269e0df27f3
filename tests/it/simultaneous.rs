//! Links that run at the same time and need the same objects: each is compiled once, and none waits
//! for a link that does not go on.
//!
//! The compiler of these links waits for the test.

use std::path::PathBuf;
use std::process::{Child, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::daemon::{Daemon, compilers, switch_on, wait_until};
use crate::support::executable;
use crate::support::fake::{fake_clang, wait_for};
use crate::support::outcome::Counts;
use crate::support::program::generated;
use crate::support::saved::Saved;

/// Two links of the same module by one user.
struct TwoLinks {
    dir: TempDir,
    links: [Saved; 2],
    daemon: Daemon,
    uses_daemon: bool,
}

impl TwoLinks {
    /// What the compiler does once it may go on is up to `behaviour`.
    fn new(uses_daemon: bool, behaviour: &str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let go = dir.path().join("go");
        let compiler = dir.path().join("clang");
        executable::copy(fake_clang(&(wait_for(&go) + behaviour)), &compiler);
        fs::create_dir(dir.path().join("tmp")).expect("a directory");
        let links = [(), ()].map(|()| {
            let mut saved = Saved::new(&generated(7)).only("main.o");
            saved.compile_with(&compiler);
            saved
        });
        Self {
            dir,
            links,
            daemon: Daemon::new(),
            uses_daemon,
        }
    }

    fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// Starts a link that runs one compiler at a time.
    fn start(&self, number: usize) -> Child {
        let mut command = self.links[number].command();
        self.daemon.home.apply(&mut command);
        if self.uses_daemon {
            switch_on(&mut command);
        }
        command
            .env("TMPDIR", self.tmp())
            .env("RELTO_LOCAL_JOBS", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    }

    /// Starts both; the second one waits for the compiler of the first one.
    fn start_both(&self) -> [Child; 2] {
        let first = self.start(0);
        wait_until("the first link compiles", || compilers(&self.tmp()) == 1);
        let second = self.start(1);
        wait_until("the second link waits", || self.open_locks() == 2);
        assert_eq!(compilers(&self.tmp()), 1);
        [first, second]
    }

    /// Locks that some process of the links holds or waits for.
    fn open_locks(&self) -> usize {
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        let files = processes.filter_map(|it| fs::read_dir(it.path().join("fd")).ok());
        let files = files.flatten().flatten();
        let links = files.filter_map(|file| fs::read_link(file.path()).ok());
        let is_lock = |path: &PathBuf| {
            path.starts_with(self.daemon.home.path())
                && path.parent().is_some_and(|dir| dir.ends_with("compiles"))
        };
        links.filter(is_lock).count()
    }

    fn go(&self) {
        fs::write(self.dir.path().join("go"), "").expect("written");
    }

    /// Where the objects of a link came from; it has them all.
    fn ended(&self, number: usize, link: Child) -> Counts {
        let output = link.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let objects = self.links[number].objects();
        assert!(objects.iter().all(|object| object.exists()), "{said}");
        Counts::parse(&said).expect("a summary")
    }
}

#[test]
fn the_object_of_two_links_is_compiled_once() {
    for uses_daemon in [false, true] {
        let two = TwoLinks::new(uses_daemon, "object(ET_REL); return 0;");
        let [first, second] = two.start_both();
        two.go();
        let (first, second) = (two.ended(0, first), two.ended(1, second));
        assert_eq!((first.local, first.cached), (1, 0));
        assert_eq!((second.local, second.cached), (0, 1));
        wait_until("the lock is gone", || two.open_locks() == 0);
    }
}

#[test]
fn what_a_killed_link_was_compiling_is_compiled_by_the_other() {
    let two = TwoLinks::new(false, "object(ET_REL); return 0;");
    let [first, second] = two.start_both();
    kill_process(Pid::from_child(&first), Signal::KILL).expect("sent");
    two.go();
    let counts = two.ended(1, second);
    assert_eq!(counts.local, counts.jobs);
    drop(first.wait_with_output());
}

/// As after Ctrl+Z.
#[test]
fn a_link_that_is_stopped_holds_up_no_other() {
    let two = TwoLinks::new(false, "object(ET_REL); return 0;");
    let [first, second] = two.start_both();
    kill_process(Pid::from_child(&first), Signal::STOP).expect("sent");
    two.go();
    let counts = two.ended(1, second);
    assert_eq!(counts.local, counts.jobs);
    kill_process(Pid::from_child(&first), Signal::CONT).expect("sent");
    two.ended(0, first);
}

/// What fails in the sandbox has no result for others.
#[test]
fn jobs_that_run_in_place_are_compiled_by_each_link() {
    let fails = "if (!strncmp(out, \"relto/\", 6)) return 1; object(ET_REL); return 0;";
    let two = TwoLinks::new(false, fails);
    let [first, second] = two.start_both();
    two.go();
    for (number, link) in [first, second].into_iter().enumerate() {
        let counts = two.ended(number, link);
        assert_eq!(counts.in_place, counts.jobs);
    }
}
