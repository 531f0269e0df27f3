//! What happens to a job that the farm did not complete.
//!
//! [`RemoteFailure`] says whether this machine may run the job instead, what to tell the user, and
//! whether the farm's action cache should get the local result. By the time one exists, the client
//! has repeated every attempt worth repeating, and a bad cached result has been executed again.

use crate::error::Hinted as _;
use crate::reapi::{Failure, FailureKind, Rpc, Service};
use crate::text;

/// Why the farm did not produce an object.
#[derive(Debug, Clone)]
pub struct RemoteFailure {
    pub cause: FallbackCause,
    /// Which of the farm's addresses did not deliver.
    pub service: Service,
    /// A fragment for messages; empty for a miss.
    pub reason: String,
    pub hints: Vec<String>,
    /// Whether the farm's action cache should get the local result.
    pub store: bool,
    /// A worker had too little memory; another may have enough.
    pub out_of_memory: bool,
}

/// Kinds of failure that a link treats alike. It warns once about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FallbackCause {
    /// The farm is only a cache and does not have the result.
    Miss,
    /// The compiler failed. It runs again on this machine, where its messages name the user's files
    /// and its verdict is the one that counts.
    Compiler,
    /// The compiler left something that is not an object.
    Unsound,
    /// The farm does not answer, or the link has stopped using it.
    Away,
    /// The farm answers but does not execute this job.
    Refused,
    /// The inputs have changed since they were hashed, so no result would belong to them.
    Source,
}

impl FallbackCause {
    /// Whether this machine runs the job. `allowed` is the user's `remote_local_fallback`.
    pub fn runs_locally(self, allowed: bool) -> bool {
        match self {
            Self::Miss | Self::Compiler => true,
            Self::Unsound | Self::Away | Self::Refused => allowed,
            Self::Source => false,
        }
    }
}

impl RemoteFailure {
    pub(super) fn miss() -> Self {
        Self {
            cause: FallbackCause::Miss,
            service: Service::Cache,
            reason: String::new(),
            hints: Vec::new(),
            store: true,
            out_of_memory: false,
        }
    }

    /// As a miss, after the farm's workers have failed at too many jobs. Its cache does not get what
    /// they may disagree with.
    pub(super) fn not_executed() -> Self {
        Self {
            store: false,
            ..Self::miss()
        }
    }

    pub(super) fn compiler(reason: String, out_of_memory: bool) -> Self {
        Self {
            cause: FallbackCause::Compiler,
            service: Service::Execution,
            reason,
            hints: Vec::new(),
            store: out_of_memory,
            out_of_memory,
        }
    }

    pub(super) fn unsound(reason: String) -> Self {
        Self {
            cause: FallbackCause::Unsound,
            service: Service::Execution,
            reason,
            hints: Vec::new(),
            store: true,
            out_of_memory: false,
        }
    }

    pub(super) fn source(reason: String) -> Self {
        Self {
            cause: FallbackCause::Source,
            service: Service::Cache,
            reason,
            hints: vec!["do not change inputs while the link runs".to_owned()],
            store: false,
            out_of_memory: false,
        }
    }

    /// Decides what a failed call means for its job. `platform` was sent with the action.
    pub(super) fn from_failure(failure: &Failure, platform: &[(String, String)]) -> Self {
        let (cause, store) = match failure.kind {
            // The client has used up its retries; another job may find the farm alive.
            FailureKind::Unreachable
            | FailureKind::Timeout
            | FailureKind::Transient { .. }
            | FailureKind::Overloaded
            | FailureKind::GivenUp => (FallbackCause::Away, false),
            // These hold for every job, and the farm would not accept an upload either.
            FailureKind::Unauthenticated | FailureKind::Denied | FailureKind::Unsupported => {
                (FallbackCause::Refused, false)
            }
            // These hold for this action or this platform; the cache may well accept the result.
            FailureKind::Rejected
            | FailureKind::TooLarge
            | FailureKind::ActionTimeout
            | FailureKind::MissingBlobs(_)
            | FailureKind::NotFound => (FallbackCause::Refused, true),
            FailureKind::Corrupt => (FallbackCause::Unsound, true),
            FailureKind::Source => (FallbackCause::Source, false),
        };
        let mut reason = failure.to_string();
        if concerns_platform(failure) {
            reason.push_str("\n  platform properties sent: ");
            reason.push_str(&properties(platform));
        }
        if let Some(printed) = failure.partial.as_deref().map(crate::reapi::stderr)
            && !printed.inline.is_empty()
        {
            for line in text::messages(&String::from_utf8_lossy(&printed.inline)).lines() {
                reason.push_str("\n  | ");
                reason.push_str(line);
            }
        }
        Self {
            cause,
            service: failure.rpc.service(),
            reason,
            hints: failure.hints(),
            store,
            out_of_memory: failure.rpc == Rpc::Execute && mentions_memory(&failure.message),
        }
    }
}

/// Servers reject a platform that no worker has. A server that has just started waits for workers
/// and reports this as a transient failure.
fn concerns_platform(failure: &Failure) -> bool {
    let message = failure.message.to_ascii_lowercase();
    let mentions_it = ["platform", "worker", "propert"]
        .iter()
        .any(|word| message.contains(word));
    failure.rpc == Rpc::Execute && (failure.kind == FailureKind::Rejected || mentions_it)
}

/// What compilers, C++ libraries and farms print when memory runs out.
pub(super) fn mentions_memory(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let words = [
        "out of memory",
        "out-of-memory",
        "oom-kill",
        "oomkill",
        "oom kill",
        "std::bad_alloc",
        "cannot allocate memory",
    ];
    words.iter().any(|words| text.contains(words))
}

/// Formats `platform` as `remote_default_exec_properties` spells it.
fn properties(platform: &[(String, String)]) -> String {
    if platform.is_empty() {
        return "none".to_owned();
    }
    let pairs = platform
        .iter()
        .map(|(name, value)| format!("`{name}={value}`"));
    pairs.collect::<Vec<_>>().join(", ")
}
