//! A slot: takes turns until none is left.
//!
//! Enters: the queue and a `Runner`, which knows how a job runs at its place. Leaves: every turn's
//! result delivered, or the first failure that ends the link. Of a turn that is lost nothing
//! remains but a dropped future.

use std::future::Future;
use std::sync::Arc;

use super::{Place, Queue, Turn};
use crate::exec::{Compiled, Planned};

/// How one attempt ended.
#[derive(Debug)]
pub enum Ended<E> {
    Compiled(Box<Compiled>),
    /// This place does not make the outputs, and another one may.
    LetGo(E),
}

/// A place where jobs run.
pub trait Runner: Sync {
    type Failure: Send;
    /// What a turn needs beside a job, given back after it.
    type Permit: Send;

    /// Waits until one turn more may be taken.
    fn permit(&self) -> impl Future<Output = Self::Permit> + Send;

    /// Runs the job of `turn`. To drop the future must stop the job, here and at the farm. Outputs
    /// may be written only by one who has claimed the turn.
    ///
    /// # Errors
    /// The link has to fail.
    fn run(
        &self,
        turn: &Turn,
    ) -> impl Future<Output = Result<Ended<Self::Failure>, Self::Failure>> + Send;

    /// Takes the result of a turn that is claimed to where it belongs.
    ///
    /// # Errors
    /// The link has to fail.
    fn deliver(
        &self,
        turn: &Turn,
        compiled: &Arc<Compiled>,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Takes it to where `twins`, jobs of the same action, want it.
    ///
    /// # Errors
    /// The link has to fail.
    fn share(
        &self,
        twins: Vec<Arc<Planned>>,
        compiled: &Arc<Compiled>,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// The other place was faster.
    fn lost(&self, turn: &Turn);
}

/// Takes turns of `place` until the queue has none.
///
/// # Errors
/// What the runner calls a failure of the link.
pub async fn work<R: Runner>(
    queue: &Arc<Queue>,
    place: Place,
    runner: &R,
) -> Result<(), R::Failure> {
    while queue.wait(place).await {
        let permit = tokio::select! {
            biased;
            () = queue.over() => break,
            permit = runner.permit() => permit,
        };
        // What was there may be gone: another slot had its permit sooner.
        if let Ok(turn) = queue.try_take(place) {
            take_turn(turn, runner).await?;
        }
        drop(permit);
    }
    Ok(())
}

/// Runs one turn to its end.
///
/// # Errors
/// What the runner calls a failure of the link.
async fn take_turn<R: Runner>(turn: Turn, runner: &R) -> Result<(), R::Failure> {
    let ended = tokio::select! {
        biased;
        () = turn.lost() => None,
        ended = runner.run(&turn) => Some(ended),
    };
    match ended {
        Some(Ok(Ended::Compiled(compiled))) if turn.claim() => {
            finish(&turn, Arc::new(*compiled), runner).await
        }
        // Whatever became of an attempt that has lost, the job has its result.
        _ if turn.is_lost() => {
            runner.lost(&turn);
            Ok(())
        }
        Some(Ok(Ended::LetGo(failure))) if !turn.let_go() => Err(failure),
        Some(Err(failure)) => Err(failure),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Takes a result to all who wait for it.
///
/// # Errors
/// What the runner calls a failure of the link.
async fn finish<R: Runner>(
    turn: &Turn,
    compiled: Arc<Compiled>,
    runner: &R,
) -> Result<(), R::Failure> {
    runner.deliver(turn, &compiled).await?;
    let twins = turn.settle(compiled.is_of_its_action());
    if twins.is_empty() {
        return Ok(());
    }
    runner.share(twins, &compiled).await
}
