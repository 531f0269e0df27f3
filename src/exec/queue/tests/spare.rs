//! Work that no job waits for gives way to jobs and is done in the end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::events::Origin;
use crate::exec::Compiled;
use crate::task::spawn;

/// Has so many pieces of spare work, each of ten seconds.
struct Worker {
    pieces: AtomicUsize,
    begun: Notify,
    log: Mutex<Vec<&'static str>>,
}

impl Worker {
    fn note(&self, what: &'static str) {
        self.log.lock().expect("not poisoned").push(what);
    }
}

impl Runner for Worker {
    type Failure = ();
    type Permit = ();

    async fn admit(&self, queue: &Arc<Queue>) -> Option<((), Assignment)> {
        Some(((), queue.try_take(Executor::Local).ok()?))
    }

    async fn run(&self, _: &Assignment, (): &()) -> Result<AttemptOutcome<()>, ()> {
        self.note("job");
        Ok(AttemptOutcome::Compiled(scripted::compiled(Origin::Local)))
    }

    async fn run_in_place(&self, _: &Claim, (): &()) -> Result<Compiled, ()> {
        Err(())
    }

    async fn deliver(&self, claim: Claim, _: Compiled) -> Result<(), ()> {
        let _ = claim.complete(false);
        Ok(())
    }

    async fn spare(&self) -> Result<bool, ()> {
        if self.pieces.load(Ordering::Relaxed) == 0 {
            return Ok(false);
        }
        self.note("begun");
        self.begun.notify_one();
        sleep(Duration::from_secs(10)).await;
        self.note("done");
        self.pieces.fetch_sub(1, Ordering::Relaxed);
        Ok(true)
    }

    fn superseded(&self, _: &Assignment) {}
}

#[tokio::test(start_paused = true)]
async fn spare_work_gives_way_to_a_job_and_is_done_when_none_is_left() {
    let worker = Arc::new(Worker {
        pieces: AtomicUsize::new(2),
        begun: Notify::new(),
        log: Mutex::default(),
    });
    let queue = queue(1);
    let slot = {
        let (queue, worker) = (Arc::clone(&queue), Arc::clone(&worker));
        spawn(async move { run_slot(&queue, Executor::Local, &*worker).await })
    };
    worker.begun.notified().await;
    let pushed = Instant::now();
    queue.push(job(0, 1), ExecutorSet::LOCAL);
    queue.close();
    slot.await.expect("no failure");
    let log = worker.log.lock().expect("not poisoned");
    assert_eq!(log[..], ["begun", "job", "begun", "done", "begun", "done"]);
    assert_eq!(pushed.elapsed(), Duration::from_secs(20));
}
