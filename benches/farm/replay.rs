//! `replay`: a farm that does as little as any can, against the least time that it allows.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use relto::internals::digest::DigestFunction;

use crate::links::Multiplied;
use crate::reset;
use relto_testing::farm::{Farm, Profile, TimedResult, TimedWorkers};
use relto_testing::link::{Home, Link};
use relto_testing::measure::{Sample, median, run, show};
use relto_testing::program::{Program, cxx, zstd};

const SLOTS: usize = 200;
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// 1 Gbit/s.
const BYTES_PER_SECOND: u64 = 125_000_000;
/// What a job is said to take for each byte of its object, and besides: 1.3 seconds on average, 10
/// at most.
const PER_BYTE: Duration = Duration::from_micros(1);
const START: Duration = Duration::from_secs(1);

/// Links from which relto learns how long the jobs take, before it is measured.
const LEARNING: usize = 1;

/// Copies of the program whose links are compared.
const COPIES: [usize; 3] = [1, 5, 10];

const HEAD: &str = "blobs     jobs    bound, s   relto, s    ratio  (range)           and thin link  with its bytes, s    ratio  relto's processor, s   ms a job\n";

/// A link, and what it is compared with.
struct Round {
    sample: Sample,
    bound: f64,
    /// Unknown where blobs travel compressed, each to its own part.
    reachable: Option<f64>,
}

pub(crate) fn replay(runs: usize) {
    let program = cxx();
    let (link, thin_link) = (Multiplied::new(&program), thin_link(&program, runs));
    let made = record(&link);
    let other = made.values().next().expect("a job");
    let workers = {
        let (made, other) = (made.clone(), other.clone());
        TimedWorkers::new(SLOTS, move |module| {
            made.get(module).unwrap_or(&other).clone()
        })
    };
    show(&format!(
        "Crypto++ on {SLOTS} slots, {} ms away, 1 Gbit/s; the toolchain is there, the modules are not\n\
         lld's thin link of one copy: {thin_link:.3} s\n{HEAD}",
        ROUND_TRIP.as_millis()
    ));
    for zstd in [false, true] {
        let profile = Profile {
            round_trip: ROUND_TRIP,
            bytes_per_second: Some(BYTES_PER_SECOND),
            stream_zstd: zstd,
            batch_zstd: zstd,
            ..Profile::cheap()
        };
        let farm = Farm::timed(profile, workers.clone());
        on(&farm, &link, &made, thin_link, runs);
    }
}

/// All links on one farm.
fn on(
    farm: &Farm,
    link: &Multiplied,
    made: &HashMap<String, TimedResult>,
    thin_link: f64,
    rounds: usize,
) {
    let home = Home::new();
    let options = [
        format!("--remote-executor={}", farm.address()),
        "--strategy=remote".to_owned(),
        "--disk-cache=off".to_owned(),
    ];
    // A link of another program by the same compiler leaves the toolchain there.
    let other = Multiplied::new(&zstd());
    run(&other.relto(&home, &other.times(1), &options), 1);
    let toolchain = farm.claimed();
    let zstd = farm.profile().stream_zstd;
    for _ in 0..LEARNING {
        farm.clear_results();
        run(&link.relto(&home, &link.times(1), &options), 1);
    }
    for copies in COPIES {
        let file = link.times(copies);
        let command = link.relto(&home, &file, &options);
        let mut runs = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            link.put_objects_away(&file);
            reset(farm, toolchain.clone());
            let sample = run(&command, 1);
            let (up, down) = farm.passed();
            let bytes = up.max(down);
            runs.push(Round {
                sample,
                bound: bound(made, copies, bytes),
                reachable: (!zstd).then(|| reachable(made, link, copies, bytes)),
            });
        }
        let blobs = if zstd { "zstd" } else { "plain" };
        show(&format!("{blobs:8}"));
        show_line(link.jobs() * copies, &runs, thin_link);
    }
}

/// How long lld works before it calls its distributor.
fn thin_link(program: &Program, runs: usize) -> f64 {
    let home = Home::new();
    let times = (0..runs).map(|_| {
        let link = Link::through(Path::new("/bin/false"), program);
        let mut command = link.command(&home);
        let began = Instant::now();
        let output = command.output().expect("the linker starts");
        let took = began.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("distributor"), "none was called: {said}");
        took
    });
    median(times)
}

/// `thin_link` comes before all of them.
fn show_line(jobs: usize, runs: &[Round], thin_link: f64) {
    let ratio = |run: &Round| run.sample.wall / run.bound;
    let least = runs.iter().map(ratio).fold(f64::INFINITY, f64::min);
    let most = runs.iter().map(ratio).fold(0.0, f64::max);
    let linked = |run: &Round| (thin_link + run.sample.wall) / (thin_link + run.bound);
    let cpu = median(runs.iter().map(|run| run.sample.cpu));
    let reachable: Option<Vec<f64>> = runs.iter().map(|run| run.reachable).collect();
    let reachable = reachable.map_or_else(String::new, |all| {
        let walls = runs.iter().map(|run| run.sample.wall);
        let ratios = walls.zip(&all).map(|(wall, reachable)| wall / reachable);
        let ratio = median(ratios);
        format!("{:17.3}  {ratio:7.3}", median(all.into_iter()))
    });
    show(&format!(
        "{jobs:6}  {:10.3}  {:9.3}  {:7.3}  ({least:.3} to {most:.3})  {:13.3}  {reachable:26}  {cpu:20.3}  {:9.3}\n",
        median(runs.iter().map(|run| run.bound)),
        median(runs.iter().map(|run| run.sample.wall)),
        median(runs.iter().map(ratio)),
        median(runs.iter().map(linked)),
        cpu * 1000.0 / number(jobs),
    ));
}

/// No farm of this kind is faster: the longest job, all jobs over all slots, all bytes over the
/// line.
fn bound(made: &HashMap<String, TimedResult>, copies: usize, bytes: u64) -> f64 {
    let times = || made.values().map(|made| made.takes.as_secs_f64());
    let longest = times().fold(0.0, f64::max);
    let work = times().sum::<f64>() * number(copies) / number(SLOTS);
    let line = Duration::from_nanos(bytes * 1_000_000_000 / BYTES_PER_SECOND);
    longest.max(work).max(line.as_secs_f64())
}

/// The same, and that a job begins when what it reads is there, and ends when its object is here.
/// Of the longest jobs none ends before the shortest of them has run, and from then on the line
/// still carries one object after the other.
fn reachable(
    made: &HashMap<String, TimedResult>,
    link: &Multiplied,
    copies: usize,
    bytes: u64,
) -> f64 {
    let on_the_line =
        |bytes: u64| Duration::from_nanos(bytes * 1_000_000_000 / BYTES_PER_SECOND).as_secs_f64();
    let mut jobs: Vec<_> = made.iter().collect();
    jobs.sort_by_key(|(_, made)| std::cmp::Reverse(made.takes));
    let (mut sent, mut fetched) = (f64::INFINITY, 0.0);
    let mut least = bound(made, copies, bytes);
    for (module, made) in jobs {
        sent = on_the_line(link.bytes_read(module)).min(sent);
        fetched += on_the_line(made.object.len() as u64) * number(copies);
        least = least.max(sent + made.takes.as_secs_f64() + fetched);
    }
    least
}

fn record(link: &Multiplied) -> HashMap<String, TimedResult> {
    let made = |object: &[u8]| {
        let object = Bytes::copy_from_slice(object);
        let size = u32::try_from(object.len()).expect("an object");
        TimedResult {
            takes: START + PER_BYTE * size,
            digest: DigestFunction::Sha256.digest(&object),
            object,
        }
    };
    let objects = link.objects.iter();
    objects
        .map(|(module, object)| (module.clone(), made(object)))
        .collect()
}

pub(crate) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a count"))
}
