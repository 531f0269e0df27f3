//! relto on this machine, without a farm, compared with doing without relto; `benches/README.md`
//! says how to read it.
//!
//! Takes `--runs N` and the names of comparisons to run only those. Prints tables of ratios:
//! absolute times depend on the machine.

mod daemon;
mod replay;
mod wrapped;

use std::path::Path;
use std::process::Command;
use std::thread;

use relto_testing::backends::Backends;
use relto_testing::link::{Home, Link};
use relto_testing::measure::{BenchArguments, Comparison, HEAD, Sample, median, run, show};
use relto_testing::program::{EditedProgram, Program, cxx, dense, generated};
use relto_testing::remote::assert_all_cached;
use relto_testing::repeat::filled;
use replay::Replay;
use tempfile::TempDir;

/// Measures and gives a table.
type Comparer = fn(&Settings);

/// What can be asked for, by name.
const COMPARISONS: &[(&str, Comparer)] = &[
    ("backends", backends),
    ("link", link),
    ("relink", relink),
    ("verify", verify),
    ("overhead", overhead),
    ("launcher", launcher),
    ("daemon", daemon::daemon),
    ("wrapped", wrapped::wrapped),
];

struct Settings {
    runs: usize,
    processes: usize,
    /// `rocksdb` is among the arguments: `relink` links it too.
    with_rocksdb: bool,
}

fn main() {
    let arguments = BenchArguments::get();
    let settings = Settings {
        with_rocksdb: arguments.has("rocksdb"),
        runs: arguments.number("--runs").unwrap_or(7),
        processes: thread::available_parallelism().map_or(1, usize::from),
    };
    let mut named = COMPARISONS
        .iter()
        .filter(|(name, _)| arguments.has(name))
        .peekable();
    let chosen: Vec<_> = if named.peek().is_some() {
        named.collect()
    } else {
        COMPARISONS.iter().collect()
    };
    show(&format!(
        "{} rounds, {} processors\n",
        settings.runs, settings.processes
    ));
    for (name, compare) in chosen {
        show(&format!("\n== {name}\n"));
        compare(&settings);
    }
}

/// What `measure` finds with relto's option for a disk cache that has nothing.
fn with_empty_cache(measure: impl Fn(String) -> Sample) -> Sample {
    let cache = TempDir::new().expect("a temporary directory");
    measure(format!("--disk-cache={}", cache.path().display()))
}

/// All backend jobs, nothing cached, against the same commands from `xargs`.
fn backends(settings: &Settings) {
    let replay = Replay::new(&cxx());
    let home = Home::new();
    replay.counts(&home); // the compiler's digests are known from here on, as on any machine that linked before
    let xargs = replay.xargs(settings.processes);
    let cold = || with_empty_cache(|option| run(&replay.relto(&home, &[option]), 1));
    let both = Comparison::of(settings.runs, cold, || run(&xargs, 1));
    let jobs = replay.jobs();
    show(&format!(
        "{jobs} jobs of C++: relto with an empty cache, xargs -P{}\n{HEAD}",
        settings.processes
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
}

/// The whole link, nothing cached, against ThinLTO inside lld with as many threads.
fn link(settings: &Settings) {
    let program = cxx();
    let known = Home::new();
    Link::new(&program).run_at(&known).expect_works();
    let through_relto =
        || with_empty_cache(|option| run(&Link::new(&program).option(&option).command(&known), 1));
    let threads = format!("-Wl,--thinlto-jobs={}", settings.processes);
    let in_process = || {
        run(
            &Link::in_process(&program)
                .argument(&threads)
                .command(&known),
            1,
        )
    };
    let both = Comparison::of(settings.runs, through_relto, in_process);
    show(&format!(
        "whole link, nothing cached: relto, lld itself with {} threads\n{HEAD}",
        settings.processes
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    let through_script = || run(&Link::reference(&program).command(&known), 1);
    let both = Comparison::of(settings.runs, through_relto, through_script);
    show(&format!(
        "the same: relto, the trivial distributor (`tests/support/reference.py`)\n{HEAD}"
    ));
    show(&both.line("wall, s", |sample| sample.wall));
}

/// The whole link, everything cached, against lld's own cache.
fn relink(settings: &Settings) {
    relink_of(&cxx(), settings);
    if settings.with_rocksdb {
        relink_of(&EditedProgram::named("rocksdb").base(), settings);
    }
}

fn relink_of(program: &Program, settings: &Settings) {
    let home = filled(program);
    let again = Link::new(program).run_at(&home).expect_works();
    again.assert_all_cached();
    let cache = TempDir::new().expect("a temporary directory");
    let cached = format!("-Wl,--thinlto-cache-dir={}", cache.path().display());
    Link::in_process(program)
        .argument(&cached)
        .run_at(&home)
        .expect_works();
    let ours = || run(&Link::new(program).command(&home), 1);
    let theirs = || {
        run(
            &Link::in_process(program).argument(&cached).command(&home),
            1,
        )
    };
    let both = Comparison::of(settings.runs, ours, theirs);
    show(&format!(
        "{}, whole link, all cached: relto, lld with --thinlto-cache-dir\n{HEAD}",
        program.name
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
    let ready = TempDir::new().expect("a temporary directory");
    let dir = format!("--ready={}", ready.path().display());
    let script = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/local/ready.py"
    ));
    let least = || {
        run(
            &Link::through(script, program).option(&dir).command(&home),
            1,
        )
    };
    least();
    let both = Comparison::of(settings.runs, least, theirs);
    show(&format!(
        "the same: a distributor that only links objects into place (`benches/local/ready.py`), lld with its cache\n{HEAD}"
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
    let both = Comparison::of(settings.runs, ours, least);
    show(&format!("the same: relto, that distributor\n{HEAD}"));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
    // What lld gets must be its own: it renames objects away, and a user may change them.
    let copying = || {
        let link = Link::through(script, program).option(&dir);
        run(&link.env("RELTO_BENCH_COPY", "1").command(&home), 1)
    };
    let both = Comparison::of(settings.runs, copying, theirs);
    show(&format!(
        "the same: a distributor that only copies objects into place, lld with its cache\n{HEAD}"
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
    let both = Comparison::of(settings.runs, ours, copying);
    show(&format!("the same: relto, that distributor\n{HEAD}"));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
}

/// The whole link, everything cached, of which 2 % are compiled again and compared. Each round has
/// another secret, and so another choice.
fn verify(settings: &Settings) {
    let program = cxx();
    let home = filled(&program);
    let again = Link::new(&program).run_at(&home).expect_works();
    again.assert_all_cached();
    let key = home.path().join("state/relto/verify.key");
    let verifying = || {
        let _ = fs_err::remove_file(&key);
        run(&Link::new(&program).option("--verify=2").command(&home), 1)
    };
    let plain = || run(&Link::new(&program).command(&home), 1);
    let both = Comparison::of(settings.runs, verifying, plain);
    show(&format!(
        "whole link of {} jobs, all cached: with --verify=2, without\n{HEAD}",
        again.counts().jobs
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
    let cold =
        || with_empty_cache(|option| run(&Link::new(&program).option(&option).command(&home), 1));
    let both = Comparison::of(settings.runs, verifying, cold);
    show(&format!(
        "the same: with --verify=2, nothing cached\n{HEAD}"
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
}

/// What relto itself costs when there is nothing to compile.
fn overhead(settings: &Settings) {
    const IN_A_ROW: usize = 20;
    show("relto alone, all cached     wall, ms  processor, ms  peak memory, MiB\n");
    let programs: [Program; 4] = [generated(9), generated(149), cxx(), dense(600)];
    for program in programs {
        let replay = Replay::new(&program);
        let home = Home::new();
        replay.counts(&home);
        assert_all_cached(replay.counts(&home));
        let samples: Vec<Sample> = (0..settings.runs)
            .map(|_| run(&replay.relto(&home, &[]), IN_A_ROW))
            .collect();
        let middle = |what: fn(&Sample) -> f64| median(samples.iter().map(what));
        let (wall, cpu) = (middle(|s| s.wall) * 1000.0, middle(|s| s.cpu) * 1000.0);
        let (memory, jobs) = (middle(|s| s.memory), replay.jobs());
        show(&format!(
            "{:14} {jobs:5} jobs  {wall:9.1}  {cpu:13.1}  {memory:16.1}\n",
            program.name
        ));
    }
}

/// What `relto cc` adds to a compiler that is none of its business, and what a backend takes that
/// is found.
fn launcher(settings: &Settings) {
    const IN_A_ROW: usize = 200;
    let home = Home::new();
    let plain = Command::new("/bin/true");
    let mut launched = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut launched);
    launched.args(["cc", "/bin/true", "-c", "a.c"]);
    let ours = || run(&launched, IN_A_ROW);
    let both = Comparison::of(settings.runs, ours, || run(&plain, IN_A_ROW));
    show(&format!(
        "a program that does nothing: behind relto, alone\n{HEAD}"
    ));
    show(&both.line("wall, ms", |sample| sample.wall * 1000.0));
    show(&both.line("processor, ms", |sample| sample.cpu * 1000.0));

    let backends = Backends::new(&generated(9));
    backends.run_all(&home);
    assert_all_cached(backends.run_all(&home));
    let mut hit = backends.relto(&home);
    hit.env_remove("RELTO_LOG")
        .args(backends.arguments("main.o", "native.o"));
    let mut clang = Command::new(backends.compiler());
    clang.current_dir(backends.dir());
    clang.args(backends.arguments("main.o", "plain.o"));
    let ours = || run(&hit, 20);
    let both = Comparison::of(settings.runs, ours, || run(&clang, 20));
    show(&format!(
        "a small backend: found by relto, compiled by clang\n{HEAD}"
    ));
    show(&both.line("wall, ms", |sample| sample.wall * 1000.0));
    show(&both.line("processor, ms", |sample| sample.cpu * 1000.0));
}
