//! Links in three steps whose backends run on a farm: a real one where there is one.

use crate::support::farm::{Farm, Profile};
use crate::support::link::Home;
use crate::support::outcome::Counts;
use crate::support::servers::{Server, on_each_farm};
use crate::support::wrapped::{Release, WrapperDir};

/// A program with a library of modules and native code.
fn program(release: &Release) -> WrapperDir {
    let fixture = WrapperDir::new(release);
    fixture.module(
        "main.c",
        "int f(int); int n(int); int main(int c, char **v) { return f(c) + n(c) - 4; }\n",
    );
    fixture.module("f.c", "int g(int); int f(int x) { return g(x) * 3; }\n");
    fixture.module("g.c", "int g(int x) { return x; }\n");
    fixture.compile("n.c", "int n(int x) { return x; }\n", &[]);
    fixture.archive("rcs", "liball.a", &["f.o", "n.o", "g.o"]);
    fixture
}

/// Links with the farm of `environment` and nothing else, and compares with the linker's own.
fn linked(fixture: &WrapperDir, environment: &[(&'static str, String)]) -> Counts {
    let words = ["main.o", "liball.a"];
    let theirs = fixture.plain("clang", &words);
    let mut command = fixture.link_command("clang", &fixture.path("relto-ld.lld"), &words);
    command.env("RELTO_DISK_CACHE", "off");
    command.env("RELTO_REMOTE_LOCAL_FALLBACK", "false");
    command.env("RELTO_STRATEGY", "remote");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.args(["-o", "app"]).output().expect("clang starts");
    let counts = fixture.counts(&output, &words);
    let ours = fs_err::read(fixture.path("app")).expect("linked");
    assert!(ours == theirs, "LLVM {}", fixture.release.major);
    fixture.run_app();
    counts
}

/// Made by the farm, then found there from another directory by another user.
fn made_then_found(environment: &[(&'static str, String)]) {
    for release in Release::installed() {
        let fixture = program(&release);
        let counts = linked(&fixture, environment);
        assert_eq!((counts.jobs, counts.remote), (3, 3), "{counts:?}");
        let mut other = program(&release);
        other.home = Home::new();
        let counts = linked(&other, environment);
        assert_eq!((counts.jobs, counts.cached), (3, 3), "{counts:?}");
    }
}

fn on_a_real_farm(server: &Server) {
    let mut environment = server.environment();
    environment.push(("RELTO_CACHE_SALT", "wrapped".to_owned()));
    made_then_found(&environment);
}

on_each_farm!(a_farm_makes_the_backends_of_every_release => on_a_real_farm);

#[test]
fn the_scripted_farm_makes_the_backends_of_every_release() {
    let farm = Farm::start(Profile::buildbarn());
    made_then_found(&farm.environment());
}
