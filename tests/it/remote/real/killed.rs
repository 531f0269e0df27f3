//! Real servers that die, fall silent or restart during a link: that costs only time.

use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use fs_err as fs;

use crate::support::link::Link;
use crate::support::outcome::{Counts, LinkOutcome};
use crate::support::program::{Program, generated};
use crate::support::remote::{here, lenient};
use crate::support::servers::{Kind, Server, Setup};

/// Links, and lets `strike` happen when the first objects have come from the farm and most have
/// not.
fn struck(server: &mut Server, program: &Program, strike: fn(&mut Server)) -> LinkOutcome {
    let timeout = ("RELTO_REMOTE_TIMEOUT", "3s");
    struck_with(server, program, timeout, strike)
}

fn struck_with(
    server: &mut Server,
    program: &Program,
    (name, value): (&str, &str),
    strike: fn(&mut Server),
) -> LinkOutcome {
    let environment = server.environment();
    let link = lenient(program, &environment)
        .env("RELTO_JOBS", "2")
        .env("RELTO_REMOTE_RETRIES", "1")
        .env(name, value)
        .keep_objects();
    let mut command = link.command(here());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut linking = command.spawn().expect("the linker starts");
    wait_for_objects(&link, &mut linking);
    strike(server);
    let output = linking.wait_with_output().expect("a child of ours");
    link.outcome(&output).expect_works()
}

/// Returns when the link is in the middle of its work, or over.
fn wait_for_objects(link: &Link<'_>, linking: &mut Child) {
    let made = || {
        let entries = fs::read_dir(link.dir()).expect("a directory");
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".native.o"))
            .count()
    };
    while made() < 3 && linking.try_wait().expect("a child of ours").is_none() {
        thread::sleep(Duration::from_millis(5));
    }
}

fn assert_both(counts: Counts) {
    assert!(counts.remote > 0 && counts.local > 0, "{counts:?}");
    assert_eq!(counts.remote + counts.local, counts.jobs, "{counts:?}");
}

fn is_killed(kind: Kind) {
    let Some(mut server) = kind.private(&Setup::default()) else {
        return;
    };
    let outcome = struck(&mut server, &generated(30), |server| server.kill());
    assert_both(outcome.counts());
    outcome.assert_identical_objects();
}

#[test]
fn a_buildbarn_that_is_killed_during_a_link_costs_only_time() {
    is_killed(Kind::Buildbarn);
}

#[test]
fn a_casd_that_is_killed_during_a_link_costs_only_time() {
    is_killed(Kind::Casd);
}

fn falls_silent(kind: Kind) {
    let Some(mut server) = kind.private(&Setup::default()) else {
        return;
    };
    let outcome = struck(&mut server, &generated(30), |server| server.pause());
    assert_both(outcome.counts());
    outcome.assert_identical_objects();
    server.resume();
}

#[test]
fn a_buildbarn_that_falls_silent_during_a_link_costs_only_time() {
    falls_silent(Kind::Buildbarn);
}

#[test]
fn a_casd_that_falls_silent_during_a_link_costs_only_time() {
    falls_silent(Kind::Casd);
}

fn restarts(kind: Kind) {
    let Some(mut server) = kind.private(&Setup::default()) else {
        return;
    };
    let outcome = struck(&mut server, &generated(30), |server| {
        server.kill();
        server.restart();
    });
    outcome.assert_identical_objects();
}

#[test]
fn a_buildbarn_that_restarts_during_a_link_costs_only_time() {
    restarts(Kind::Buildbarn);
}

#[test]
fn a_casd_that_restarts_during_a_link_costs_only_time() {
    restarts(Kind::Casd);
}

/// The scheduler goes on and says that everything is queued: only the user's own deadline tells
/// that from a long queue.
#[test]
fn a_buildbarn_without_its_worker_costs_one_deadline() {
    let Some(mut server) = Kind::Buildbarn.private(&Setup::default()) else {
        return;
    };
    let deadline = ("RELTO_REMOTE_DEADLINE", "10s");
    let outcome = struck_with(&mut server, &generated(30), deadline, Server::kill_worker);
    outcome.assert_identical_objects();
}
