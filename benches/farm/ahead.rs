//! `ahead`: compares links whose modules were uploaded before with links that upload them, and
//! measures what that costs a compile.
//!
//! Wall time counts, because a link waits for the network. Uploads run while a build compiles, so
//! they are not part of it.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use fs_err as fs;
use relto::internals::digest::{Digest, DigestFunction};
use tempfile::TempDir;

use crate::links::Multiplied;
use crate::reset;
use relto_testing::farm::{Farm, Profile, TimedResult, TimedWorkers};
use relto_testing::link::Home;
use relto_testing::llvm::Llvm;
use relto_testing::measure::{Comparison, HEAD, run, show};
use relto_testing::program::{Program, cxx, generated, zstd};

const ROUND_TRIP: Duration = Duration::from_millis(20);
/// 10 Mbit/s.
const BYTES_PER_SECOND: u64 = 1_250_000;
/// Compiles in a row for one sample.
const COMPILES: usize = 20;

pub(crate) fn ahead(runs: usize) {
    show(&format!(
        "200 slots, {} ms away, 10 Mbit/s; the toolchain is there; modules sent before (ours), or by the link (theirs)\n{HEAD}",
        ROUND_TRIP.as_millis()
    ));
    for (name, program) in [("zstd", zstd()), ("Crypto++", cxx())] {
        links(name, &program, runs);
    }
    compiles(runs);
}

fn links(name: &str, program: &Program, runs: usize) {
    let link = Multiplied::new(program);
    let farm = farm(&link);
    let home = Home::new();
    let options = [
        format!("--remote-executor={}", farm.address()),
        "--strategy=remote".to_owned(),
        "--disk-cache=off".to_owned(),
    ];
    let file = link.times(1);
    let command = link.relto(&home, &file, &options);
    // Another program by the same compiler leaves the toolchain there; the link's own history and
    // digests are known.
    let other = Multiplied::new(&generated(4));
    farm.limit_network(None);
    run(&other.relto(&home, &other.times(1), &options), 1);
    let toolchain = farm.claimed();
    run(&command, 1);
    let mut prefetch = vec!["prefetch".to_owned()];
    prefetch.extend_from_slice(&options);
    let (last, others) = link.objects.split_last().expect("a job");
    prefetch.extend(others.iter().map(|(module, _)| module.clone()));
    let prefetch = link.relto(&home, Path::new(&last.0), &prefetch);
    let sample = |before: &HashSet<Digest>, sent_ahead: bool| {
        reset(&farm, before.clone());
        if sent_ahead {
            farm.limit_network(None);
            run(&prefetch, 1);
        }
        let ahead = farm.passed().0;
        farm.limit_network(Some(BYTES_PER_SECOND));
        let sample = run(&command, 1);
        (sample, ahead, farm.passed().0 - ahead)
    };
    let both = Comparison::of(
        runs,
        || sample(&toolchain, true).0,
        || sample(&toolchain, false).0,
    );
    show(&both.line(&format!("{name}, wall"), |sample| sample.wall));
    let (_, ahead, then) = sample(&toolchain, true);
    let (_, _, alone) = sample(&toolchain, false);
    show(&format!(
        "{name:8} MiB sent: {:.2} before the link, {:.2} by it; {:.2} by a link alone\n",
        mib(ahead),
        mib(then),
        mib(alone)
    ));
}

/// Workers that take no time: what is left is the line.
fn farm(link: &Multiplied) -> Farm {
    let objects = link.objects.clone();
    let workers = TimedWorkers::new(200, move |module| {
        let found = objects.iter().find(|(name, _)| name == module);
        let (_, object) = found.unwrap_or(&objects[0]);
        TimedResult {
            takes: Duration::ZERO,
            digest: DigestFunction::Sha256.digest(object),
            object: Bytes::from(object.clone()),
        }
    });
    let profile = Profile {
        round_trip: ROUND_TRIP,
        bytes_per_second: Some(BYTES_PER_SECOND),
        ..Profile::cheap()
    };
    Farm::timed(profile, workers)
}

/// A compile that leaves a small module: as long as a build has many of them.
fn compiles(runs: usize) {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("a.c"), "int f(void) { return 1; }\n").expect("written");
    let link = Multiplied::new(&generated(4));
    let farm = farm(&link);
    let home = Home::new();
    let clang = Llvm::get().tool("clang");
    let words = ["-O2", "-flto=thin", "-c", "a.c", "-o", "a.o"];
    let mut plain = Command::new(&clang);
    plain.current_dir(dir.path()).args(words);
    show(&format!(
        "a compile of one function by `relto cc` (ours) and by clang alone (theirs), mean of {COMPILES}, s\n{HEAD}"
    ));
    for upload in ["no", "yes"] {
        let mut launched = Command::new(env!("CARGO_BIN_EXE_relto"));
        home.apply(&mut launched);
        launched
            .current_dir(dir.path())
            .env("RELTO_REMOTE_EXECUTOR", farm.address())
            .env("RELTO_REMOTE_UPLOAD_AHEAD", upload)
            .arg("cc")
            .arg(&clang)
            .args(words);
        let both = Comparison::of(runs, || run(&launched, COMPILES), || run(&plain, COMPILES));
        let name = format!("upload ahead: {upload}");
        show(&both.line(&name, |sample| sample.wall));
    }
}

fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).expect("less than 4 TiB")) / 1024.0
}
