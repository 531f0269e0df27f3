//! `scale`: how relto's own time and memory grow with the link, when nothing has to be compiled.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use relto::internals::digest::DigestFunction;
use relto::internals::job::JobFile;

use crate::links::Multiplied;
use crate::replay::number;
use relto_testing::farm::{Farm, Profile, TimedResult, TimedWorkers};
use relto_testing::link::Home;
use relto_testing::measure::{Sample, median, run, show};
use relto_testing::program::dense;

/// Jobs of the links.
const SIZES: [usize; 3] = [1_000, 10_000, 30_000];
/// Modules that each module imports from.
const IMPORTS: usize = 50;

pub(crate) fn scale(runs: usize, largest: Option<usize>) {
    let link = Multiplied::new(&dense(IMPORTS + 1));
    let object = link.objects[0].1.clone();
    let made = TimedResult {
        takes: Duration::ZERO,
        digest: DigestFunction::Sha256.digest(&object),
        object: Bytes::from(object),
    };
    let workers = TimedWorkers::new(10_000, move |_| made.clone());
    show(&format!(
        "{IMPORTS} imports a job, own files; a farm without distance on the same processors\n\
         jobs                              wall, s   relto's processor, s   ms a job   jobs/s   peak, MiB\n"
    ));
    let is_wanted = |size: &usize| largest.is_none_or(|largest| *size <= largest);
    for size in SIZES.into_iter().filter(is_wanted) {
        links_of(size, &link, &workers, runs);
    }
}

fn links_of(size: usize, link: &Multiplied, workers: &TimedWorkers, runs: usize) {
    let file = link.with_own_files(size);
    let jobs = size.div_ceil(link.jobs()) * link.jobs();
    parse(&file, jobs);
    let home = Home::new();
    let off = "--disk-cache=off".to_owned();
    // The compiler's digest is known from here on, as on any machine that linked before.
    run(&link.relto(&home, &link.times(1), &[off]), 1);
    let farm = Farm::timed(Profile::cheap(), workers.clone());
    let with = |cache: &str| {
        let executor = format!("--remote-executor={}", farm.address());
        let cache = format!("--disk-cache={cache}");
        link.relto(
            &home,
            &file,
            &[executor, "--strategy=remote".to_owned(), cache],
        )
    };
    let cache = home.path().join("disk");
    let cache = cache.display().to_string();
    let once = |command: &Command| {
        link.put_objects_away(&file);
        run(command, 1)
    };
    let executed = || {
        farm.clear_results();
        farm.forget_operations();
        once(&with("off"))
    };
    let samples = |sample: &dyn Fn() -> Sample| (0..runs).map(|_| sample()).collect::<Vec<_>>();
    line("all new, executed", jobs, &[executed()]);
    line("known files, executed", jobs, &samples(&executed));
    // The farm has the results of the last one.
    let found = |cache: &str| samples(&|| once(&with(cache)));
    line("found in the farm's cache", jobs, &found("off"));
    run(&with(&cache), 1);
    line("found in the disk cache", jobs, &found(&cache));
}

fn line(name: &str, jobs: usize, samples: &[Sample]) {
    let middle = |what: fn(&Sample) -> f64| median(samples.iter().map(what));
    let (wall, cpu, memory) = (middle(|s| s.wall), middle(|s| s.cpu), middle(|s| s.memory));
    show(&format!(
        "{jobs:6}  {name:26}{wall:9.2}  {cpu:20.2}  {:9.3}  {:7.0}  {memory:10.1}\n",
        cpu * 1000.0 / number(jobs),
        number(jobs) / wall,
    ));
}

fn parse(file: &std::path::Path, jobs: usize) {
    let began = Instant::now();
    let read = JobFile::read(file).expect("a job file");
    assert_eq!(read.jobs.len(), jobs);
    let size = fs_err::metadata(file).expect("a file").len();
    let took = began.elapsed().as_secs_f64();
    show(&format!(
        "{jobs:6}  job file of {} MiB parsed {took:9.3}\n",
        size >> 20
    ));
}
