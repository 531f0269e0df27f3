//! The reading of files of terabytes, which sparse files claim: it ends soon after nobody wants it any
//! more, whoever reads and for whatever reason.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::backends::{Backends, WORDS};
use crate::support::daemon::{Daemon, wait_until};
use crate::support::executable;
use crate::support::fake::fake_clang;
use crate::support::link::Home;
use crate::support::llvm::Llvm;
use crate::support::program::{Feature, feature};

/// Hours of hashing. Modules of this size are refused, as they would have to be in memory.
const GIANT: u64 = 1 << 43;

/// Backends that name a giant file.
struct Reading {
    backends: Backends,
    compiler: PathBuf,
    arguments: Vec<String>,
    giant: PathBuf,
}

impl Reading {
    /// As an argument.
    fn a_list() -> Self {
        let backends = Backends::new(&feature(Feature::Plain));
        let giant = giant(&backends.path("list"));
        let argument = format!("-fsanitize-ignorelist={}", giant.display());
        Self {
            compiler: backends.compiler(),
            arguments: vec![argument],
            giant,
            backends,
        }
    }

    /// As the compiler, which is only read until its code ends.
    fn a_compiler() -> Self {
        let backends = Backends::new(&feature(Feature::Plain));
        let compiler = backends.path("clang");
        executable::copy(fake_clang("object(ET_REL); return 0;"), &compiler);
        let giant = giant(&compiler);
        Self {
            compiler,
            arguments: Vec::new(),
            giant,
            backends,
        }
    }

    fn both() -> [Self; 2] {
        [Self::a_list(), Self::a_compiler()]
    }

    fn start_at_home(&self, home: &Home) -> Reader {
        self.start(self.backends.relto_with(home, &self.compiler))
    }

    fn start_with_daemon(&self, daemon: &Daemon) -> Reader {
        self.start(daemon.relto_with(&self.backends, &self.compiler))
    }

    fn start(&self, mut command: Command) -> Reader {
        command.args(WORDS).args(&self.arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Reader(command.spawn().expect("started"))
    }

    fn is_read_by(&self, process: u32, times: usize) -> bool {
        times_open(process, &self.giant) == times
    }
}

fn giant(path: &Path) -> PathBuf {
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.expect("opened").set_len(GIANT).expect("lengthened");
    fs::canonicalize(path).expect("a path")
}

fn times_open(process: u32, path: &Path) -> usize {
    let files = std::fs::read_dir(format!("/proc/{process}/fd"));
    let files = files.into_iter().flatten().flatten();
    let is_it = |entry: &std::fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|it| it == path);
    files.filter(is_it).count()
}

/// Must not go on after a test has failed.
struct Reader(Child);

impl Reader {
    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("sent");
    }

    fn end(mut self) -> ExitStatus {
        let child = std::cell::RefCell::new(&mut self.0);
        wait_until("it ends", || {
            child.borrow_mut().try_wait().expect("a child").is_some()
        });
        self.0.wait().expect("ended")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_signal_ends_a_compile_that_reads() {
    for reading in Reading::both() {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let home = Home::new();
            let relto = reading.start_at_home(&home);
            wait_until("it reads", || reading.is_read_by(relto.0.id(), 1));
            relto.send(signal);
            assert_eq!(relto.end().signal(), Some(signal.as_raw()));
            assert!(!reading.backends.path("o.o").exists());
        }
    }
}

#[test]
fn a_link_whose_linker_is_killed_reads_no_further() {
    let (reading, home) = (Reading::a_list(), Home::new());
    let mut command = Llvm::get().command("ld.lld");
    home.apply(&mut command);
    let relto = env!("CARGO_BIN_EXE_relto");
    command
        .current_dir(reading.backends.dir())
        .args(["-shared", "main.o", "twice.o", "thrice.o", "-o", "app.so"])
        .arg(format!("--thinlto-distributor={relto}"))
        .arg(format!(
            "--thinlto-remote-compiler={}",
            reading.compiler.display()
        ))
        .arg(format!(
            "--thinlto-remote-compiler-arg={}",
            reading.arguments[0]
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let lld = Reader(command.spawn().expect("started"));
    let children = format!("/proc/{0}/task/{0}/children", lld.0.id());
    let reader = || {
        let listed = fs::read_to_string(&children).unwrap_or_default();
        let mut listed = listed.split_whitespace().flat_map(str::parse::<u32>);
        listed.find(|process| times_open(*process, &reading.giant) > 0)
    };
    wait_until("it reads", || reader().is_some());
    let process = reader().expect("it goes on");
    drop(lld);
    wait_until("it ends", || times_open(process, &reading.giant) == 0);
}

/// Nor does it keep other callers waiting, as many as there may be.
#[test]
fn a_daemon_reads_for_a_caller_until_that_is_gone_and_for_others_goes_on() {
    for reading in Reading::both() {
        let (daemon, plain) = (Daemon::new(), Backends::new(&feature(Feature::Plain)));
        daemon.run(&plain, "main.o");
        let process = daemon.process().expect("a daemon");
        let readers: Vec<_> = (0..4).map(|_| reading.start_with_daemon(&daemon)).collect();
        wait_until("it reads", || reading.is_read_by(process, readers.len()));
        daemon.run(&plain, "twice.o");
        let mut left = readers.len();
        for (number, reader) in readers.into_iter().enumerate() {
            assert!(reading.is_read_by(process, left));
            left -= 1;
            if number % 2 == 0 {
                reader.send(Signal::TERM);
                assert_eq!(reader.end().signal(), Some(Signal::TERM.as_raw()));
            } else {
                drop(reader);
            }
            wait_until("it reads less", || reading.is_read_by(process, left));
        }
        assert_eq!(daemon.process(), Some(process));
    }
}

#[test]
fn a_daemon_that_is_stopped_reads_no_further() {
    for reading in Reading::both() {
        let daemon = Daemon::new();
        let reader = reading.start_with_daemon(&daemon);
        wait_until("there is a daemon", || daemon.process().is_some());
        let process = daemon.process().expect("a daemon");
        wait_until("it reads", || reading.is_read_by(process, 1));
        assert_eq!(daemon.command("stop").status.code(), Some(0));
        wait_until("it is gone", || daemon.processes().is_empty());
        // Its caller has to do the work.
        wait_until("another reads", || reading.is_read_by(reader.0.id(), 1));
    }
}

/// Files that are held in memory as a whole.
#[test]
fn giant_files_that_options_and_commands_name_are_refused_by_limits_that_the_errors_name() {
    let (dir, home) = (tempfile::tempdir().expect("a directory"), Home::new());
    giant(&dir.path().join("giant"));
    let refused = |arguments: &[&str], header: &str, expected: &str| {
        let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
        home.apply(&mut relto);
        relto.current_dir(dir.path()).args(arguments);
        relto.env("RELTO_REMOTE_EXECUTOR", "grpc://127.0.0.1:1");
        relto.env("RELTO_REMOTE_HEADER", header);
        let output = relto.output().expect("relto starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
        assert!(said.contains(expected) && said.contains("hint: "), "{said}");
    };
    let key = "x-key=value";
    refused(
        &["index", "show", "giant"],
        key,
        "giant` is longer than 1 GiB",
    );
    refused(
        &["index", "show", "/dev/zero"],
        key,
        "zero` is longer than 1 GiB",
    );
    let too_long = "giant` is longer than 64 KiB";
    refused(&["config"], "x-key=@giant", too_long);
    refused(
        &["cc", "clang", "-c", "-x", "ir", "a.o", "-fthinlto-index=b"],
        "x-key=@giant",
        too_long,
    );
    refused(
        &["config"],
        "x-key=@/dev/zero",
        "zero` is longer than 64 KiB",
    );
}
