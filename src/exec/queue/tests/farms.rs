//! The promise of `strategy=dynamic`: never slower than the better of the farm alone and this
//! machine alone, by more than a twentieth, whatever the farm is like and however good the
//! estimates are.

use std::fmt::Write as _;
use std::time::Duration;

use super::Numbers;
use super::scripted::{Death, Strategy, Work, World};

const MIB: u64 = 1 << 20;

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
            let truth = Duration::from_secs_f64(0.1 + numbers.exponential(1.9));
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

type Scenario = fn(Estimates) -> World;

fn fast(estimates: Estimates) -> World {
    fast_farm(jobs(1500, estimates, 1))
}

fn roomy(estimates: Estimates) -> World {
    fast_farm(jobs(150, estimates, 2))
}

fn slow(estimates: Estimates) -> World {
    World {
        slowness: 10.0,
        there: 20,
        round_trip: Duration::from_millis(200),
        ..fast_farm(jobs(300, estimates, 3))
    }
}

fn small(estimates: Estimates) -> World {
    World {
        there: 8,
        ..fast_farm(jobs(300, estimates, 13))
    }
}

/// Dies when a third of the work is done there.
fn dying(how: Death, estimates: Estimates) -> World {
    World {
        there: 20,
        death: Some((Duration::from_secs(15), how)),
        ..fast_farm(jobs(300, estimates, 4))
    }
}

fn failing(estimates: Estimates) -> World {
    dying(Death::Fails(Duration::from_secs(20)), estimates)
}

fn falling_silent(estimates: Estimates) -> World {
    dying(Death::Silent, estimates)
}

fn silent(estimates: Estimates) -> World {
    World {
        death: Some((Duration::ZERO, Death::Silent)),
        ..fast_farm(jobs(300, estimates, 6))
    }
}

fn giant(estimates: Estimates) -> World {
    let mut jobs = jobs(150, estimates, 7);
    let truth = Duration::from_mins(1);
    jobs.insert(70, work(truth, estimates, &mut Numbers(7)));
    fast_farm(jobs)
}

fn giant_on_a_slow_farm(estimates: Estimates) -> World {
    World {
        slowness: 5.0,
        ..giant(estimates)
    }
}

fn giant_on_a_dying_farm(estimates: Estimates) -> World {
    World {
        death: Some((Duration::from_secs(20), Death::Silent)),
        ..giant(estimates)
    }
}

fn one_worker(estimates: Estimates) -> World {
    World {
        there: 1,
        ..fast_farm(jobs(150, estimates, 8))
    }
}

fn thin_line(estimates: Estimates) -> World {
    World {
        uplink: Some(MIB),
        toolchain: 270 * MIB,
        ..fast_farm(jobs(150, estimates, 9))
    }
}

fn quick_workers(estimates: Estimates) -> World {
    World {
        slowness: 0.1,
        ..fast_farm(jobs(300, estimates, 10))
    }
}

struct Times {
    local: Duration,
    /// `None`: for ever.
    remote: Option<Duration>,
    dynamic: Duration,
}

impl Times {
    fn of(world: &World) -> Self {
        let never = "this machine never stops";
        Self {
            local: world.link(Strategy::Local).expect(never),
            remote: world.link(Strategy::Remote),
            dynamic: world.link(Strategy::Dynamic).expect(never),
        }
    }

    /// Against the better of the two.
    fn ratio(&self) -> f64 {
        let better = self.remote.unwrap_or(self.local).min(self.local);
        self.dynamic.div_duration_f64(better)
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let remote = self.remote.map_or_else(|| "never".to_owned(), seconds);
        let (local, dynamic) = (seconds(self.local), seconds(self.dynamic));
        write!(
            f,
            "{local:>9} | {remote:>9} | {dynamic:>9} | {:.2}",
            self.ratio()
        )
    }
}

/// What every one of the scenarios must keep to, with all kinds of estimates, on small and on large
/// machines.
fn keeps_its_promise(scenario: impl Fn(Estimates) -> World) {
    let mut broken = String::new();
    for estimates in ALL {
        for (here, tells_stages) in [(1, true), (2, true), (8, true), (8, false), (32, true)] {
            let times = Times::of(&World {
                here,
                tells_stages,
                ..scenario(estimates)
            });
            if times.ratio() > 1.05 {
                writeln!(
                    broken,
                    "{estimates:?} estimates, {here} slots here, stages {tells_stages}: {times}"
                )
                .expect("a string");
            }
        }
    }
    assert!(
        broken.is_empty(),
        "\nhere, there, together, ratio\n{broken}"
    );
}

#[test]
fn a_fast_farm_is_used_to_the_full() {
    keeps_its_promise(fast);
}

#[test]
fn a_farm_with_slots_for_all_jobs_is_used_to_the_full() {
    keeps_its_promise(roomy);
}

#[test]
fn a_slow_farm_does_not_delay_this_machine() {
    keeps_its_promise(slow);
}

#[test]
fn a_farm_of_the_size_of_this_machine_does_not_hinder_it() {
    keeps_its_promise(small);
}

#[test]
fn a_farm_that_fails_half_way_costs_nothing_over_the_better_one() {
    keeps_its_promise(failing);
}

#[test]
fn a_farm_that_falls_silent_half_way_costs_nothing_over_this_machine_alone() {
    keeps_its_promise(falling_silent);
}

#[test]
fn a_farm_that_never_answers_costs_nothing_over_this_machine_alone() {
    keeps_its_promise(silent);
}

#[test]
fn one_giant_module_starts_in_time_on_both_executors() {
    keeps_its_promise(giant);
    keeps_its_promise(giant_on_a_slow_farm);
    keeps_its_promise(giant_on_a_dying_farm);
}

#[test]
fn a_farm_of_one_worker_helps() {
    keeps_its_promise(one_worker);
}

#[test]
fn a_cold_farm_behind_a_slow_network_leaves_the_work_to_this_machine() {
    keeps_its_promise(thin_line);
    let times = Times::of(&thin_line(Estimates::Good));
    assert!(times.remote > Some(times.local), "{times}");
}

#[test]
fn this_machine_may_be_much_slower_than_the_workers() {
    keeps_its_promise(quick_workers);
}

#[test]
fn a_few_jobs_finish_as_early_as_on_either_executor_alone() {
    for count in [1, 2, 3, 5, 9] {
        keeps_its_promise(|estimates| fast_farm(jobs(count, estimates, 11)));
        keeps_its_promise(|estimates| World {
            uplink: Some(10 * MIB),
            toolchain: 270 * MIB,
            ..fast_farm(jobs(count, estimates, 12))
        });
    }
}

#[test]
#[ignore = "prints the table of docs/performance.md"]
#[expect(clippy::print_stdout, reason = "a table for people")]
fn strategies_side_by_side() {
    let rows: [(&str, Scenario); 13] = [
        ("fast, 200 workers, 1500 jobs", fast),
        ("fast, more workers than jobs", roomy),
        ("8 workers, 300 jobs", small),
        ("1 worker", one_worker),
        ("20 workers, ten times slower", slow),
        ("200 workers, ten times quicker", quick_workers),
        ("fails half-way, after 20 s of silence", failing),
        ("falls silent half-way", falling_silent),
        ("never says a word", silent),
        ("one module of a minute, fast", giant),
        ("the same, five times slower", giant_on_a_slow_farm),
        ("the same, silent after 20 s", giant_on_a_dying_farm),
        ("cold, behind 1 MiB/s", thin_line),
    ];
    for (name, scenario) in rows {
        println!("| {name} | {} |", Times::of(&scenario(Estimates::Rough)));
    }
}
