//! Runs jobs in place whose actions do not compile here, though a cache has a result of them.
//!
//! relto stores no result of such an action. One that is there was planted, or made by a worker that
//! could read what the action does not name; without it the job would have run in place.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::mend::cached;
use super::wrong::{Instead, WrongResult};
use super::{CachePlace, Hit, OutputDigest, Verifier};
use crate::events::Verdict;
use crate::exec::JobFailure;
use crate::exec::remote::CachedAtFarm;
use crate::fs::read_regular_no_follow;
use crate::link::delivery::Delivery;
use crate::link::error::LinkError;
use crate::link::runners::LocalRunner;
use crate::process::Ending;
use crate::task::{lock, spawn_blocking};

impl LocalRunner {
    /// Runs the jobs of hits in place whose actions do not compile here, and waits until all wrong
    /// results are replaced. To be called when no hit waits any more.
    ///
    /// # Errors
    /// A job fails in place too, as it would without the cache; a replacement could not be written;
    /// there was a wrong result, and the user wants that to fail the link; the link is being
    /// cancelled.
    pub(in crate::link) async fn finish_verifying(
        &self,
        verifier: &Arc<Verifier>,
    ) -> Result<(), LinkError> {
        let not_made = std::mem::take(&mut *lock(&verifier.not_made)).into_iter();
        let replaced =
            not_made.map(|(hit, reason)| self.replace_not_made(verifier, hit, reason.to_string()));
        try_join_all(replaced).await?;
        verifier.finish().await
    }

    async fn replace_not_made(
        &self,
        verifier: &Arc<Verifier>,
        hit: Hit,
        reason: String,
    ) -> Result<(), LinkError> {
        let delivery = Arc::clone(&self.delivery);
        // Before the only copy is overwritten.
        let (hit, contents) = spawn_blocking(move || {
            let contents = cached(&delivery, &hit);
            (hit, contents)
        })
        .await;
        let instead = if hit.delivered {
            match self.run_all_in_place(&hit).await {
                Ok(()) => Instead::InPlace(reason),
                Err(failure) => return self.failed_in_place(verifier, &hit, contents, failure),
            }
        } else {
            Instead::Nothing(reason)
        };
        let (verifier, delivery) = (Arc::clone(verifier), Arc::clone(&self.delivery));
        let farm = self.farm.as_ref().map(|farm| farm.cache_address());
        spawn_blocking(move || {
            verifier.conclude_not_made(&delivery, farm, &hit, &contents, instead);
        })
        .await;
        Ok(())
    }

    async fn run_all_in_place(&self, hit: &Hit) -> Result<(), JobFailure> {
        for job in &hit.jobs {
            let permit = tokio::select! {
                biased;
                () = self.delivery.cancel.cancelled() => {
                    let module = job.module.clone();
                    return Err(JobFailure::Cancelled { module });
                }
                permit = self.admission.admit_job(job) => permit,
            };
            let ran = self.executor.run_in_place_again(job, &permit.memory);
            self.delivery.show_messages(job.id, &ran.await?);
        }
        Ok(())
    }

    /// Where the compiler was killed in place too, or not started, nothing is known, and the cached
    /// result stays. Otherwise the job has none.
    fn failed_in_place(
        &self,
        verifier: &Verifier,
        hit: &Hit,
        contents: Vec<Option<Bytes>>,
        failure: JobFailure,
    ) -> Result<(), LinkError> {
        let contents: Option<Vec<Bytes>> = contents.into_iter().collect();
        let reason = match &failure {
            JobFailure::Machine { reason, .. }
            | JobFailure::Compiler {
                ending: Ending::Signalled(_),
                reason,
                ..
            } => Some(reason),
            _ => None,
        };
        let (Some(reason), Some(contents)) = (reason, contents) else {
            if let JobFailure::Compiler { .. } = failure {
                self.delivery.remove_cached(hit.hermetic());
            }
            return Err(Box::new(failure).into());
        };
        for job in &hit.jobs {
            self.delivery.redeliver(job, &contents)?;
        }
        verifier.ended(&self.delivery.stats, hit, Verdict::Unverified);
        verifier.report_unverified(hit, false, reason);
        Ok(())
    }
}

impl Verifier {
    fn conclude_not_made(
        &self,
        delivery: &Delivery,
        farm: Option<String>,
        hit: &Hit,
        contents: &[Option<Bytes>],
        instead: Instead,
    ) {
        let hermetic = hit.hermetic();
        let object = match instead {
            Instead::InPlace(_) => read_regular_no_follow(&hermetic.job.outputs[0].host).ok(),
            _ => None,
        };
        let made: Vec<Bytes> = object.map(Bytes::from).into_iter().collect();
        let digests = OutputDigest::of_all(hermetic.job.kind, &made);
        let is_equal = |made: &OutputDigest| made.timeless == hit.outputs[0].timeless;
        if digests.first().is_some_and(is_equal) {
            // The compile has failed here for another reason, such as a full disk.
            self.ended(&delivery.stats, hit, Verdict::Equal);
            return;
        }
        let mut wrong = WrongResult::new(hit, instead, &digests, delivery);
        wrong.farm = farm;
        if let CachePlace::Farm | CachePlace::FarmSliceKey = hit.place {
            let reason = "nothing can take its place, and no call removes it";
            wrong.at_farm = Some(CachedAtFarm::Stays(reason.to_owned()));
        }
        wrong.kept = self.keep(&wrong, contents, hit, &made);
        wrong.in_disk_cache = delivery.remove_cached(hermetic);
        self.ended(&delivery.stats, hit, Verdict::Wrong);
        self.report_wrong(&wrong);
    }
}
