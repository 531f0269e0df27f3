//! A daemon with a farm: what it asks once for all links.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use fs_err as fs;
use tonic::Code;

use crate::support::backends::{Backends, add};
use crate::support::daemon::{Daemon, stderr, succeeded, switch_on};
use crate::support::executable;
use crate::support::farm::{Effect, Farm, Fault, Method, Profile};
use crate::support::link::Home;
use crate::support::outcome::Counts;
use crate::support::program::generated;
use crate::support::proxy::Proxy;
use crate::support::saved::Saved;

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
}

#[test]
fn a_credential_helper_runs_in_the_directory_of_its_caller() {
    let (farm, daemon) = (Farm::start(Profile::buildbarn()), Daemon::new());
    let dir = tempfile::tempdir().expect("a directory");
    let (helper, told) = (dir.path().join("helper"), dir.path().join("told"));
    let script = format!(
        "#!/bin/sh\nread -r question\npwd -P >> {}\necho '{{\"headers\":{{}}}}'\n",
        told.display()
    );
    executable::write(&helper, script);
    let helper = helper.to_str().expect("a plain path");
    let builds = [1, 2].map(|_| Backends::new(&generated(2)));
    for (backends, salt) in builds.iter().zip(["first", "second"]) {
        let options = [
            ("RELTO_CREDENTIAL_HELPER", helper),
            ("RELTO_CACHE_SALT", salt),
        ];
        run_all(&daemon, backends, &farm, &options);
    }
    let told = fs::read_to_string(told).expect("the helper ran");
    let dirs = builds.each_ref().map(|backends| backends.dir().display());
    let dirs: Vec<_> = dirs.iter().map(ToString::to_string).collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), dirs);
}

/// Runs all backends of `builds` at the same time, each in a process of its own. False if the daemon
/// did not run all: on a busy machine it may answer too late for some, which then link by themselves.
fn run_at_the_same_time(farm: &Farm, builds: &[(&str, Backends)]) -> bool {
    let daemon = Daemon::new();
    let spawn = |(build, backends): &(&str, Backends), module: &String| {
        let mut relto = daemon.relto(backends);
        relto
            .envs(farm.environment())
            .env("RELTO_STRATEGY", "remote")
            .env("RELTO_CACHE_SALT", build)
            .env("RELTO_INVOCATION_ID", build)
            .env("RELTO_BUILD_REQUEST_ID", format!("run-of-{build}"))
            .args(backends.arguments(module, "native.o"))
            .stderr(Stdio::null());
        relto.spawn().expect("started")
    };
    let modules = 0..builds[0].1.modules.len();
    let started = modules.flat_map(|number| {
        let of_build = |build| spawn(build, &build.1.modules[number]);
        builds.iter().map(of_build).collect::<Vec<_>>()
    });
    let mut started: Vec<_> = started.collect();
    for relto in &mut started {
        assert!(relto.wait().expect("ended").success());
    }
    usize::try_from(daemon.jobs()).is_ok_and(|jobs| jobs == started.len())
}

#[test]
fn two_builds_at_the_same_time_are_two_invocations_in_all_of_their_calls() {
    let builds = ["one", "other"].map(|build| (build, Backends::new(&generated(4))));
    let mut farms = (0..10).map(|_| Farm::start(Profile::buildbarn()));
    let served = farms.find(|farm| run_at_the_same_time(farm, &builds));
    let farm = served.expect("the daemon runs all jobs");
    let record = farm.record();
    record.assert_no_violations();
    record.assert_nothing_twice();
    assert_eq!(record.invocations(), ["one", "other"]);
    for build in ["one", "other"] {
        let executions = record.of(Method::Execute).filter(|call| {
            let metadata = call.metadata.as_ref().expect("it is always there");
            metadata.tool_invocation_id == build
                && metadata.correlated_invocations_id == format!("run-of-{build}")
                && metadata.action_mnemonic == "ThinLTOBackend"
                && !metadata.target_id.is_empty()
        });
        assert_eq!(executions.count(), builds[0].1.modules.len(), "{build}");
        // The modules of both are the same and sent by one; shards and actions are not.
        let sent = record.of(Method::BatchUpdateBlobs);
        let ids = sent.filter_map(|call| call.metadata.as_ref());
        assert!(ids.map(|it| &it.tool_invocation_id).any(|id| id == build));
    }
}

#[test]
fn the_compilers_that_a_build_launches_are_one_invocation() {
    let farm = Farm::start(Profile::buildbarn());
    let backends = Backends::new(&generated(2));
    let home = Home::new();
    let mut build = Command::new(backends.ninja());
    home.apply(&mut build);
    let script = backends.script(&home, "|| exit 1");
    build.current_dir(backends.dir()).envs(farm.environment());
    build
        .env("RELTO_STRATEGY", "remote")
        .env("GITLAB_CI", "true");
    build
        .env("CI_PIPELINE_ID", "77")
        .env_remove("CI_PROJECT_PATH");
    build.env_remove("GITHUB_ACTIONS").arg("-c").arg(script);
    succeeded(&mut build);
    let record = farm.record();
    assert_eq!(record.count(Method::Execute), backends.modules.len());
    assert_eq!(record.invocations().len(), 1);
    let metadata = record
        .calls
        .iter()
        .filter_map(|call| call.metadata.as_ref());
    let runs: BTreeSet<_> = metadata
        .map(|it| it.correlated_invocations_id.as_str())
        .collect();
    assert_eq!(runs, BTreeSet::from(["77"]));
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

/// A link with `more` through `daemon`, of which the disk cache keeps nothing.
fn link(saved: &Saved, daemon: &Daemon, more: &[(&str, String)]) -> Command {
    let mut relto = saved.command();
    daemon.home.apply(&mut relto);
    switch_on(&mut relto);
    relto.env("RELTO_DISK_CACHE", "off");
    relto.envs(more.iter().map(|(name, value)| (name, value)));
    relto
}

fn counts(output: &Output) -> Counts {
    let mut counts = Counts::default();
    add(&mut counts, &stderr(output));
    counts
}

/// All jobs of one link would fail because of the one that finds out.
#[test]
fn a_farm_that_comes_back_at_its_address_serves_the_next_link_that_has_no_fallback() {
    let farm = Farm::start(Profile::plain());
    let way = Proxy::to(farm.port());
    let (daemon, saved) = (Daemon::new(), Saved::new(&generated(6)));
    let options = [
        ("RELTO_REMOTE_EXECUTOR", way.address()),
        ("RELTO_STRATEGY", "remote".to_owned()),
        ("RELTO_REMOTE_ACCEPT_CACHED", "off".to_owned()),
        ("RELTO_REMOTE_LOCAL_FALLBACK", "off".to_owned()),
    ];
    succeeded(&mut link(&saved, &daemon, &options));
    way.refuse(true);
    way.reset();
    let output = link(&saved, &daemon, &options).output().expect("started");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    way.refuse(false);
    succeeded(&mut link(&saved, &daemon, &options));
    assert_eq!(daemon.processes().len(), 1);
    let asked = farm.record().count(Method::GetCapabilities);
    assert_eq!(asked, 1, "all are links of one client");
}

/// A daemon believes for minutes that the CAS has what it sent.
#[test]
fn a_cache_that_has_lost_its_objects_gets_them_again_from_the_next_link() {
    for profile in [Profile::plain(), Profile::bazel_remote()] {
        let farm = Farm::start(profile);
        let (daemon, saved) = (Daemon::new(), Saved::new(&generated(3)));
        let options = [("RELTO_REMOTE_CACHE", farm.address())];
        let once = || counts(&succeeded(&mut link(&saved, &daemon, &options)));
        let first = once();
        assert_eq!((first.local, first.cached), (first.jobs, 0), "{first:?}");
        farm.evict_all();
        let second = once();
        assert_eq!(second.local, second.jobs, "{second:?}");
        let third = once();
        assert_eq!(third.cached, third.jobs, "{third:?}");
    }
}

/// A daemon keeps capabilities for a while.
#[test]
fn a_farm_that_executes_no_more_is_asked_anew_by_the_next_link() {
    let farm = Farm::start(Profile::plain());
    let (daemon, saved) = (Daemon::new(), Saved::new(&generated(3)));
    let options = [
        ("RELTO_REMOTE_EXECUTOR", farm.address()),
        ("RELTO_STRATEGY", "remote".to_owned()),
        ("RELTO_REMOTE_ACCEPT_CACHED", "off".to_owned()),
    ];
    let asked = || farm.record().count(Method::GetCapabilities);
    for _ in 0..2 {
        let counts = counts(&succeeded(&mut link(&saved, &daemon, &options)));
        assert_eq!((counts.remote, asked()), (counts.jobs, 1));
    }
    let gone = Effect::fail(Code::Unimplemented, "no executor");
    farm.fault(Fault::at(Method::Execute, gone));
    succeeded(&mut link(&saved, &daemon, &options));
    assert_eq!(asked(), 1);
    farm.clear_faults();
    succeeded(&mut link(&saved, &daemon, &options));
    assert_eq!(asked(), 2);
}
