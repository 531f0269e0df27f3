//! Links on real farms. [`cache::real`](crate::cache::real) has servers that are only caches.
//!
//! Tests share a server of each kind where they can; a salt keeps each test's results apart.

use crate::support::link::Form;
use crate::support::program::{Feature, Program, cxx, feature, generated};
use crate::support::remote::{assert_all_cached, assert_all_remote, broken, here, strict};
use crate::support::servers::{Kind, Server, Setup, on_each_farm};
use crate::support::skip::runs_long;

mod killed;

/// Variables for a link with `server`, whose results no other test sees.
fn environment(server: &Server, salt: &str) -> Vec<(&'static str, String)> {
    let mut environment = server.environment();
    environment.push(("RELTO_CACHE_SALT", salt.to_owned()));
    environment
}

fn made_then_found(server: &Server, program: &Program, form: Form, more: &[(&'static str, &str)]) {
    let name = &program.name;
    let mut environment = environment(server, &format!("{name} {form:?} {more:?}"));
    environment.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let link = || strict(program, &environment).form(form).keep_objects();
    let made = link().run_at(here()).expect_works();
    assert_all_remote(made.counts());
    made.assert_identical_objects();
    let found = link().run().expect_works();
    assert_all_cached(found.counts());
    found.assert_identical_objects();
}

fn makes_a_whole_program(server: &Server) {
    made_then_found(server, &generated(8), Form::Absolute, &[]);
}

on_each_farm!(a_farm_makes_a_whole_program_and_finds_it_again => makes_a_whole_program);

fn makes_an_archive(server: &Server) {
    made_then_found(server, &generated(8), Form::Archive, &[]);
}

on_each_farm!(a_farm_makes_members_of_an_archive_and_finds_them_again => makes_an_archive);

fn makes_cxx(server: &Server) {
    let program = feature(Feature::WholeProgramVtables);
    made_then_found(server, &program, Form::Objects, &[]);
}

on_each_farm!(a_farm_makes_cxx_and_finds_it_again => makes_cxx);

/// A minute and a half of compiling for each.
fn makes_a_large_archive(server: &Server) {
    if server.kind() == Kind::Buildbarn || runs_long() {
        made_then_found(server, &cxx(), Form::Archive, &[]);
    }
}

on_each_farm!(a_farm_makes_a_large_cxx_program_out_of_an_archive => makes_a_large_archive);

#[test]
fn buildbarn_takes_blake3() {
    if let Some(server) = Kind::Buildbarn.shared() {
        let function = [("RELTO_DIGEST_FUNCTION", "blake3")];
        made_then_found(server, &generated(4), Form::Objects, &function);
    }
}

#[test]
fn buildbarn_without_compression_works_as_well() {
    let setup = Setup {
        environment: vec![("BB_ZSTD".to_owned(), "0".to_owned())],
        ..Setup::default()
    };
    if let Some(server) = Kind::Buildbarn.private(&setup) {
        made_then_found(&server, &generated(4), Form::Objects, &[]);
    }
}

fn compiles_with_its_own_compiler(server: &Server) {
    let worker = [("RELTO_TOOLCHAIN", "worker")];
    made_then_found(server, &generated(4), Form::Objects, &worker);
}

on_each_farm!(the_workers_own_compiler_can_be_used => compiles_with_its_own_compiler);

fn fails_to_compile(server: &Server) {
    let (program, _dir) = broken();
    let failed = strict(&program, &environment(server, "broken")).run_at(here());
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    let said = "relto: error: cannot compile `bad.o`: the compiler exited with 1";
    assert!(failed.stderr.contains(said), "{}", failed.stderr);
    assert!(failed.stderr.contains("bogus"), "{}", failed.stderr);
}

on_each_farm!(a_module_that_does_not_compile_fails_the_link => fails_to_compile);

#[test]
fn the_workers_platform_and_ours_are_both_reported_with_buildbarn() {
    let Some(server) = Kind::Buildbarn.shared() else {
        return;
    };
    let platform = "OSFamily=beos".to_owned();
    let environment = [
        ("RELTO_REMOTE_EXECUTOR", server.address()),
        ("RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES", platform),
    ];
    let failed = strict(&generated(4), &environment).run_at(here());
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    for part in ["No workers exist", "sent: `OSFamily=beos`", "hint: "] {
        assert!(failed.stderr.contains(part), "`{part}`: {}", failed.stderr);
    }
}
