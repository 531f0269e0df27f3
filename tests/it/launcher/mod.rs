//! `relto cc`: builds that run the ThinLTO backends themselves get the objects that clang writes,
//! and get them once.

mod builds;
mod drivers;
mod ends;
mod farm;
mod faults;
mod forms;
mod hits;
mod make;
mod outputs;
mod surroundings;

use crate::support::backends::Backends;
use crate::support::link::{Home, Link};
use crate::support::llvm::run;
use crate::support::program::generated;
use crate::support::saved::results;

#[test]
fn objects_are_clangs_own_and_the_second_build_in_another_directory_compiles_nothing() {
    let program = generated(12);
    let home = Home::new();
    let first = Backends::new(&program);
    let counts = first.run_all(&home);
    assert_eq!(counts.local, first.modules.len(), "{counts:?}");
    first.assert_identical_objects();
    first.final_link("native.o");

    let second = Backends::new(&program);
    let counts = second.run_all(&home);
    assert_eq!(counts.cached, second.modules.len(), "{counts:?}");
    second.assert_identical_objects();
    second.final_link("native.o");
}

/// A bare `touch` makes a thin link, and that makes new shards, and so make runs every backend
/// again.
#[test]
fn shards_that_are_written_anew_compile_nothing() {
    let program = generated(12);
    let home = Home::new();
    let backends = Backends::new(&program);
    backends.run_all(&home);
    run(&mut backends.thin_link());
    let counts = backends.run_all(&home);
    assert_eq!(counts.cached, counts.jobs, "{counts:?}");
}

#[test]
fn a_build_with_absolute_names_finds_the_results_of_one_with_relative_names() {
    let program = generated(5);
    let home = Home::new();
    Backends::new(&program).run_all(&home);
    let mut absolute = Backends::unlinked(&program);
    let modules = absolute
        .modules
        .iter()
        .map(|module| absolute.path_of(module));
    absolute.modules = modules.collect();
    run(&mut absolute.thin_link());
    let counts = absolute.run_all(&home);
    assert_eq!(counts.cached, counts.jobs, "{counts:?}");
    absolute.assert_identical_objects();
}

#[test]
fn builds_that_differ_in_front_end_arguments_share_results() {
    let program = generated(5);
    let home = Home::new();
    let flags = |user: &str| {
        let backends = Backends::new(&program).flags(&["-Wno-unused-command-line-argument"]);
        let include = format!("-I/home/{user}/include");
        let module = format!("-DMODULE=\"{user}\"");
        let map = format!("-fmacro-prefix-map=/home/{user}/=");
        let dependencies = format!("-Wp,-MMD,{user}.d");
        backends.flags(&[
            &include,
            &module,
            &map,
            &dependencies,
            "-Wshadow",
            "-MD",
            "-MF",
            user,
        ])
    };
    flags("ann").run_all(&home);
    let ben = flags("ben");
    let counts = ben.run_all(&home);
    assert_eq!(counts.cached, counts.jobs, "{counts:?}");
    ben.assert_identical_objects();
    assert!(
        !ben.path("ben").exists() && !ben.path("ben.d").exists(),
        "no dependency file, as with clang alone"
    );
}

#[test]
fn builds_that_differ_in_a_backend_argument_share_no_results() {
    let program = generated(5);
    let home = Home::new();
    Backends::new(&program).run_all(&home);
    for flag in ["-O1", "-fno-pic", "-ffunction-sections", "-mno-sse3"] {
        let other = Backends::new(&program).flags(&[flag]);
        let counts = other.run_all(&home);
        assert_eq!(counts.local, counts.jobs, "{flag}: {counts:?}");
        other.assert_identical_objects();
    }
}

#[test]
fn the_distributor_and_the_launcher_share_results() {
    let program = generated(5);
    let home = Home::new();
    let linked = Link::new(&program)
        .keep_objects()
        .run_at(&home)
        .expect_works();
    let arguments = linked.job_file()["common"]["args"].clone();
    let words = arguments.as_array().expect("a list").iter().skip(1);
    let words: Vec<&str> = words.filter_map(|word| word.as_str()).collect();
    // The distributor's own order, without the two words that say what the input is.
    let mut backends = Backends::new(&program);
    backends.flags.clear();
    let flags: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !["-c", "-x", "ir"].contains(word))
        .collect();
    let backends = backends.flags(&flags);
    let before = results(&home);
    for module in &backends.modules {
        let mut command = backends.relto(&home);
        command.args(&words).args([
            module.clone(),
            format!("-fthinlto-index={module}.thinlto.bc"),
            "-o".to_owned(),
            format!("{module}.native.o"),
        ]);
        run(&mut command);
    }
    assert_eq!(results(&home), before, "nothing new was kept");
    backends.final_link("native.o");
}
