//! Uploads inputs again that the server has lost, as long as that makes progress.

use std::collections::HashSet;

use tokio::time::Instant;

use super::ExecuteJob;
use crate::digest::Digest;
use crate::reapi::cas::upload::Uploader;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::FRUITLESS_REPAIRS;

/// The repairs of one execution.
pub(super) struct Repairs<'a> {
    uploader: &'a Uploader,
    job: &'a ExecuteJob,
    /// When the last `Execute` was sent: the server may have what was uploaded after it.
    submitted: Instant,
    uploaded: HashSet<Digest>,
    /// Rounds in a row that uploaded nothing new.
    fruitless: u32,
}

/// What a look for lost inputs came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Repair {
    Uploaded,
    NothingNew,
}

impl<'a> Repairs<'a> {
    pub(super) fn new(uploader: &'a Uploader, job: &'a ExecuteJob) -> Self {
        Self {
            uploader,
            job,
            submitted: Instant::now(),
            uploaded: HashSet::new(),
            fruitless: 0,
        }
    }

    pub(super) fn submitted(&mut self) {
        self.submitted = Instant::now();
    }

    /// Uploads `named`, and whatever else of the closure the server turns out to lack.
    pub(super) async fn look(&mut self, named: &HashSet<Digest>) -> Result<Repair, Failure> {
        let closure = self.job.closure.blobs();
        let repairing = self.uploader.repair(&closure, named, self.submitted);
        let uploaded = repairing.await?;
        let before = self.uploaded.len();
        self.uploaded.extend(uploaded);
        if self.uploaded.len() > before {
            return Ok(Repair::Uploaded);
        }
        Ok(Repair::NothingNew)
    }

    /// Handles `failure`, by which the server reports that it lacks the `named` inputs. Each round
    /// must upload something that no earlier one did, so a server that names one blob at a time is
    /// served as long as it needs.
    ///
    /// # Errors
    /// Another attempt would end the same way.
    pub(super) async fn upload_missing(
        &mut self,
        named: &[Digest],
        failure: Failure,
    ) -> Result<(), Failure> {
        let named: HashSet<Digest> = named.iter().copied().collect();
        if self.look(&named).await? == Repair::Uploaded {
            self.fruitless = 0;
            return Ok(());
        }
        self.fruitless += 1;
        // Without names there was only a guess that something is missing, and it was wrong.
        if named.is_empty() {
            return Err(Failure {
                kind: FailureKind::Rejected,
                ..failure
            });
        }
        if self.fruitless >= FRUITLESS_REPAIRS {
            return Err(failure);
        }
        Ok(())
    }
}
