//! A slot: runs one job after another until none is left.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use super::assignment::{Assignment, Claim, Queue};
use super::executor::Executor;
use crate::exec::Compiled;
use crate::exec::remote::RemoteFailure;

/// How one attempt ended.
#[derive(Debug)]
pub enum AttemptOutcome<E> {
    /// The outputs are in memory.
    Compiled(Compiled),
    /// No run from the action alone makes the outputs. The job has to run in place, which only the
    /// holder of its claim may do.
    InPlace,
    /// The farm does not make the outputs; this machine has to.
    FellBack(RemoteFailure),
    /// This machine does not make the outputs. The link fails unless the farm may.
    Declined(E),
}

/// Runs jobs on one executor.
pub trait Runner: Sync {
    type Failure: Send;
    /// What a slot needs besides a job, given back after it.
    type Permit: Send + Sync;

    /// Waits until a job of `queue` may run, and takes it. `None` if none waits any more.
    fn admit(
        &self,
        queue: &Arc<Queue>,
    ) -> impl Future<Output = Option<(Self::Permit, Assignment)>> + Send;

    /// Runs the job of `assignment` and writes nothing where the linker looks. Dropping the future
    /// stops the job.
    ///
    /// # Errors
    /// The link has to fail.
    fn run(
        &self,
        assignment: &Assignment,
        permit: &Self::Permit,
    ) -> impl Future<Output = Result<AttemptOutcome<Self::Failure>, Self::Failure>> + Send;

    /// Runs the claimed job where the compiler itself writes the outputs.
    ///
    /// # Errors
    /// The link has to fail.
    fn run_in_place(
        &self,
        claim: &Claim,
        permit: &Self::Permit,
    ) -> impl Future<Output = Result<Compiled, Self::Failure>> + Send;

    /// Delivers the result to the claimed job and its duplicates.
    ///
    /// # Errors
    /// The link has to fail.
    fn deliver(
        &self,
        claim: Claim,
        compiled: Compiled,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Does a piece of work that no job waits for. Returns false when there will be none. A slot
    /// drops the future when there may be a job for it: the piece has to be done later then.
    ///
    /// # Errors
    /// The link has to fail.
    fn spare(&self) -> impl Future<Output = Result<bool, Self::Failure>> + Send {
        std::future::ready(Ok(false))
    }

    /// Called when the other executor was faster.
    fn superseded(&self, assignment: &Assignment);
}

/// Runs jobs of `executor` until the queue has none, and spare work while there is no job.
///
/// # Errors
/// What the runner calls a failure of the link.
pub async fn run_slot<R: Runner>(
    queue: &Arc<Queue>,
    executor: Executor,
    runner: &R,
) -> Result<(), R::Failure> {
    let mut spare = pin!(runner.spare());
    let mut has_spare = true;
    loop {
        let is_left = tokio::select! {
            biased;
            is_left = queue.wait(executor) => is_left,
            done = spare.as_mut(), if has_spare => {
                has_spare = done?;
                spare.set(runner.spare());
                continue;
            }
        };
        if !is_left {
            break;
        }
        spare.set(runner.spare());
        let admitted = tokio::select! {
            biased;
            () = queue.over() => break,
            admitted = runner.admit(queue) => admitted,
        };
        // The job may be gone: another slot was admitted sooner.
        if let Some((permit, assignment)) = admitted {
            run_assignment(assignment, runner, &permit).await?;
        }
    }
    while has_spare {
        has_spare = spare.as_mut().await?;
        spare.set(runner.spare());
    }
    Ok(())
}

/// Runs one job to its end. Of an attempt that is superseded nothing remains but a dropped future.
///
/// # Errors
/// What the runner calls a failure of the link.
async fn run_assignment<R: Runner>(
    assignment: Assignment,
    runner: &R,
    permit: &R::Permit,
) -> Result<(), R::Failure> {
    let outcome = tokio::select! {
        biased;
        () = assignment.superseded() => None,
        outcome = runner.run(&assignment, permit) => Some(outcome),
    };
    let compiled = match outcome {
        // However this attempt ended, the job has its result.
        _ if assignment.is_superseded() => None,
        None | Some(Ok(AttemptOutcome::InPlace)) => None,
        Some(Ok(AttemptOutcome::Compiled(compiled))) => Some(compiled),
        Some(Ok(AttemptOutcome::FellBack(failure))) => {
            assignment.fall_back(failure);
            return Ok(());
        }
        Some(Ok(AttemptOutcome::Declined(failure))) => {
            return if assignment.decline() {
                Ok(())
            } else {
                Err(failure)
            };
        }
        Some(Err(failure)) => return Err(failure),
    };
    match assignment.claim() {
        Ok(claim) => {
            let compiled = match compiled {
                Some(compiled) => compiled,
                None => runner.run_in_place(&claim, permit).await?,
            };
            runner.deliver(claim, compiled).await
        }
        Err(assignment) => {
            runner.superseded(&assignment);
            Ok(())
        }
    }
}
