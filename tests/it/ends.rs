//! Links that end early: whichever process is killed, no process of the link and no file of relto
//! is left soon after.
//!
//! The compiler of these links waits for a signal from the test, or forever. All processes of a
//! link have its directory in their environment, as their current directory or in the path of their
//! program, and are found by that.

use std::collections::HashSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::support::executable;
use crate::support::fake::fake_clang;
use crate::support::llvm::Llvm;
use crate::support::program::{Feature, feature};
use crate::support::saved::{Saved, leftovers, results};

const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// Waits for a file `go` in its current directory, and takes it away: a compiler that leaves more
/// than its object is not believed.
const WAITS: &str =
    "while (access(\"go\", F_OK)) usleep(5000); unlink(\"go\"); object(ET_REL); return 0;";
/// Waits for ever where it was never started before.
const HANGS_ONCE: &str = "if (access(\"once\", F_OK)) { put(\"once\", \"\", 0); for (;;) pause(); }\n\
    unlink(\"once\"); object(ET_REL); return 0;";

/// A link in a directory of its own.
struct EndingLink {
    saved: Saved,
    relto: PathBuf,
}

impl EndingLink {
    fn new(behaviour: &str) -> Self {
        let mut saved = Saved::new(&feature(Feature::Plain));
        let compiler = saved.path("clang");
        executable::copy(fake_clang(behaviour), &compiler);
        saved.compile_with(&compiler);
        fs::create_dir(saved.path("tmp")).expect("a directory");
        let relto = saved.path("relto");
        executable::copy(env!("CARGO_BIN_EXE_relto"), &relto);
        Self { saved, relto }
    }

    fn prepare(&self, command: &mut Command) -> Child {
        self.saved.home.apply(command);
        command
            .env("TMPDIR", self.saved.path("tmp"))
            .current_dir(self.saved.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("started")
    }

    /// lld, which starts relto.
    fn start_lld(&self) -> Child {
        self.start_lld_with(&self.saved.path("clang"))
    }

    fn start_lld_with(&self, compiler: &Path) -> Child {
        let mut command = Llvm::get().command("ld.lld");
        command.args(["-shared", "main.o", "twice.o", "thrice.o", "-o", "app.so"]);
        command.arg(format!("--thinlto-distributor={}", self.relto.display()));
        command.arg(format!("--thinlto-remote-compiler={}", compiler.display()));
        self.prepare(&mut command)
    }

    /// relto on the saved job file.
    fn start_relto(&self, options: &[&str]) -> Child {
        drop(self.saved.command());
        let mut command = Command::new(&self.relto);
        self.prepare(command.args(options).arg("jobs.json"))
    }

    /// Every process of this link but the test itself.
    fn processes(&self) -> Vec<Process> {
        let dir = self.saved.path("").to_string_lossy().into_owned();
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Process::look)
            .filter(|process| process.traces.contains(dir.trim_end_matches('/')))
            .collect()
    }

    /// The compilers that run now, each in a job's directory; their program may be the dynamic
    /// loader.
    fn compilers(&self) -> Vec<Process> {
        let scratch = self.saved.path("tmp");
        let is_relto = |process: &Process| process.program.to_string_lossy().contains("/relto");
        let mut found = self.processes();
        found.retain(|process| process.dir.starts_with(&scratch) && !is_relto(process));
        found
    }

    fn wait_for_compilers(&self) -> Vec<Process> {
        wait("no compiler starts", || {
            Some(self.compilers()).filter(|found| !found.is_empty())
        })
    }

    /// Process id of relto itself, the child of `lld`.
    fn relto_of(&self, lld: &Child) -> Pid {
        self.child_of(lld).expect("relto runs").pid
    }

    fn child_of(&self, lld: &Child) -> Option<Process> {
        let parent = format!("PPid:\t{}\n", lld.id());
        let mut found = self.processes().into_iter();
        found.find(|process| process.traces.contains(&parent))
    }

    /// Nothing runs any more, and nothing is left or appears.
    fn assert_clean(&self, what: &str) {
        wait(what, || self.processes().is_empty().then_some(()));
        let tmp = fs::read_dir(self.saved.path("tmp")).expect("a directory");
        assert_eq!(tmp.count(), 0, "{what}: a scratch directory is left");
        assert_eq!(
            leftovers(&self.saved.path("")),
            Vec::<PathBuf>::new(),
            "{what}"
        );
        assert_eq!(
            objects(&self.saved.path("")),
            Vec::<String>::new(),
            "{what}"
        );
        assert!(!self.saved.path("app.so").exists(), "{what}");
    }
}

/// What `/proc` says of a process.
struct Process {
    pid: Pid,
    program: PathBuf,
    dir: PathBuf,
    /// Command line, environment, current directory, program and status, for searching.
    traces: String,
}

impl Process {
    fn look(number: i32) -> Option<Self> {
        let dir = PathBuf::from(format!("/proc/{number}"));
        let text = |name: &str| {
            let bytes = fs::read(dir.join(name)).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let link = |name: &str| fs::read_link(dir.join(name)).ok();
        let status = text("status")?;
        // One that has not been waited for yet does nothing more.
        if status.contains("State:\tZ") || number.unsigned_abs() == std::process::id() {
            return None;
        }
        let (program, cwd) = (link("exe")?, link("cwd")?);
        let seen = format!("{}\n{}\n{status}", program.display(), cwd.display());
        Some(Self {
            pid: Pid::from_raw(number)?,
            traces: format!("{seen}{:?}{:?}", text("cmdline"), text("environ")),
            program,
            dir: cwd,
        })
    }

    /// Whether it handles SIGINT.
    fn watches(&self) -> bool {
        let mut lines = self.traces.lines();
        let caught = lines.find_map(|line| line.strip_prefix("SigCgt:\t"));
        let caught = caught.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        caught.is_some_and(|signals| signals >> (Signal::INT.as_raw() - 1) & 1 == 1)
    }
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}, after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Native objects in `dir`.
fn objects(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".native.o")).collect()
}

fn ended(child: Child) -> (Output, String) {
    let output = child.wait_with_output().expect("reaped");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}

#[test]
fn when_lld_is_killed_nothing_is_left() {
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let stage = EndingLink::new(WAITS);
        let lld = stage.start_lld();
        stage.wait_for_compilers();
        kill_process(Pid::from_child(&lld), signal).expect("sent");
        stage.assert_clean(&format!("lld was ended by {signal:?}"));
        assert_eq!(results(&stage.saved.home), 0);
        let (output, _) = ended(lld);
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn compilers_that_finish_after_lld_is_gone_leave_nothing() {
    let stage = EndingLink::new(WAITS);
    let lld = stage.start_lld();
    let compilers = stage.wait_for_compilers();
    kill_process(Pid::from_child(&lld), Signal::KILL).expect("sent");
    for compiler in compilers {
        // The compiler may be gone by now, and its directory with it.
        let _ = fs::write(compiler.dir.join("go"), "");
    }
    stage.assert_clean("lld was killed when its compilers were about to finish");
    assert!(!ended(lld).0.status.success());
}

#[test]
fn when_relto_is_killed_the_link_fails_and_nothing_is_left() {
    for signal in [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP] {
        let stage = EndingLink::new(WAITS);
        let lld = stage.start_lld();
        stage.wait_for_compilers();
        kill_process(stage.relto_of(&lld), signal).expect("sent");
        let (output, stderr) = ended(lld);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("distributor execution failed"), "{stderr}");
        let says = stderr.contains("relto: error: stopped: ");
        assert_eq!(says, signal != Signal::KILL, "{signal:?}: {stderr}");
        stage.assert_clean(&format!("relto was ended by {signal:?}"));
    }
}

#[test]
fn an_interrupt_from_the_terminal_ends_everything() {
    let stage = EndingLink::new(WAITS);
    let lld = stage.start_lld();
    stage.wait_for_compilers();
    kill_process_group(Pid::from_child(&lld), Signal::INT).expect("sent");
    stage.assert_clean("the whole group was interrupted");
    assert!(!ended(lld).0.status.success());
}

/// relto is hashing clang when the signal comes, and then finds that lld has removed its files.
#[test]
fn files_that_an_interrupted_linker_has_removed_are_not_reported_as_missing() {
    for whole_group in [true, false] {
        let stage = EndingLink::new(WAITS);
        let lld = stage.start_lld_with(&Llvm::get().tool("clang"));
        wait("relto does not watch for signals", || {
            stage.child_of(&lld).filter(Process::watches)
        });
        let pid = Pid::from_child(&lld);
        let sent = if whole_group {
            kill_process_group(pid, Signal::INT)
        } else {
            kill_process(pid, Signal::INT)
        };
        sent.expect("sent");
        let (_, stderr) = ended(lld);
        let reason = stderr.strip_prefix("relto: error: stopped: ");
        // The linker may be gone before relto hears of a signal to both.
        let reasons = ["the linker is gone\n", "interrupted\n"];
        let possible = &reasons[..=usize::from(whole_group)];
        assert!(reason.is_some_and(|it| possible.contains(&it)), "{stderr}");
        stage.assert_clean("an interrupted linker");
    }
}

#[test]
fn a_failed_job_stops_the_others_at_once() {
    // Only `main.o` has three modules; it fails, in its action and in place, while the others wait
    // for ever.
    let stage = EndingLink::new(
        "if (strncmp(out, \"relto/\", 6) || !access(\"relto/m/0002.bc\", F_OK)) return 1;\n\
         for (;;) pause();",
    );
    let (output, stderr) = ended(stage.start_relto(&["--local-jobs=3"]));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot compile `main.o`"), "{stderr}");
    stage.assert_clean("a job failed while others were running");
}

#[test]
fn a_compiler_that_is_stopped_in_place_leaves_no_temporary_file() {
    // As clang names it: `app-0123abcd.o.tmp` beside `app.o`.
    let stage = EndingLink::new(
        "if (!strncmp(out, \"relto/\", 6)) return 1;\n\
         char name[4096];\n\
         snprintf(name, sizeof name, \"%.*s-00c0ffee.o.tmp\", (int)strlen(out) - 2, out);\n\
         put(name, \"\", 0);\n\
         for (;;) pause();",
    );
    let relto = stage.start_relto(&[]);
    wait("no compiler starts in place", || {
        (!leftovers(&stage.saved.path("")).is_empty()).then_some(())
    });
    kill_process(Pid::from_child(&relto), Signal::TERM).expect("sent");
    let (output, stderr) = ended(relto);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    stage.assert_clean("relto was stopped while compilers ran in place");
}

#[test]
fn a_compiler_that_the_kernel_kills_is_run_once_more() {
    let stage = EndingLink::new(HANGS_ONCE);
    let mut relto = stage.start_relto(&[]);
    let mut killed = HashSet::new();
    let status = wait("relto does not finish", || {
        for compiler in stage.compilers() {
            let hangs = compiler.dir.join("once").exists();
            if hangs && killed.insert(compiler.dir.clone()) {
                let _ = kill_process(compiler.pid, Signal::KILL);
            }
        }
        relto.try_wait().expect("a child")
    });
    let (_, stderr) = ended(relto);
    assert!(status.success(), "{stderr}");
    assert_eq!(killed.len(), 3);
    assert!(stderr.contains("relto: 3 jobs, 3 local"), "{stderr}");
    assert_eq!(objects(&stage.saved.path("")).len(), 3);
}

#[test]
fn relto_may_be_replaced_while_it_links() {
    let stage = EndingLink::new(WAITS);
    let mut relto = stage.start_relto(&[]);
    stage.wait_for_compilers();
    fs::remove_file(&stage.relto).expect("removed");
    fs::copy("/bin/false", &stage.relto).expect("replaced");
    let mut told = HashSet::new();
    let status = wait("relto does not finish", || {
        for compiler in stage.compilers() {
            if told.insert(compiler.dir.clone()) {
                let _ = fs::write(compiler.dir.join("go"), "");
            }
        }
        relto.try_wait().expect("a child")
    });
    let (_, stderr) = ended(relto);
    assert!(status.success(), "{stderr}");
    assert_eq!(objects(&stage.saved.path("")).len(), 3, "{stderr}");
}
