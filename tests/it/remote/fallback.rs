//! Links with a farm that is dead, wrong, or only a cache: that costs time, never the link, unless
//! the user forbids the fallback.

use std::time::Duration;

use relto::internals::digest::DigestFunction;
use relto::internals::pb::reapi::ActionResult;
use tonic::Code;

use crate::support::farm::{Effect, Failure, Farm, Fault, Method, Outcome, Profile};
use crate::support::link::Home;
use crate::support::outcome::Counts;
use crate::support::program::generated;
use crate::support::remote::{assert_all_cached, assert_all_remote, here, lenient, strict};

fn assert_all_local(counts: Counts) {
    assert!(counts.jobs > 0 && counts.local == counts.jobs, "{counts:?}");
}

fn warnings(stderr: &str) -> usize {
    stderr.matches("relto: warning: ").count()
}

/// Nothing listens there.
fn dead() -> [(&'static str, String); 1] {
    [("RELTO_REMOTE_EXECUTOR", "grpc://127.0.0.1:1".to_owned())]
}

#[test]
fn a_dead_address_is_discovered_once_and_the_link_goes_on() {
    let outcome = lenient(&generated(20), &dead())
        .run_at(here())
        .expect_works();
    assert_all_local(outcome.counts());
    assert_eq!(warnings(&outcome.stderr), 1, "{}", outcome.stderr);
}

#[test]
fn a_dead_address_without_fallback_fails_the_link_with_a_way_out() {
    let outcome = strict(&generated(4), &dead()).run_at(here());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    for part in ["grpc://127.0.0.1:1", "hint: ", "remote_local_fallback"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    assert!(!outcome.executable().exists());
}

#[test]
fn a_farm_that_dies_during_a_link_costs_only_time() {
    let mut farm = Farm::start(Profile::plain());
    let program = generated(30);
    let environment = farm.environment();
    let linking = std::thread::spawn(move || {
        let link = lenient(&program, &environment).env("RELTO_REMOTE_RETRIES", "1");
        link.keep_objects().run_at(here()).expect_works()
    });
    while farm.record().executed.len() < 3 && !linking.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
    farm.kill();
    let outcome = linking.join().expect("the link works");
    let counts = outcome.counts();
    assert_eq!(counts.local + counts.remote, counts.jobs, "{counts:?}");
    assert!(counts.local > 0, "{counts:?}");
    assert!(warnings(&outcome.stderr) <= 2, "{}", outcome.stderr);
    outcome.assert_identical_objects();
}

/// Changes everything in the farm's action cache.
fn spoil_all(farm: &Farm, spoil: fn(&Farm, &mut ActionResult)) {
    let instance = farm.profile().instance.unwrap_or_default();
    for (action, mut result) in farm.results() {
        spoil(farm, &mut result);
        farm.put_result(instance, action, result);
    }
}

fn empty_objects(_: &Farm, result: &mut ActionResult) {
    for file in &mut result.output_files {
        file.digest = Some(DigestFunction::Sha256.digest(b"").to_pb());
        file.contents.clear();
    }
}

fn not_objects(farm: &Farm, result: &mut ActionResult) {
    for file in &mut result.output_files {
        file.digest = Some(farm.put("no object").to_pb());
        file.contents.clear();
    }
}

fn failures(_: &Farm, result: &mut ActionResult) {
    result.exit_code = 1;
    result.output_files.clear();
}

fn nothing(_: &Farm, result: &mut ActionResult) {
    result.output_files.clear();
}

fn lost_objects(farm: &Farm, result: &mut ActionResult) {
    for file in &mut result.output_files {
        file.contents.clear();
        let digest = file.digest.as_ref().expect("a digest");
        farm.evict(&relto::internals::digest::Digest::from_pb(digest).expect("well-formed"));
    }
}

/// Spoils the results of a link in every way; `made_again` sees where the jobs of the next link
/// were made.
fn repaired(profile: Profile, made_again: fn(Counts)) {
    let farm = Farm::start(profile);
    let program = generated(4);
    let link = || strict(&program, &farm.environment()).keep_objects();
    link().run_at(here()).expect_works();
    for spoil in [empty_objects, not_objects, failures, nothing, lost_objects] {
        spoil_all(&farm, spoil);
        let again = link().run_at(here()).expect_works();
        made_again(again.counts());
        again.assert_identical_objects();
        let found = link().run_at(here()).expect_works();
        assert_all_cached(found.counts());
    }
}

#[test]
fn bad_results_in_the_action_cache_are_executed_again_and_replaced() {
    repaired(Profile::plain(), assert_all_remote);
}

#[test]
fn bad_results_of_a_cache_without_execution_are_compiled_locally_and_replaced() {
    repaired(Profile::bazel_remote(), assert_all_local);
}

#[test]
fn local_results_are_uploaded_to_a_cache_without_execution_and_found_by_others() {
    let farm = Farm::start(Profile::bazel_remote());
    let program = generated(8);
    let made = strict(&program, &farm.environment()).run_at(here());
    assert_all_local(made.expect_works().counts());
    let record = farm.record();
    record.assert_no_violations();
    record.assert_nothing_twice();
    assert_eq!(record.count(Method::UpdateActionResult), 9);
    let found = strict(&program, &farm.environment()).keep_objects().run();
    let found = found.expect_works();
    assert_all_cached(found.counts());
    found.assert_identical_objects();
}

#[test]
fn uploads_to_a_cache_without_execution_can_be_switched_off() {
    let farm = Farm::start(Profile::bazel_remote());
    let outcome = strict(&generated(4), &farm.environment())
        .env("RELTO_REMOTE_UPLOAD_LOCAL_RESULTS", "false")
        .run_at(here());
    assert_all_local(outcome.expect_works().counts());
    assert_eq!(farm.digests().len(), 0);
    assert_eq!(farm.results().len(), 0);
}

/// How long it is waited for is tested by `link::stores`.
#[test]
fn a_cache_that_takes_no_uploads_holds_no_link() {
    let farm = Farm::start(Profile::bazel_remote());
    farm.fault(Fault::at(Method::BatchUpdateBlobs, Effect::Hang));
    farm.fault(Fault::at(Method::Write, Effect::Hang));
    let outcome = strict(&generated(20), &farm.environment())
        .env("RELTO_REMOTE_TIMEOUT", "10m")
        .run_at(here());
    let outcome = outcome.expect_works();
    assert_all_local(outcome.counts());
    assert_eq!(warnings(&outcome.stderr), 1, "{}", outcome.stderr);
    let said = "did not reach the farm's cache in time";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

#[test]
fn a_cache_that_wants_to_be_asked_again_in_an_hour_is_asked_no_more() {
    let farm = Farm::start(Profile::bazel_remote());
    let busy = Failure::new(Code::Unavailable, "busy").retry_after(Duration::from_hours(1));
    farm.fault(Fault::at(Method::GetActionResult, Effect::Fail(busy)));
    let outcome = strict(&generated(8), &farm.environment()).run_at(here());
    let outcome = outcome.expect_works();
    assert_all_local(outcome.counts());
    let said = "busy (to be tried again in 3600 s)";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert_eq!(warnings(&outcome.stderr), 1, "{}", outcome.stderr);
}

#[test]
fn a_dead_cache_costs_hits_and_one_warning() {
    let address = [("RELTO_REMOTE_CACHE", "grpc://127.0.0.1:1".to_owned())];
    let outcome = strict(&generated(8), &address).run_at(here());
    let outcome = outcome.expect_works();
    assert_all_local(outcome.counts());
    assert_eq!(warnings(&outcome.stderr), 1, "{}", outcome.stderr);
}

#[test]
fn a_cache_that_is_named_as_the_executor_is_used_as_a_cache() {
    let farm = Farm::start(Profile::bazel_remote());
    let address = [("RELTO_REMOTE_EXECUTOR", farm.address())];
    let program = generated(4);
    let outcome = lenient(&program, &address).run_at(here()).expect_works();
    assert_all_local(outcome.counts());
    assert!(
        outcome.stderr.contains("does not execute jobs"),
        "{}",
        outcome.stderr
    );
    let found = lenient(&program, &address).run().expect_works();
    assert_all_cached(found.counts());
    let refused = strict(&program, &address).run_at(here());
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
}

#[test]
fn a_farm_that_disagrees_about_a_compile_is_overruled_with_a_warning() {
    let farm = Farm::scripted(Profile::plain(), |_| Outcome::exit(1, "illegal hardware\n"));
    let outcome = strict(&generated(4), &farm.environment()).run_at(here());
    let outcome = outcome.expect_works();
    assert_all_local(outcome.counts());
    assert!(
        outcome.stderr.contains("the farm disagrees")
            && outcome.stderr.contains("illegal hardware"),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        farm.results().len(),
        0,
        "nothing is said in the worker's place"
    );
}

#[test]
fn workers_that_fail_at_everything_cost_one_warning_and_few_executions() {
    let farm = Farm::scripted(Profile::plain(), |_| {
        Outcome::exit(132, "Illegal instruction\n")
    });
    let link = |jobs: &str| {
        farm.forget_record();
        let outcome = lenient(&generated(60), &farm.environment())
            .env("RELTO_JOBS", jobs)
            .run_at(here())
            .expect_works();
        assert_all_local(outcome.counts());
        assert_eq!(warnings(&outcome.stderr), 1, "{}", outcome.stderr);
        farm.record().count(Method::Execute)
    };
    let executions = link("2");
    assert!((20..=25).contains(&executions), "{executions}");
    link("200");
}

#[test]
fn workers_without_memory_cost_one_warning_that_says_so() {
    let farm = Farm::scripted(Profile::plain(), |job| Outcome::object(job, ""));
    let killed = Failure::new(Code::Internal, "worker ran out of memory");
    farm.fault(Fault::at(Method::Execute, Effect::RunStatus(killed)));
    let outcome = lenient(&generated(10), &farm.environment())
        .env("RELTO_REMOTE_RETRIES", "1")
        .run_at(here())
        .expect_works();
    assert_all_local(outcome.counts());
    assert_eq!(warnings(&outcome.stderr), 1, "{}", outcome.stderr);
    let warning = "the farm's workers have too little memory";
    assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
}

#[test]
fn the_address_that_fails_is_the_one_that_is_named() {
    let (farm, cache) = (Farm::start(Profile::plain()), Farm::start(Profile::plain()));
    let said = |cache: String| {
        let [executor] = &farm.environment()[..] else {
            panic!("one address");
        };
        let addresses = [executor.clone(), ("RELTO_REMOTE_CACHE", cache)];
        let outcome = lenient(&generated(2), &addresses).run_at(here());
        outcome.expect_works().stderr
    };
    let stderr = said("grpc://127.0.0.1:1".to_owned());
    let message = "cannot use the farm at `grpc://127.0.0.1:1`";
    assert!(stderr.contains(message), "{stderr}");
    let denied = Effect::fail(Code::PermissionDenied, "not yours");
    cache.fault(Fault::at(Method::GetActionResult, denied));
    let stderr = said(cache.address());
    let message = format!("the farm at `{}` does not compile", cache.address());
    assert!(stderr.contains(&message), "{stderr}");
}

#[test]
fn an_empty_object_from_a_worker_is_never_accepted() {
    let farm = Farm::scripted(Profile::plain(), |job| Outcome::object(job, ""));
    let program = generated(4);
    let refused = strict(&program, &farm.environment()).run_at(here());
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let outcome = lenient(&program, &farm.environment()).run_at(here());
    let outcome = outcome.expect_works();
    assert_all_local(outcome.counts());
    assert_eq!(warnings(&outcome.stderr), 1, "{}", outcome.stderr);
    let found = lenient(&program, &farm.environment()).run().expect_works();
    assert_all_cached(found.counts());
}

#[test]
fn blobs_that_a_farm_loses_before_it_runs_the_job_are_sent_again() {
    let farm = Farm::start(Profile::plain());
    let program = generated(4);
    strict(&program, &farm.environment())
        .run_at(here())
        .expect_works();
    farm.clear_results();
    farm.fault(Fault::at(Method::FindMissingBlobs, Effect::Evict(farm.digests())).call(1));
    let outcome = strict(&program, &farm.environment()).run_at(here());
    assert_all_remote(outcome.expect_works().counts());
}

#[test]
fn the_disk_cache_also_gets_the_results_of_the_fallback() {
    let (home, program) = (Home::new(), generated(4));
    let link = || crate::support::remote::with(crate::support::link::Link::new(&program), &dead());
    assert_all_local(link().run_at(&home).expect_works().counts());
    let again = link().run_at(&home).expect_works();
    assert_all_cached(again.counts());
    assert_eq!(
        warnings(&again.stderr),
        0,
        "the farm got no request: {}",
        again.stderr
    );
}
