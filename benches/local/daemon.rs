//! What the daemon saves: the same command with it and without it.
//!
//! The tables show a backend that is found, a small link, both again with a farm 5 ms away, and the
//! daemon's memory as its jobs become more.

use std::process::Command;
use std::time::Duration;

use crate::Settings;
use crate::replay::Replay;
use relto_testing::backends::Backends;
use relto_testing::daemon::{Daemon, switch_on};
use relto_testing::farm::{Farm, Profile};
use relto_testing::link::Home;
use relto_testing::measure::{Comparison, HEAD, run, show};
use relto_testing::memory;
use relto_testing::program::generated;
use relto_testing::proxy::Proxy;

/// Each way to the farm.
const AWAY: Duration = Duration::from_millis(5);
/// Jobs after which memory is looked at.
const MANY: [usize; 3] = [100, 1_000, 10_000];

pub(crate) fn daemon(settings: &Settings) {
    let backends = Backends::new(&generated(9));
    let replay = Replay::new(&generated(9));
    let backend = |home: &Home| {
        let mut hit = backends.relto(home);
        hit.env_remove("RELTO_LOG")
            .args(backends.arguments("main.o", "native.o"));
        hit
    };
    let link = |home: &Home| replay.relto(home, &[]);
    let farm = Farm::start(Profile::buildbarn());
    let proxy = Proxy::to(farm.port());
    proxy.delay(AWAY);
    let address = format!("grpc://127.0.0.1:{}", proxy.port());
    let at_farm = |command: &mut Command| {
        command.envs(farm.environment());
        command
            .env("RELTO_REMOTE_EXECUTOR", &address)
            .env("RELTO_STRATEGY", "remote")
            .env("RELTO_DISK_CACHE", "off");
    };
    show(&format!("with the daemon, without it\n{HEAD}"));
    compare(settings, "backend, found", &backend, |_| {});
    compare(settings, "link of 10 jobs, found", &link, |_| {});
    compare(settings, "backend, farm 5 ms away", &backend, at_farm);
    compare(settings, "link of 10, 5 ms away", &link, at_farm);
    grow(&backend);
}

fn compare(
    settings: &Settings,
    name: &str,
    command: &dyn Fn(&Home) -> Command,
    more: impl Fn(&mut Command),
) {
    const IN_A_ROW: usize = 20;
    let (daemon, alone) = (Daemon::new(), Home::new());
    let mut ours = command(&daemon.home);
    switch_on(&mut ours);
    let mut theirs = command(&alone);
    more(&mut ours);
    more(&mut theirs);
    // From here on there is a daemon, and everything is found.
    for command in [&ours, &theirs] {
        run(command, 3);
    }
    let both = Comparison::of(
        settings.runs,
        || run(&ours, IN_A_ROW),
        || run(&theirs, IN_A_ROW),
    );
    assert!(daemon.jobs() as usize > settings.runs * IN_A_ROW, "served");
    show(&both.line(name, |sample| sample.wall * 1000.0));
    show(&both.line("  its processor time", |sample| sample.cpu * 1000.0));
}

/// One backend, again and again: what stays is the daemon's own.
fn grow(command: &dyn Fn(&Home) -> Command) {
    let daemon = Daemon::new();
    let mut hit = command(&daemon.home);
    switch_on(&mut hit);
    let mut done = 0;
    for jobs in MANY {
        run(&hit, jobs - done);
        done = jobs;
        let process = daemon.process().expect("a daemon");
        let memory = memory::now(process).expect("its status") >> 10;
        show(&format!(
            "daemon after {jobs} jobs      {memory:8} KiB resident\n"
        ));
    }
}
