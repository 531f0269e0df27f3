//! Linux's backends on real farms: a part of the slice in every run, all of them in the long run.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::backends::add;
use crate::support::kernel::Slice;
use crate::support::kernel_tree::{BuiltKernel, Tree};
use crate::support::link::Home;
use crate::support::outcome::Counts;
use crate::support::servers::{Kind, Server, Setup, on_kinds};

use super::{clang, native, read, relto};

type Variables = Vec<(&'static str, String)>;

/// The farm alone makes objects, and nothing but the farm remembers them.
fn strictly(server: &Server) -> Variables {
    let mut environment = leniently(server);
    environment.push(("RELTO_REMOTE_LOCAL_FALLBACK", "false".to_owned()));
    environment
}

/// This machine makes what the farm does not.
fn leniently(server: &Server) -> Variables {
    let mut environment = server.environment();
    environment.push(("RELTO_STRATEGY", "remote".to_owned()));
    environment.push(("RELTO_DISK_CACHE", "off".to_owned()));
    environment
}

fn run_some(slice: &Slice, home: &Home, environment: &[(&str, String)]) -> Counts {
    let mut counts = Counts::default();
    // Enough to meet modules with and without imports.
    for module in slice.modules.iter().step_by(7) {
        let output = relto(slice, home, module, environment);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{module}: {stderr}");
        add(&mut counts, &stderr);
    }
    counts
}

fn makes_a_part_of_the_kernel(server: &Server) {
    let Some(slice) = Slice::new() else { return };
    let mut environment = strictly(server);
    environment.push(("RELTO_CACHE_SALT", "kernel".to_owned()));
    let counts = run_some(&slice, &Home::new(), &environment);
    assert_eq!(counts.remote, counts.jobs, "{counts:?}");
    for module in slice.modules.iter().step_by(7) {
        let words = [slice.flags(module), Slice::files(module, "whole.o")].concat();
        assert!(clang(&slice, &words).status.success(), "{module}");
        assert!(
            read(slice.dir(), "whole.o") == read(slice.dir(), &native(module)),
            "the objects of `{module}` differ"
        );
    }
    let counts = run_some(&slice, &Home::new(), &environment);
    assert_eq!(counts.cached, counts.jobs, "{counts:?}");
}

on_kinds!(a_farm_makes_a_part_of_the_kernel_and_finds_it_again => makes_a_part_of_the_kernel:
    buildbarn Buildbarn, casd Casd);

fn makes_all_of_linux(kind: Kind) {
    let Some(tree) = Tree::copy() else { return };
    let Some(server) = kind.private(&Setup::default()) else {
        return;
    };
    tree.forget_natives();
    let made = BuiltKernel::by(tree.backends(&Home::new()).envs(strictly(&server)));
    let (counts, jobs) = (made.counts, made.counts.jobs);
    assert!(jobs > 500, "{counts:?}");
    assert_eq!((counts.remote, counts.in_place), (jobs - 1, 1), "{made:?}");
    tree.assert_same_objects();
    tree.forget_natives();
    let made = BuiltKernel::by(tree.backends(&Home::new()).envs(strictly(&server)));
    let found = (made.counts.cached, made.counts.in_place);
    assert_eq!(found, (jobs - 1, 1), "{made:?}");
    tree.assert_same_objects();
}

#[test]
fn buildbarn_compiles_all_of_linux_and_another_machine_finds_the_results() {
    makes_all_of_linux(Kind::Buildbarn);
}

#[test]
fn casd_compiles_all_of_linux_and_another_machine_finds_the_results() {
    makes_all_of_linux(Kind::Casd);
}

/// Runs all backends, and lets `strike` happen when the farm has made some of them.
fn struck(tree: &Tree, command: &mut Command, strike: impl FnOnce()) -> BuiltKernel {
    tree.forget_natives();
    let mut making = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("make starts");
    // What a thousand processes print must be read, or they block.
    let (mut out, mut err) = (making.stdout.take(), making.stderr.take());
    let reading = [
        thread::spawn(move || drain(out.as_mut())),
        thread::spawn(move || drain(err.as_mut())),
    ];
    while tree.natives().len() < 100 && making.try_wait().expect("a child of ours").is_none() {
        thread::sleep(Duration::from_millis(100));
    }
    strike();
    let status = making.wait().expect("a child of ours");
    let [stdout, stderr] = reading.map(|it| it.join().expect("no panic"));
    BuiltKernel::of(&std::process::Output {
        status,
        stdout,
        stderr,
    })
}

fn drain(from: Option<&mut impl std::io::Read>) -> Vec<u8> {
    let mut text = Vec::new();
    from.expect("a pipe").read_to_end(&mut text).expect("read");
    text
}

/// A word for each kind of trouble, not one for each backend.
fn assert_few_words(made: &BuiltKernel) {
    let warnings = made.warnings();
    assert!(warnings.len() <= 3, "{warnings:#?}");
}

fn costs_linux_time(kind: Kind) {
    let Some(tree) = Tree::copy() else { return };
    let Some(mut server) = kind.private(&Setup::default()) else {
        return;
    };
    let mut command = tree.backends(&Home::new());
    let made = struck(&tree, command.envs(leniently(&server)), || {
        server.kill();
        // Long enough for some to find the port closed.
        thread::sleep(Duration::from_secs(5));
        server.restart();
    });
    assert!(made.counts.remote > 0, "{made:?}");
    tree.assert_same_objects();
    assert_few_words(&made);
}

#[test]
fn a_buildbarn_that_is_killed_and_restarts_costs_a_linux_build_only_time() {
    costs_linux_time(Kind::Buildbarn);
}

#[test]
fn a_casd_that_is_killed_and_restarts_costs_a_linux_build_only_time() {
    costs_linux_time(Kind::Casd);
}

/// The scheduler goes on and says that everything is queued: the user's own deadline tells that
/// from a long queue.
#[test]
fn a_farm_that_loses_its_worker_costs_a_linux_build_one_deadline_and_not_one_for_each_backend() {
    let Some(tree) = Tree::copy() else { return };
    let Some(mut server) = Kind::Buildbarn.private(&Setup::default()) else {
        return;
    };
    let mut environment = leniently(&server);
    environment.push(("RELTO_REMOTE_DEADLINE", "20s".to_owned()));
    let mut command = tree.backends(&Home::new());
    let made = struck(&tree, command.envs(environment), || server.kill_worker());
    assert!(made.counts.remote > 0 && made.counts.local > 0, "{made:?}");
    tree.assert_same_objects();
    assert_few_words(&made);
}

#[test]
fn a_farm_that_is_missing_or_never_answers_costs_a_linux_build_one_warning() {
    let Some(tree) = Tree::copy() else { return };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = gone.local_addr().expect("an address").port();
    for port in [port, gone] {
        tree.forget_natives();
        let mut command = tree.backends(&Home::new());
        command
            .env("RELTO_REMOTE_EXECUTOR", format!("grpc://127.0.0.1:{port}"))
            .env("RELTO_STRATEGY", "remote")
            .env("RELTO_REMOTE_TIMEOUT", "3s");
        let made = BuiltKernel::by(&mut command);
        assert_eq!(made.counts.local, made.counts.jobs - 1, "{made:?}");
        tree.assert_same_objects();
        assert_few_words(&made);
        assert!(!made.warnings().is_empty(), "no warning was shown");
    }
    drop(silent);
}
