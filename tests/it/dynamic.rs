//! This machine and a farm together: the first to finish a job provides its object, and the other
//! one stops.
//!
//! The order in which jobs are taken, and what that is worth, is tested with `exec::queue`. Here
//! links are real.

use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use tempfile::TempDir;

use crate::support::executable;
use crate::support::fake::fake_clang;
use crate::support::farm::{Effect, Farm, Fault, Method, Profile, Record};
use crate::support::link::Link;
use crate::support::outcome::Counts;
use crate::support::program::{Feature, Program, feature, generated};
use crate::support::remote::{broken, here};
use crate::support::saved::Saved;

const PATIENCE: Duration = Duration::from_secs(30);

/// A link with that farm and no strategy set, as most users have it.
fn beside<'a>(program: &'a Program, farm: &Farm) -> Link<'a> {
    let set = |link: Link<'a>, (name, value): &(&str, String)| link.env(name, value);
    let link = Link::new(program).env("RELTO_DISK_CACHE", "off");
    farm.environment().iter().fold(link, set)
}

#[test]
fn a_link_is_shared_by_the_farm_and_this_machine_and_has_the_objects_of_clang() {
    let farm = Farm::start(Profile::plain());
    let program = generated(12);
    let outcome = beside(&program, &farm).keep_objects().run_at(here());
    let outcome = outcome.expect_works();
    let counts = outcome.counts();
    assert_eq!(counts.local + counts.remote, counts.jobs, "{counts:?}");
    assert!(counts.local > 0, "this machine idles: {counts:?}");
    outcome.assert_identical_objects();
    // To the farm an upload that is no longer needed looks like one that ends early.
    let mut complaints = farm.record().violations;
    complaints.retain(|text| !text.contains("without `finish_write`"));
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn a_missing_farm_is_reported_and_costs_nothing() {
    let program = generated(4);
    let outcome = Link::new(&program)
        .env("RELTO_DISK_CACHE", "off")
        .env("RELTO_REMOTE_EXECUTOR", "grpc://127.0.0.1:1")
        .run_at(here())
        .expect_works();
    let counts = outcome.counts();
    assert_eq!(counts.local, counts.jobs);
}

#[test]
fn a_job_with_a_hidden_input_is_compiled_in_place_whichever_executor_finds_it() {
    let farm = Farm::start(Profile::plain());
    let program = feature(Feature::Incbin);
    let outcome = beside(&program, &farm).keep_objects().run_at(here());
    let outcome = outcome.expect_works();
    let counts = outcome.counts();
    assert_eq!(counts.in_place, 1, "{counts:?}");
    outcome.assert_identical_objects();
}

#[test]
fn a_module_that_does_not_compile_fails_the_link_in_its_own_words() {
    let farm = Farm::start(Profile::plain());
    let (program, _dir) = broken();
    let failed = beside(&program, &farm).run_at(here());
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    let said = "relto: error: cannot compile `bad.o`: the compiler exited with 1";
    assert!(failed.stderr.contains(said), "{}", failed.stderr);
    assert!(!failed.executable().exists());
}

/// A link whose compiler does `behaviour`.
fn compiled_by(behaviour: &str) -> Saved {
    let mut saved = Saved::new(&feature(Feature::Plain));
    let compiler = saved.path("clang");
    executable::copy(fake_clang(behaviour), &compiler);
    saved.compile_with(&compiler);
    saved
}

/// A link whose compiler makes objects in one place and waits for ever in the other.
fn one_sided(works_at_the_farm: bool, farm: &Farm) -> (Output, Saved) {
    let not = if works_at_the_farm { "!" } else { "" };
    let behaviour = format!(
        "char directory[4096]; if ({not}strstr(getcwd(directory, sizeof directory), \"/action-\")) for (;;) pause(); \
         object(ET_REL); return 0;"
    );
    let saved = compiled_by(&behaviour);
    fs::create_dir(saved.path("tmp")).expect("a directory");
    let output = saved
        .command()
        .envs(farm.environment())
        .env("TMPDIR", saved.path("tmp"))
        .output()
        .expect("relto starts");
    (output, saved)
}

fn counts(output: &Output) -> Counts {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    Counts::parse(&stderr).expect("a summary")
}

#[test]
fn local_compilers_that_lose_the_race_are_killed() {
    let farm = Farm::start(Profile::plain());
    let (output, saved) = one_sided(true, &farm);
    let counts = counts(&output);
    assert_eq!(counts.remote, counts.jobs, "{counts:?}");
    let scratch = fs::read_dir(saved.path("tmp")).expect("a directory");
    assert_eq!(scratch.count(), 0, "a scratch directory is left");
}

#[test]
fn executions_that_lose_the_race_are_left_behind() {
    let farm = Farm::start(Profile::plain());
    let (output, saved) = one_sided(false, &farm);
    let counts = counts(&output);
    assert_eq!(counts.local, counts.jobs, "{counts:?}");
    for object in saved.objects() {
        assert!(object.exists(), "`{}` is missing", object.display());
    }
    // Whether or not there was time to cancel it by name, it is no longer followed.
    let start = Instant::now();
    while farm.record().open_calls() > 0 {
        assert!(start.elapsed() < PATIENCE, "{:?}", farm.record().calls);
        std::thread::sleep(Duration::from_millis(10));
    }
    let record = farm.record();
    let mut executions = record.of(Method::Execute);
    assert!(
        executions.all(|call| call.code.is_none()),
        "left, not ended"
    );
}

/// A farm that never ends an execution, and a link with it whose compiler does `behaviour` when the
/// test has opened the gate of its job. All jobs are under way at both places when this returns.
fn gated(farm: &Farm, behaviour: &str) -> (Child, Saved, TempDir) {
    farm.fault(Fault::at(Method::Execute, Effect::NeverEnds));
    let gates = tempfile::tempdir().expect("a directory");
    // The directory of a job is named by its number. Whether a file is there, the sandbox lets
    // everybody see.
    let behaviour = format!(
        "char gate[4200], directory[4096]; if (getcwd(directory, sizeof directory)) \
         sprintf(gate, \"{}%s\", strrchr(directory, '/')); while (access(gate, F_OK)) usleep(1000); {behaviour}",
        gates.path().display()
    );
    let saved = compiled_by(&behaviour);
    let mut command = saved.command();
    command.envs(farm.environment()).stderr(Stdio::piped());
    let jobs = saved.link["jobs"].as_array().expect("a list").len();
    command.env("RELTO_LOCAL_JOBS", jobs.to_string());
    let child = command.spawn().expect("relto starts");
    wait_until(farm, |record| record.count(Method::Execute) == jobs);
    (child, saved, gates)
}

fn wait_until(farm: &Farm, is_so: impl Fn(&Record) -> bool) {
    let start = Instant::now();
    while !is_so(&farm.record()) {
        assert!(start.elapsed() < PATIENCE, "{:?}", farm.record());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_execution_that_lost_the_race_is_cancelled_by_name_while_the_link_goes_on() {
    let farm = Farm::start(Profile::plain());
    let (child, saved, gates) = gated(&farm, "object(ET_REL); return 0;");
    let open = |job: usize| fs::write(gates.path().join(job.to_string()), "").expect("opened");
    open(0);
    wait_until(&farm, |record| record.cancelled.len() == 1);
    assert!(saved.objects()[0].exists());
    (1..saved.objects().len()).for_each(open);
    let output = child.wait_with_output().expect("relto ends");
    let counts = counts(&output);
    assert_eq!(counts.local, counts.jobs, "{counts:?}");
    // Which of them was cancelled, and that no other was before.
    let record = farm.record();
    assert_eq!(record.violations, Vec::<String>::new());
}

#[test]
fn executions_of_a_link_that_failed_are_cancelled_by_name() {
    let farm = Farm::start(Profile::plain());
    let (child, saved, gates) = gated(&farm, "fputs(\"no\\n\", stderr); return 1;");
    // It fails in the sandbox, and once more where lld would have run it.
    let in_place = saved.path("x");
    let dir = in_place.parent().expect("a directory").file_name();
    let dir = dir.expect("a name").to_string_lossy().into_owned();
    for gate in ["0", &dir] {
        fs::write(gates.path().join(gate), "").expect("opened");
    }
    let output = child.wait_with_output().expect("relto ends");
    assert_eq!(output.status.code(), Some(1));
    let record = farm.record();
    assert!(!record.cancelled.is_empty(), "{record:?}");
    let mut executions = record.of(Method::Execute);
    assert!(executions.all(|call| call.code != Some(tonic::Code::Ok)));
}
