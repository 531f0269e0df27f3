//! Compilers that do something else when they are asked about themselves.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::backends::{Backends, WORDS};
use crate::support::daemon::{Daemon, stderr, switch_on, wait_until};
use crate::support::fake::fake_clang_asked;
use crate::support::link::Home;
use crate::support::program::{Feature, feature};

/// The processes of that program.
fn processes_of(program: &Path) -> Vec<Pid> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let is_one = |process: &fs::DirEntry| {
        fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe == program)
    };
    let ids = all.filter(is_one);
    let ids = ids.filter_map(|it| it.file_name().to_str()?.parse().ok());
    ids.filter_map(Pid::from_raw).collect()
}

fn compile(command: &mut Command) -> Output {
    command.args(WORDS).output().expect("relto starts")
}

#[test]
fn what_a_compiler_leaves_behind_when_it_is_asked_does_not_hold_relto_up() {
    let leaves = "if (!fork()) { setsid(); for (;;) pause(); }";
    let compiler = fake_clang_asked(leaves, "object(ET_REL); return 0;");
    let backends = Backends::new(&feature(Feature::Plain));
    let output = compile(&mut backends.relto_with(&Home::new(), &compiler));
    assert!(output.status.success(), "{}", stderr(&output));
    let left = processes_of(&compiler);
    assert!(!left.is_empty(), "they do wait");
    for process in left {
        kill_process(process, Signal::KILL).expect("it is there");
    }
}

#[test]
fn a_compiler_that_prints_for_ever_when_it_is_asked_is_stopped() {
    let compiler = fake_clang_asked(
        "for (;;) if (write(2, arguments[0], 1) != 1) _exit(1);",
        "object(ET_REL); return 0;",
    );
    let backends = Backends::new(&feature(Feature::Plain));
    let output = compile(&mut backends.relto_with(&Home::new(), &compiler));
    let said = stderr(&output);
    let reason = "ThinLTO backends run in place, uncached: cannot query the compiler";
    assert!(output.status.success() && said.contains(reason), "{said}");
    assert_eq!(processes_of(&compiler), []);
}

/// relto ends, and so does what it has started. A daemon goes on.
#[test]
fn a_compiler_that_does_not_answer_keeps_nobody_from_stopping() {
    for with_daemon in [false, true] {
        let question = format!("for (;;) pause(); (void){};", i32::from(with_daemon));
        let compiler = fake_clang_asked(&question, "return 1;");
        let backends = Backends::new(&feature(Feature::Plain));
        let daemon = Daemon::new();
        let mut command = daemon.relto_with(&backends, &compiler);
        if with_daemon {
            switch_on(&mut command);
        } else {
            command.env("RELTO_DAEMON", "off");
        }
        let caller = command.args(WORDS).stderr(Stdio::null()).spawn();
        let mut caller = caller.expect("relto starts");
        wait_until("it is asked", || !processes_of(&compiler).is_empty());
        if with_daemon {
            assert!(daemon.status().expect("a daemon").contains("1 under way"));
        }
        kill_process(Pid::from_child(&caller), Signal::TERM).expect("it runs");
        assert!(!caller.wait().expect("it ends").success());
        wait_until("nothing is left", || processes_of(&compiler).is_empty());
    }
}
