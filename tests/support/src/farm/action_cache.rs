//! `ActionCache`: results by action, inlined as far as the profile goes and spoiled as the faults
//! say.

use relto::internals::digest::Digest;
use relto::internals::pb::reapi::action_cache_server::ActionCache;
use relto::internals::pb::reapi::{
    ActionResult, GetActionResultRequest, UpdateActionResultRequest,
};
use relto::internals::task::lock;
use tonic::{Request, Response, Status};

use super::Service;
use super::fault::{Effect, Effects};
use super::gate::{Entry, RequestContext};
use super::record::Method;

#[tonic::async_trait]
impl ActionCache for Service {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        let message = request.get_ref();
        let about = RequestContext::new(message)
            .instance(&message.instance_name)
            .function(message.digest_function)
            .digests(&message.action_digest);
        let entry = self.enter(Method::GetActionResult, &request, about).await?;
        let found = self.look_up(&entry, request.get_ref());
        entry.answer(found)
    }

    async fn update_action_result(
        &self,
        request: Request<UpdateActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        let message = request.get_ref();
        let about = RequestContext::new(message)
            .instance(&message.instance_name)
            .function(message.digest_function)
            .digests(&message.action_digest);
        let entry = self
            .enter(Method::UpdateActionResult, &request, about)
            .await?;
        let stored = self.update(&entry, request.into_inner());
        entry.answer(stored)
    }
}

impl Service {
    fn look_up(
        &self,
        entry: &Entry,
        request: &GetActionResultRequest,
    ) -> Result<ActionResult, Status> {
        let [action] = entry.digests[..] else {
            return Err(entry.violation("no action digest"));
        };
        let not_found = || Status::not_found(format!("no result of `{action}`"));
        let mut result = self
            .cached(&request.instance_name, action)
            .ok_or_else(not_found)?;
        if self.profile.inlines {
            self.inline_logs(&mut result, request.inline_stdout, request.inline_stderr);
            self.inline_outputs(&mut result, &request.inline_output_files);
        }
        entry.evict(&outputs_of(&result));
        edit(&entry.effects, &mut result);
        Ok(result)
    }

    /// The result, where the profile's idea of completeness lets it out.
    pub(super) fn cached(&self, instance: &str, action: Digest) -> Option<ActionResult> {
        let store = lock(&self.store);
        let result = store.result(instance, action)?;
        let is_there = |digest: &Digest| store.has(digest);
        let is_complete =
            !self.profile.checks_completeness || outputs_of(&result).iter().all(is_there);
        is_complete.then_some(result)
    }

    fn update(
        &self,
        entry: &Entry,
        request: UpdateActionResultRequest,
    ) -> Result<ActionResult, Status> {
        if !self.profile.ac_update {
            return Err(Status::permission_denied(
                "clients may not write the action cache",
            ));
        }
        let ([action], Some(result)) = (&entry.digests[..], request.action_result) else {
            return Err(entry.violation("no action digest or no result"));
        };
        if self.profile.strict {
            self.check_result(entry, &result)?;
        }
        if !self.profile.pretends_to_store {
            lock(&self.store).put_result(&request.instance_name, *action, result.clone());
        }
        Ok(result)
    }

    fn check_result(&self, entry: &Entry, result: &ActionResult) -> Result<(), Status> {
        if *result == ActionResult::default() {
            return Err(entry.violation("an empty ActionResult"));
        }
        if let Some(output) = result.output_files.iter().find(|o| o.path.starts_with('/')) {
            return Err(entry.violation(format!("the output path `{}` is absolute", output.path)));
        }
        let store = lock(&self.store);
        let missing = outputs_of(result).into_iter().find(|d| !store.has(d));
        match missing.filter(|_| !self.profile.pretends_to_store) {
            Some(digest) => Err(entry.violation(format!("the output `{digest}` is not stored"))),
            None => Ok(()),
        }
    }

    pub(super) fn inline_logs(&self, result: &mut ActionResult, stdout: bool, stderr: bool) {
        let store = lock(&self.store);
        let logs = [
            (stdout, &result.stdout_digest, &mut result.stdout_raw),
            (stderr, &result.stderr_digest, &mut result.stderr_raw),
        ];
        for (wanted, digest, raw) in logs {
            let digest = digest.as_ref().filter(|_| wanted);
            let digest = digest.and_then(|digest| Digest::from_pb(digest).ok());
            if let Some(bytes) = digest.and_then(|digest| store.blob(&digest)) {
                *raw = bytes;
            }
        }
    }

    pub(super) fn inline_outputs(&self, result: &mut ActionResult, wanted: &[String]) {
        let store = lock(&self.store);
        for output in &mut result.output_files {
            let digest = output
                .digest
                .as_ref()
                .filter(|_| wanted.contains(&output.path));
            let digest = digest.and_then(|digest| Digest::from_pb(digest).ok());
            if let Some(bytes) = digest.and_then(|digest| store.blob(&digest)) {
                output.contents = bytes;
            }
        }
    }
}

pub(super) fn outputs_of(result: &ActionResult) -> Vec<Digest> {
    let digests = result.output_files.iter().flat_map(|output| &output.digest);
    digests.flat_map(Digest::from_pb).collect()
}

/// Carries out `Effect::EditResult`.
pub(super) fn edit(effects: &Effects, result: &mut ActionResult) {
    for effect in effects.iter() {
        if let Effect::EditResult(change) = effect {
            change(result);
        }
    }
}
