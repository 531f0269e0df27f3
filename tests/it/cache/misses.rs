//! Changes that must miss the cache because the object may differ: another compiler, other
//! arguments, other contents of a file that an argument names.
//!
//! Each test fills a cache, changes one thing, and finds nothing in the cache; then it links the
//! same again and finds everything.

use fs_err as fs;

use crate::support::compiler::CompilerCopy;
use crate::support::fake::fake_clang;
use crate::support::link::{Home, Link};
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Feature, feature, generated};
use crate::support::repeat::{filled, remote};
use crate::support::saved::Saved;

/// Makes a link of `make` twice: the first finds nothing of what `home` holds, the second finds the
/// first.
fn misses<'a>(home: &Home, make: impl Fn() -> Link<'a>) -> LinkOutcome {
    let outcome = make().keep_objects().run_at(home).expect_works();
    outcome.assert_none_cached();
    make().run_at(home).expect_works().assert_all_cached();
    outcome
}

/// Whether any object of the link has a section for each function, as `-ffunction-sections` makes
/// them.
fn has_function_sections(outcome: &LinkOutcome) -> bool {
    let name = b".text.sum0";
    let mut objects = outcome.objects().into_iter();
    objects.any(|object| object.windows(name.len()).any(|found| found == name))
}

#[test]
fn another_optimization_level_misses() {
    let program = generated(5);
    let home = filled(&program);
    for level in ["-O0", "-O1", "-O3"] {
        misses(&home, || Link::new(&program).argument(level)).assert_identical_objects();
    }
}

/// lld's own cache (`--thinlto-cache-dir`) does not look at these arguments.
#[test]
fn another_remote_argument_misses() {
    let program = generated(5);
    let home = filled(&program);
    let argument = remote("-ffunction-sections");
    let outcome = misses(&home, || Link::new(&program).argument(&argument));
    outcome.assert_identical_objects();
    assert!(has_function_sections(&outcome));
    let argument = remote("-fno-pic");
    misses(&home, || {
        Link::new(&program).argument(&argument).argument("-no-pie")
    })
    .assert_identical_objects();
}

#[test]
fn arguments_that_the_environment_adds_miss() {
    let program = generated(5);
    let home = filled(&program);
    let outcome = misses(&home, || {
        Link::new(&program).env("CCC_OVERRIDE_OPTIONS", "#+-ffunction-sections")
    });
    assert!(has_function_sections(&outcome));
}

#[test]
fn another_salt_misses() {
    let program = generated(5);
    let home = filled(&program);
    misses(&home, || Link::new(&program).option("--cache-salt=mine"));
    misses(&home, || {
        Link::new(&program).env("RELTO_CACHE_SALT", "yours")
    });
}

#[test]
fn another_build_of_the_compiler_misses() {
    let program = generated(5);
    let home = filled(&program);
    let copy = CompilerCopy::new();
    let option = copy.option("clang");
    // Where a compiler is installed is not what it is.
    Link::new(&program)
        .argument(&option)
        .run_at(&home)
        .expect_works()
        .assert_all_cached();
    copy.become_another_build();
    misses(&home, || Link::new(&program).argument(&option)).assert_identical_objects();
}

/// clang takes its target and its mode from the name that it is called by.
#[test]
fn another_name_of_the_compiler_misses() {
    let program = generated(5);
    let home = filled(&program);
    let copy = CompilerCopy::new();
    fs::rename(copy.file("clang"), copy.file("clang++")).expect("renamed");
    let option = copy.option("clang++");
    misses(&home, || Link::new(&program).argument(&option)).assert_identical_objects();
}

/// lld passes the name of the tool on as `--thinlto-remote-compiler-prepend-arg`.
#[test]
fn another_tool_of_a_multi_call_program_misses() {
    let mut saved = Saved::new(&generated(5));
    let multi_call = "if (strcmp(arguments[1], \"clang\") && strcmp(arguments[1], \"clang++\")) return 1; \
        object(ET_REL); return 0;";
    saved.compile_with(&fake_clang(multi_call));
    let arguments = saved.link["common"]["args"].as_array_mut().expect("a list");
    arguments.insert(1, "clang".into());
    let mut link = |tool: &str| {
        saved.link["common"]["args"][1] = tool.into();
        let output = saved.run();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    for (tool, found) in [
        ("clang", "6 local"),
        ("clang++", "6 local"),
        ("clang", "6 cached"),
        ("clang++", "6 cached"),
    ] {
        let said = link(tool);
        assert!(said.contains(&format!("6 jobs, {found}")), "{tool}: {said}");
    }
}

#[test]
fn a_configuration_file_beside_the_compiler_misses() {
    let program = generated(5);
    let home = filled(&program);
    let copy = CompilerCopy::new();
    let option = copy.option("clang");
    let file = copy.file("clang.cfg");
    fs::write(&file, "-ffunction-sections\n").expect("written");
    let outcome = misses(&home, || Link::new(&program).argument(&option));
    outcome.assert_identical_objects();
    assert!(has_function_sections(&outcome));

    fs::write(&file, "-ffunction-sections -O3\n").expect("written");
    misses(&home, || Link::new(&program).argument(&option)).assert_identical_objects();

    fs::remove_file(&file).expect("removed");
    let without = Link::new(&program).argument(&option).run_at(&home);
    without.expect_works().assert_all_cached();
}

/// What `native` is on this machine stands in the key, so that another machine's result is not
/// taken for ours.
#[test]
fn the_key_contains_the_meaning_of_native() {
    let program = generated(5);
    let home = filled(&program);
    let argument = remote("-march=native");
    misses(&home, || Link::new(&program).argument(&argument)).assert_identical_objects();
    let named = remote("-march=x86-64-v2");
    if cfg!(target_arch = "x86_64") {
        misses(&home, || Link::new(&program).argument(&named)).assert_identical_objects();
    }
}

#[test]
fn the_contents_of_a_profile_miss_and_its_name_does_not() {
    let program = feature(Feature::SampleProfile);
    let home = filled(&program);
    let with_profile = |text: &str, name: &str| {
        let mut program = program.clone();
        program.link_arguments.pop().expect("the profile");
        let argument = format!("-fprofile-sample-use={name}");
        program.link_arguments.push(argument);
        let link = Link::new(&program).keep_objects();
        fs::write(link.dir().join(name), text).expect("written");
        link.run_at(&home).expect_works()
    };
    let known = fs::read_to_string(&program.files[0]).expect("a profile");
    with_profile(&known, "renamed.prof").assert_all_cached();
    let other = known.replace("90000:9000", "50:5");
    assert_ne!(known, other);
    let outcome = with_profile(&other, "sample.prof");
    outcome.assert_none_cached();
    outcome.assert_identical_objects();
}

/// Jobs that no key describes: they run in place, each time, and leave what clang leaves.
fn stays_uncached<'a>(make: impl Fn() -> Link<'a>) {
    let home = Home::new();
    for _ in 0..2 {
        let outcome = make().run_at(&home).expect_works();
        let counts = outcome.counts();
        assert_eq!(counts.in_place, counts.jobs, "{}", outcome.stderr);
    }
}

#[test]
fn edits_by_the_environment_that_depend_on_the_machine_have_no_key() {
    let program = generated(2);
    for edit in ["#+-march=native", "#+-gsplit-dwarf"] {
        stays_uncached(|| Link::new(&program).env("CCC_OVERRIDE_OPTIONS", edit));
    }
}

/// What a configuration file says counts as much as an argument.
#[test]
fn a_configuration_file_is_read_as_arguments_are() {
    let program = generated(2);
    let copy = CompilerCopy::new();
    let option = copy.option("clang");
    fs::write(copy.file("clang.cfg"), "-O2 -gsplit-dwarf\n").expect("written");
    stays_uncached(|| Link::new(&program).argument(&option));

    fs::write(copy.file("clang.cfg"), "-march=native\n").expect("written");
    let home = Home::new();
    misses(&home, || Link::new(&program).argument(&option)).assert_identical_objects();
}
