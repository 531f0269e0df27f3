//! `slices`: what slice keys cost where they find nothing, and what restoring an object costs.
//!
//! The farm has all objects ready, so that relto's processor time is that of its own work.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use fs_err as fs;
use relto::internals::action::restore::{Renumbering, check, restore};
use relto::internals::digest::DigestFunction;
use relto::internals::thinlto::Index;
use rustix::time::{ClockId, clock_gettime};

use crate::links::Multiplied;
use crate::replay::number;
use relto_testing::backends::Backends;
use relto_testing::farm::{Farm, Profile, TimedResult, TimedWorkers};
use relto_testing::link::Home;
use relto_testing::llvm::run as run_tool;
use relto_testing::measure::{Comparison, HEAD, Sample, median, run, show};
use relto_testing::program::{EditedProgram, Program, cxx};

/// Cached links in a row, since one is too short to measure.
const IN_A_ROW: usize = 10;
const MEGABYTE: f64 = 1e6;

pub(crate) fn slices(runs: usize, with_rocksdb: bool) {
    of_program(&EditedProgram::named("cryptopp").base(), runs);
    show("\nCrypto++ with debug information, which has no slice keys:\n");
    of_program(&cxx(), runs);
    if with_rocksdb {
        of_program(&EditedProgram::named("rocksdb").base(), runs);
    }
}

/// The same where a build runs the backends itself: each job is a process of its own, which knows
/// nothing of the others but what the disk cache has.
struct Launched {
    link: Multiplied,
    backends: Backends,
    home: Home,
    farm: Farm,
}

/// `launched`: what slice keys cost jobs that are processes of their own.
pub(crate) fn launched(runs: usize) {
    let program = EditedProgram::named("sqlite");
    let base = program.base();
    let launched = Launched::new(&base);
    let jobs = number(launched.backends.modules.len());
    let each = |sample: &Sample| sample.cpu * 1000.0 / jobs;
    show(&format!(
        "\n{}, {jobs} jobs by `relto cc`\n{HEAD}",
        base.name
    ));
    launched.cold("off");
    let both = Comparison::of(runs, || launched.cold("on"), || launched.cold("off"));
    show(&both.line("nothing cached, ms a job", each));
    let cache = launched.link.new_dir("cache-");
    launched.all(&cache, "on");
    let cached = |switch: &str| launched.all(&cache, switch);
    let both = Comparison::of(runs, || cached("on"), || cached("off"));
    show(&both.line("all cached, ms a job", each));
    let missed = program.edits.iter().map(|edit| {
        let edited = program.edited(edit);
        let missed = launched.place(&edited.program.modules[edited.module]);
        let [found, again] = [(); 2].map(|()| launched.all(&cache, "on").cpu);
        launched.place(&base.modules[edited.module]);
        (found - again) * 1000.0 / number(missed)
    });
    show(&format!(
        "after edits of one module each, a job that misses takes {:.1} ms more than one that is found\n",
        median(missed)
    ));
}

impl Launched {
    fn new(program: &Program) -> Self {
        let link = Multiplied::new(program);
        Self {
            farm: Farm::timed(Profile::cheap(), workers(&link)),
            backends: Backends::new(program),
            home: Home::new(),
            link,
        }
    }

    /// All jobs, one after the other.
    fn all(&self, cache: &Path, switch: &str) -> Sample {
        let mut shell = Command::new("sh");
        self.home.apply(&mut shell);
        let script = self.backends.script(&self.home, "|| exit 1");
        shell.current_dir(self.backends.dir()).args(["-c", &script]);
        shell.env("RELTO_REMOTE_EXECUTOR", self.farm.address());
        shell.env("RELTO_DISK_CACHE", cache);
        shell.env("RELTO_SLICE_KEYS", switch);
        run(shell.env("RELTO_STRATEGY", "remote"), 1)
    }

    /// The same with nothing cached.
    fn cold(&self, switch: &str) -> Sample {
        self.farm.clear_results();
        self.farm.forget_operations();
        self.all(&self.link.new_dir("cache-"), switch)
    }

    /// Replaces a module. Returns how many jobs read it.
    fn place(&self, module: &Path) -> usize {
        let name = module.file_name().expect("a name").to_string_lossy();
        fs::copy(module, self.backends.path(&name)).expect("copied");
        run_tool(&mut self.backends.thin_link());
        let modules = self.backends.modules.iter();
        let reads = modules.filter(|job| {
            let shard = self.backends.path(&format!("{job}.thinlto.bc"));
            let shard = fs::read(shard).expect("a shard");
            let index = Index::parse(&shard).expect("a shard of lld");
            let mut paths = index.modules().iter().map(|entry| &entry.path);
            paths.any(|path| *path == name.as_bytes())
        });
        reads.count()
    }
}

fn of_program(program: &Program, runs: usize) {
    let link = Multiplied::new(program);
    let backends = run(&link.backends(), 1).cpu;
    show(&format!(
        "\n{}, {} jobs; the backends take {backends:.1} s of processor\n{HEAD}",
        program.name,
        link.jobs()
    ));
    let home = Home::new();
    let farm = Farm::timed(Profile::cheap(), workers(&link));
    let relto = |cache: &Path, switch: &str, times: usize| {
        link.put_objects_away(&link.once());
        let options = [
            format!("--remote-executor={}", farm.address()),
            format!("--disk-cache={}", cache.display()),
            format!("--slice-keys={switch}"),
            "--strategy=remote".to_owned(),
        ];
        run(&link.relto(&home, &link.once(), &options), times)
    };
    let cold = |switch: &str| {
        farm.clear_results();
        farm.forget_operations();
        relto(&link.new_dir("cache-"), switch, 1)
    };
    // The digests of the compiler and of the modules are known from here on.
    cold("off");
    let both = Comparison::of(runs, || cold("on"), || cold("off"));
    show(&both.line("nothing cached, s", |sample| sample.cpu));
    let share = both.difference(|sample| sample.cpu) / backends;
    let cache = link.new_dir("cache-");
    relto(&cache, "on", 1);
    let cached = |switch: &str| -> Sample { relto(&cache, switch, IN_A_ROW) };
    let both = Comparison::of(6 * runs, || cached("on"), || cached("off"));
    show(&both.line("all cached, ms", |sample| sample.cpu * 1000.0));
    show(&format!(
        "slices of a cold link: {:.2} % of the backends\n",
        share * 100.0
    ));
    restoring(&link, runs);
}

fn workers(link: &Multiplied) -> TimedWorkers {
    let made: Vec<(String, TimedResult)> = link
        .objects
        .iter()
        .map(|(module, object)| {
            let made = TimedResult {
                takes: Duration::ZERO,
                digest: DigestFunction::Sha256.digest(object),
                object: Bytes::from(object.clone()),
            };
            (module.clone(), made)
        })
        .collect();
    TimedWorkers::new(10_000, move |module| {
        let mut named = made.iter().filter(|(known, _)| known == module);
        named.next().expect("a module of the link").1.clone()
    })
}

/// Restores names in all objects, as if each module had another hash than when they were made, and
/// copies all objects.
fn restoring(link: &Multiplied, runs: usize) {
    let dir = link.new_dir("copies-");
    let mut objects = Vec::new();
    for (place, (module, object)) in link.objects.iter().enumerate() {
        let numbers = numbers(&link.shard(module));
        if check(object, &numbers).is_err() {
            continue;
        }
        let pairs = numbers
            .iter()
            .map(|number| (*number, number.rotate_left(9)));
        let renumbering = Renumbering::new(pairs).expect("one to one");
        let path = dir.join(place.to_string());
        fs::write(&path, object).expect("written");
        objects.push((object, path, numbers, renumbering));
    }
    let copied = dir.join("copy");
    let copy = least(runs, || {
        for (_, path, ..) in &objects {
            let bytes = fs::read(path).expect("read");
            fs::write(&copied, bytes).expect("written");
        }
    });
    let restored = least(runs, || {
        for (object, .., renumbering) in &objects {
            restore(object, renumbering).expect("a known form");
        }
    });
    let checked = least(runs, || {
        for (object, _, numbers, _) in &objects {
            check(object, numbers).expect("a known form");
        }
    });
    let bytes: usize = objects.iter().map(|(object, ..)| object.len()).sum();
    let megabytes = number(bytes) / MEGABYTE;
    let each = |time: f64| time * 1000.0 / megabytes;
    show(&format!(
        "{} objects of {megabytes:.1} MB: to copy one takes {:.3} ms a MB, to restore its names {:.3}, \
         to check that they can be restored {:.3}\n",
        objects.len(),
        each(copy),
        each(restored),
        each(checked)
    ));
}

/// What follows `.llvm.` in the names of promoted locals, for each module of a shard.
fn numbers(shard: &[u8]) -> Vec<u64> {
    let index = Index::parse(shard).expect("a shard of lld");
    let hashes = index.modules().iter().filter_map(|entry| entry.hash);
    let numbers = hashes.map(|[upper, lower, ..]| u64::from(upper) << 32 | u64::from(lower));
    numbers.collect::<BTreeSet<u64>>().into_iter().collect()
}

/// The least processor time of this thread, in seconds.
fn least(runs: usize, mut work: impl FnMut()) -> f64 {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(now).expect("a time").as_secs_f64()
    };
    let times = (0..runs).map(|_| {
        let began = now();
        work();
        now() - began
    });
    times.fold(f64::INFINITY, f64::min)
}
