//! `relto report` and `--timings`: a page of what a link did, from what it recorded.

mod browser;
mod members;

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::support::backends::Backends;
use crate::support::daemon::Daemon;
use crate::support::farm::{Farm, Profile};
use crate::support::link::{Form, Home, Link};
use crate::support::llvm::{Llvm, run};
use crate::support::program::{Feature, feature, generated};
use crate::support::remote::strict;
use crate::support::wrapped::{Release, WrapperDir};

/// The numbers of the page for places.
const DISK: u64 = 0;
const FARM_CACHE: u64 = 1;
const REMOTE: u64 = 3;
const LOCAL: u64 = 4;

/// The number of the step.
const COMPILING: u64 = 4;

/// What relto says in `dir`, and whether it succeeded.
fn relto(dir: &Path, home: &Home, arguments: &[&str]) -> (bool, String) {
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut relto);
    let output = relto.current_dir(dir).args(arguments).output();
    let output = output.expect("relto starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    (output.status.success(), text)
}

/// The data in a page.
fn data(page: &str) -> Value {
    let (_, data) = page.split_once("id=\"data\">").expect("the data");
    let (data, _) = data.split_once("</script>").expect("its end");
    serde_json::from_str(data).expect("JSON")
}

fn report(dir: &Path, home: &Home, arguments: &[&str]) -> Value {
    let all = [&["report", "-o", "-"], arguments].concat();
    let (succeeded, page) = relto(dir, home, &all);
    assert!(succeeded, "{page}");
    data(&page)
}

fn places(data: &Value) -> Vec<u64> {
    let places = data["places"].as_array().expect("a column").iter();
    places
        .map(|place| place.as_u64().expect("a number"))
        .collect()
}

/// Why the job of `module` ran.
fn cause(data: &Value, module: &str) -> Option<String> {
    let modules = data["modules"].as_array().expect("a column");
    let job = modules
        .iter()
        .position(|it| it == module)
        .expect("a module");
    let cause = usize::try_from(data["causes"]["of"][job].as_i64()?).ok()?;
    let text = &data["causes"]["all"][cause]["text"];
    Some(text.as_str().expect("text").to_owned())
}

/// The module of `text`.
fn compile(dir: &Path, name: &str, text: &str) {
    let source = dir.join(name).with_extension("c");
    fs::write(&source, text).expect("written");
    Llvm::get().thin_module(&source, &dir.join(name));
}

#[test]
fn the_page_of_a_link_says_what_ran_where_and_why() {
    let home = Home::new();
    let program = feature(Feature::Plain);
    let link = Link::new(&program);
    let (succeeded, told) = relto(link.dir(), &home, &["report"]);
    assert!(
        !succeeded && told.contains("no link is recorded yet"),
        "{told}"
    );

    run(&mut link.command(&home));
    let first = report(link.dir(), &home, &[]);
    assert_eq!(first["output"], "app");
    assert_eq!(places(&first), [LOCAL; 3]);
    let unknown = "no earlier link of this output is recorded";
    assert_eq!(cause(&first, "main.o").as_deref(), Some(unknown));
    assert!(first["linker"].as_u64().is_some(), "the linker's own time");
    let path = first["path"].as_array().expect("a chain");
    let end = path.last().expect("not empty")[3].as_u64();
    assert_eq!(
        end,
        first["duration"].as_u64(),
        "the chain ends with the link"
    );
    assert!(path.iter().any(|part| part[0] == COMPILING), "{path:?}");

    run(&mut link.command(&home));
    let cached = report(link.dir(), &home, &[]);
    assert_eq!(places(&cached), [DISK; 3]);
    assert_eq!(cause(&cached, "main.o"), None);

    compile(
        link.dir(),
        "thrice.o",
        "int thrice(int x) { return x + x + x; }\n",
    );
    run(&mut link.command(&home));
    let changed = report(link.dir(), &home, &[]);
    assert_eq!(
        cause(&changed, "thrice.o").as_deref(),
        Some("changed module")
    );
    let main = cause(&changed, "main.o").expect("it imports from it");
    assert_eq!(main, "changed import thrice.o");
    assert_eq!(places(&changed)[..1], [LOCAL]);
    assert_eq!(report(link.dir(), &home, &["--last", "2"]), cached);
    assert_eq!(report(link.dir(), &home, &["-n", "3"]), first);

    fs::remove_dir_all(home.cache().join("relto/ac")).expect("evicted");
    run(&mut link.command(&home));
    let evicted = report(link.dir(), &home, &["app"]);
    let reason = "unchanged, but not in a cache any more (evicted)";
    assert_eq!(cause(&evicted, "main.o").as_deref(), Some(reason));

    let (succeeded, told) = relto(link.dir(), &home, &["report", "other"]);
    assert!(
        !succeeded && told.contains("no link of `other` is recorded"),
        "{told}"
    );
    let (succeeded, told) = relto(link.dir(), &home, &["report", "-o", "page.html"]);
    assert!(succeeded, "{told}");
    assert_eq!(told, "app: page.html\n");
    let page = fs::read_to_string(link.dir().join("page.html")).expect("written");
    assert_eq!(data(&page), evicted);
}

#[test]
fn a_job_file_stands_for_its_output_and_members_of_archives_have_their_own_names() {
    let home = Home::new();
    let program = generated(3);
    let link = Link::new(&program).form(Form::Archive).keep_objects();
    run(&mut link.command(&home));
    let entries = fs::read_dir(link.dir()).expect("a directory");
    let mut names = entries.map(|entry| entry.expect("an entry").file_name());
    let jobs = names.find(|name| name.to_string_lossy().ends_with(".dist-file.json"));
    let jobs = jobs.expect("a job file").into_string().expect("a name");
    let told = report(link.dir(), &home, &[&jobs]);
    let modules = told["modules"].as_array().expect("a column");
    let names = modules.iter().filter_map(Value::as_str);
    let mut members = names.filter(|it| it.starts_with("liball.a("));
    let first = members.next().expect("a member");
    assert!(first.ends_with(')'), "without lld's numbers: {first}");
}

#[test]
fn the_option_writes_the_same_page_right_after_the_link() {
    let home = Home::new();
    let program = feature(Feature::Plain);
    let link = Link::new(&program).option("--timings=page.html");
    run(&mut link.command(&home));
    compile(
        link.dir(),
        "thrice.o",
        "int thrice(int x) { return x + x + x; }\n",
    );
    run(&mut link.command(&home));
    let page = fs::read_to_string(link.dir().join("page.html")).expect("written");
    let (own, recorded) = (data(&page), report(link.dir(), &home, &[]));
    for column in ["output", "modules", "places", "causes", "inputs", "outputs"] {
        assert_eq!(own[column], recorded[column], "{column}");
    }
    assert_eq!(cause(&own, "thrice.o").as_deref(), Some("changed module"));

    let elsewhere = Link::new(&program).option("--timings=no/such/page.html");
    let outcome = elsewhere.run_at(&home).expect_works();
    assert!(
        outcome.stderr.contains("`timings` is not written"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn jobs_of_a_farm_have_the_steps_of_its_protocol() {
    let farm = Farm::start(Profile::plain());
    let environment = farm.environment();
    let (home, other) = (Home::new(), Home::new());
    let program = generated(4);
    let made = strict(&program, &environment);
    run(&mut made.command(&home));
    let told = report(made.dir(), &home, &[]);
    assert!(places(&told).iter().all(|place| *place == REMOTE), "{told}");
    let steps = told["lanes"]["steps"].as_array().expect("a column");
    for step in 0..=6 {
        assert!(
            steps.iter().any(|it| it == step),
            "no step {step}: {steps:?}"
        );
    }
    assert!(told["up"].as_u64() > Some(0) && told["down"].as_u64() > Some(0));

    let found = strict(&program, &environment);
    run(&mut found.command(&other));
    let told = report(found.dir(), &other, &[]);
    assert!(
        places(&told).iter().all(|place| *place == FARM_CACHE),
        "{told}"
    );
}

#[test]
fn the_backends_of_a_build_are_one_report_with_and_without_a_daemon() {
    let program = generated(4);
    let daemon = Daemon::new();
    for with_daemon in [false, true] {
        let backends = Backends::new(&program);
        let home = Home::new();
        let used = if with_daemon { &daemon.home } else { &home };
        for build in ["first", "second"] {
            for module in &backends.modules {
                let mut command = if with_daemon {
                    daemon.relto(&backends)
                } else {
                    backends.relto_with(&home, &backends.compiler())
                };
                command.env("RELTO_INVOCATION_ID", build);
                run(command.args(backends.arguments(module, "native.o")));
            }
        }
        if with_daemon {
            // What it records it writes after it has answered.
            let (_, told) = relto(backends.dir(), used, &["daemon", "stop"]);
            assert!(!told.contains("error"), "{told}");
        }
        let told = report(backends.dir(), used, &[]);
        assert_eq!(places(&told), vec![DISK; backends.modules.len()]);
        assert_eq!(told["launched"], true);
        let told = report(backends.dir(), used, &["--last", "2"]);
        assert_eq!(places(&told), vec![LOCAL; backends.modules.len()]);
    }
}

#[test]
fn modules_that_the_wrapper_has_renamed_are_called_as_the_user_calls_them() {
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.module(
        "main.c",
        "int f(int); int main(void) { return f(1) - 2; }\n",
    );
    fixture.module("f.c", "int f(int x) { return x + 1; }\n");
    fixture.archive("rcs", "libf.a", &["f.o"]);
    let output = fixture.wrapped("clang", &["main.o", "libf.a"]);
    fixture.counts(&output, &[]);
    let told = report(fixture.dir(), &fixture.home, &[]);
    let modules = told["modules"].as_array().expect("a column").iter();
    let modules: Vec<&str> = modules.filter_map(Value::as_str).collect();
    assert!(modules.contains(&"main.o"), "{modules:?}");
    assert!(
        modules.iter().any(|it| it.starts_with("libf.a(f.o")),
        "{modules:?}"
    );
    assert!(told["linker"].as_u64() > Some(0), "the thin link's time");
}

#[test]
fn links_that_stats_has_forgotten_are_not_reported_or_explained() {
    let home = Home::new();
    Link::new(&feature(Feature::Plain))
        .run_at(&home)
        .expect_works();
    let dir = tempfile::tempdir().expect("a directory");
    let told = |arguments: &[&str]| relto(dir.path(), &home, arguments);
    assert!(told(&["report"]).0);
    assert!(told(&["stats", "--zero"]).0);
    let (works, stderr) = told(&["report"]);
    assert!(
        !works && stderr.contains("no link is recorded yet"),
        "{stderr}"
    );
    let (works, stderr) = told(&["explain", "main.o"]);
    assert!(
        !works && stderr.contains("no link that was recorded"),
        "{stderr}"
    );
}
