//! Compiles a cached result again, on a slot of this machine that has no job, and compares.

use std::sync::Arc;

use super::{DigestPair, Fresh, Hit, Taken, Verifier, difference};
use crate::events::{Event, Verdict};
use crate::exec::admission::LocalPermit;
use crate::exec::{JobFailure, UnsoundResult};
use crate::link::error::LinkError;
use crate::link::runners::LocalRunner;

/// What fresh compiles say about a cached result.
#[derive(Debug)]
enum Compared {
    Equal,
    Wrong(Fresh),
    Nondeterministic(DigestPair),
    /// Its action does not compile here, so no machine like this one has made it from that.
    NotMadeHere(UnsoundResult),
    /// The first fresh compile differs from it, and there is no second; or there is none at all.
    Unverified(Option<Fresh>, String),
}

/// Why there is nothing to compare.
#[derive(Debug)]
enum NoFresh {
    /// The job fails.
    Failed(UnsoundResult),
    /// It was not seen to its end.
    Unknown(String),
}

impl LocalRunner {
    /// Verifies one hit. Returns false when there will be none. A dropped future puts the hit back.
    ///
    /// # Errors
    /// The link is being cancelled.
    pub(in crate::link) async fn verify_next(
        &self,
        verifier: &Arc<Verifier>,
    ) -> Result<bool, LinkError> {
        let Some(taken) = verifier.next().await else {
            return Ok(false);
        };
        let compared = tokio::select! {
            biased;
            () = self.delivery.cancel.cancelled() => return Err(LinkError::Cancelled),
            compared = self.compare(taken.hit()) => compared?,
        };
        self.conclude(verifier, taken, compared);
        Ok(true)
    }

    async fn compare(&self, hit: &Hit) -> Result<Compared, LinkError> {
        let permit = self.admission.admit_job(hit.job()).await;
        let job = hit.job().id;
        self.delivery.events.send(Event::VerifyStarted { job });
        let first = match self.compile_again(hit, &permit).await? {
            Ok(first) => first,
            Err(NoFresh::Failed(unsound)) => return Ok(Compared::NotMadeHere(unsound)),
            Err(NoFresh::Unknown(reason)) => return Ok(Compared::Unverified(None, reason)),
        };
        if difference(&first.outputs, &hit.outputs).is_none() {
            return Ok(Compared::Equal);
        }
        Ok(match self.compile_again(hit, &permit).await? {
            Ok(second) => match difference(&first.outputs, &second.outputs) {
                Some(number) => Compared::Nondeterministic(
                    [&first, &second].map(|made| made.outputs[number].whole),
                ),
                None => Compared::Wrong(second),
            },
            Err(NoFresh::Failed(unsound)) => Compared::Unverified(Some(first), unsound.to_string()),
            Err(NoFresh::Unknown(reason)) => Compared::Unverified(Some(first), reason),
        })
    }

    async fn compile_again(
        &self,
        hit: &Hit,
        permit: &LocalPermit,
    ) -> Result<Result<Fresh, NoFresh>, LinkError> {
        match self.executor.run_again(hit.job(), &permit.memory).await {
            Ok(Ok(compiled)) if compiled.storable => {
                self.delivery.stats.compiled(hit.job(), &compiled);
                Ok(Ok(Fresh::new(hit.hermetic().job.kind, compiled)))
            }
            Ok(Ok(_)) => Ok(Err(NoFresh::Unknown(
                "its inputs have changed since they were hashed".to_owned(),
            ))),
            Ok(Err(unsound)) if unsound.is_of_this_machine() => {
                Ok(Err(NoFresh::Unknown(unsound.to_string())))
            }
            Ok(Err(unsound)) => Ok(Err(NoFresh::Failed(unsound))),
            Err(JobFailure::Cancelled { .. }) => Err(LinkError::Cancelled),
            Err(
                JobFailure::Machine { reason, .. }
                | JobFailure::Compiler { reason, .. }
                | JobFailure::Farm { reason, .. },
            ) => Ok(Err(NoFresh::Unknown(reason))),
        }
    }

    fn conclude(&self, verifier: &Arc<Verifier>, taken: Taken<'_>, compared: Compared) {
        let hit = taken.done();
        match compared {
            Compared::Equal => verifier.ended(&self.delivery.stats, &hit, Verdict::Equal),
            Compared::Wrong(fresh) => {
                let (delivery, farm) = (Arc::clone(&self.delivery), self.farm.clone());
                verifier.mend(delivery, farm, hit, fresh);
            }
            Compared::NotMadeHere(reason) => verifier.not_made(hit, reason),
            Compared::Nondeterministic(difference) => {
                verifier.ended(&self.delivery.stats, &hit, Verdict::Nondeterministic);
                verifier.report_nondeterministic(&hit, difference);
            }
            Compared::Unverified(fresh, reason) => {
                verifier.ended(&self.delivery.stats, &hit, Verdict::Unverified);
                verifier.report_unverified(&hit, fresh.is_some(), &reason);
                if let Some(fresh) = fresh {
                    // It is what this compiler makes, whatever the cached one is.
                    verifier.redeliver(Arc::clone(&self.delivery), hit, fresh.compiled);
                }
            }
        }
    }
}
