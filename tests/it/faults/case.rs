//! A [`Case`]: a step, what goes wrong there, and how a link without fallback must end.
//!
//! Each case is played with a [`FaultyLink`]: a farm that knows all results, and a proxy in front
//! of it, both set up as the case says.

use std::sync::Arc;

use crate::support::farm::{Break, Effect, Farm, Fault, Method, Profile};
use crate::support::proxy::Proxy;
use tonic::Code;

use super::known;

/// A step of the way through a farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Connect,
    Capabilities,
    /// The farm has no result.
    LookUp,
    /// The farm has all results, and is to give them.
    CachedResult,
    FindMissing,
    UploadBatch,
    UploadStream,
    Execute,
    WaitExecution,
    DownloadBatch,
    DownloadStream,
}

impl Step {
    /// Those at which a call can go wrong.
    pub(super) const CALLS: [Self; 9] = [
        Self::Capabilities,
        Self::LookUp,
        Self::FindMissing,
        Self::UploadBatch,
        Self::UploadStream,
        Self::Execute,
        Self::WaitExecution,
        Self::DownloadBatch,
        Self::DownloadStream,
    ];

    /// The call that makes the step.
    pub(super) fn method(self) -> Method {
        match self {
            Self::Connect | Self::Capabilities => Method::GetCapabilities,
            Self::LookUp | Self::CachedResult => Method::GetActionResult,
            Self::FindMissing => Method::FindMissingBlobs,
            Self::UploadBatch => Method::BatchUpdateBlobs,
            Self::UploadStream => Method::Write,
            Self::Execute => Method::Execute,
            Self::WaitExecution => Method::WaitExecution,
            Self::DownloadBatch => Method::BatchReadBlobs,
            Self::DownloadStream => Method::Read,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Capabilities => "capabilities",
            Self::LookUp => "GetActionResult",
            Self::CachedResult => "GetActionResult (hit)",
            Self::FindMissing => "FindMissing",
            Self::UploadBatch => "upload, batch",
            Self::UploadStream => "upload, stream",
            Self::Execute => "Execute",
            Self::WaitExecution => "WaitExecution",
            Self::DownloadBatch => "download, batch",
            Self::DownloadStream => "download, stream",
        }
    }

    /// Makes a link come to this step at all.
    fn prepare(self, farm: &Farm) {
        let unimplemented = || Effect::fail(Code::Unimplemented, "no batches here");
        match self {
            Self::UploadStream => farm.fault(Fault::at(Method::BatchUpdateBlobs, unimplemented())),
            Self::DownloadStream => farm.fault(Fault::at(Method::BatchReadBlobs, unimplemented())),
            Self::WaitExecution => {
                let broken = Effect::BreakAfter(1, Break::End);
                farm.fault(Fault::at(Method::Execute, broken));
            }
            Self::CachedResult => known::put_results(farm),
            _ => {}
        }
    }
}

/// How a link without fallback ends.
#[derive(Debug, Clone)]
pub(super) enum Ends {
    /// All jobs are made or found at the farm.
    Works,
    /// The link fails, and says these things.
    Says(Vec<String>),
    /// One or the other, as the machine's speed wants it.
    Either,
}

/// Farm and network of one link.
pub(super) struct FaultyLink {
    pub(super) farm: Farm,
    pub(super) proxy: Arc<Proxy>,
}

impl FaultyLink {
    /// `change` happens to the network when the first call of `step` arrives.
    pub(super) fn when(&self, step: Step, change: impl Fn(&Arc<Proxy>) + Send + Sync + 'static) {
        let proxy = Arc::clone(&self.proxy);
        let effect = Effect::call(move || change(&proxy));
        self.farm.fault(Fault::at(step.method(), effect).call(1));
    }
}

type Arrange = Box<dyn Fn(&mut FaultyLink) + Send + Sync>;

/// One thing that goes wrong at one step.
pub(super) struct Case {
    pub(super) step: Step,
    pub(super) fault: String,
    pub(super) ends: Ends,
    pub(super) profile: Profile,
    /// Variables for relto beyond those of the profile.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Played in every run.
    pub(super) always: bool,
    arrange: Vec<Arrange>,
}

impl Case {
    pub(super) fn new(step: Step, fault: impl Into<String>, ends: Ends) -> Self {
        Self {
            step,
            fault: fault.into(),
            ends,
            // Else nothing would be downloaded.
            profile: Profile {
                inlines: false,
                ..Profile::plain()
            },
            environment: Vec::new(),
            always: true,
            arrange: Vec::new(),
        }
    }

    /// It works all the same.
    pub(super) fn works(step: Step, fault: impl Into<String>) -> Self {
        Self::new(step, fault, Ends::Works)
    }

    /// Without fallback it fails and says `parts`.
    pub(super) fn says(step: Step, fault: impl Into<String>, parts: &[&str]) -> Self {
        let parts = parts.iter().map(|&part| part.to_owned());
        Self::new(step, fault, Ends::Says(parts.collect()))
    }

    /// What is done to farm and network before the link begins.
    pub(super) fn with(
        mut self,
        arrange: impl Fn(&mut FaultyLink) + Send + Sync + 'static,
    ) -> Self {
        self.arrange.push(Box::new(arrange));
        self
    }

    /// One of the farm's own faults.
    pub(super) fn fault(self, fault: Fault) -> Self {
        self.with(move |stage| stage.farm.fault(fault.clone()))
    }

    /// An effect on the calls that make the step: on all, or on the first.
    pub(super) fn effect(self, effect: Effect, once: bool) -> Self {
        let fault = Fault::at(self.step.method(), effect);
        self.fault(if once { fault.call(1) } else { fault })
    }

    pub(super) fn on(mut self, profile: Profile) -> Self {
        self.profile = Profile {
            inlines: false,
            ..profile
        };
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Nothing in it is silent: an answer that comes late is no fault, however busy the machine is.
    pub(super) fn patient(self) -> Self {
        self.env("RELTO_REMOTE_TIMEOUT", "60s")
    }

    /// Played in every run, or in long ones only.
    pub(super) fn always(mut self, always: bool) -> Self {
        self.always = always;
        self
    }

    pub(super) fn name(&self) -> String {
        format!("{}: {}", self.step.name(), self.fault)
    }

    /// A farm and a network where the case is set up.
    pub(super) fn stage(&self) -> FaultyLink {
        let farm = known::farm(self.profile.clone());
        let proxy = Arc::new(Proxy::to(farm.port()));
        self.step.prepare(&farm);
        let mut stage = FaultyLink { farm, proxy };
        for arrange in &self.arrange {
            arrange(&mut stage);
        }
        stage
    }
}
