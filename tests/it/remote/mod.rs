//! Links on a farm: every job runs there, another machine finds its result, and it is right.

mod fallback;
mod real;
mod toolchain;

use fs_err as fs;
use relto::internals::digest::DigestFunction;
use tonic::Code;

use crate::support::farm::{Effect, Farm, Fault, Method, Platforms, Profile};
use crate::support::link::{Home, Link};
use crate::support::llvm::Llvm;
use crate::support::program::{Feature, feature, generated, zstd};
use crate::support::remote::{
    assert_all_cached, assert_all_remote, broken, here, lenient, strict, with,
};
use crate::support::repeat::{archive, with_whole_archive};

/// A link executes all, one from another machine executes nothing.
fn made_then_found(profile: Profile) {
    let farm = Farm::start(profile);
    let environment = farm.environment();
    let program = generated(8);
    let made = strict(&program, &environment).keep_objects();
    let made = made.run_at(here()).expect_works();
    assert_all_remote(made.counts());
    made.assert_identical_objects();
    let record = farm.record();
    record.assert_no_violations();
    record.assert_nothing_twice();
    assert_eq!(record.invocations().len(), 1, "one id a link");
    assert_eq!(record.executed.len(), made.counts().jobs);
    farm.forget_record();
    let found = strict(&program, &environment).run().expect_works();
    assert_all_cached(found.counts());
    let record = farm.record();
    assert_eq!(record.count(Method::GetActionResult), found.counts().jobs);
    for idle in [
        Method::Execute,
        Method::FindMissingBlobs,
        Method::Write,
        Method::BatchUpdateBlobs,
    ] {
        assert_eq!(record.count(idle), 0, "{idle:?}");
    }
}

#[test]
fn a_farm_without_quirks_runs_all_jobs_and_caches_them_for_others() {
    made_then_found(Profile::plain());
}

#[test]
fn a_farm_like_buildbarn_runs_all_jobs_and_caches_them_for_others() {
    made_then_found(Profile::buildbarn());
}

#[test]
fn a_farm_with_tiny_batches_runs_all_jobs_and_caches_them_for_others() {
    made_then_found(Profile::nativelink());
}

#[test]
fn a_farm_of_version_2_0_runs_all_jobs_and_caches_them_for_others() {
    made_then_found(Profile::kajiya());
}

#[test]
fn a_farm_that_accepts_few_calls_at_a_time_gets_no_more() {
    let farm = Farm::start(Profile {
        most_calls: 4,
        ..Profile::plain()
    });
    let program = generated(60);
    let made = strict(&program, &farm.environment()).run_at(here());
    let made = made.expect_works();
    assert_all_remote(made.counts());
    let refused = farm
        .record()
        .calls
        .iter()
        .filter(|call| call.code == Some(Code::ResourceExhausted))
        .count();
    assert!(refused > 0, "nothing was refused: the test shows nothing");
}

#[test]
fn a_farm_with_strict_rules_runs_all_jobs_and_caches_them_for_others() {
    made_then_found(Profile::buildfarm());
}

#[test]
fn a_farm_with_keys_in_headers_runs_all_jobs_and_caches_them_for_others() {
    made_then_found(Profile::buildbuddy("secret"));
}

#[test]
fn a_farm_that_wants_blake3_gets_it() {
    made_then_found(Profile {
        digest_functions: vec![DigestFunction::Blake3],
        ..Profile::plain()
    });
}

/// A farm of one kind of worker.
fn of_workers(pool: &'static str) -> Farm {
    Farm::start(Profile {
        platforms: Platforms::Exact(vec![("OSFamily", "linux"), ("pool", pool)]),
        ..Profile::plain()
    })
}

/// With small and big workers, and a limit in between.
fn by_size(farm: &Farm, limit: &str) -> Vec<(&'static str, String)> {
    let mut environment = farm.environment();
    environment.retain(|(name, _)| *name != "RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES");
    let default = "OSFamily=linux,pool=small".to_owned();
    environment.extend([
        ("RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES", default),
        ("RELTO_REMOTE_EXEC_PROPERTIES_LARGE", "pool=big".to_owned()),
        ("RELTO_LARGE_JOB_BYTES", limit.to_owned()),
    ]);
    environment
}

#[test]
fn jobs_that_read_much_go_to_big_workers_and_others_do_not() {
    let program = feature(Feature::Plain);
    for (pool, limit) in [("big", "1"), ("small", "1G")] {
        let farm = of_workers(pool);
        let made = strict(&program, &by_size(&farm, limit)).run_at(here());
        assert_all_remote(made.expect_works().counts());
        let found = strict(&program, &by_size(&farm, limit)).run();
        assert_all_cached(found.expect_works().counts());
    }
}

#[test]
fn keys_of_jobs_below_the_limit_are_those_of_a_farm_without_big_workers() {
    let farm = of_workers("small");
    let program = feature(Feature::Plain);
    let mut plain = by_size(&farm, "1G");
    plain.retain(|(name, _)| *name != "RELTO_REMOTE_EXEC_PROPERTIES_LARGE");
    let made = strict(&program, &plain).run_at(here());
    assert_all_remote(made.expect_works().counts());
    let found = strict(&program, &by_size(&farm, "1G")).run();
    assert_all_cached(found.expect_works().counts());
}

#[test]
fn a_job_whose_worker_runs_out_of_memory_goes_to_a_big_one_and_then_here() {
    let program = feature(Feature::Plain);
    let out_of_memory = || Fault::at(Method::Execute, Effect::exit_code(137));
    let small = Farm::start(Profile::plain());
    let made = strict(&program, &by_size(&small, "1G")).run_at(here());
    assert_all_remote(made.expect_works().counts());
    let farm = Farm::start(Profile::plain());
    for action in small.record().executed {
        farm.fault(out_of_memory().digest(action));
    }
    let made = strict(&program, &by_size(&farm, "1G")).run_at(here());
    let made = made.expect_works();
    assert_all_remote(made.counts());
    assert_eq!(farm.record().count(Method::Execute), 2 * made.counts().jobs);
    let farm = Farm::start(Profile::plain());
    farm.fault(out_of_memory());
    let made = lenient(&program, &by_size(&farm, "1G")).run_at(here());
    let made = made.expect_works();
    let counts = made.counts();
    assert_eq!(counts.local, counts.jobs, "{}", made.stderr);
    assert_eq!(farm.record().count(Method::Execute), 2 * counts.jobs);
    let warning = "the farm's workers have too little memory for `";
    assert!(made.stderr.contains(warning), "{}", made.stderr);
}

#[test]
fn each_call_says_which_module_it_is_for() {
    let farm = Farm::start(Profile::plain());
    strict(&feature(Feature::Plain), &farm.environment())
        .run_at(here())
        .expect_works();
    let record = farm.record();
    let executions = record.of(Method::Execute);
    let about: Vec<_> = executions
        .filter_map(|call| call.metadata.clone())
        .collect();
    let mut targets: Vec<_> = about.iter().map(|m| m.target_id.as_str()).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["main.o", "thrice.o", "twice.o"]);
    assert!(about.iter().all(|m| m.action_mnemonic == "ThinLTOBackend"));
}

#[test]
fn members_of_an_archive_are_compiled_and_found_under_plain_names() {
    let farm = Farm::start(Profile::plain());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = zstd().with_main_last(dir.path());
    let archived = with_whole_archive(&program);
    let link = strict(&archived, &farm.environment()).keep_objects();
    archive(&link, "rcs", "all.a");
    let made = link.run_at(here()).expect_works();
    assert_all_remote(made.counts());
    made.assert_identical_objects();
    let found = strict(&program, &farm.environment()).run_at(here());
    assert_all_cached(found.expect_works().counts());
}

#[test]
fn every_feature_compiles_remotely_unless_it_depends_on_this_machine() {
    let farm = Farm::start(Profile::plain());
    for kind in Feature::all().filter(|kind| *kind != Feature::Incbin) {
        let made = strict(&feature(kind), &farm.environment())
            .keep_objects()
            .run_at(here())
            .expect_works();
        // Equal modules of two features are found.
        let counts = made.counts();
        assert_eq!(counts.remote + counts.cached, counts.jobs, "{kind:?}");
        made.assert_identical_objects();
    }
}

#[test]
fn a_module_that_does_not_compile_fails_the_link_in_its_own_words() {
    let farm = Farm::start(Profile::plain());
    let (program, _dir) = broken();
    let failed = strict(&program, &farm.environment()).run_at(here());
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    for part in [
        "relto: error: cannot compile `bad.o`: the compiler exited with 1",
        "-fthinlto-index=bad.",
        "bogus",
    ] {
        assert!(failed.stderr.contains(part), "`{part}`: {}", failed.stderr);
    }
    assert!(!failed.executable().exists());
}

#[test]
fn a_hidden_input_is_compiled_in_place() {
    let farm = Farm::start(Profile::plain());
    let outcome = strict(&feature(Feature::Incbin), &farm.environment()).run_at(here());
    let counts = outcome.expect_works().counts();
    assert_eq!((counts.in_place, counts.remote), (1, 1), "{counts:?}");
}

#[test]
fn every_link_shows_the_warnings_that_a_farm_returns() {
    let farm = Farm::start(Profile::plain());
    for _ in 0..2 {
        let outcome = strict(&feature(Feature::Warning), &farm.environment()).run_at(here());
        let outcome = outcome.expect_works();
        assert!(outcome.stderr.contains("warning:"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("relto/"), "{}", outcome.stderr);
    }
}

#[test]
fn the_platform_is_the_users_and_an_unknown_one_is_reported_in_full() {
    let wanted = vec![("OSFamily", "linux"), ("pool", "big")];
    let farm = Farm::start(Profile {
        platforms: Platforms::Exact(wanted),
        ..Profile::plain()
    });
    let program = generated(4);
    let address = ("RELTO_REMOTE_EXECUTOR", farm.address());
    let properties = |text: &str| {
        let name = "RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES";
        [address.clone(), (name, text.to_owned())]
    };
    let right = strict(&program, &properties("pool=big,OSFamily=linux")).run_at(here());
    assert_all_remote(right.expect_works().counts());
    let wrong = strict(&program, &properties("pool=small,OSFamily=linux")).run_at(here());
    assert_eq!(wrong.code, Some(1), "{}", wrong.stderr);
    let sent = "platform properties sent: `OSFamily=linux`, `pool=small`";
    assert!(wrong.stderr.contains(sent), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("hint: "), "{}", wrong.stderr);
}

#[test]
fn results_of_the_farm_are_disk_hits_without_it_and_the_other_way_round() {
    let farm = Farm::start(Profile::plain());
    let home = Home::new();
    let program = generated(4);
    let remote = || with(Link::new(&program), &farm.environment());
    assert_all_remote(remote().run_at(&home).expect_works().counts());
    let alone = Link::new(&program).run_at(&home).expect_works();
    assert_all_cached(alone.counts());
    let other = feature(Feature::Plain);
    Link::new(&other).run_at(&home).expect_works();
    farm.forget_record();
    let asked = with(Link::new(&other), &farm.environment()).run_at(&home);
    assert_all_cached(asked.expect_works().counts());
    assert_eq!(farm.record().count_all(), 0, "the disk cache had all");
}

#[test]
fn strategy_local_does_not_use_the_farm() {
    let farm = Farm::start(Profile::plain());
    let outcome = lenient(&generated(4), &farm.environment())
        .env("RELTO_STRATEGY", "local")
        .run_at(here())
        .expect_works();
    let counts = outcome.counts();
    assert_eq!(counts.local, counts.jobs);
    assert_eq!(farm.record().calls.len(), 0);
}

#[test]
fn cached_results_can_be_refused() {
    let farm = Farm::start(Profile::plain());
    let program = generated(4);
    for _ in 0..2 {
        let outcome = strict(&program, &farm.environment())
            .env("RELTO_REMOTE_ACCEPT_CACHED", "false")
            .run_at(here());
        assert_all_remote(outcome.expect_works().counts());
    }
    assert_eq!(farm.record().count(Method::GetActionResult), 0);
}

#[test]
fn no_more_jobs_than_allowed_run_at_a_time() {
    let farm = Farm::start(Profile::plain());
    let outcome = strict(&generated(8), &farm.environment())
        .env("RELTO_JOBS", "2")
        .run_at(here());
    assert_all_remote(outcome.expect_works().counts());
    assert!(farm.record().max_concurrent(Method::Execute) <= 2);
}

#[test]
fn results_of_a_workers_own_compiler_have_other_keys() {
    let farm = Farm::start(Profile::plain());
    let (home, program) = (Home::new(), generated(4));
    let with_ours = || with(Link::new(&program), &farm.environment());
    let with_theirs = || with_ours().env("RELTO_TOOLCHAIN", "worker");
    let outcome = with_theirs().keep_objects().run_at(&home).expect_works();
    assert_all_remote(outcome.counts());
    outcome.assert_identical_objects();
    let largest = farm.digests().iter().map(|digest| digest.size).max();
    assert!(largest < Some(1 << 20), "no compiler was sent: {largest:?}");
    assert_all_cached(with_theirs().run_at(&home).expect_works().counts());
    assert_all_remote(with_ours().run_at(&home).expect_works().counts());
}

#[test]
fn the_compiler_may_be_taken_from_a_directory() {
    let farm = Farm::start(Profile::plain());
    let dir = tempfile::tempdir().expect("a directory");
    let named = format!("{}", dir.path().display());
    let program = generated(4);
    let link = || strict(&program, &farm.environment()).env("RELTO_TOOLCHAIN", &named);
    let empty = link().run_at(here());
    assert_eq!(empty.code, Some(1), "{}", empty.stderr);
    assert!(empty.stderr.contains("has no `clang"), "{}", empty.stderr);
    fs::create_dir(dir.path().join("bin")).expect("made");
    let driver = Llvm::get().tool("clang");
    for name in ["clang", "clang-22"] {
        let place = dir.path().join("bin").join(name);
        fs_err::os::unix::fs::symlink(&driver, place).expect("linked");
    }
    let outcome = link().keep_objects().run_at(here()).expect_works();
    assert_all_remote(outcome.counts());
    outcome.assert_identical_objects();
}
