//! Links with `remote_slice_results`: results in a farm's action cache by slice keys, and what a
//! farm may say that is not right.

use std::collections::HashMap;
use std::process::Command;

use bytes::Bytes;
use fs_err as fs;
use relto::internals::digest::Digest;
use relto::internals::pb::reapi::{ActionResult, OutputFile};

use crate::support::backends::{Backends, add};
use crate::support::farm::{Farm, Method, Profile};
use crate::support::link::{Home, Link};
use crate::support::outcome::{Counts, LinkOutcome};
use crate::support::program::Program;
use crate::support::remote;
use crate::support::servers::nginx::{Demand, Nginx};
use crate::support::servers::{Server, on_kinds};

use super::links::{base, edited_unseen, link};

const OBJECT: &str = "relto/slice/out.o";
const NUMBERS: &str = "relto/slice/numbers";
pub(super) const OPTION: &str = "RELTO_REMOTE_SLICE_RESULTS";

pub(super) type Results = HashMap<Digest, ActionResult>;

/// A link on another machine each time, which has nothing but the farm.
fn elsewhere<'a>(program: &'a Program, environment: &[(&str, String)]) -> Link<'a> {
    remote::with(link(program, "on").env(OPTION, "on"), environment)
}

fn run(link: Link<'_>) -> LinkOutcome {
    link.run_at(&Home::new()).expect_works()
}

/// Whether the program of `outcome` has the objects that the compiler writes in place.
fn assert_as_in_place(outcome: &LinkOutcome, program: &Program) {
    let reference = Link::reference(program).keep_objects().run();
    assert_eq!(outcome.objects(), reference.objects());
}

fn file<'a>(result: &'a mut ActionResult, path: &str) -> Option<&'a mut OutputFile> {
    let mut files = result.output_files.iter_mut();
    files.find(|file| file.path == path)
}

/// Those under slice keys, and those under whole ones.
pub(super) fn by_kind(farm: &Farm) -> (Results, Results) {
    let is_record = |result: &ActionResult| {
        let mut files = result.output_files.iter();
        files.any(|file| file.path == NUMBERS)
    };
    let all = farm.results().into_iter();
    all.partition(|(_, result)| is_record(result))
}

fn put_all(farm: &Farm, results: &Results) {
    let instance = farm.profile().instance.unwrap_or_default();
    for (key, result) in results {
        farm.put_result(instance, *key, result.clone());
    }
}

#[test]
fn what_a_farm_made_before_an_edit_is_found_by_slice_keys_on_another_machine() {
    let farm = Farm::start(Profile::buildbarn());
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let environment = farm.environment();
    let made = run(elsewhere(&before, &environment));
    assert_eq!(made.counts().remote, 3, "{}", made.stderr);
    let (records, whole) = by_kind(&farm);
    assert_eq!((records.len(), whole.len()), (3, 3));
    let found = run(elsewhere(&after, &environment));
    let counts = found.counts();
    assert_eq!((counts.cached, counts.remote), (2, 1), "{}", found.stderr);
    assert_as_in_place(&found, &after);
    // Under a whole key stands only what the farm itself has made.
    let (records, whole) = by_kind(&farm);
    assert_eq!((records.len(), whole.len()), (4, 4));
    farm.record().assert_no_violations();
}

#[test]
fn slice_keys_are_looked_up_only_after_whole_ones() {
    let farm = Farm::start(Profile::buildbarn());
    let (program, _kept) = base();
    let lookups = || farm.record().count(Method::GetActionResult);
    run(elsewhere(&program, &farm.environment()));
    assert_eq!(lookups(), 6);
    run(elsewhere(&program, &farm.environment()));
    assert_eq!(lookups(), 9);
}

#[test]
fn without_the_option_a_farm_sees_whole_keys_alone() {
    let farm = Farm::start(Profile::buildbarn());
    let (program, _kept) = base();
    run(elsewhere(&program, &farm.environment()).env(OPTION, "off"));
    assert_eq!(farm.record().count(Method::GetActionResult), 3);
    assert_eq!(farm.record().count(Method::UpdateActionResult), 0);
}

#[test]
fn a_client_that_may_not_write_finds_results_by_slice_keys_and_stores_none() {
    let writable = Farm::start(Profile::buildbarn());
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    run(elsewhere(&before, &writable.environment()));
    let farm = Farm::start(Profile {
        ac_update: false,
        ..Profile::buildbarn()
    });
    let (records, _) = by_kind(&writable);
    for digest in writable.digests() {
        farm.put_named(digest, writable.blob(&digest).expect("it is there"));
    }
    put_all(&farm, &records);
    let found = run(elsewhere(&after, &farm.environment()));
    assert_eq!(found.counts().cached, 2, "{}", found.stderr);
    assert_as_in_place(&found, &after);
    assert_eq!(farm.record().count(Method::UpdateActionResult), 0);
}

#[test]
fn backends_of_other_builds_share_results_by_slice_keys() {
    let farm = Farm::start(Profile::buildbarn());
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let compile = |program: &Program| {
        let (backends, home) = (Backends::new(program), Home::new());
        let mut counts = Counts::default();
        for module in &backends.modules {
            let mut command = backends.relto(&home);
            command
                .env("RELTO_STRATEGY", "remote")
                .env("RELTO_SLICE_KEYS", "on")
                .env(OPTION, "on")
                .envs(farm.environment())
                .args(backends.arguments(module, "native.o"));
            let output = command.output().expect("relto starts");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{stderr}");
            add(&mut counts, &stderr);
        }
        backends.assert_identical_objects();
        counts
    };
    assert_eq!(compile(&before).remote, 3);
    assert_eq!(compile(&after).cached, 2);
}

/// Makes something else of the record of a slice key.
type Lie = fn(&Farm, &mut ActionResult);

fn set(farm: &Farm, result: &mut ActionResult, path: &str, contents: impl Into<Bytes>) {
    let digest = farm.put(contents).to_pb();
    file(result, path).expect("an output").digest = Some(digest);
}

fn get(farm: &Farm, result: &mut ActionResult, path: &str) -> Vec<u8> {
    let digest = file(result, path).expect("an output").digest.clone();
    let digest = Digest::from_pb(digest.as_ref().expect("a digest")).expect("whole");
    farm.blob(&digest).expect("it is there").to_vec()
}

fn numbers(farm: &Farm, result: &mut ActionResult) -> Vec<u64> {
    let text = String::from_utf8(get(farm, result, NUMBERS)).expect("text");
    text.lines()
        .map(|line| line.parse().expect("a number"))
        .collect()
}

fn set_numbers(farm: &Farm, result: &mut ActionResult, numbers: &[u64]) {
    let lines: Vec<String> = numbers.iter().map(u64::to_string).collect();
    set(farm, result, NUMBERS, lines.join("\n") + "\n");
}

const LIES: [(&str, Lie); 15] = [
    ("no object", |_, result| {
        result.output_files.retain(|file| file.path != OBJECT);
    }),
    ("no numbers", |_, result| {
        result.output_files.retain(|file| file.path != NUMBERS);
    }),
    ("the paths of a job", |_, result| {
        let file = file(result, OBJECT).expect("an output");
        "relto/out.o".clone_into(&mut file.path);
    }),
    ("a failure", |_, result| result.exit_code = 1),
    ("messages", |_, result| {
        result.stderr_raw = Bytes::from_static(b"x.c: warning: nothing\n");
    }),
    ("a condition of a later relto", |farm, result| {
        result.output_files.push(OutputFile {
            path: "relto/slice/conditions".to_owned(),
            digest: Some(farm.put("0 unchanged\n").to_pb()),
            ..OutputFile::default()
        });
    }),
    ("too few numbers", |farm, result| {
        set_numbers(farm, result, &[1]);
    }),
    ("numbers that are none", |farm, result| {
        set(farm, result, NUMBERS, "one\ntwo\n");
    }),
    ("a mountain of numbers", |farm, result| {
        set(farm, result, NUMBERS, vec![b'1'; 1 << 20]);
    }),
    ("numbers that the names do not hold", |farm, result| {
        let numbers = numbers(farm, result);
        let other: Vec<u64> = numbers.iter().map(|number| number ^ 1).collect();
        set_numbers(farm, result, &other);
    }),
    ("one number for all modules", |farm, result| {
        let numbers = numbers(farm, result);
        set_numbers(farm, result, &vec![numbers[0]; numbers.len()]);
    }),
    ("no ELF object", |farm, result| {
        set(farm, result, OBJECT, "object");
    }),
    ("an object with something behind it", |farm, result| {
        let mut object = get(farm, result, OBJECT);
        object.push(0);
        set(farm, result, OBJECT, object);
    }),
    ("an object with a hash among its data", |farm, result| {
        let (mut object, numbers) = (get(farm, result, OBJECT), numbers(farm, result));
        object[64..72].copy_from_slice(&numbers[0].to_le_bytes());
        set(farm, result, OBJECT, object);
    }),
    ("an object that is gone", |farm, result| {
        let digest = farm.put("gone");
        farm.evict(&digest);
        file(result, OBJECT).expect("an output").digest = Some(digest.to_pb());
    }),
];

#[test]
fn a_record_that_cannot_be_right_is_a_miss() {
    // A farm that looks at what it gives would not give some of them.
    let farm = Farm::start(Profile {
        checks_completeness: false,
        ..Profile::buildbarn()
    });
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let environment = farm.environment();
    run(elsewhere(&before, &environment));
    let (records, _) = by_kind(&farm);
    for (name, lie) in LIES {
        farm.clear_results();
        let mut lies = records.clone();
        for result in lies.values_mut() {
            lie(&farm, result);
        }
        put_all(&farm, &lies);
        let outcome = run(elsewhere(&after, &environment));
        assert_eq!(outcome.counts().remote, 3, "{name}: {}", outcome.stderr);
        assert_as_in_place(&outcome, &after);
    }
    farm.clear_results();
    put_all(&farm, &records);
    let honest = run(elsewhere(&after, &environment));
    assert_eq!(honest.counts().cached, 2, "{}", honest.stderr);
}

#[test]
fn results_under_whole_keys_and_under_slice_keys_cannot_be_exchanged() {
    let farm = Farm::start(Profile::buildbarn());
    let (program, _kept) = base();
    let environment = farm.environment();
    run(elsewhere(&program, &environment));
    let (records, whole) = by_kind(&farm);
    let any = |results: &Results| results.values().next().expect("a result").clone();
    let all = |keys: &Results, result: &ActionResult| -> Results {
        keys.keys().map(|key| (*key, result.clone())).collect()
    };
    farm.clear_results();
    put_all(&farm, &all(&records, &any(&whole)));
    put_all(&farm, &all(&whole, &any(&records)));
    let outcome = run(elsewhere(&program, &environment));
    assert_eq!(outcome.counts().remote, 3, "{}", outcome.stderr);
    assert_as_in_place(&outcome, &program);
}

#[test]
fn a_wrong_record_of_a_farm_is_found_and_replaced() {
    let farm = Farm::start(Profile::buildbarn());
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let environment = farm.environment();
    run(elsewhere(&before, &environment));
    let (mut records, _) = by_kind(&farm);
    farm.clear_results();
    // The two jobs that import from one module get each other's objects.
    let mut importers: Vec<&mut ActionResult> = records.values_mut().collect();
    importers.retain_mut(|result| numbers(&farm, result).len() > 1);
    let [one, other] = &mut importers[..] else {
        panic!("other than two jobs import something");
    };
    let (one, other) = (file(one, OBJECT), file(other, OBJECT));
    let (one, other) = (one.expect("an object"), other.expect("an object"));
    std::mem::swap(&mut one.digest, &mut other.digest);
    put_all(&farm, &records);
    let verifying = || elsewhere(&after, &environment).env("RELTO_VERIFY", "100");
    let outcome = run(verifying().keep_objects());
    let said = &outcome.stderr;
    assert_eq!(said.matches("` is wrong: ").count(), 2, "{said}");
    assert!(said.contains(", by its slice key"), "{said}");
    assert_as_in_place(&outcome, &after);
    // `relto doctor --verify` finds and replaces them, too.
    put_all(&farm, &records);
    let told = examined(&outcome, &environment);
    let wrong = told.matches("`: wrong (farm by slice key)\n").count();
    assert_eq!(wrong, 2, "{told}");
    let told = examined(&outcome, &environment);
    assert_eq!(told.matches("`: verified (").count(), 3, "{told}");
    let by_slice_key = told.matches("farm by slice key)\n").count();
    assert_eq!(by_slice_key, 3, "{told}");
    let again = run(verifying());
    assert!(!again.stderr.contains("` is wrong: "), "{}", again.stderr);
    assert_eq!(again.counts().cached, 3, "{}", again.stderr);
}

/// What `relto doctor --verify` says of a link on a machine that has nothing but the farm.
fn examined(outcome: &LinkOutcome, environment: &[(&str, String)]) -> String {
    let jobs = outcome.dir().join("jobs.json");
    fs::write(jobs, outcome.job_file().to_string()).expect("written");
    let (mut relto, home) = (Command::new(env!("CARGO_BIN_EXE_relto")), Home::new());
    home.apply(&mut relto);
    let environment = environment.iter().map(|(name, value)| (*name, value));
    relto.current_dir(outcome.dir()).envs(environment);
    relto.envs([("RELTO_SLICE_KEYS", "on"), (OPTION, "on")]);
    let output = relto.args(["doctor", "--verify", "jobs.json"]).output();
    String::from_utf8(output.expect("relto starts").stdout).expect("text")
}

/// A cache of a real server gets what this machine made, and gives it after an edit.
fn gives_by_slice_key(server: &Server) {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    let mut environment = server.cache_environment();
    environment.push(("RELTO_CACHE_SALT", "slice records".to_owned()));
    let made = run(elsewhere(&before, &environment));
    assert_eq!(made.counts().local, 3, "{}", made.stderr);
    let found = run(elsewhere(&after, &environment));
    assert_eq!(found.counts().cached, 2, "{}", found.stderr);
    assert_as_in_place(&found, &after);
}

on_kinds!(a_real_cache_gives_results_by_slice_keys => gives_by_slice_key:
    casd Casd, bazel_remote BazelRemote);

#[test]
fn a_cache_of_plain_http_gives_results_by_slice_keys() {
    let nginx = Nginx::http_cache(Demand::ClientCertificate);
    let environment = nginx.environment_of_client();
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    run(elsewhere(&before, &environment));
    let found = run(elsewhere(&after, &environment));
    assert_eq!(found.counts().cached, 2, "{}", found.stderr);
    assert_as_in_place(&found, &after);
}
