//! `scale`: how relto's own time and memory grow with the link, when nothing has to be compiled.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use relto::internals::digest::DigestFunction;
use relto::internals::job::JobFile;

use crate::links::Multiplied;
use crate::replay::number;
use crate::server::{ActionTemplate, Farm, Made, Script};
use crate::show;
use relto_testing::link::Home;
use relto_testing::measure::{Sample, median, run};
use relto_testing::program::dense;

/// Jobs of the links.
const SIZES: [usize; 3] = [1_000, 10_000, 30_000];
/// Modules that each module imports from.
const IMPORTS: usize = 50;

pub(crate) fn scale(runs: usize, largest: Option<usize>) {
    let link = Multiplied::new(&dense(IMPORTS + 1));
    let object = link.objects[0].1.clone();
    let made = Made {
        takes: Duration::ZERO,
        digest: DigestFunction::Sha256.digest(&object),
        object: Bytes::from(object),
    };
    let script: Script = Arc::new(move |_| made.clone());
    show(&format!(
        "{IMPORTS} imports a job, own files; a farm without distance on the same processors\n\
         jobs                              wall, s   relto's processor, s   ms a job   jobs/s   peak, MiB\n"
    ));
    let is_wanted = |size: &usize| largest.is_none_or(|largest| *size <= largest);
    for size in SIZES.into_iter().filter(is_wanted) {
        links_of(size, &link, &script, runs);
    }
}

fn farm(script: &Script, remembers: bool) -> Farm {
    let template = ActionTemplate {
        slots: 10_000,
        round_trip: Duration::ZERO,
        bytes_per_second: None,
        remembers,
        zstd: false,
    };
    Farm::start(template, Arc::clone(script))
}

fn links_of(size: usize, link: &Multiplied, script: &Script, runs: usize) {
    let file = link.with_own_files(size);
    let jobs = size.div_ceil(link.jobs()) * link.jobs();
    parse(&file, jobs);
    let home = Home::new();
    let off = "--disk-cache=off".to_owned();
    // The compiler's digest is known from here on, as on any machine that linked before.
    run(&link.relto(&home, &link.times(1), &[off]), 1);
    let (executes, remembers) = (farm(script, false), farm(script, true));
    let with = |farm: &Farm, cache: &str| {
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
    line("all new, executed", jobs, &[once(&with(&executes, "off"))]);
    let again = |command: &Command| -> Vec<Sample> { (0..runs).map(|_| once(command)).collect() };
    line(
        "known files, executed",
        jobs,
        &again(&with(&executes, "off")),
    );
    line(
        "found in the farm's cache",
        jobs,
        &again(&with(&remembers, "off")),
    );
    run(&with(&remembers, &cache), 1);
    line(
        "found in the disk cache",
        jobs,
        &again(&with(&remembers, &cache)),
    );
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
