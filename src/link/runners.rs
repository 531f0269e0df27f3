//! How a turn is run: by a slot of this machine, and at the farm.
//!
//! Enters: turns. Leaves: their results, delivered by whoever was first; or a failure that ends the
//! link. What one place cannot do it lets go, so that the other can; what both cannot do ends the
//! link.

use std::sync::Arc;

use super::error::LinkError;
use super::run::Link;
use crate::events::{Event, Origin};
use crate::exec::local::LocalExecutor;
use crate::exec::queue::{Ended, Runner, Turn};
use crate::exec::remote::RemoteExecutor;
use crate::exec::{Compiled, JobFailure, Planned};
use crate::process::SlotPermit;
use crate::task::spawn_blocking;

/// This machine.
pub(super) struct LocalRunner<'a> {
    link: &'a Arc<Link>,
    executor: Arc<LocalExecutor>,
}

/// The farm.
pub(super) struct RemoteRunner<'a> {
    link: &'a Arc<Link>,
    executor: Arc<RemoteExecutor>,
}

impl<'a> LocalRunner<'a> {
    pub(super) fn new(link: &'a Arc<Link>, executor: Arc<LocalExecutor>) -> Self {
        Self { link, executor }
    }
}

impl<'a> RemoteRunner<'a> {
    pub(super) fn new(link: &'a Arc<Link>, executor: Arc<RemoteExecutor>) -> Self {
        Self { link, executor }
    }
}

impl Runner for LocalRunner<'_> {
    type Failure = LinkError;
    type Permit = SlotPermit;

    async fn permit(&self) -> SlotPermit {
        self.link.slots.permit().await
    }

    async fn run(&self, turn: &Turn) -> Result<Ended<LinkError>, LinkError> {
        if self.link.cancel.is_cancelled() {
            return Err(LinkError::Cancelled);
        }
        let claim = || turn.claim();
        match self.executor.run_claiming(&turn.job, &claim).await {
            Ok(compiled) => Ok(Ended::Compiled(Box::new(compiled))),
            // Not the compiler's word but this machine's: too little memory, no process to be had.
            Err(failure @ JobFailure::Machine { .. }) => {
                self.link.events.note(format!("not here: {failure}"));
                Ok(Ended::LetGo(Box::new(failure).into()))
            }
            Err(failure) => Err(Box::new(failure).into()),
        }
    }

    async fn deliver(&self, turn: &Turn, compiled: &Arc<Compiled>) -> Result<(), LinkError> {
        deliver(self.link, &turn.job, compiled).await?;
        if let Some(farm) = &self.link.farm {
            farm.compiled_here(&turn.job, compiled).await;
        }
        Ok(())
    }

    async fn share(
        &self,
        twins: Vec<Arc<Planned>>,
        compiled: &Arc<Compiled>,
    ) -> Result<(), LinkError> {
        share(self.link, twins, compiled).await
    }

    fn lost(&self, turn: &Turn) {
        stopped(self.link, turn, Origin::Local);
    }
}

impl Runner for RemoteRunner<'_> {
    type Failure = LinkError;
    type Permit = ();

    async fn permit(&self) {}

    /// A future that is dropped is cancelled at the farm, too.
    async fn run(&self, turn: &Turn) -> Result<Ended<LinkError>, LinkError> {
        let Some(farm) = &self.link.farm else {
            return Err(LinkError::Cancelled);
        };
        let executing = || turn.executing();
        let ended = tokio::select! {
            biased;
            () = self.link.cancel.cancelled() => return Err(LinkError::Cancelled),
            ended = self.executor.run(&turn.job, &executing) => ended,
        };
        match ended {
            Ok(compiled) => Ok(Ended::Compiled(Box::new(compiled))),
            Err(fallen) => {
                farm.let_go(&turn.job, fallen)?;
                Ok(Ended::LetGo(LinkError::Cancelled))
            }
        }
    }

    async fn deliver(&self, turn: &Turn, compiled: &Arc<Compiled>) -> Result<(), LinkError> {
        deliver(self.link, &turn.job, compiled).await
    }

    async fn share(
        &self,
        twins: Vec<Arc<Planned>>,
        compiled: &Arc<Compiled>,
    ) -> Result<(), LinkError> {
        share(self.link, twins, compiled).await
    }

    fn lost(&self, turn: &Turn) {
        stopped(self.link, turn, Origin::Remote);
    }
}

async fn deliver(
    link: &Arc<Link>,
    job: &Arc<Planned>,
    compiled: &Arc<Compiled>,
) -> Result<(), LinkError> {
    let _turn = link.writing.acquire().await;
    let (link, job, compiled) = (Arc::clone(link), Arc::clone(job), Arc::clone(compiled));
    spawn_blocking(move || link.delivery.compiled(&job, &compiled)).await?;
    Ok(())
}

async fn share(
    link: &Arc<Link>,
    twins: Vec<Arc<Planned>>,
    compiled: &Arc<Compiled>,
) -> Result<(), LinkError> {
    let _turn = link.writing.acquire().await;
    let (link, compiled) = (Arc::clone(link), Arc::clone(compiled));
    let shared = spawn_blocking(move || {
        let mut twins = twins.iter();
        twins.try_for_each(|twin| link.delivery.shared(twin, &compiled))
    });
    Ok(shared.await?)
}

fn stopped(link: &Link, turn: &Turn, origin: Origin) {
    let job = turn.job.id;
    link.events.send(Event::JobStopped { job, origin });
}
