//! The program that all cases link. Its objects are made once, so that the farms' workers know each
//! without a compiler and their action caches can be filled.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message as _;
use relto::internals::digest::Digest;
use relto::internals::pb::reapi::{self, ActionResult};
use tonic::Code;

use crate::support::farm::{Failure, Farm, Job, Outcome, Profile};
use crate::support::program::generated;
use crate::support::remote::here;
use crate::support::saved::Saved;

/// What a real worker made of the program.
struct Known {
    /// By input root: platforms and versions of the farm do not matter to it.
    objects: HashMap<reapi::Digest, Bytes>,
    results: HashMap<Digest, ActionResult>,
}

/// A copy of the link that all cases play.
pub(super) fn saved() -> Saved {
    Saved::new(&generated(3))
}

/// A farm that has each object at hand.
pub(super) fn farm(profile: Profile) -> Farm {
    let known = known();
    Farm::scripted(profile, |job| object_of(known, job))
}

/// Fills the action cache of a farm without platform.
pub(super) fn put_results(farm: &Farm) {
    for (action, result) in &known().results {
        farm.put_result("", *action, result.clone());
    }
    for object in known().objects.values() {
        farm.put(object.clone());
    }
}

fn object_of(known: &Known, job: &Job) -> Outcome {
    let root = job.action.input_root_digest.as_ref();
    match root.and_then(|root| known.objects.get(root)) {
        Some(object) => Outcome::object(job, object.clone()),
        None => Outcome::failed(Failure::new(Code::Internal, "another program's action")),
    }
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let farm = Farm::start(Profile::plain());
        let saved = saved();
        let mut command = saved.command();
        here().apply(&mut command);
        command.envs(farm.environment());
        command.envs(super::play::SETTINGS.iter().copied());
        let output = command.output().expect("relto starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let results = farm.results();
        let made = results.iter().map(|(action, result)| {
            let action = farm.blob(action).expect("uploaded");
            let action = reapi::Action::decode(action).expect("an action");
            let object = result.output_files[0].digest.as_ref().expect("a digest");
            let object = Digest::from_pb(object).expect("well-formed");
            let object = farm.blob(&object).expect("made");
            (action.input_root_digest.expect("a tree"), object)
        });
        Known {
            objects: made.collect(),
            results: results.clone(),
        }
    })
}
