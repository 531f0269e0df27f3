//! A farm and a machine that exist only as numbers, under tokio's paused clock. Returns how long a
//! link takes with each strategy, the same in every run.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use super::{failure, job, paused_runtime, queue};
use crate::events::Origin;
use crate::exec::Compiled;
use crate::exec::queue::{
    Assignment, AttemptOutcome, Claim, Executor, ExecutorSet, Queue, Runner, run_slot,
};
use crate::exec::remote::execution_limit::ExecutionLimit;
use crate::reapi::limits::jobs_in_flight;
use crate::task::{Task, spawn};

/// One job: what the queue believes, what is true on this machine, what a cold farm must be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) estimate: Duration,
    pub(super) truth: Duration,
    pub(super) bytes: u64,
}

/// How a farm ends in the middle of a link.
#[derive(Debug, Clone, Copy)]
pub(super) enum Death {
    /// Calls fail after so long.
    Fails(Duration),
    /// Calls never end.
    Silent,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) jobs: Vec<Work>,
    /// Compilers at once on this machine.
    pub(super) here: usize,
    /// Workers of the farm.
    pub(super) there: usize,
    /// Executions that relto has under way there.
    pub(super) under_way: usize,
    pub(super) round_trip: Duration,
    /// What a job takes there, measured by what it takes here.
    pub(super) slowness: f64,
    /// Bytes a second; `None`: the farm has all inputs.
    pub(super) uplink: Option<u64>,
    /// Bytes that come before the first job: the toolchain.
    pub(super) toolchain: u64,
    /// The server reports when a worker begins.
    pub(super) tells_stages: bool,
    pub(super) death: Option<(Duration, Death)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    Local,
    Remote,
    Dynamic,
}

struct Farm {
    world: World,
    began: Instant,
    workers: Semaphore,
    executions: Arc<ExecutionLimit>,
    /// Held by the one who sends; whether the toolchain is there.
    uplink: Mutex<bool>,
}

impl Farm {
    async fn execute(&self, assignment: &Assignment) {
        let world = &self.world;
        let work = world.jobs[assignment.job().id];
        let kept = self.executions.try_acquire();
        sleep(world.round_trip).await;
        if let Some(speed) = world.uplink {
            let mut toolchain_is_there = self.uplink.lock().await;
            if !*toolchain_is_there {
                send(world.toolchain, speed).await;
                *toolchain_is_there = true;
            }
            send(work.bytes, speed).await;
        }
        let _place = match kept {
            Some(place) => place,
            None => {
                self.executions
                    .acquire(assignment.job().cost, assignment.job().id)
                    .await
            }
        };
        sleep(world.round_trip / 2).await;
        let _worker = self.workers.acquire().await.expect("never closed");
        if world.tells_stages {
            assignment.executing();
        }
        sleep(work.truth.mul_f64(world.slowness) + world.round_trip / 2).await;
    }

    /// Resolves when calls to a dead farm fail.
    async fn fails(&self) {
        match self.world.death {
            Some((when, Death::Fails(patience))) => {
                sleep_until(self.began + when).await;
                sleep(patience).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Resolves when the farm dies.
    async fn dies(&self) {
        match self.world.death {
            Some((when, _)) => sleep_until(self.began + when).await,
            None => std::future::pending().await,
        }
    }

    /// What is under way when the farm dies never ends.
    async fn until_death(&self, work: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = self.dies() => std::future::pending().await,
            () = work => {}
        }
    }
}

async fn send(bytes: u64, speed: u64) {
    sleep(Duration::from_micros(bytes * 1_000_000 / speed)).await;
}

struct RemoteRunner(Arc<Farm>);
struct LocalRunner(Arc<Farm>);

pub(super) fn compiled(origin: Origin) -> Compiled {
    Compiled {
        origin,
        outputs: Vec::new(),
        stderr: Bytes::new(),
        stdout: Bytes::new(),
        storable: false,
        elapsed: Duration::ZERO,
        peak_memory: None,
        made_by: None,
        by_slice_key: false,
    }
}

impl Runner for RemoteRunner {
    type Failure = ();
    type Permit = ();

    async fn admit(&self, queue: &Arc<Queue>) -> Option<((), Assignment)> {
        Some(((), queue.try_take(Executor::Remote).ok()?))
    }

    async fn run(&self, assignment: &Assignment, (): &()) -> Result<AttemptOutcome<()>, ()> {
        tokio::select! {
            () = self.0.until_death(self.0.execute(assignment)) => {
                Ok(AttemptOutcome::Compiled(compiled(Origin::Remote)))
            }
            () = self.0.fails() => Ok(AttemptOutcome::FellBack(failure())),
        }
    }

    async fn run_in_place(&self, _: &Claim, (): &()) -> Result<Compiled, ()> {
        Err(())
    }

    async fn deliver(&self, claim: Claim, _: Compiled) -> Result<(), ()> {
        let _ = claim.complete(false);
        Ok(())
    }

    fn superseded(&self, _: &Assignment) {}
}

impl Runner for LocalRunner {
    type Failure = ();
    type Permit = ();

    async fn admit(&self, queue: &Arc<Queue>) -> Option<((), Assignment)> {
        Some(((), queue.try_take(Executor::Local).ok()?))
    }

    async fn run(&self, assignment: &Assignment, (): &()) -> Result<AttemptOutcome<()>, ()> {
        sleep(self.0.world.jobs[assignment.job().id].truth).await;
        Ok(AttemptOutcome::Compiled(compiled(Origin::Local)))
    }

    async fn run_in_place(&self, _: &Claim, (): &()) -> Result<Compiled, ()> {
        Err(())
    }

    async fn deliver(&self, claim: Claim, _: Compiled) -> Result<(), ()> {
        let _ = claim.complete(false);
        Ok(())
    }

    fn superseded(&self, _: &Assignment) {}
}

impl World {
    /// How long the link takes; `None` if it never ends.
    pub(super) fn link(&self, strategy: Strategy) -> Option<Duration> {
        let longest = Duration::from_hours(10);
        paused_runtime()
            .block_on(async { tokio::time::timeout(longest, self.run(strategy)).await.ok() })
    }

    async fn run(&self, strategy: Strategy) -> Duration {
        let began = Instant::now();
        let under_way = NonZeroUsize::new(self.under_way).expect("some");
        let farm = Arc::new(Farm {
            world: self.clone(),
            began,
            workers: Semaphore::new(self.there),
            executions: ExecutionLimit::new(under_way),
            uplink: Mutex::new(false),
        });
        let queue = queue(self.here);
        let mut slots = Vec::new();
        for _ in 0..self.here {
            slots.push(slot(
                &queue,
                Executor::Local,
                LocalRunner(Arc::clone(&farm)),
            ));
        }
        for _ in 0..jobs_in_flight(under_way) {
            slots.push(slot(
                &queue,
                Executor::Remote,
                RemoteRunner(Arc::clone(&farm)),
            ));
        }
        let executors = match strategy {
            Strategy::Local => ExecutorSet::LOCAL,
            Strategy::Remote => ExecutorSet::REMOTE,
            Strategy::Dynamic => ExecutorSet::BOTH,
        };
        for (id, work) in self.jobs.iter().enumerate() {
            let cost = u64::try_from(work.estimate.as_micros()).expect("a small number");
            queue.push(job(id, cost), executors);
        }
        queue.close();
        for slot in slots {
            slot.await.expect("no job fails");
        }
        began.elapsed()
    }
}

fn slot<R>(queue: &Arc<Queue>, executor: Executor, runner: R) -> Task<Result<(), ()>>
where
    R: Runner<Failure = ()> + Send + 'static,
{
    let queue = Arc::clone(queue);
    spawn(async move { run_slot(&queue, executor, &runner).await })
}
