//! The runners of a link: one for this machine, one for the farm.

use std::sync::Arc;
use std::time::Duration;

use super::delivery::Delivery;
use super::error::LinkError;
use super::farm::FarmSession;
use super::other_links::{Admitted, OtherLinks};
use crate::events::{Event, Origin};
use crate::exec::admission::Admission;
use crate::exec::local::LocalExecutor;
use crate::exec::queue::{Assignment, AttemptOutcome, Claim, Executor, Queue, Runner};
use crate::exec::remote::RemoteExecutor;
use crate::exec::wait_clock::WaitClock;
use crate::exec::{Compiled, JobFailure};

/// Runs jobs on this machine.
#[derive(Debug)]
pub(super) struct LocalRunner {
    pub(super) executor: LocalExecutor,
    pub(super) admission: Admission,
    /// The microseconds that all slots together have waited for permits and memory.
    pub(super) waited: WaitClock,
    pub(super) delivery: Arc<Delivery>,
    /// `None` where links have no results in common.
    pub(super) other_links: Option<OtherLinks>,
    /// Gets the results of this machine.
    pub(super) farm: Option<Arc<FarmSession>>,
}

/// Runs jobs on the farm.
#[derive(Debug)]
pub(super) struct RemoteRunner {
    pub(super) executor: Arc<RemoteExecutor>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) farm: Arc<FarmSession>,
}

impl LocalRunner {
    /// How long each of `slots` waited for permits, on average; waiting for memory is not counted.
    pub(super) fn waited(&self, slots: usize) -> Duration {
        let each = self.waited.total() / u32::try_from(slots.max(1)).unwrap_or(u32::MAX);
        each.mul_f64(self.admission.share_of_slots())
    }
}

impl Runner for LocalRunner {
    type Failure = LinkError;
    type Permit = Admitted;

    async fn admit(&self, queue: &Arc<Queue>) -> Option<(Admitted, Assignment)> {
        // It counts also if the link ends before anything is admitted.
        let _waiting = self.waited.start();
        loop {
            let (permit, assignment) = self.admission.admit(queue).await?;
            let Some(others) = &self.other_links else {
                return Some((Admitted::alone(permit), assignment));
            };
            let admitted = others.admit(permit, assignment.job(), &self.admission);
            tokio::select! {
                biased;
                () = assignment.superseded() => {}
                admitted = admitted => return Some((admitted, assignment)),
            }
        }
    }

    async fn run(
        &self,
        assignment: &Assignment,
        admitted: &Admitted,
    ) -> Result<AttemptOutcome<LinkError>, LinkError> {
        if self.delivery.cancel.is_cancelled() {
            return Err(LinkError::Cancelled);
        }
        let permit = match admitted {
            Admitted::ToCompile { permit, .. } => permit,
            Admitted::Found(compiled) => {
                return Ok(AttemptOutcome::Compiled(Compiled::clone(compiled)));
            }
        };
        match self.executor.run(assignment.job(), &permit.memory).await {
            Ok(Some(compiled)) => Ok(AttemptOutcome::Compiled(compiled)),
            Ok(None) => {
                admitted.unlock();
                Ok(AttemptOutcome::InPlace)
            }
            // The compiler has not spoken: too little memory, or no process could be started.
            Err(failure @ JobFailure::Machine { .. }) => {
                self.delivery.events.note(format!("not here: {failure}"));
                Ok(AttemptOutcome::Declined(Box::new(failure).into()))
            }
            Err(failure) => Err(Box::new(failure).into()),
        }
    }

    async fn run_in_place(
        &self,
        claim: &Claim,
        admitted: &Admitted,
    ) -> Result<Compiled, LinkError> {
        let Admitted::ToCompile { permit, .. } = admitted else {
            unreachable!("`{}` has its result", claim.job().module)
        };
        let ran = self
            .executor
            .run_in_place(claim.job(), &permit.memory)
            .await;
        ran.map_err(|failure| Box::new(failure).into())
    }

    async fn deliver(&self, mut claim: Claim, compiled: Compiled) -> Result<(), LinkError> {
        let (job, failure) = (Arc::clone(claim.job()), claim.take_remote_failure());
        let compiled = self.delivery.deliver(claim, compiled).await?;
        if let Some(farm) = &self.farm {
            farm.compiled_locally(&job, failure, compiled);
        }
        Ok(())
    }

    async fn spare(&self) -> Result<bool, LinkError> {
        match &self.delivery.verifier {
            Some(verifier) => self.verify_next(verifier).await,
            None => Ok(false),
        }
    }

    fn superseded(&self, assignment: &Assignment) {
        stopped(&self.delivery, assignment, Origin::Local);
    }
}

impl Runner for RemoteRunner {
    type Failure = LinkError;
    type Permit = ();

    async fn admit(&self, queue: &Arc<Queue>) -> Option<((), Assignment)> {
        let assignment = queue.try_take(Executor::Remote).ok()?;
        Some(((), assignment))
    }

    async fn run(
        &self,
        assignment: &Assignment,
        (): &(),
    ) -> Result<AttemptOutcome<LinkError>, LinkError> {
        let job = assignment.job();
        let executing = || assignment.executing();
        let ran = tokio::select! {
            biased;
            () = self.delivery.cancel.cancelled() => return Err(LinkError::Cancelled),
            ran = self.executor.run(job, &executing) => ran,
        };
        Ok(match ran {
            Ok(compiled) => {
                if compiled.origin == Origin::Remote {
                    self.farm.compiled_there();
                }
                AttemptOutcome::Compiled(compiled)
            }
            Err(failure) => {
                stopped(&self.delivery, assignment, Origin::Remote);
                AttemptOutcome::FellBack(self.farm.fall_back(job, failure)?)
            }
        })
    }

    async fn run_in_place(&self, claim: &Claim, (): &()) -> Result<Compiled, LinkError> {
        unreachable!("the farm does not run `{}` in place", claim.job().module)
    }

    async fn deliver(&self, claim: Claim, compiled: Compiled) -> Result<(), LinkError> {
        let job = Arc::clone(claim.job());
        let compiled = self.delivery.deliver(claim, compiled).await?;
        self.farm.executed(&job, &compiled);
        Ok(())
    }

    fn superseded(&self, assignment: &Assignment) {
        stopped(&self.delivery, assignment, Origin::Remote);
    }
}

fn stopped(delivery: &Delivery, assignment: &Assignment, origin: Origin) {
    let job = assignment.job().id;
    delivery.events.send(Event::JobStopped { job, origin });
}
