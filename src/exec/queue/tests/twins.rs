//! Jobs of one action: one of them runs.
//!
//! Enters: jobs with equal and with different shards. Leaves: which of them get turns, and when.

use bytes::Bytes;

use super::*;
use crate::action::canonical::CanonicalJob;
use crate::action::toolchain_tree::ToolchainTree;
use crate::action::{Action, ActionTemplate};
use crate::digest::DigestFunction;
use crate::exec::Hermetic;
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
    };
    let hermetic = Hermetic {
        action: Action::new(&template, &tree, &canonical, &[]),
        job: canonical,
        identities: Vec::new(),
        worker_key: None,
    };
    let mut planned = Arc::into_inner(job(id, cost)).expect("nobody else has it");
    planned.form = PlannedForm::Hermetic(Box::new(hermetic));
    Arc::new(planned)
}

/// Three equal jobs and another one, all that the link has.
fn four() -> Arc<Queue> {
    let queue = queue(1);
    for (id, shard) in [(0, "same"), (1, "same"), (2, "other"), (3, "same")] {
        queue.push(hermetic(id, 10, shard), Places::FARM);
    }
    queue.close();
    queue
}

fn numbers(jobs: &[Arc<Planned>]) -> Vec<usize> {
    jobs.iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn of_equal_jobs_the_first_runs_and_the_others_have_its_result() {
    let queue = four();
    let turns = turns(&queue, Place::Farm);
    assert_eq!(ids(&turns), [0, 2]);
    assert!(turns.iter().all(Turn::claim));
    assert_eq!(numbers(&turns[1].settle(true)), [0; 0]);
    assert!(!queue.over.is_cancelled(), "two jobs have no result");
    assert_eq!(numbers(&turns[0].settle(true)), [1, 3]);
    assert!(next(&queue, Place::Farm).await.is_none());
}

#[tokio::test]
async fn equal_jobs_run_for_themselves_after_a_result_that_is_not_theirs() {
    let queue = four();
    let first = turns(&queue, Place::Farm);
    assert!(first.iter().all(Turn::claim));
    assert!(first.iter().all(|turn| turn.settle(false).is_empty()));
    let again = turns(&queue, Place::Farm);
    assert_eq!(ids(&again), [1, 3], "neither waits for the other");
    assert!(again.iter().all(Turn::claim));
    assert!(again.iter().all(|turn| turn.settle(true).is_empty()));
    assert!(next(&queue, Place::Farm).await.is_none());
}

#[tokio::test]
async fn equal_jobs_wait_while_the_first_goes_from_place_to_place() {
    let queue = four();
    let far = turns(&queue, Place::Farm);
    assert!(far.iter().all(Turn::let_go));
    let near = turns(&queue, Place::Here);
    assert_eq!(ids(&near), [0, 2]);
    assert!(near.iter().all(Turn::claim));
    assert_eq!(numbers(&near[0].settle(true)), [1, 3]);
}

#[tokio::test]
async fn a_job_whose_equal_has_had_its_result_runs() {
    let queue = queue(1);
    queue.push(hermetic(0, 10, "same"), Places::FARM);
    let first = queue.try_take(Place::Farm).expect("a turn");
    assert!(first.claim());
    assert!(first.settle(true).is_empty());
    queue.push(hermetic(1, 10, "same"), Places::FARM);
    assert_eq!(ids(&turns(&queue, Place::Farm)), [1]);
}

#[tokio::test]
async fn what_waits_for_a_result_of_a_lost_farm_runs_here() {
    let queue = four();
    let far = turns(&queue, Place::Farm);
    queue.lose_farm();
    assert!(far.iter().all(Turn::claim));
    assert!(far[0].settle(false).is_empty());
    assert_eq!(ids(&turns(&queue, Place::Here)), [1, 3]);
}
