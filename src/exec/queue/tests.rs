mod farms;
mod scripted;
mod twins;

use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::exec::PlannedForm;

fn job(id: usize, cost: u64) -> Arc<Planned> {
    Arc::new(Planned {
        id,
        module: String::new(),
        index: String::new(),
        outputs: Vec::new(),
        command_line: Vec::new(),
        form: PlannedForm::InPlace(crate::exec::InPlaceReason::Link(String::new())),
        kind: crate::action::kind::OutputKind::Other,
        cost,
        fallen: std::sync::OnceLock::new(),
    })
}

fn queue(slots: usize) -> Arc<Queue> {
    Arc::new(Queue::new(
        NonZeroUsize::new(slots).expect("at least one slot"),
    ))
}

/// The next turn, as soon as there is one.
async fn next(queue: &Arc<Queue>, place: Place) -> Option<Turn> {
    while queue.wait(place).await {
        if let Ok(turn) = queue.try_take(place) {
            return Some(turn);
        }
    }
    None
}

/// Turns that are there now.
fn turns(queue: &Arc<Queue>, place: Place) -> Vec<Turn> {
    std::iter::from_fn(|| queue.try_take(place).ok()).collect()
}

fn ids(turns: &[Turn]) -> Vec<usize> {
    turns.iter().map(|turn| turn.job.id).collect()
}

#[tokio::test]
async fn of_jobs_for_one_place_the_longest_leaves_first_and_equals_in_link_order() {
    for (place, places) in [(Place::Here, Places::HERE), (Place::Farm, Places::FARM)] {
        let queue = queue(1);
        for (id, cost) in [(0, 5), (1, 9), (2, 5), (3, 1)] {
            queue.push(job(id, cost), places);
        }
        assert_eq!(ids(&turns(&queue, place)), [1, 0, 2, 3]);
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
                while let Some(turn) = next(&queue, Place::Here).await {
                    taken += 1;
                    tokio::task::yield_now().await;
                    assert!(turn.claim());
                }
                taken
            })
        })
        .collect();
    tokio::task::yield_now().await;
    for id in 0..40 {
        queue.push(job(id, 1), Places::HERE);
    }
    queue.close();
    let mut taken = 0;
    for slot in slots {
        taken += slot.await;
    }
    assert_eq!(taken, 40);
}

#[tokio::test]
async fn the_farm_takes_the_long_end_and_this_machine_the_short_one() {
    let queue = queue(1);
    for id in 0..20 {
        queue.push(job(id, 10 + id as u64), Places::BOTH);
    }
    let far = queue.try_take(Place::Farm).expect("a turn");
    let near = queue.try_take(Place::Here).expect("a turn");
    assert_eq!((far.job.id, near.job.id), (19, 0));
}

#[tokio::test]
async fn a_job_that_decides_when_this_machine_is_done_is_begun_here_at_once() {
    let queue = queue(2);
    for (id, cost) in [(0, 10), (1, 90), (2, 10), (3, 10)] {
        queue.push(job(id, cost), Places::BOTH);
    }
    let near = queue.try_take(Place::Here).expect("a turn");
    assert_eq!(near.job.id, 1);
}

#[tokio::test]
async fn only_one_of_two_claims_wins_and_the_other_place_hears_of_it() {
    let queue = queue(1);
    queue.push(job(0, 5), Places::BOTH);
    queue.close();
    let far = queue.try_take(Place::Farm).expect("a turn");
    let near = queue.try_take(Place::Here).expect("a copy");
    assert!(near.claim() && near.claim(), "the owner may ask again");
    far.lost().await;
    assert!(!far.claim());
    assert!(next(&queue, Place::Farm).await.is_none());
    assert!(next(&queue, Place::Here).await.is_none());
}

#[tokio::test]
async fn what_the_farm_lets_go_runs_here_even_if_it_was_the_farms_alone() {
    let queue = queue(1);
    queue.push(job(0, 5), Places::FARM);
    assert!(queue.try_take(Place::Here).is_err());
    let far = queue.try_take(Place::Farm).expect("a turn");
    assert!(far.let_go());
    assert!(queue.try_take(Place::Farm).is_err());
    let near = queue.try_take(Place::Here).expect("a turn");
    assert!(!near.let_go(), "nobody is left to run it");
}

#[tokio::test]
async fn what_this_machine_lets_go_waits_for_the_farm_alone() {
    let queue = queue(1);
    queue.push(job(0, 5), Places::BOTH);
    assert!(queue.try_take(Place::Here).expect("a turn").let_go());
    assert!(queue.try_take(Place::Here).is_err());
    assert!(queue.try_take(Place::Farm).expect("a turn").let_go());
    assert!(!queue.try_take(Place::Here).expect("a turn").let_go());
}

#[tokio::test]
async fn without_a_farm_all_that_waits_or_will_come_runs_here() {
    let queue = queue(1);
    queue.push(job(0, 5), Places::FARM);
    queue.push(job(1, 6), Places::BOTH);
    queue.lose_farm();
    queue.push(job(2, 7), Places::FARM);
    assert_eq!(ids(&turns(&queue, Place::Here)), [2, 1, 0]);
    assert!(queue.try_take(Place::Farm).is_err());
}

#[tokio::test]
async fn a_queue_that_is_stopped_gives_no_more_turns() {
    let queue = queue(1);
    queue.push(job(0, 5), Places::BOTH);
    queue.stop();
    assert!(next(&queue, Place::Here).await.is_none());
    assert!(!queue.wait(Place::Here).await);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_job_that_is_in_good_hands_waits_until_it_is_late() {
    let queue = queue(1);
    for id in 0..12 {
        queue.push(job(id, 1_000_000), Places::BOTH);
    }
    let far = turns(&queue, Place::Farm);
    far.iter().for_each(Turn::executing);
    sleep(Duration::from_millis(500)).await;
    let (done, running) = far.split_at(11);
    assert!(done.iter().all(Turn::claim), "half a second each");
    let again = queue.try_take(Place::Here).expect_err("it is as quick");
    let late = Instant::now() + Duration::from_millis(125);
    assert_eq!(again, Some(late));
    let copy = next(&queue, Place::Here).await.expect("a copy of it");
    assert_eq!((Instant::now(), copy.job.id), (late, running[0].job.id));
}

#[tokio::test(start_paused = true)]
async fn the_farm_gets_a_copy_of_what_this_machine_has_begun_when_nothing_else_waits() {
    let queue = queue(1);
    queue.push(job(0, 5), Places::BOTH);
    let near = queue.try_take(Place::Here).expect("a turn");
    let far = queue.try_take(Place::Farm).expect("a copy");
    assert!(far.claim() && near.is_lost());
}
