//! Builds that launch their backends: one stream a build, if a daemon holds it.

use std::process::Command;

use fs_err as fs;

use super::{assert_complete, finished};
use crate::support::backends::Backends;
use crate::support::daemon::{Daemon, stderr, succeeded, switch_on, wait_until};
use crate::support::event_server::{Acknowledges, EventRules, EventServer, StreamFault};
use crate::support::link::Home;
use crate::support::program::generated;

/// A build by a program that is called `ninja`, and that no other build started.
fn run_build(backends: &Backends, home: &Home, server: &EventServer, mode: &str) -> String {
    run_build_for(backends, home, &[server], mode)
}

/// The same for each server in turn.
fn run_build_for(backends: &Backends, home: &Home, servers: &[&EventServer], mode: &str) -> String {
    let part = |server: &&EventServer| {
        let lines = backends.script(home, "2>>log || exit 1");
        format!("export RELTO_BES_BACKEND={}\n{lines}", server.address())
    };
    let script = servers.iter().map(part).collect::<String>() + "touch done\n";
    let mut build = Command::new("setsid");
    home.apply(&mut build);
    switch_on(&mut build);
    build
        .current_dir(backends.dir())
        .env("RELTO_BES_RESULTS_URL", "http://pages/invocation/")
        .env("RELTO_BES_UPLOAD_MODE", mode)
        .arg("--fork")
        .arg(backends.ninja())
        .arg("-c")
        .arg(script);
    succeeded(&mut build);
    let done = backends.path("done");
    wait_until("the build is done", || done.exists());
    fs::remove_file(done).expect("removed");
    fs::read_to_string(backends.path("log")).unwrap_or_default()
}

#[test]
fn the_backends_of_a_build_have_one_stream_that_ends_with_the_build() {
    let server = EventServer::start(EventRules::new(Acknowledges::AtEnd));
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(3));
    let said = run_build(&backends, &daemon.home, &server, "wait_for_upload_complete");
    let record = server.wait_for(|record| record.finished == 1);
    assert_complete(&record);
    assert_eq!(record.streams.len(), 1);
    assert_eq!(finished(&record), Some(("SUCCESS".to_owned(), 0)));
    let id = &record.invocations()[0];
    let page = format!("relto: Streaming build results to: http://pages/invocation/{id}\n");
    assert_eq!(said.matches(&page).count(), 1, "{said}");
    let text = format!("{:?}", record.build_events());
    let jobs = format!("actions_created: {}", backends.modules.len());
    assert!(text.contains(&jobs), "{text}");
}

#[test]
fn each_server_of_a_build_gets_the_events_of_its_own_jobs() {
    let servers = [(); 2].map(|()| EventServer::start(EventRules::new(Acknowledges::AtEnd)));
    let (daemon, backends) = (Daemon::new(), Backends::new(&generated(3)));
    let both = [&servers[0], &servers[1]];
    run_build_for(&backends, &daemon.home, &both, "wait_for_upload_complete");
    for server in both {
        let record = server.wait_for(|record| record.finished == 1);
        assert_complete(&record);
        let text = format!("{:?}", record.build_events());
        let jobs = format!("actions_created: {}", backends.modules.len());
        assert!(text.contains(&jobs), "{text}");
    }
}

#[test]
fn a_build_waits_for_its_stream_in_no_mode_and_the_stream_is_complete_in_each() {
    let program = generated(3);
    for mode in [
        "wait_for_upload_complete",
        "nowait_for_upload_complete",
        "fully_async",
    ] {
        // Nothing is answered at first, so a build that waited would take longer than a minute.
        let rules =
            EventRules::new(Acknowledges::AtEnd).faults(&[StreamFault::NoLastAcknowledgement]);
        let server = EventServer::start(rules);
        let (daemon, backends) = (Daemon::new(), Backends::new(&program));
        run_build(&backends, &daemon.home, &server, mode);
        let record = server.wait_for(|record| record.half_closed == 1);
        assert_complete(&record);
        assert_eq!(finished(&record), Some(("SUCCESS".to_owned(), 0)), "{mode}");
    }
}

#[test]
fn without_a_daemon_a_build_has_no_stream_and_says_so_once() {
    let server = EventServer::start(EventRules::new(Acknowledges::AtEnd));
    let home = Home::new();
    let backends = Backends::new(&generated(3));
    let mut said = String::new();
    for module in &backends.modules {
        let mut relto = backends.relto(&home);
        relto
            .env("RELTO_DAEMON", "off")
            .env("RELTO_BES_BACKEND", server.address())
            .args(backends.arguments(module, "native.o"));
        said.push_str(&stderr(&succeeded(&mut relto)));
    }
    assert_eq!(
        said.matches("warning: the build has no page").count(),
        1,
        "{said}"
    );
    assert!(server.record().streams.is_empty());
}
