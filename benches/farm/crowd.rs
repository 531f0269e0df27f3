//! `crowd`: links that start at the same time on one machine, with a farm that has nothing yet.
//!
//! Within a link each blob is sent once; this shows what several links send more than once.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use relto::internals::digest::DigestFunction;

use crate::links::Multiplied;
use crate::reset;
use relto_testing::farm::{Farm, Profile, TimedResult, TimedWorkers};
use relto_testing::link::Home;
use relto_testing::measure::{median, show};
use relto_testing::program::zstd;

const LINKS: [usize; 3] = [1, 2, 4];
/// 1 Gbit/s.
const BYTES_PER_SECOND: u64 = 125_000_000;

pub(crate) fn crowd(runs: usize) {
    let link = Multiplied::new(&zstd());
    let object = link.objects[0].1.clone();
    let made = TimedResult {
        takes: Duration::from_millis(300),
        digest: DigestFunction::Sha256.digest(&object),
        object: Bytes::from(object),
    };
    let profile = Profile {
        round_trip: Duration::from_millis(20),
        bytes_per_second: Some(BYTES_PER_SECOND),
        ..Profile::cheap()
    };
    let farm = Farm::timed(profile, TimedWorkers::new(200, move |_| made.clone()));
    let home = Home::new();
    together(1, &link, &home, &farm);
    let warm = farm.claimed();
    show(
        "zstd, at once on one machine; 200 slots, 20 ms, 1 Gbit/s\n\
         links      cold farm: wall, s   sent, MiB      warm farm: wall, s   sent, MiB\n",
    );
    for links in LINKS {
        let (mut cold_runs, mut warm_runs) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            reset(&farm, HashSet::new());
            cold_runs.push(together(links, &link, &home, &farm));
            reset(&farm, warm.clone());
            warm_runs.push(together(links, &link, &home, &farm));
        }
        let walls = |runs: &[(f64, f64)]| median(runs.iter().map(|(wall, _)| *wall));
        let bytes = |runs: &[(f64, f64)]| median(runs.iter().map(|(_, sent)| *sent));
        show(&format!(
            "{links:5}  {:21.2}  {:10.1}  {:21.2}  {:10.1}\n",
            walls(&cold_runs),
            bytes(&cold_runs),
            walls(&warm_runs),
            bytes(&warm_runs),
        ));
    }
}

/// Seconds until the last of them is done, and MiB that were sent.
fn together(links: usize, link: &Multiplied, home: &Home, farm: &Farm) -> (f64, f64) {
    let options = [
        format!("--remote-executor={}", farm.address()),
        "--strategy=remote".to_owned(),
        "--disk-cache=off".to_owned(),
    ];
    let files: Vec<_> = (0..links).map(|number| link.number(number)).collect();
    let began = Instant::now();
    let children: Vec<_> = files
        .iter()
        .map(|file| {
            let mut command = link.relto(home, file, &options);
            command.stderr(Stdio::null()).spawn().expect("started")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    let wall = began.elapsed().as_secs_f64();
    let sent = u32::try_from(farm.passed().0 >> 10).expect("less than 4 TiB");
    (wall, f64::from(sent) / 1024.0)
}
