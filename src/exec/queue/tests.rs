mod duplicates;
mod farms;
mod memory;
mod scripted;
mod spare;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use super::*;
use crate::exec::Planned;
use crate::exec::PlannedForm;
use crate::exec::remote::{FallbackCause, RemoteFailure};
use crate::reapi::Service;

fn job(id: usize, cost: u64) -> Arc<Planned> {
    Arc::new(Planned {
        id,
        module: String::new(),
        index: String::new(),
        outputs: Vec::new(),
        command_line: Vec::new(),
        form: PlannedForm::InPlace(crate::exec::InPlaceReason::Link(String::new())),
        names_intermediate_files: false,
        kind: crate::action::kind::OutputKind::Other,
        cost,
        memory: 0,
    })
}

fn queue(slots: usize) -> Arc<Queue> {
    Arc::new(Queue::new(
        NonZeroUsize::new(slots).expect("at least one slot"),
    ))
}

/// The next job, as soon as there is one.
async fn next(queue: &Arc<Queue>, executor: Executor) -> Option<Assignment> {
    while queue.wait(executor).await {
        if let Ok(assignment) = queue.try_take(executor) {
            return Some(assignment);
        }
    }
    None
}

/// All jobs that can be taken now.
fn take_all(queue: &Arc<Queue>, executor: Executor) -> Vec<Assignment> {
    std::iter::from_fn(|| queue.try_take(executor).ok()).collect()
}

fn failure() -> RemoteFailure {
    RemoteFailure {
        cause: FallbackCause::Away,
        service: Service::Execution,
        reason: String::new(),
        hints: Vec::new(),
        store: false,
        out_of_memory: false,
    }
}

/// One thread, whose clock goes on when all tasks wait.
fn paused_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

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

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.next()).ln()
    }
}

fn ids(assignments: &[Assignment]) -> Vec<usize> {
    assignments
        .iter()
        .map(|assignment| assignment.job().id)
        .collect()
}

#[tokio::test]
async fn jobs_for_one_executor_start_longest_first_and_equals_in_link_order() {
    for (executor, executors) in [
        (Executor::Local, ExecutorSet::LOCAL),
        (Executor::Remote, ExecutorSet::REMOTE),
    ] {
        let queue = queue(1);
        for (id, cost) in [(0, 5), (1, 9), (2, 5), (3, 1)] {
            queue.push(job(id, cost), executors);
        }
        assert_eq!(ids(&take_all(&queue, executor)), [1, 0, 2, 3]);
    }
}

#[tokio::test]
async fn every_waiting_slot_is_woken_and_all_end_with_the_last_job() {
    let queue = queue(4);
    let slots: Vec<_> = (0..4)
        .map(|_| {
            let queue = Arc::clone(&queue);
            crate::task::spawn(async move {
                let mut taken = 0;
                while let Some(assignment) = next(&queue, Executor::Local).await {
                    taken += 1;
                    tokio::task::yield_now().await;
                    assert!(assignment.claim().is_ok());
                }
                taken
            })
        })
        .collect();
    tokio::task::yield_now().await;
    for id in 0..40 {
        queue.push(job(id, 1), ExecutorSet::LOCAL);
    }
    queue.close();
    let mut taken = 0;
    for slot in slots {
        taken += slot.await;
    }
    assert_eq!(taken, 40);
}

#[tokio::test]
async fn the_farm_takes_the_longest_jobs_and_this_machine_the_shortest() {
    let queue = queue(1);
    for id in 0..20 {
        queue.push(job(id, 10 + id as u64), ExecutorSet::BOTH);
    }
    let far = queue.try_take(Executor::Remote).expect("a job");
    let near = queue.try_take(Executor::Local).expect("a job");
    assert_eq!((far.job().id, near.job().id), (19, 0));
}

#[tokio::test]
async fn a_job_that_decides_when_this_machine_finishes_starts_locally_at_once() {
    let queue = queue(2);
    for (id, cost) in [(0, 10), (1, 90), (2, 10), (3, 10)] {
        queue.push(job(id, cost), ExecutorSet::BOTH);
    }
    let near = queue.try_take(Executor::Local).expect("a job");
    assert_eq!(near.job().id, 1);
}

#[tokio::test]
async fn only_one_of_two_claims_succeeds_and_the_other_executor_is_superseded() {
    let queue = queue(1);
    queue.push(job(0, 5), ExecutorSet::BOTH);
    queue.close();
    let far = queue.try_take(Executor::Remote).expect("a job");
    let near = queue.try_take(Executor::Local).expect("a copy");
    assert!(near.claim().is_ok());
    far.superseded().await;
    assert!(far.claim().is_err());
    assert!(next(&queue, Executor::Remote).await.is_none());
    assert!(next(&queue, Executor::Local).await.is_none());
}

#[tokio::test]
async fn a_job_falls_back_to_this_machine_even_if_only_the_farm_was_to_run_it() {
    let queue = queue(1);
    queue.push(job(0, 5), ExecutorSet::REMOTE);
    assert!(queue.try_take(Executor::Local).is_err());
    let far = queue.try_take(Executor::Remote).expect("a job");
    far.fall_back(failure());
    assert!(queue.try_take(Executor::Remote).is_err());
    let near = queue.try_take(Executor::Local).expect("a job");
    assert!(!near.decline(), "no executor is left");
}

#[tokio::test]
async fn a_job_that_this_machine_declines_waits_for_the_farm_alone() {
    let queue = queue(1);
    queue.push(job(0, 5), ExecutorSet::BOTH);
    assert!(queue.try_take(Executor::Local).expect("a job").decline());
    assert!(queue.try_take(Executor::Local).is_err());
    let far = queue.try_take(Executor::Remote).expect("a job");
    far.fall_back(failure());
    let near = queue.try_take(Executor::Local).expect("a job");
    let mut claim = near.claim().expect("nothing else runs it");
    let told = claim.take_remote_failure().expect("the farm has tried");
    assert_eq!(told.cause, FallbackCause::Away);
}

#[tokio::test]
async fn without_a_farm_all_jobs_run_on_this_machine() {
    let queue = queue(1);
    queue.push(job(0, 5), ExecutorSet::REMOTE);
    queue.push(job(1, 6), ExecutorSet::BOTH);
    queue.lose_remote();
    queue.push(job(2, 7), ExecutorSet::REMOTE);
    assert_eq!(ids(&take_all(&queue, Executor::Local)), [2, 1, 0]);
    assert!(queue.try_take(Executor::Remote).is_err());
}

#[tokio::test]
async fn a_stopped_queue_assigns_no_more_jobs() {
    let queue = queue(1);
    queue.push(job(0, 5), ExecutorSet::BOTH);
    queue.stop();
    assert!(next(&queue, Executor::Local).await.is_none());
    assert!(!queue.wait(Executor::Local).await);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_on_time_is_not_copied_until_it_is_late() {
    let queue = queue(1);
    for id in 0..12 {
        queue.push(job(id, 1_000_000), ExecutorSet::BOTH);
    }
    let far = take_all(&queue, Executor::Remote);
    far.iter().for_each(Assignment::executing);
    sleep(Duration::from_millis(500)).await;
    let mut far = far.into_iter();
    let done = far.by_ref().take(11).map(Assignment::claim);
    assert!(
        done.into_iter().all(|claim| claim.is_ok()),
        "half a second each"
    );
    let running = far.next().expect("the last job");
    let again = queue.try_take(Executor::Local).expect_err("it is as quick");
    let late = Instant::now() + Duration::from_millis(125);
    assert_eq!(again, NotTaken::AskAt(late));
    let copy = next(&queue, Executor::Local).await.expect("a copy of it");
    assert_eq!((Instant::now(), copy.job().id), (late, running.job().id));
}

#[tokio::test(start_paused = true)]
async fn the_farm_gets_a_copy_of_what_this_machine_has_begun_when_nothing_else_waits() {
    let queue = queue(1);
    queue.push(job(0, 5), ExecutorSet::BOTH);
    let near = queue.try_take(Executor::Local).expect("a job");
    let far = queue.try_take(Executor::Remote).expect("a copy");
    assert!(far.claim().is_ok() && near.is_superseded());
}
