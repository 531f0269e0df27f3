//! A daemon with a farm: what it asks once for all links.

use fs_err as fs;

use crate::support::backends::{Backends, add};
use crate::support::daemon::{Daemon, stderr, succeeded};
use crate::support::farm::{Farm, Method, Profile};
use crate::support::outcome::Counts;
use crate::support::program::generated;

/// Runs all backends through the daemon and on the farm.
fn run_all(daemon: &Daemon, backends: &Backends, farm: &Farm, more: &[(&str, &str)]) -> Counts {
    let mut counts = Counts::default();
    for module in &backends.modules {
        let mut relto = daemon.relto(backends);
        relto
            .env("RELTO_STRATEGY", "remote")
            .envs(farm.environment())
            .envs(more.iter().copied());
        let output = succeeded(relto.args(backends.arguments(module, "native.o")));
        add(&mut counts, &stderr(&output));
    }
    counts
}

#[test]
fn many_links_share_a_connection_and_what_the_farm_has() {
    let farm = Farm::start(Profile::buildbarn());
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(5));
    let counts = run_all(&daemon, &backends, &farm, &[]);
    assert_eq!(counts.remote, counts.jobs, "{counts:?}");
    backends.assert_identical_objects();
    let record = farm.record();
    record.assert_no_violations();
    record.assert_nothing_twice();
    assert_eq!(record.count(Method::GetCapabilities), 1);
    assert_eq!(daemon.jobs() as usize, counts.jobs);
}

#[test]
fn links_with_other_headers_have_another_connection() {
    let farm = Farm::start(Profile::buildbarn());
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(2));
    for header in ["x-user=ann", "x-user=ben", "x-user=ann"] {
        run_all(
            &daemon,
            &backends,
            &farm,
            &[
                ("RELTO_REMOTE_HEADER", header),
                ("RELTO_CACHE_SALT", header),
            ],
        );
    }
    assert_eq!(farm.record().count(Method::GetCapabilities), 2);
    let invocations = farm.record().invocations();
    assert!(invocations.len() >= 6, "one id a link: {invocations:?}");
}

/// As when a farm's own cleaning has taken what a daemon believes to be there.
#[test]
fn blobs_that_the_farm_has_lost_since_are_sent_again() {
    let farm = Farm::start(Profile::buildbarn());
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(2));
    run_all(&daemon, &backends, &farm, &[]);
    farm.evict_all();
    farm.clear_results();
    let counts = run_all(&daemon, &backends, &farm, &[("RELTO_DISK_CACHE", "off")]);
    assert_eq!(counts.remote, counts.jobs, "{counts:?}");
    backends.assert_identical_objects();
}

#[test]
fn a_farm_that_comes_back_is_used_again() {
    let mut farm = Farm::start(Profile::buildbarn());
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(2));
    run_all(&daemon, &backends, &farm, &[]);
    farm.kill();
    for module in &backends.modules {
        let _ = fs::remove_file(backends.path(&format!("{module}.native.o")));
    }
    let counts = run_all(&daemon, &backends, &farm, &[("RELTO_DISK_CACHE", "off")]);
    assert_eq!(counts.local, counts.jobs, "{counts:?}");
    backends.assert_identical_objects();
    let other = Farm::start(Profile::buildbarn());
    let counts = run_all(&daemon, &backends, &other, &[("RELTO_DISK_CACHE", "off")]);
    assert_eq!(counts.remote, counts.jobs, "{counts:?}");
}
