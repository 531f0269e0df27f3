//! Results in the farm's action cache by slice keys ([`crate::action::slice_record`]).
//!
//! They are looked up when the whole key is not there. Whoever may write the action cache may have
//! written them, so a record that an honest writer does not store is a miss, and so is any failure
//! of the farm: the job goes on as if the option were off.

use std::sync::Arc;

use bytes::Bytes;

use super::fetch::{ReceivedResult, ResultError, VerifiedResult, result_error};
use super::job::{RemoteJob, compiled};
use super::store::{CacheEntry, CachedAtFarm};
use super::{RemoteExecutor, request_context};
use crate::action::slice::SliceKey;
use crate::action::slice_record::{
    NUMBERS, OBJECT, RecordAction, check_record, encode_numbers, most_bytes_of_numbers,
    restore_record,
};
use crate::events::{JobStep, Origin};
use crate::exec::action_result::execution_metadata;
use crate::exec::{Compiled, Hermetic, Planned, check_result};
use crate::pb::reapi::{ActionResult, OutputFile};
use crate::reapi::{Blob, DeclaredOutput};
use crate::task::spawn_blocking;

fn paths() -> Vec<String> {
    vec![OBJECT.to_owned(), NUMBERS.to_owned()]
}

impl RemoteJob<'_> {
    /// The result of a job that sees the same, with the names of this one.
    pub(super) async fn look_up_by_slice_key(&self) -> Option<Compiled> {
        if !self.executor.config.slice_results {
            return None;
        }
        let slice = self.hermetic.slice_at_farm()?;
        let action = RecordAction::new(slice, &self.executor.template).message;
        let context = request_context(self.job, action.digest);
        let (client, paths) = (&self.executor.client, paths());
        let found = client.action_result(&action.digest, &paths, &context);
        let reason = match found.await {
            Ok(None) => return None,
            Ok(Some(result)) => {
                self.advance(JobStep::Fetch);
                match self.fetch_record(result, slice).await {
                    Ok(result) => {
                        return Some(Compiled {
                            by_slice_key: true,
                            ..compiled(Origin::RemoteCache, result, None)
                        });
                    }
                    Err(ResultError::Bad(reason)) => reason,
                    Err(ResultError::Exit(code, _)) => format!("it exited with {code}"),
                    Err(ResultError::Failed(failure)) => failure.to_string(),
                }
            }
            Err(failure) => failure.to_string(),
        };
        self.executor.config.events.note(format!(
            "the farm's cached result for `{}` by its slice key is not used: {reason}",
            self.job.module
        ));
        None
    }

    async fn fetch_record(
        &self,
        result: ActionResult,
        slice: &SliceKey,
    ) -> Result<VerifiedResult, ResultError> {
        let bad = |what: &str| ResultError::Bad(what.to_owned());
        let paths = paths();
        // A later relto may add conditions under which the object is right.
        if result.output_files.len() > paths.len() {
            return Err(bad("it has outputs that this version does not know"));
        }
        // As it is, and with other names.
        let received = self.receive(result, &paths, 2).await?;
        let ReceivedResult {
            exit_code,
            outputs,
            stderr,
            made_by,
            memory,
        } = received;
        if exit_code != 0 {
            return Err(ResultError::Exit(exit_code, Bytes::new()));
        }
        if !stderr.inline.is_empty() || stderr.digest.is_some_and(|digest| !digest.is_empty()) {
            return Err(bad("it has messages"));
        }
        let [object, numbers] =
            <[DeclaredOutput; 2]>::try_from(outputs).map_err(|_| bad("an output is missing"))?;
        if numbers.digest.size > most_bytes_of_numbers(slice) {
            return Err(bad("it has too many numbers"));
        }
        let (client, is_sound) = (&self.executor.client, self.head_check(0));
        let (object, numbers) = futures_util::future::try_join(
            client.fetch_checked(
                &object.digest,
                object.inline,
                Some(&is_sound),
                &self.context,
            ),
            client.fetch(&numbers.digest, numbers.inline, &self.context),
        )
        .await
        .map_err(result_error)?;
        let restored = self.restored(memory.hold(object), numbers).await;
        Ok(VerifiedResult {
            outputs: vec![memory.hold(restored.map_err(ResultError::Bad)?)],
            stderr: Bytes::new(),
            made_by,
        })
    }

    /// The object with the names of this job, checked as any result is.
    async fn restored(&self, object: Bytes, numbers: Bytes) -> Result<Bytes, String> {
        let _permit = self.executor.building.acquire().await;
        let job = Arc::clone(self.job);
        let restored = spawn_blocking(move || {
            let hermetic = job.hermetic().ok_or("it runs in place")?;
            let slice = hermetic.slice_at_farm().ok_or("it has no slice key")?;
            let restored = restore_record(&object, &numbers, slice);
            let outputs = [Some(Bytes::from(restored.map_err(|it| it.to_string())?))];
            check_result(&hermetic.job, 0, b"", &outputs).map_err(|it| it.to_string())?;
            let [restored] = outputs;
            restored.ok_or_else(|| "an output is missing".to_owned())
        });
        restored.await
    }
}

impl RemoteExecutor {
    /// Whether `compiled` should be stored on the farm under the job's slice key. Only what has
    /// just been made is: what was found there by its whole key belongs to those who made it.
    pub fn wants_under_slice_key(&self, job: &Planned, compiled: &Compiled) -> bool {
        let made = matches!(compiled.origin, Origin::Local | Origin::Remote);
        self.config.slice_results
            && made
            && compiled.storable
            && compiled.stderr.is_empty()
            && self.client.capabilities().can_update_action_cache
            && job
                .hermetic()
                .is_some_and(|it| it.slice_at_farm().is_some())
    }

    /// The entry of `compiled` under the job's slice key; `None` if it gets none.
    pub(super) async fn slice_entry(
        self: &Arc<Self>,
        job: &Arc<Planned>,
        compiled: &Compiled,
    ) -> Option<CacheEntry> {
        if !self.wants_under_slice_key(job, compiled) {
            return None;
        }
        let _permit = self.building.acquire().await;
        let (executor, job, compiled) = (Arc::clone(self), Arc::clone(job), compiled.clone());
        spawn_blocking(move || {
            let slice = job.hermetic()?.slice_at_farm()?;
            executor.record(slice, &compiled)
        })
        .await
    }

    fn record(&self, slice: &SliceKey, compiled: &Compiled) -> Option<CacheEntry> {
        let [object] = &compiled.outputs[..] else {
            return None;
        };
        check_record(object, slice).ok()?;
        let action = RecordAction::new(slice, &self.template);
        let encoded = [
            &action.description,
            &action.root,
            &action.command,
            &action.message,
        ];
        let mut blobs: Vec<Blob> = encoded
            .map(|it| Blob::from_bytes(it.digest, it.bytes.clone()))
            .into();
        let numbers = Bytes::from(encode_numbers(&slice.numbers));
        let mut output = |path: &str, contents: &Bytes| {
            let digest = self.template.function.digest(contents);
            blobs.push(Blob::from_bytes(digest, contents.clone()));
            OutputFile {
                path: path.to_owned(),
                digest: Some(digest.to_pb()),
                ..OutputFile::default()
            }
        };
        let output_files = vec![output(OBJECT, object), output(NUMBERS, &numbers)];
        Some(CacheEntry {
            key: action.message.digest,
            result: ActionResult {
                output_files,
                execution_metadata: Some(execution_metadata(compiled.made_by.as_deref())),
                ..ActionResult::default()
            },
            blobs,
        })
    }

    /// Replaces what the farm holds under the slice key of `job`, if it is not `fresh`.
    pub async fn mend_slice(
        self: &Arc<Self>,
        job: &Arc<Planned>,
        fresh: &Compiled,
    ) -> CachedAtFarm {
        let slice = job.hermetic().and_then(Hermetic::slice_at_farm);
        let Some(slice) = slice.filter(|_| self.config.slice_results) else {
            return CachedAtFarm::Absent;
        };
        if let Some(entry) = self.slice_entry(job, fresh).await {
            return self.replace(job, entry).await;
        }
        let key = RecordAction::new(slice, &self.template).message.digest;
        let reason = self
            .forbids_updates()
            .unwrap_or("the fresh one has no record");
        match self.holds(job, key, &[]).await {
            Ok(None) => CachedAtFarm::Absent,
            Ok(Some(_)) => CachedAtFarm::Stays(reason.to_owned()),
            Err(failure) => CachedAtFarm::Unknown(failure.to_string()),
        }
    }
}
