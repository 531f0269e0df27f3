//! What a link does about events that are left at its end.

use super::{assert_complete, finished};
use crate::support::daemon::Daemon;
use crate::support::event_server::{Acknowledges, EventRules, EventServer};
use crate::support::link::Link;
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Program, generated};

/// A link that may wait for a minute, at a home with or without a daemon.
fn link(program: &Program, server: &EventServer, mode: &str, daemon: &Daemon) -> LinkOutcome {
    Link::new(program)
        .env("RELTO_BES_BACKEND", &server.address())
        .env("RELTO_BES_UPLOAD_MODE", mode)
        .env("RELTO_BES_TIMEOUT", "60s")
        .env("RELTO_DAEMON", "auto")
        .run_at(&daemon.home)
        .expect_works()
}

fn with_daemon(program: &Program) -> Daemon {
    let daemon = Daemon::new();
    Link::new(program)
        .env("RELTO_DAEMON", "on")
        .run_at(&daemon.home)
        .expect_works();
    assert!(daemon.process().is_some());
    daemon
}

#[test]
fn a_daemon_goes_on_with_the_stream_of_a_link_that_does_not_wait() {
    let program = generated(3);
    for mode in ["fully_async", "nowait_for_upload_complete"] {
        let daemon = with_daemon(&program);
        // Nothing is acknowledged before the link has ended, so a link that waited would wait for a
        // minute, and warn.
        let server = EventServer::start_held(EventRules::new(Acknowledges::AtEnd));
        let outcome = link(&program, &server, mode, &daemon);
        assert_eq!(server.record().finished, 0, "{mode}: it waited");
        assert!(!outcome.stderr.contains("warning"), "{}", outcome.stderr);
        server.release();
        let record = server.wait_for(|record| record.finished == 1);
        assert_complete(&record);
        assert_eq!(finished(&record), Some(("SUCCESS".to_owned(), 0)));
    }
}

#[test]
fn without_a_daemon_a_link_waits() {
    let program = generated(3);
    for mode in [
        "fully_async",
        "nowait_for_upload_complete",
        "wait_for_upload_complete",
    ] {
        let server = EventServer::start(EventRules::new(Acknowledges::AtEnd));
        let daemon = Daemon::new();
        link(&program, &server, mode, &daemon);
        let record = server.record();
        assert_eq!(record.finished, 1, "{mode}");
        assert_complete(&record);
    }
}

#[test]
fn a_link_that_waits_sends_its_events_itself_also_beside_a_daemon() {
    let program = generated(3);
    let daemon = with_daemon(&program);
    let server = EventServer::start(EventRules::new(Acknowledges::Each));
    link(&program, &server, "wait_for_upload_complete", &daemon);
    let record = server.record();
    assert_eq!((record.finished, record.streams.len()), (1, 1));
    assert_complete(&record);
}
