//! Compiler messages: every link shows them, whether it compiles the module or finds it in the
//! cache, with its own user's file names.

use crate::support::link::{Form, Home, Link};
use crate::support::outcome::LinkOutcome;
use crate::support::program::{Feature, Program, feature};
use crate::support::repeat::remote;

/// The messages, without relto's own lines, which tell of times.
fn messages(outcome: &LinkOutcome) -> String {
    let lines = outcome.stderr.lines();
    let of_compiler = lines.filter(|line| !line.starts_with("relto: "));
    let mut lines: Vec<_> = of_compiler.collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// A link whose backends write the names of their modules.
fn naming(program: &Program, form: Form) -> Link<'_> {
    let words = [
        "-mllvm",
        "-print-before=inline",
        "-mllvm",
        "-print-module-scope",
    ];
    words
        .iter()
        .fold(Link::new(program).form(form), |link, word| {
            link.argument(&remote(word))
        })
}

#[test]
fn a_cache_hit_repeats_the_messages_of_the_compile() {
    let program = feature(Feature::Warning);
    let home = Home::new();
    let first = Link::new(&program).run_at(&home).expect_works();
    first.assert_none_cached();
    assert!(
        messages(&first).contains("stack frame size"),
        "{}",
        first.stderr
    );
    let second = Link::new(&program).run_at(&home).expect_works();
    second.assert_all_cached();
    assert_eq!(messages(&first), messages(&second));
}

#[test]
fn messages_contain_the_file_names_of_the_link_that_shows_them() {
    let (program, home) = (feature(Feature::Plain), Home::new());
    let first = naming(&program, Form::Objects).run_at(&home).expect_works();
    first.assert_none_cached();
    let again = naming(&program, Form::Objects).run_at(&home).expect_works();
    again.assert_all_cached();
    for outcome in [&first, &again] {
        assert!(
            outcome.stderr.contains("ModuleID = 'twice.o'"),
            "{}",
            outcome.stderr
        );
    }
    assert_eq!(messages(&first), messages(&again));

    let absolute = naming(&program, Form::Absolute)
        .run_at(&home)
        .expect_works();
    absolute.assert_all_cached();
    let name = absolute.dir().join("twice.o").display().to_string();
    let said = format!("ModuleID = '{name}'");
    assert!(absolute.stderr.contains(&said), "{}", absolute.stderr);
    for outcome in [first, again, absolute] {
        assert!(!outcome.stderr.contains("relto/"), "{}", outcome.stderr);
    }
}

/// The loader speaks in each process that starts, relto's own among them.
#[test]
fn what_the_loader_says_before_the_compiler_runs_is_not_kept() {
    let (program, home) = (feature(Feature::Plain), Home::new());
    let first = Link::new(&program).env("LD_PRELOAD", "/nonexistent.so");
    first.run_at(&home).expect_works().assert_none_cached();
    let second = Link::new(&program).run_at(&home).expect_works();
    second.assert_all_cached();
    assert!(!second.stderr.contains("LD_PRELOAD"), "{}", second.stderr);
}
