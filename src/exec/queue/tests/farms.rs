//! The promise of `strategy=dynamic`: never slower than the better of the farm alone and this machine alone, by more
//! than a twentieth, whatever the farm is like and however good the estimates are.

use std::fmt::Write as _;
use std::time::Duration;

use super::scripted::{Death, Strategy, Work, World};

const MIB: u64 = 1 << 20;

/// Numbers that look random and are the same in every run (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    /// From 0 up to 1.
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).expect("32 bits")) / 4_294_967_296.0
    }
}

#[derive(Debug, Clone, Copy)]
enum Estimates {
    /// As an earlier link measured them.
    Good,
    /// Off by up to 40 percent.
    Rough,
    /// A third of the truth, and off by up to 40 percent: a first link on a slow machine.
    Low,
    /// Three times the truth, and off by up to 40 percent.
    High,
}

const ALL: [Estimates; 4] = [
    Estimates::Good,
    Estimates::Rough,
    Estimates::Low,
    Estimates::High,
];

/// Durations as programs have them: many short, few long, 2 seconds on average.
fn jobs(count: usize, estimates: Estimates, seed: u64) -> Vec<Work> {
    let mut numbers = Numbers(seed);
    (0..count)
        .map(|_| {
            let truth = Duration::from_secs_f64(0.1 - 1.9 * (1.0 - numbers.next()).ln());
            work(truth, estimates, &mut numbers)
        })
        .collect()
}

fn work(truth: Duration, estimates: Estimates, numbers: &mut Numbers) -> Work {
    let off = 0.6 + 0.8 * numbers.next();
    let factor = match estimates {
        Estimates::Good => 1.0,
        Estimates::Rough => off,
        Estimates::Low => off / 3.0,
        Estimates::High => off * 3.0,
    };
    Work {
        estimate: truth.mul_f64(factor),
        truth,
        bytes: MIB,
    }
}

fn fast_farm(jobs: Vec<Work>) -> World {
    World {
        jobs,
        here: 8,
        there: 200,
        under_way: 200,
        round_trip: Duration::from_millis(20),
        slowness: 1.0,
        uplink: None,
        toolchain: 0,
        tells_stages: true,
        death: None,
    }
}

/// What every one of the scenarios must keep to, with all kinds of estimates, on small and on large machines.
fn keeps_its_promise(scenario: impl Fn(Estimates) -> World) {
    let mut broken = String::new();
    for estimates in ALL {
        for here in [1, 2, 8, 32] {
            for tells_stages in [true, false] {
                let world = World {
                    here,
                    tells_stages,
                    ..scenario(estimates)
                };
                let [local, remote, dynamic] =
                    [Strategy::Local, Strategy::Remote, Strategy::Dynamic].map(|s| world.link(s));
                let local = local.expect("this machine never stops");
                let better = remote.map_or(local, |remote| remote.min(local));
                let took = dynamic.expect("this machine never stops");
                let ratio = took.div_duration_f64(better);
                let line = format!(
                    "{estimates:?} estimates, {here} slots here, stages {tells_stages}: {local:.2?} here, {remote:.2?} there, {took:.2?} together: {ratio:.3}"
                );
                if ratio > 1.05 {
                    writeln!(broken, "{line}").expect("a string");
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

#[test]
fn a_fast_farm_is_used_to_the_full() {
    keeps_its_promise(|estimates| fast_farm(jobs(1500, estimates, 1)));
}

#[test]
fn a_farm_with_room_for_all_jobs_at_once_is_used_to_the_full() {
    keeps_its_promise(|estimates| fast_farm(jobs(150, estimates, 2)));
}

#[test]
fn a_slow_farm_does_not_hold_this_machine_up() {
    keeps_its_promise(|estimates| World {
        slowness: 10.0,
        there: 20,
        round_trip: Duration::from_millis(200),
        ..fast_farm(jobs(300, estimates, 3))
    });
}

#[test]
fn a_farm_that_fails_half_way_costs_nothing_over_the_better_one() {
    keeps_its_promise(|estimates| World {
        there: 20,
        death: Some((
            Duration::from_secs(15),
            Death::Fails(Duration::from_secs(20)),
        )),
        ..fast_farm(jobs(300, estimates, 4))
    });
}

#[test]
fn a_farm_that_falls_silent_half_way_costs_nothing_over_this_machine_alone() {
    keeps_its_promise(|estimates| World {
        there: 20,
        death: Some((Duration::from_secs(15), Death::Silent)),
        ..fast_farm(jobs(300, estimates, 5))
    });
}

#[test]
fn a_farm_that_never_says_a_word_costs_nothing_over_this_machine_alone() {
    keeps_its_promise(|estimates| World {
        death: Some((Duration::ZERO, Death::Silent)),
        ..fast_farm(jobs(300, estimates, 6))
    });
}

#[test]
fn one_giant_module_is_begun_in_time_at_both_places() {
    let giant = |estimates| {
        let mut jobs = jobs(150, estimates, 7);
        let truth = Duration::from_mins(1);
        jobs.insert(70, work(truth, estimates, &mut Numbers(7)));
        jobs
    };
    keeps_its_promise(|estimates| fast_farm(giant(estimates)));
    keeps_its_promise(|estimates| World {
        slowness: 5.0,
        ..fast_farm(giant(estimates))
    });
    keeps_its_promise(|estimates| World {
        death: Some((Duration::from_secs(20), Death::Silent)),
        ..fast_farm(giant(estimates))
    });
}

#[test]
fn a_farm_of_one_worker_is_a_help_and_no_hindrance() {
    keeps_its_promise(|estimates| World {
        there: 1,
        ..fast_farm(jobs(150, estimates, 8))
    });
}

#[test]
fn a_cold_farm_behind_a_thin_line_leaves_the_work_to_this_machine() {
    let world = |estimates| World {
        uplink: Some(MIB),
        toolchain: 270 * MIB,
        ..fast_farm(jobs(150, estimates, 9))
    };
    keeps_its_promise(world);
    let world = world(Estimates::Good);
    let [alone, there] = [Strategy::Local, Strategy::Remote].map(|strategy| world.link(strategy));
    assert!(alone < there, "{alone:?} here, {there:?} there");
}

#[test]
fn this_machine_may_be_much_slower_than_the_workers() {
    keeps_its_promise(|estimates| World {
        slowness: 0.1,
        ..fast_farm(jobs(300, estimates, 10))
    });
}

#[test]
fn a_few_jobs_are_done_as_soon_as_anywhere() {
    for count in [1, 2, 3, 5, 9] {
        keeps_its_promise(|estimates| fast_farm(jobs(count, estimates, 11)));
        keeps_its_promise(|estimates| World {
            uplink: Some(10 * MIB),
            toolchain: 270 * MIB,
            ..fast_farm(jobs(count, estimates, 12))
        });
    }
}
