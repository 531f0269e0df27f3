//! Of jobs with the same action one runs.

use bytes::Bytes;

use super::*;
use crate::action::canonical::CanonicalJob;
use crate::action::toolchain_tree::ToolchainTree;
use crate::action::{Action, ActionTemplate};
use crate::digest::DigestFunction;
use crate::exec::{Hermetic, PlannedForm};
use crate::thinlto::Form;

/// Jobs of one `shard` are equal.
fn hermetic(id: usize, cost: u64, shard: &'static str) -> Arc<Planned> {
    let function = DigestFunction::Sha256;
    let template = ActionTemplate {
        function,
        old_outputs: false,
        platform: Vec::new(),
        salt: String::new(),
        environment: Vec::new(),
    };
    let tree = ToolchainTree::new(function, Vec::new(), Vec::new(), Vec::new());
    let canonical = CanonicalJob {
        arguments: Vec::new(),
        shard: Bytes::from_static(shard.as_bytes()),
        form: Form::Canonical,
        files: Vec::new(),
        outputs: Vec::new(),
        kind: crate::action::kind::OutputKind::Other,
        processor: crate::action::kind::Processor::Other,
    };
    let hermetic = Hermetic {
        action: Action::new(&template, &tree, &canonical, &[]),
        job: canonical,
        facts: Vec::new(),
        worker_key: None,
        slice: None,
    };
    let mut planned = Arc::into_inner(job(id, cost)).expect("not shared yet");
    planned.form = PlannedForm::Hermetic(Box::new(hermetic));
    Arc::new(planned)
}

/// Three equal jobs and another one, all that the link has.
fn four() -> Arc<Queue> {
    let queue = queue(1);
    for (id, shard) in [(0, "same"), (1, "same"), (2, "other"), (3, "same")] {
        queue.push(hermetic(id, 10, shard), ExecutorSet::REMOTE);
    }
    queue.close();
    queue
}

fn claims<const N: usize>(assignments: Vec<Assignment>) -> [Claim; N] {
    let claims = assignments.into_iter().map(|assignment| {
        assignment
            .claim()
            .expect("only one executor runs these jobs")
    });
    let claims: Vec<_> = claims.collect();
    claims.try_into().expect("as many as expected")
}

fn numbers(jobs: &[Arc<Planned>]) -> Vec<usize> {
    jobs.iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn the_first_of_equal_jobs_runs_and_the_others_get_its_result() {
    let queue = four();
    let assignments = take_all(&queue, Executor::Remote);
    assert_eq!(ids(&assignments), [0, 2]);
    let [first, other] = claims(assignments);
    assert_eq!(numbers(&other.complete(true)), [0; 0]);
    assert!(!queue.over.is_cancelled(), "two jobs have no result");
    assert_eq!(numbers(&first.complete(true)), [1, 3]);
    assert!(next(&queue, Executor::Remote).await.is_none());
}

#[tokio::test]
async fn equal_jobs_run_themselves_after_a_result_that_does_not_fit_them() {
    let queue = four();
    for claim in claims::<2>(take_all(&queue, Executor::Remote)) {
        assert!(claim.complete(false).is_empty());
    }
    let again = take_all(&queue, Executor::Remote);
    assert_eq!(ids(&again), [1, 3], "neither waits for the other");
    for claim in claims::<2>(again) {
        assert!(claim.complete(true).is_empty());
    }
    assert!(next(&queue, Executor::Remote).await.is_none());
}

#[tokio::test]
async fn equal_jobs_wait_while_the_first_falls_back() {
    let queue = four();
    for far in take_all(&queue, Executor::Remote) {
        far.fall_back(failure());
    }
    let near = take_all(&queue, Executor::Local);
    assert_eq!(ids(&near), [0, 2]);
    let [first, _] = claims(near);
    assert_eq!(numbers(&first.complete(true)), [1, 3]);
}

#[tokio::test]
async fn a_job_that_is_added_after_its_equal_has_finished_runs() {
    let queue = queue(1);
    queue.push(hermetic(0, 10, "same"), ExecutorSet::REMOTE);
    let first = queue.try_take(Executor::Remote).expect("a job");
    let claim = first.claim().expect("nothing else runs it");
    assert!(claim.complete(true).is_empty());
    queue.push(hermetic(1, 10, "same"), ExecutorSet::REMOTE);
    assert_eq!(ids(&take_all(&queue, Executor::Remote)), [1]);
}

#[tokio::test]
async fn jobs_that_wait_for_a_result_of_a_lost_farm_run_on_this_machine() {
    let queue = four();
    let far = take_all(&queue, Executor::Remote);
    queue.lose_remote();
    let [first, _] = claims(far);
    assert!(first.complete(false).is_empty());
    assert_eq!(ids(&take_all(&queue, Executor::Local)), [1, 3]);
}
