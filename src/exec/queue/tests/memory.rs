//! What memory-aware slots promise: never more memory than there is, every job runs, and a link
//! takes at most a tenth longer than the larger of three lower bounds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::super::*;
use super::scripted::compiled;
use super::{Numbers, paused_runtime};
use crate::events::Origin;
use crate::exec::{Compiled, Planned};
use crate::process::Room;
use crate::task::spawn;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[derive(Debug, Clone, Copy)]
struct SimulatedWork {
    time: Duration,
    memory: u64,
}

/// A machine that exists only as numbers.
#[derive(Debug)]
struct SimulatedMachine {
    slots: usize,
    memory: u64,
    jobs: Vec<SimulatedWork>,
    state: Mutex<SimulatedState>,
    released: Notify,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct SimulatedState {
    used: u64,
    running: usize,
    /// The most that was used while more than one compiler ran.
    shared_peak: u64,
    order: Vec<usize>,
}

struct HeldMemory(Arc<SimulatedMachine>, u64);

impl Drop for HeldMemory {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().expect("no panic");
        state.used -= self.1;
        state.running -= 1;
        self.0.released.notify_one();
    }
}

struct SimulatedRunner(Arc<SimulatedMachine>);

impl Runner for SimulatedRunner {
    type Failure = ();
    type Permit = HeldMemory;

    async fn admit(&self, queue: &Arc<Queue>) -> Option<(HeldMemory, Assignment)> {
        let machine = &self.0;
        let _turn = machine.turn.lock().await;
        loop {
            let taken = {
                let mut state = machine.state.lock().expect("no panic");
                let room = Room {
                    bytes: machine.memory.saturating_sub(state.used),
                    empty: state.running == 0,
                };
                let taken = queue.try_take_within(Executor::Local, Some(room));
                if let Ok(assignment) = &taken {
                    state.used += assignment.job().memory;
                    state.running += 1;
                    if state.running > 1 {
                        state.shared_peak = state.shared_peak.max(state.used);
                    }
                    state.order.push(assignment.job().id);
                }
                taken
            };
            match taken {
                Ok(assignment) => {
                    let held = HeldMemory(Arc::clone(machine), assignment.job().memory);
                    return Some((held, assignment));
                }
                Err(NotTaken::NoRoom(_)) => machine.released.notified().await,
                Err(_) => return None,
            }
        }
    }

    async fn run(&self, assignment: &Assignment, _: &HeldMemory) -> Result<AttemptOutcome<()>, ()> {
        sleep(self.0.jobs[assignment.job().id].time).await;
        Ok(AttemptOutcome::Compiled(compiled(Origin::Local)))
    }

    async fn run_in_place(&self, _: &Claim, _: &HeldMemory) -> Result<Compiled, ()> {
        Err(())
    }

    async fn deliver(&self, claim: Claim, _: Compiled) -> Result<(), ()> {
        let _ = claim.complete(false);
        Ok(())
    }

    fn superseded(&self, _: &Assignment) {}
}

/// How a link went.
struct SimulatedLink {
    took: Duration,
    shared_peak: u64,
    order: Vec<usize>,
}

/// Runs a link under a paused clock.
fn link(slots: usize, memory: u64, jobs: &[SimulatedWork]) -> SimulatedLink {
    let machine = Arc::new(SimulatedMachine {
        slots,
        memory,
        jobs: jobs.to_vec(),
        state: Mutex::default(),
        released: Notify::new(),
        turn: tokio::sync::Mutex::default(),
    });
    let took = paused_runtime().block_on(run(&machine));
    let state = machine.state.lock().expect("no panic");
    SimulatedLink {
        took,
        shared_peak: state.shared_peak,
        order: state.order.clone(),
    }
}

async fn run(machine: &Arc<SimulatedMachine>) -> Duration {
    let began = Instant::now();
    let queue = super::queue(machine.slots);
    for (id, work) in machine.jobs.iter().enumerate() {
        let cost = u64::try_from(work.time.as_micros()).expect("a small number");
        let mut job = Arc::into_inner(super::job(id, cost)).expect("nobody else has it");
        job.memory = work.memory;
        queue.push(Arc::new(job), ExecutorSet::LOCAL);
    }
    queue.close();
    let slots = (0..machine.slots).map(|_| {
        let (queue, runner) = (Arc::clone(&queue), SimulatedRunner(Arc::clone(machine)));
        spawn(async move { run_slot(&queue, Executor::Local, &runner).await })
    });
    for slot in slots.collect::<Vec<_>>() {
        slot.await.expect("no job fails");
    }
    began.elapsed()
}

/// How the memory of a job, in GiB, goes with the seconds that it takes.
type MemoryOfJob = fn(&mut Numbers, f64) -> f64;

const KINDS: [(&str, MemoryOfJob); 5] = [
    ("memory as the time", |numbers, time| {
        0.1 + 0.25 * time * numbers.between(0.6, 1.4)
    }),
    ("any memory", |numbers, _| numbers.between(0.1, 3.0)),
    ("many small, few large", |numbers, _| {
        0.1 + numbers.exponential(1.0)
    }),
    ("one in five is large", |numbers, _| {
        if numbers.next() < 0.8 {
            numbers.between(0.1, 0.3)
        } else {
            numbers.between(2.0, 4.0)
        }
    }),
    ("short ones are large", |numbers, time| {
        (4.0 - time).max(0.1) * numbers.between(0.6, 1.4)
    }),
];

/// Durations as programs have them; no job needs more than a quarter of the machine.
fn jobs(count: usize, memory: MemoryOfJob, machine: u64, seed: u64) -> Vec<SimulatedWork> {
    let mut numbers = Numbers(seed);
    for _ in 0..9 {
        numbers.next();
    }
    (0..count)
        .map(|_| {
            let time = 0.1 + numbers.exponential(1.9);
            let mib = memory(&mut numbers, time) * 1024.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a few GiB"
            )]
            let bytes = mib as u64 * MIB;
            SimulatedWork {
                time: Duration::from_secs_f64(time),
                memory: bytes.min(machine / 4),
            }
        })
        .collect()
}

/// No order is quicker than the longest of these: the longest job, all jobs over the slots, and
/// each job's memory for its time over the memory of the machine.
fn bounds(slots: usize, memory: u64, jobs: &[SimulatedWork]) -> [Duration; 3] {
    let longest = jobs.iter().map(|job| job.time).max().unwrap_or_default();
    let sum: Duration = jobs.iter().map(|job| job.time).sum();
    let areas = jobs
        .iter()
        .map(|job| u128::from(job.memory) * job.time.as_micros());
    let micros = areas.sum::<u128>() / u128::from(memory);
    let slots = u32::try_from(slots).expect("few");
    let area = Duration::from_micros(u64::try_from(micros).expect("not for ages"));
    [longest, sum / slots, area]
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures")]
fn random_links_never_overcommit_and_come_near_to_the_lower_bounds() {
    println!("jobs                        slots  GiB  longest / slots / memory  took  ratio");
    let mut worst = 0.0_f64;
    for (kind, memory) in KINDS {
        for (slots, gib) in [(4, 8), (8, 8), (16, 16), (8, 32), (32, 32)] {
            // With fewer jobs for each slot no order comes near the bounds.
            let few = 300.max(12 * slots);
            for (seed, count) in [(1, few), (2, few), (3, 1000), (4, 1000)] {
                let bytes = gib * GIB;
                let jobs = jobs(count, memory, bytes, seed);
                let went = link(slots, bytes, &jobs);
                let bounds = bounds(slots, bytes, &jobs);
                let bound = *bounds.iter().max().expect("three");
                let ratio = went.took.div_duration_f64(bound);
                let [longest, by_slots, by_memory] = bounds.map(|it| it.as_secs_f64());
                println!(
                    "{kind:21} {count:5} {slots:6} {gib:4} {longest:6.1} {by_slots:7.1} {by_memory:7.1} {:7.1}  {ratio:.3}",
                    went.took.as_secs_f64()
                );
                worst = worst.max(ratio);
                assert!(went.shared_peak <= bytes, "{kind}: {}", went.shared_peak);
                assert_eq!(went.order.len(), count, "{kind}: every job runs once");
            }
        }
    }
    assert!(worst <= 1.1, "{worst}");
}

fn work(seconds: u64, gib: u64) -> SimulatedWork {
    SimulatedWork {
        time: Duration::from_secs(seconds),
        memory: gib * GIB,
    }
}

#[test]
fn a_job_larger_than_the_machine_runs_alone_and_the_others_beside_each_other() {
    let mut jobs = vec![work(2, 1); 16];
    jobs.push(work(3, 100));
    let went = link(8, 8 * GIB, &jobs);
    assert_eq!(went.took, Duration::from_secs(2 + 2 + 3));
    assert!(went.shared_peak <= 8 * GIB);
}

#[test]
fn smaller_jobs_go_ahead_of_one_that_does_not_fit_but_do_not_delay_it() {
    // The longest two cannot run together. What fits beside the first must not keep the second.
    let mut jobs = vec![work(10, 6), work(9, 6)];
    jobs.extend([work(8, 2), work(1, 2)]);
    let went = link(4, 8 * GIB, &jobs);
    assert_eq!(went.took, Duration::from_secs(19));
    assert!(went.shared_peak <= 8 * GIB);
}

#[test]
fn one_job_at_a_time_runs_on_a_machine_without_memory() {
    let went = link(4, 0, &[work(1, 1), work(3, 1), work(2, 1)]);
    assert_eq!(went.took, Duration::from_secs(6));
    assert_eq!((went.order, went.shared_peak), (vec![1, 2, 0], 0));
}

#[tokio::test]
async fn of_jobs_that_the_farm_may_have_too_this_machine_takes_what_fits() {
    let queue = super::queue(2);
    for id in 0..20 {
        let mut job: Planned = Arc::into_inner(super::job(id, 10 + id as u64)).expect("ours");
        job.memory = if id < 3 { 4 * GIB } else { GIB };
        queue.push(Arc::new(job), ExecutorSet::BOTH);
    }
    let take = |gib: u64, empty| {
        let bytes = gib * GIB;
        let room = Some(Room { bytes, empty });
        let taken = queue.try_take_within(Executor::Local, room);
        taken.map(|assignment| assignment.job().id)
    };
    assert_eq!(take(2, false), Ok(3), "the shortest of one GiB");
    assert_eq!(take(0, false), Err(NotTaken::NoRoom(4 * GIB)));
    assert_eq!(take(0, true), Ok(0));
}
