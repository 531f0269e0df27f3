//! Links of lld through a daemon have the same objects and messages.

use crate::support::daemon::{Daemon, stderr, succeeded};
use crate::support::fake::fake_clang;
use crate::support::link::Link;
use crate::support::outcome::LinkOutcome;
use crate::support::program::generated;
use crate::support::saved::Saved;

/// What relto says, without the time it took.
fn said(outcome: &LinkOutcome) -> String {
    let untimed = |line: &str| match line.strip_prefix("relto: ") {
        Some(rest) if rest.contains(" job") => {
            rest.rsplit_once(", ").map_or(rest, |it| it.0).to_owned()
        }
        _ => line.to_owned(),
    };
    let lines: Vec<_> = outcome.stderr.lines().map(untimed).collect();
    lines.join("\n")
}

#[test]
fn a_link_through_the_daemon_has_the_same_objects_and_says_the_same() {
    let program = generated(6);
    let daemon = Daemon::new();
    let alone = Link::new(&program).keep_objects().run().expect_works();
    for time in ["cold", "warm"] {
        let before = daemon.jobs();
        let link = Link::new(&program).keep_objects().env("RELTO_DAEMON", "on");
        let served = link.run_at(&daemon.home).expect_works();
        served.assert_identical_objects();
        assert_eq!(daemon.jobs() - before, 7, "{time}");
        if time == "cold" {
            assert_eq!(said(&served), said(&alone));
        } else {
            served.assert_all_cached();
        }
    }
}

#[test]
fn a_linker_uses_a_running_daemon() {
    let program = generated(3);
    let daemon = Daemon::new();
    Link::new(&program)
        .env("RELTO_DAEMON", "on")
        .run_at(&daemon.home)
        .expect_works();
    let before = daemon.jobs();
    Link::new(&program)
        .env("RELTO_DAEMON", "auto")
        .run_at(&daemon.home)
        .expect_works()
        .assert_all_cached();
    assert_eq!(daemon.jobs(), before + 4);
    Link::new(&program).run_at(&daemon.home).expect_works();
    assert_eq!(daemon.jobs(), before + 4);
}

/// A link that fails through the daemon, and with the same words without it. Gives them.
fn fails_the_same(daemon: &Daemon, saved: &Saved) -> String {
    let run = |daemon_use: &str| {
        let mut command = saved.command();
        daemon.home.apply(&mut command);
        let output = command
            .env("RELTO_DAEMON", daemon_use)
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    let served = run("on");
    assert!(daemon.status().expect("a daemon").contains("1 ended"));
    assert_eq!(served, run("off"));
    served
}

#[test]
fn a_compile_that_fails_has_the_same_message() {
    let compiler = fake_clang("fputs(\"no, really\\n\", stderr); return 3;");
    let daemon = Daemon::new();
    let mut saved = Saved::new(&generated(2)).only("m0000.o");
    saved.compile_with(&compiler);
    let served = fails_the_same(&daemon, &saved);
    assert!(served.contains("no, really"), "{served}");
}

#[test]
fn a_job_that_must_not_run_has_the_same_message_in_the_users_words() {
    let program = generated(2);
    let daemon = Daemon::new();
    let saved = Saved::new(&program);
    fs_err::remove_file(saved.index()).expect("removed");
    fails_the_same(&daemon, &saved);
}

/// Tokens of make's belong to the process that make started.
#[test]
fn a_link_with_tokens_of_make_runs_in_its_own_process() {
    let program = generated(2);
    let daemon = Daemon::new();
    let saved = Saved::new(&program);
    let pipe = saved.path("tokens");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a pipe");
    let mut open = fs_err::OpenOptions::new();
    let _pipe = open.read(true).write(true).open(&pipe).expect("opened");
    let mut command = saved.command();
    daemon.home.apply(&mut command);
    command.env("RELTO_DAEMON", "on");
    command.env(
        "MAKEFLAGS",
        format!(" -j --jobserver-auth=fifo:{}", pipe.display()),
    );
    succeeded(&mut command);
    assert!(daemon.processes().is_empty());
}
