//! Replaces a wrong result: what was delivered, what the disk cache holds, what the farm's action
//! cache holds.

use std::sync::Arc;

use bytes::Bytes;

use super::evidence::{self, Evidence};
use super::wrong::{Instead, WrongResult};
use super::{CachePlace, Fresh, Hit, Verifier};
use crate::action::canonical::NamedOutput;
use crate::digest::DigestFunction;
use crate::events::Verdict;
use crate::exec::Compiled;
use crate::fs::read_regular_no_follow;
use crate::link::LinkError;
use crate::link::delivery::{Delivery, DeliveryError};
use crate::link::farm::FarmSession;
use crate::task::{lock, spawn, spawn_blocking};

impl Verifier {
    /// Replaces the result of `hit` by `fresh` and reports it, beside what else the link does.
    pub(super) fn mend(
        self: &Arc<Self>,
        delivery: Arc<Delivery>,
        farm: Option<Arc<FarmSession>>,
        hit: Hit,
        fresh: Fresh,
    ) {
        let verifier = Arc::clone(self);
        let mending = spawn(async move {
            let (mut wrong, hit, fresh) = verifier.replace_here(&delivery, hit, fresh).await?;
            wrong.farm = farm.as_ref().map(|farm| farm.cache_address());
            if let Some(farm) = farm {
                let whole = farm.mend(hit.job(), &fresh).await;
                let by_slice_key = farm.mend_slice(hit.job(), &fresh).await;
                wrong.at_farm = match hit.place {
                    CachePlace::FarmSliceKey => by_slice_key,
                    _ => whole,
                };
            }
            verifier.ended(&delivery.stats, &hit, Verdict::Wrong);
            verifier.report_wrong(&wrong);
            Ok(())
        });
        lock(&self.mending).push(mending);
    }

    /// Delivers `fresh` in place of what was delivered.
    pub(super) fn redeliver(&self, delivery: Arc<Delivery>, hit: Hit, fresh: Compiled) {
        let writing = spawn_blocking(move || Ok(deliver(&delivery, &hit, &fresh)?));
        lock(&self.mending).push(writing);
    }

    /// Keeps both results, delivers the fresh one and replaces the one in the disk cache.
    async fn replace_here(
        self: &Arc<Self>,
        delivery: &Arc<Delivery>,
        hit: Hit,
        fresh: Fresh,
    ) -> Result<(WrongResult, Hit, Compiled), LinkError> {
        let (verifier, delivery) = (Arc::clone(self), Arc::clone(delivery));
        let replaced = spawn_blocking(move || {
            let mut wrong = WrongResult::new(&hit, Instead::Twice, &fresh.outputs, &delivery);
            let fresh = fresh.compiled;
            // Before the only copy may be overwritten.
            wrong.kept = verifier.keep(&wrong, &cached(&delivery, &hit), &hit, &fresh.outputs);
            // The cache first: writing may fail.
            wrong.in_disk_cache = delivery.replace_cached(hit.hermetic(), &fresh);
            deliver(&delivery, &hit, &fresh)?;
            Ok::<_, DeliveryError>((wrong, hit, fresh))
        });
        Ok(replaced.await?)
    }

    pub(super) fn keep(
        &self,
        wrong: &WrongResult,
        cached: &[Option<Bytes>],
        hit: &Hit,
        fresh: &[Bytes],
    ) -> Result<std::path::PathBuf, String> {
        let Some(dir) = &self.options.dir else {
            return Err("the user has no directory for state".to_owned());
        };
        let report = wrong.report();
        let mut files: Vec<Evidence<'_>> = vec![("report.txt".to_owned(), report.as_bytes())];
        for (number, output) in hit.hermetic().job.outputs.iter().enumerate() {
            let name = file_name(output);
            if let Some(contents) = cached.get(number).and_then(Option::as_ref) {
                files.push((format!("cached-{name}"), contents));
            }
            if let Some(contents) = fresh.get(number) {
                files.push((format!("fresh-{name}"), contents));
            }
        }
        evidence::keep(dir, &wrong.name(), &files).map_err(|error| error.to_string())
    }
}

fn file_name(output: &NamedOutput) -> &str {
    let name = output.tree_path.rsplit('/').next();
    name.unwrap_or(&output.tree_path)
}

fn deliver(delivery: &Delivery, hit: &Hit, fresh: &Compiled) -> Result<(), DeliveryError> {
    for job in hit.jobs.iter().filter(|_| hit.delivered) {
        delivery.redeliver(job, &fresh.outputs)?;
    }
    Ok(())
}

/// The cached outputs, as far as they are still where they were delivered, or in the disk cache.
pub(super) fn cached(delivery: &Delivery, hit: &Hit) -> Vec<Option<Bytes>> {
    if !hit.contents.is_empty() {
        return hit.contents.iter().cloned().map(Some).collect();
    }
    let outputs = hit.hermetic().job.outputs.iter().zip(&hit.outputs);
    let found = outputs.map(|(output, digest)| {
        let delivered = read_regular_no_follow(&output.host).ok().map(Bytes::from);
        delivered
            .filter(|bytes| DigestFunction::Sha256.digest(bytes) == digest.whole)
            .or_else(|| delivery.disk_cache.as_ref()?.blob(&digest.whole))
    });
    found.collect()
}
