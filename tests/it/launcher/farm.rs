//! Backends of other build systems on a farm.

use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::sync::{Mutex, mpsc};

use fs_err as fs;

use crate::support::backends::{Backends, WORDS, add};
use crate::support::daemon::{stderr, wait_until};
use crate::support::farm::{Farm, Method, Outcome, Profile};
use crate::support::link::Home;
use crate::support::outcome::Counts;
use crate::support::program::{Feature, feature, generated};
use crate::support::servers::{Server, on_each_farm};

/// Runs all backends, each with the variables of `environment`; gives where the objects came from,
/// and all that relto said.
fn run_all(
    backends: &Backends,
    home: &Home,
    environment: &[(&'static str, String)],
) -> (Counts, String) {
    let (mut counts, mut said) = (Counts::default(), String::new());
    for module in &backends.modules {
        let mut command = backends.relto(home);
        command
            .env("RELTO_STRATEGY", "remote")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .args(backends.arguments(module, "native.o"));
        let output = command.output().expect("relto starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{module}: {stderr}");
        add(&mut counts, &stderr);
        said.push_str(&stderr);
    }
    (counts, said)
}

#[test]
fn a_farm_compiles_all_objects_and_another_machine_finds_the_results() {
    let farm = Farm::start(Profile::buildbarn());
    let environment = farm.environment();
    let program = generated(4);
    let made = Backends::new(&program);
    let (counts, said) = run_all(&made, &Home::new(), &environment);
    assert_eq!(counts.remote, counts.jobs, "{said}");
    made.assert_identical_objects();
    farm.record().assert_no_violations();
    let found = Backends::new(&program);
    let (counts, said) = run_all(&found, &Home::new(), &environment);
    assert_eq!(counts.cached, counts.jobs, "{said}");
    found.assert_identical_objects();
}

#[test]
fn a_farm_also_returns_further_outputs() {
    let farm = Farm::start(Profile::buildbarn());
    let flags = ["-gsplit-dwarf", "-fstack-usage"];
    let backends = Backends::new(&feature(Feature::Debug)).flags(&flags);
    let (counts, said) = run_all(&backends, &Home::new(), &farm.environment());
    assert_eq!(counts.remote, counts.jobs, "{said}");
    for ending in ["native.dwo", "native.su"] {
        let name = format!("main.o.{ending}");
        let remote = fs::read(backends.path(&name)).expect("fetched");
        fs::remove_file(backends.path(&name)).expect("removed");
        let mut clang = std::process::Command::new(backends.compiler());
        clang.current_dir(backends.dir());
        crate::support::llvm::run(clang.args(backends.arguments("main.o", "native.o")));
        assert!(
            remote == fs::read(backends.path(&name)).expect("written"),
            "{name} differs"
        );
    }
}

/// As many processes as modules, and one warning.
#[test]
fn a_farm_that_is_not_there_costs_the_build_one_warning() {
    let backends = Backends::new(&generated(4));
    let socket = backends.path_of("nobody");
    drop(UnixListener::bind(&socket).expect("bound"));
    let environment = [("RELTO_REMOTE_EXECUTOR", format!("unix:{socket}"))];
    let (counts, said) = run_all(&backends, &Home::new(), &environment);
    assert_eq!(counts.local, counts.jobs, "{said}");
    assert_eq!(said.matches("relto: warning: ").count(), 1, "{said}");
    backends.assert_identical_objects();
}

/// A farm that swallows connections would hold up each process for as long as the first.
#[test]
fn a_farm_that_was_away_a_moment_ago_is_not_waited_for_again() {
    let backends = Backends::new(&generated(4));
    let home = Home::new();
    let socket = backends.path_of("farm");
    let environment = [("RELTO_REMOTE_EXECUTOR", format!("unix:{socket}"))];
    drop(UnixListener::bind(&socket).expect("bound"));
    let run = |module: &str| {
        let mut command = backends.relto(&home);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.env("RELTO_STRATEGY", "remote");
        let output = command.args(backends.arguments(module, "native.o"));
        assert!(output.output().expect("relto starts").status.success());
    };
    run("main.o");
    fs::remove_file(&socket).expect("removed");
    let listener = UnixListener::bind(&socket).expect("bound");
    listener.set_nonblocking(true).expect("set");
    run("m0000.o");
    let nobody = listener.accept().expect_err("nobody came");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn the_local_compiler_decides_when_a_worker_fails() {
    let farm = Farm::start(Profile::buildbarn());
    let backends = Backends::new(&feature(Feature::Incbin));
    fs::write(backends.path("data.bin"), "ok, here").expect("written");
    let mut command = backends.relto(&Home::new());
    command.envs(farm.environment().iter().map(|(name, value)| (name, value)));
    let output = command.args(WORDS).output().expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("`main.o`: in place"), "{stderr}");
    assert!(!stderr.contains("disagrees"), "both were right: {stderr}");
}

/// With `make -j200` the slots here are taken when most jobs begin, and those must not depend on
/// one worker for ever.
#[test]
fn a_job_that_the_farm_does_not_finish_takes_the_next_free_local_slot() {
    let (gate, closed) = mpsc::channel::<()>();
    let closed = Mutex::new(closed);
    let farm = Farm::scripted(Profile::buildbarn(), move |_| {
        let _ = closed.lock().expect("one job").recv();
        Outcome::exit(1, "")
    });
    let (home, backends) = (Home::new(), Backends::new(&feature(Feature::Plain)));
    let slot = home.take_first_slot();
    let mut command = backends.relto(&home);
    command
        .envs(farm.environment().iter().map(|(name, value)| (name, value)))
        .envs([("RELTO_STRATEGY", "dynamic"), ("RELTO_LOCAL_JOBS", "1")])
        .stderr(Stdio::piped());
    let child = command.args(WORDS).spawn().expect("relto starts");
    wait_until("the farm has the job", || {
        farm.record().count(Method::Execute) == 1
    });
    drop(slot);
    let output = child.wait_with_output().expect("ended");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(": local"), "{said}");
    drop(gate);
}

/// The words name another module each time, and are no news all the same.
#[test]
fn a_farm_without_execution_is_reported_once() {
    let farm = Farm::scripted(Profile::plain(), |_| Outcome::exit(1, "illegal hardware\n"));
    let backends = Backends::new(&generated(4));
    let (counts, said) = run_all(&backends, &Home::new(), &farm.environment());
    assert_eq!(counts.local, counts.jobs, "{said}");
    assert_eq!(said.matches("relto: warning: ").count(), 1, "{said}");
    assert!(said.contains("the farm disagrees"), "{said}");
    backends.assert_identical_objects();
}

fn makes_backends(server: &Server) {
    let mut environment = server.environment();
    environment.push(("RELTO_CACHE_SALT", "launched".to_owned()));
    let program = generated(4);
    let made = Backends::new(&program);
    let (counts, said) = run_all(&made, &Home::new(), &environment);
    assert_eq!(counts.remote, counts.jobs, "{said}");
    made.assert_identical_objects();
    let found = Backends::new(&program);
    let (counts, said) = run_all(&found, &Home::new(), &environment);
    assert_eq!(counts.cached, counts.jobs, "{said}");
    found.assert_identical_objects();
}

on_each_farm!(a_farm_makes_backends_and_finds_them_again => makes_backends);
