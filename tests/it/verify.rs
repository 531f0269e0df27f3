//! `verify`: results from caches are compiled again and compared, and wrong ones are replaced
//! before the linker uses them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fs_err as fs;
use prost::Message as _;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi::{ActionResult, ExecutedActionMetadata};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::backends::Backends;
use crate::support::daemon::{Daemon, compilers, stderr, wait_until};
use crate::support::fake::fake_clang;
use crate::support::farm::{Farm, Profile};
use crate::support::link::{Home, Link};
use crate::support::program::{Feature, Program, feature, generated};
use crate::support::remote::{here, strict};
use crate::support::repeat::{filled, through};
use crate::support::saved::{Saved, leftovers, result_files, result_in};
use crate::support::wrapped::{Release, WrapperDir};

/// What stands in the place of another result.
struct Poison {
    right: Digest,
    wrong: Digest,
}

impl Poison {
    /// The object of `other` in the place of that of `result`: a good one, of other code.
    fn put(result: &mut ActionResult, other: &ActionResult) -> Self {
        let digest = |result: &ActionResult| {
            let digest = result.output_files[0].digest.as_ref();
            Digest::from_pb(digest.expect("a digest")).expect("well-formed")
        };
        let (right, wrong) = (digest(result), digest(other));
        assert_ne!(right, wrong);
        result.output_files[0].digest = Some(wrong.to_pb());
        result.output_files[0].contents.clear();
        Self { right, wrong }
    }

    /// Of one result in the disk cache.
    fn in_cache(home: &Home) -> Self {
        let found = result_files(home);
        let (mut first, second) = (result_in(&found[0]), result_in(&found[1]));
        let poison = Self::put(&mut first, &second);
        fs::write(&found[0], first.encode_to_vec()).expect("written");
        poison
    }

    /// Of one result in the farm's action cache, as if that worker had made it.
    fn at_farm(farm: &Farm, worker: &str) -> (Digest, Self) {
        let mut results: Vec<_> = farm.results().into_iter().collect();
        results.sort_by_key(|(action, _)| *action);
        let (action, mut result) = results[0].clone();
        let poison = Self::put(&mut result, &results[1].1);
        result.execution_metadata = Some(ExecutedActionMetadata {
            worker: worker.to_owned(),
            ..result.execution_metadata.unwrap_or_default()
        });
        let instance = farm.profile().instance.unwrap_or_default();
        farm.put_result(instance, action, result);
        (action, poison)
    }
}

/// All objects in the disk cache, which are for Windows, were made a second earlier.
fn make_older(home: &Home) {
    let blob = |digest: &Digest| {
        let hex = digest.hex();
        home.cache().join("relto/cas").join(&hex[..2]).join(hex)
    };
    for path in result_files(home) {
        let mut made = result_in(&path);
        let output = &mut made.output_files[0];
        let digest = output.digest.as_ref().expect("a digest");
        let mut object =
            fs::read(blob(&Digest::from_pb(digest).expect("well-formed"))).expect("read");
        object[4] = object[4].wrapping_sub(1);
        let digest = DigestFunction::Sha256.digest(&object);
        fs::create_dir_all(blob(&digest).parent().expect("a directory")).expect("made");
        fs::write(blob(&digest), &object).expect("written");
        output.digest = Some(digest.to_pb());
        output.contents.clear();
        fs::write(&path, made.encode_to_vec()).expect("written");
    }
}

/// How many results the summary calls so.
fn count(stderr: &str, what: &str) -> usize {
    let line = stderr.lines().rev().find(|line| line.contains(" job"));
    let parts = line.unwrap_or_default().split(", ");
    let number = parts.filter_map(|part| part.strip_suffix(what)?.trim().parse().ok());
    number.last().unwrap_or(0)
}

fn assert_says(stderr: &str, parts: &[&str]) {
    for part in parts {
        assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
    }
}

fn warnings(stderr: &str) -> usize {
    stderr.matches("relto: warning: ").count()
}

/// The differing objects that relto has kept.
fn kept(home: &Home) -> Vec<PathBuf> {
    let dir = home.path().join("state/relto/differing");
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn digest(path: &Path) -> Digest {
    DigestFunction::Sha256.digest(&fs::read(path).expect("read"))
}

fn verifying(program: &Program) -> Link<'_> {
    Link::new(program).option("--verify=100").keep_objects()
}

#[test]
fn a_wrong_object_in_the_disk_cache_is_replaced_before_the_linker_reads_it() {
    let program = generated(5);
    let home = filled(&program);
    let poison = Poison::in_cache(&home);
    let outcome = verifying(&program).run_at(&home).expect_works();
    outcome.assert_all_cached();
    outcome.assert_identical_objects();
    let (jobs, stderr) = (outcome.counts().jobs, &outcome.stderr);
    assert_eq!(count(stderr, "wrong"), 1, "{stderr}");
    assert_eq!(count(stderr, "verified"), jobs - 1, "{stderr}");
    assert_says(
        stderr,
        &[
            "relto: warning: the cached result of `",
            &format!("cached: {}, from the disk cache (`", poison.wrong),
            &format!("fresh:  {}, delivered instead", poison.right),
            "the disk cache has the fresh one now",
        ],
    );
    let [pair] = &kept(&home)[..] else {
        panic!("{:?}", kept(&home));
    };
    assert_says(stderr, &[&format!("both are kept in `{}`", pair.display())]);
    assert_eq!(digest(&pair.join("cached-out.o")), poison.wrong);
    assert_eq!(digest(&pair.join("fresh-out.o")), poison.right);
    let mut stats = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut stats);
    let told = stats.arg("stats").output().expect("relto starts").stdout;
    let told = String::from_utf8(told).expect("text");
    let counted = format!(", {} verified, 1 wrong, ", jobs - 1);
    assert_says(&told, &[&counted]);
    let again = verifying(&program).run_at(&home).expect_works();
    again.assert_all_cached();
    assert_eq!(count(&again.stderr, "verified"), jobs, "{}", again.stderr);
    assert_eq!(warnings(&again.stderr), 0, "{}", again.stderr);
}

#[test]
fn a_wrong_object_fails_the_link_where_the_user_wants_that_and_is_replaced_all_the_same() {
    let program = generated(5);
    let home = filled(&program);
    let poison = Poison::in_cache(&home);
    let link = || verifying(&program).option("--verify-fail");
    let failed = link().run_at(&home);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(!failed.executable().exists());
    assert_says(
        &failed.stderr,
        &[
            "relto: error: the cached result of `",
            &poison.wrong.to_string(),
            &poison.right.to_string(),
            "  hint: ",
        ],
    );
    let again = link().run_at(&home).expect_works();
    let jobs = again.counts().jobs;
    assert_eq!(count(&again.stderr, "verified"), jobs, "{}", again.stderr);
}

#[test]
fn nothing_is_compiled_again_unless_it_is_asked_for() {
    let program = generated(5);
    let home = filled(&program);
    for option in ["--verify=0", "--quiet=false"] {
        let outcome = Link::new(&program).option(option).run_at(&home);
        let outcome = outcome.expect_works();
        outcome.assert_all_cached();
        assert_eq!(count(&outcome.stderr, "verified"), 0, "{}", outcome.stderr);
    }
}

#[test]
fn results_that_are_made_in_the_link_are_not_compiled_twice() {
    let program = generated(5);
    let outcome = verifying(&program).run().expect_works();
    outcome.assert_none_cached();
    assert_eq!(count(&outcome.stderr, "verified"), 0, "{}", outcome.stderr);
}

/// Its header holds the time, in which two compiles differ or not.
#[test]
fn the_time_in_an_object_for_windows_makes_no_result_wrong() {
    let program = feature(Feature::Coff);
    let home = filled(&program);
    make_older(&home);
    let outcome = verifying(&program).option("--verify-fail").run_at(&home);
    let outcome = outcome.expect_works();
    outcome.assert_all_cached();
    let jobs = outcome.counts().jobs;
    let stderr = &outcome.stderr;
    assert_eq!(count(stderr, "verified"), jobs, "{stderr}");
    assert_eq!(warnings(stderr), 0, "{stderr}");
    let poison = Poison::in_cache(&home);
    let outcome = verifying(&program).run_at(&home).expect_works();
    assert_eq!(count(&outcome.stderr, "wrong"), 1, "{}", outcome.stderr);
    assert_says(&outcome.stderr, &[&poison.wrong.to_string()]);
}

/// The farm's cache answers, and the link compiles what it gives again.
fn from_farm(farm: &Farm) -> (Digest, Poison, String) {
    let program = generated(4);
    let link = || strict(&program, &farm.environment()).keep_objects();
    link().run_at(here()).expect_works();
    let (action, poison) = Poison::at_farm(farm, "rack-7\u{1b}[2J");
    let home = Home::new();
    let outcome = link().env("RELTO_VERIFY", "100").run_at(&home);
    let outcome = outcome.expect_works();
    outcome.assert_all_cached();
    outcome.assert_identical_objects();
    let stderr = outcome.stderr.clone();
    assert_eq!(count(&stderr, "wrong"), 1, "{stderr}");
    assert_eq!(count(&stderr, "verified"), outcome.counts().jobs - 1);
    assert_says(
        &stderr,
        &[
            &format!("cached: {}, from the action cache of `", poison.wrong),
            &farm.address(),
            "made by worker `rack-7 [2J`",
            &format!("fresh:  {}", poison.right),
        ],
    );
    assert_eq!(kept(&home).len(), 1);
    (action, poison, stderr)
}

fn object_at_farm(farm: &Farm, action: Digest) -> Digest {
    let results = farm.results();
    let digest = results[&action].output_files[0].digest.as_ref();
    Digest::from_pb(digest.expect("a digest")).expect("well-formed")
}

#[test]
fn a_wrong_object_of_a_farm_is_replaced_there_too_and_the_worker_is_named() {
    let farm = Farm::start(Profile::plain());
    let (action, poison, stderr) = from_farm(&farm);
    assert_says(&stderr, &["has the fresh one now"]);
    assert_eq!(object_at_farm(&farm, action), poison.right);
}

#[test]
fn a_link_that_a_wrong_object_fails_says_that_the_farm_keeps_it() {
    let farm = Farm::start(Profile {
        ac_update: false,
        ..Profile::plain()
    });
    let program = generated(4);
    let link = || strict(&program, &farm.environment());
    link().run_at(here()).expect_works();
    Poison::at_farm(&farm, "rack-7");
    let link = link().env("RELTO_VERIFY", "100");
    let failed = link.env("RELTO_VERIFY_FAIL", "true").run_at(&Home::new());
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert_says(
        &failed.stderr,
        &["not every wrong result is replaced, see above; the link fails because of `verify_fail`"],
    );
}

#[test]
fn a_farm_that_may_not_be_written_keeps_the_wrong_object_and_that_is_said() {
    let farm = Farm::start(Profile {
        ac_update: false,
        ..Profile::plain()
    });
    let (action, poison, stderr) = from_farm(&farm);
    assert_says(&stderr, &["keeps the wrong one: "]);
    assert_eq!(object_at_farm(&farm, action), poison.wrong);
}

/// A backend of a saved link whose compiler is not clang.
fn saved(behaviour: &str) -> Saved {
    let mut saved = Saved::new(&feature(Feature::Plain)).only("main.o");
    saved.compile_with(&fake_clang(behaviour));
    let first = saved.run();
    assert!(first.status.success(), "{}", stderr(&first));
    saved
}

fn verify(saved: &Saved) -> Command {
    let mut command = saved.command();
    command.env("RELTO_VERIFY", "100");
    command.env("RELTO_VERIFY_FAIL", "true");
    command
}

#[test]
fn a_compiler_that_never_makes_the_same_object_is_named_and_the_cached_one_stays() {
    let saved = saved(
        "object(ET_REL); struct timespec now; clock_gettime(CLOCK_MONOTONIC, &now); \
         int file = open(out, O_WRONLY | O_APPEND); \
         return write(file, &now, sizeof now) != sizeof now;",
    );
    let object = &saved.objects()[0];
    let first = fs::read(object).expect("an object");
    let output = verify(&saved).output().expect("relto starts");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_says(&said, &["/clang` is not deterministic", "`main.o`"]);
    assert_eq!((count(&said, "verified"), count(&said, "wrong")), (0, 0));
    assert!(fs::read(object).expect("an object") == first);
    assert!(kept(&saved.home).is_empty());
}

/// What a compiler does only in a process with that limit, which is no part of the key.
const LIMITED: &str = "ulimit -t 1000; exec \"$@\"";

fn limited(action: &str) -> String {
    format!(
        "struct {{ unsigned long now, most; }} limit; extern int getrlimit(int, void *); \
         getrlimit(0, &limit); if (limit.now == 1000) {{ {action} }} object(ET_REL); return 0;"
    )
}

#[test]
fn what_cannot_be_compiled_here_is_not_verified_and_fails_no_link() {
    let saved = saved(&limited("__builtin_trap();"));
    let command = verify(&saved);
    let mut limited = through(&["sh", "-c", LIMITED, "sh"], &command);
    let output = limited.output().expect("relto starts");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_says(&said, &["the cached result of `main.o` is not verified: "]);
    assert_eq!((count(&said, "verified"), count(&said, "wrong")), (0, 0));
}

/// A job that compiles in that process only where the user's environment is, and then with `end`.
fn only_in_place(end: &str) -> Saved {
    let here = format!(
        "extern char *getenv(const char *); if (!getenv(\"HOME\")) return 1; {end} \
         object(ET_REL); int file = open(out, O_WRONLY | O_APPEND); \
         return write(file, \"place\", 5) != 5;"
    );
    saved(&limited(&here))
}

fn in_that_process(command: &Command) -> Output {
    let mut limited = through(&["sh", "-c", LIMITED, "sh"], command);
    limited.output().expect("relto starts")
}

#[test]
fn a_cached_result_whose_action_does_not_compile_here_is_wrong_and_the_job_runs_in_place() {
    let saved = only_in_place("");
    let object = &saved.objects()[0];
    let cached = fs::read(object).expect("an object");
    let mut verify = verify(&saved);
    let failed = in_that_process(&verify);
    let said = stderr(&failed);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert_says(
        &said,
        &[
            "the cached result of `main.o` is wrong: its action alone does not compile here (the compiler exited with 1)",
            "the disk cache does not have it any more",
            "every wrong result is replaced or removed; the link fails because of `verify_fail`",
        ],
    );
    assert_eq!(result_files(&saved.home), Vec::<PathBuf>::new());
    let pair = &kept(&saved.home)[0];
    assert!(fs::read(pair.join("cached-out.o")).expect("kept") == cached);
    let again = in_that_process(&verify);
    assert!(again.status.success(), "{}", stderr(&again));
    let in_place = fs::read(object).expect("an object");
    assert_eq!(in_place, [&cached[..], b"place"].concat());
    // Without `verify_fail` the linker gets the right object at once.
    assert!(saved.run().status.success());
    verify.env("RELTO_VERIFY_FAIL", "false");
    let output = in_that_process(&verify);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(warnings(&said), 1, "{said}");
    assert_says(&said, &["delivered instead"]);
    assert_eq!(fs::read(object).expect("an object"), in_place);
}

#[test]
fn a_job_with_a_cached_result_that_fails_here_in_place_too_fails_as_without_a_cache() {
    let saved = only_in_place("return 1;");
    let mut verify = verify(&saved);
    verify.env("RELTO_VERIFY_FAIL", "false");
    let output = in_that_process(&verify);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_says(
        &said,
        &["cannot compile `main.o`: the compiler exited with 1"],
    );
    assert!(!saved.objects()[0].exists());
    assert_eq!(result_files(&saved.home), Vec::<PathBuf>::new());
}

#[test]
fn a_signal_during_a_verification_leaves_nothing() {
    let saved = saved(&limited("for (;;) pause();"));
    let tmp = saved.path("tmp");
    fs::create_dir(&tmp).expect("made");
    let command = verify(&saved);
    let relto = through(&["sh", "-c", LIMITED, "sh"], &command)
        .env("TMPDIR", &tmp)
        .stderr(Stdio::null())
        .spawn();
    let mut relto = relto.expect("relto starts");
    wait_until("the compiler runs", || compilers(&tmp) == 1);
    let process = Pid::from_child(&relto);
    kill_process(process, Signal::TERM).expect("it runs");
    assert!(!relto.wait().expect("it ends").success());
    assert_eq!(compilers(&tmp), 0);
    assert_eq!(fs::read_dir(&tmp).expect("listed").count(), 0);
    assert_eq!(leftovers(&saved.path("")), Vec::<PathBuf>::new());
    assert!(!saved.objects()[0].exists());
    assert!(kept(&saved.home).is_empty());
}

/// Runs all backends with `relto` when one result of their cache is wrong.
fn launched(backends: &Backends, home: &Home, relto: impl Fn() -> Command) {
    let poison = Poison::in_cache(home);
    let mut said = String::new();
    for module in &backends.modules {
        let mut command = relto();
        command.env("RELTO_VERIFY", "100");
        let output = command
            .args(backends.arguments(module, "native.o"))
            .output();
        let output = output.expect("relto starts");
        assert!(output.status.success(), "{}", stderr(&output));
        said.push_str(&stderr(&output));
    }
    backends.assert_identical_objects();
    assert_eq!(said.matches("` is wrong: ").count(), 1, "{said}");
    assert_says(
        &said,
        &[&poison.wrong.to_string(), &poison.right.to_string()],
    );
    let verified = said.matches("`: verified").count();
    assert_eq!(verified, backends.modules.len() - 1, "{said}");
}

#[test]
fn the_launcher_verifies_what_it_finds() {
    let (backends, home) = (Backends::new(&generated(4)), Home::new());
    backends.run_all(&home);
    launched(&backends, &home, || backends.relto(&home));
}

#[test]
fn the_daemon_verifies_what_it_finds() {
    let (backends, daemon) = (Backends::new(&generated(4)), Daemon::new());
    for module in &backends.modules {
        daemon.run(&backends, module);
    }
    launched(&backends, &daemon.home, || daemon.relto(&backends));
}

#[test]
fn a_pipe_gets_one_object_and_never_a_wrong_one() {
    let saved = Saved::new(&generated(4));
    assert!(saved.run().status.success());
    let poison = Poison::in_cache(&saved.home);
    let readers = saved.objects().into_iter().map(|object| {
        fs::remove_file(&object).expect("removed");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &object, mode).expect("a pipe");
        std::thread::spawn(move || fs::read(object).expect("read"))
    });
    let readers: Vec<_> = readers.collect();
    let mut verify = verify(&saved);
    let output = verify.env("RELTO_VERIFY_FAIL", "false").output();
    let said = stderr(&output.expect("relto starts"));
    for (reader, in_place) in readers.into_iter().zip(&saved.in_place) {
        assert!(reader.join().expect("no panic") == *in_place, "{said}");
    }
    assert_eq!(count(&said, "wrong"), 1, "{said}");
    assert_says(
        &said,
        &[&poison.wrong.to_string(), &poison.right.to_string()],
    );
}

#[test]
fn doctor_warns_of_jobs_that_it_cannot_look_up() {
    let saved = Saved::new(&generated(4));
    assert!(saved.run().status.success());
    fs::remove_file(saved.index()).expect("removed");
    let (code, text) = examined(&saved, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("`: not compared: ").count(), 1, "{text}");
    assert_says(
        &text,
        &[
            "  warning ",
            "no cached result is known to be wrong; see the warnings",
        ],
    );
}

/// What `relto doctor --verify` says about the saved link, with its exit code.
fn examined(saved: &Saved, environment: &[(&str, String)]) -> (Option<i32>, String) {
    examined_through(saved, &["env"], environment)
}

/// The same where `starter` starts relto.
fn examined_through(
    saved: &Saved,
    starter: &[&str],
    environment: &[(&str, String)],
) -> (Option<i32>, String) {
    drop(saved.command());
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    saved.home.apply(&mut command);
    command
        .current_dir(saved.path(""))
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .args(["doctor", "--verify", "jobs.json"]);
    let output = through(starter, &command).output().expect("relto starts");
    assert_eq!(stderr(&output), "", "everything is on stdout");
    let text = String::from_utf8(output.stdout).expect("text");
    (output.status.code(), text)
}

/// Nothing is said of a result by a compiler that a user or a limit ends.
#[test]
fn doctor_keeps_the_result_of_a_job_whose_compiler_is_killed_here() {
    for signal in [Signal::TERM, Signal::XFSZ] {
        let dies = format!("extern int raise(int); raise({});", signal.as_raw());
        let saved = saved(&limited(&dies));
        let results = result_files(&saved.home);
        let (code, text) = examined_through(&saved, &["sh", "-c", LIMITED, "sh"], &[]);
        assert_says(&text, &["the compiler was killed by signal "]);
        assert_eq!((count(&text, "verified"), count(&text, "wrong")), (0, 0));
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(result_files(&saved.home), results, "{text}");
    }
}

#[test]
fn doctor_compares_every_cached_result_of_a_link_and_replaces_wrong_ones() {
    let saved = Saved::new(&generated(4));
    let jobs = saved.objects().len();
    let (code, text) = examined(&saved, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("`: not cached\n").count(), jobs, "{text}");
    assert!(saved.run().status.success());
    let poison = Poison::in_cache(&saved.home);
    for object in saved.objects() {
        fs::remove_file(object).expect("removed");
    }
    let (code, text) = examined(&saved, &[]);
    assert_eq!(code, Some(1), "{text}");
    let verified = text
        .matches("`: verified (disk cache, disk cache by slice key)\n")
        .count();
    assert_eq!(verified, jobs - 1, "{text}");
    assert_eq!(
        text.matches("`: wrong (disk cache, disk cache by slice key)\n")
            .count(),
        1,
        "{text}"
    );
    assert_says(
        &text,
        &[&poison.wrong.to_string(), &poison.right.to_string()],
    );
    assert_eq!(kept(&saved.home).len(), 1);
    assert!(saved.objects().iter().all(|object| !object.exists()));
    let (code, text) = examined(&saved, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("`: verified (").count(), jobs, "{text}");
}

#[test]
fn doctor_compares_what_the_farm_has_too() {
    let farm = Farm::start(Profile::plain());
    let saved = Saved::new(&generated(4));
    let mut environment = farm.environment();
    environment.push(("RELTO_STRATEGY", "remote".to_owned()));
    environment.push(("RELTO_DISK_CACHE", "off".to_owned()));
    let mut first = saved.command();
    first.envs(environment.iter().map(|(name, value)| (*name, value)));
    assert!(first.status().expect("relto starts").success());
    let (action, poison) = Poison::at_farm(&farm, "rack-7");
    let (code, text) = examined(&saved, &environment);
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(text.matches("`: wrong (farm)\n").count(), 1, "{text}");
    assert_says(&text, &["made by worker `rack-7`", "has the fresh one now"]);
    assert_eq!(object_at_farm(&farm, action), poison.right);
    assert_eq!(
        digest(&kept(&saved.home)[0].join("cached-out.o")),
        poison.wrong
    );
}

/// A small program after a link by `relto ld`, and how the next link of it begins.
fn linked_by_wrapper() -> (WrapperDir, Poison) {
    let dir = WrapperDir::new(&Release::under_test());
    dir.module(
        "main.c",
        "int f(void); int g(void); int main(void) { return f() + g() - 3; }\n",
    );
    dir.module("f.c", "int f(void) { return 1; }\n");
    dir.module("g.c", "int g(void) { return 2; }\n");
    let first = dir.wrapped("clang", MODULES);
    assert!(first.status.success(), "{}", stderr(&first));
    let poison = Poison::in_cache(&dir.home);
    (dir, poison)
}

const MODULES: &[&str] = &["main.o", "f.o", "g.o"];

fn relto_ld(dir: &WrapperDir, variables: &[(&str, &str)]) -> Output {
    let linker = dir.path("relto-ld.lld");
    let mut command = dir.link_command("clang", &linker, MODULES);
    command.args(["-o", "app"]).envs(variables.iter().copied());
    command.output().expect("clang starts")
}

#[test]
fn the_linker_wrapper_verifies_what_it_finds() {
    let (dir, poison) = linked_by_wrapper();
    let output = relto_ld(&dir, &[("RELTO_VERIFY", "100")]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!((count(&said, "verified"), count(&said, "wrong")), (2, 1));
    assert_says(
        &said,
        &[&poison.wrong.to_string(), &poison.right.to_string()],
    );
    dir.run_app();
}

#[test]
fn the_linker_wrapper_does_not_fall_back_where_a_wrong_object_has_to_fail_the_link() {
    let (dir, poison) = linked_by_wrapper();
    fs::remove_file(dir.path("app")).expect("linked");
    let verify = [("RELTO_VERIFY", "100"), ("RELTO_VERIFY_FAIL", "true")];
    let output = relto_ld(&dir, &verify);
    let said = stderr(&output);
    assert!(!output.status.success(), "{said}");
    assert_says(&said, &["relto: error: ", &poison.wrong.to_string()]);
    assert!(!dir.path("app").exists());
    let again = relto_ld(&dir, &verify);
    assert!(again.status.success(), "{}", stderr(&again));
}
