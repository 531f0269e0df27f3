//! What becomes of a job that the farm did not do.
//!
//! Enters: failures of the client, results that are unsound. Leaves: `Fallen`, which says whether
//! the job may run here, in words for the user, and whether the farm's cache should get what comes
//! of it. Attempts that are worth repeating as they are have been repeated by the client; a bad
//! cached result has been executed again before it comes to this.

use crate::error::Hinted as _;
use crate::reapi::{Failure, FailureKind, Rpc};

/// Why the farm did not make an object.
#[derive(Debug, Clone)]
pub struct Fallen {
    pub cause: Cause,
    /// A fragment for messages; empty for a miss.
    pub reason: String,
    pub hints: Vec<String>,
    /// What this machine makes instead is worth giving to the farm's action cache.
    pub store: bool,
}

/// The kinds of trouble that a link treats alike, and warns of once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The farm is a cache only, and does not have it.
    Miss,
    /// The compiler itself said no: it has to say so here, where its messages name the user's files
    /// and the verdict is the one that counts.
    Compiler,
    /// It left something that is no object.
    Unsound,
    /// The farm does not answer, or has been given up.
    Away,
    /// It answers, but will not or cannot do this.
    Refused,
    /// The inputs are no longer those that were hashed: no result would be theirs.
    Source,
}

impl Cause {
    /// Whether this machine runs the job. `allowed` is what the user says of failures of the farm.
    pub fn runs_here(self, allowed: bool) -> bool {
        match self {
            Self::Miss | Self::Compiler => true,
            Self::Unsound | Self::Away | Self::Refused => allowed,
            Self::Source => false,
        }
    }
}

impl Fallen {
    pub(super) fn miss() -> Self {
        Self {
            cause: Cause::Miss,
            reason: String::new(),
            hints: Vec::new(),
            store: true,
        }
    }

    pub(super) fn compiler(reason: String) -> Self {
        Self {
            cause: Cause::Compiler,
            reason,
            hints: Vec::new(),
            store: false,
        }
    }

    pub(super) fn unsound(reason: String) -> Self {
        Self {
            cause: Cause::Unsound,
            reason,
            hints: Vec::new(),
            store: true,
        }
    }

    pub(super) fn source(reason: String) -> Self {
        Self {
            cause: Cause::Source,
            reason,
            hints: vec!["do not change inputs while the link runs".to_owned()],
            store: false,
        }
    }

    /// The one place that says what a failed call means for its job. `platform` is what was sent
    /// with the action.
    pub(super) fn from_failure(failure: &Failure, platform: &[(String, String)]) -> Self {
        let (cause, store) = match failure.kind {
            // The client has tried again as often as it may; another job may find the farm alive.
            FailureKind::Unreachable
            | FailureKind::Timeout
            | FailureKind::Transient { .. }
            | FailureKind::Overloaded
            | FailureKind::GivenUp => (Cause::Away, false),
            // The same for every job, and nothing that we send would be taken.
            FailureKind::Unauthenticated | FailureKind::Denied | FailureKind::Unsupported => {
                (Cause::Refused, false)
            }
            // This action, or all of this platform; the cache may well take what is made here.
            FailureKind::Rejected
            | FailureKind::TooLarge
            | FailureKind::ActionTimeout
            | FailureKind::MissingBlobs(_)
            | FailureKind::NotFound => (Cause::Refused, true),
            FailureKind::Corrupt => (Cause::Unsound, true),
            FailureKind::Source => (Cause::Source, false),
        };
        let mut reason = failure.to_string();
        if concerns_platform(failure) {
            reason.push_str("\n  platform properties sent: ");
            reason.push_str(&properties(platform));
        }
        if let Some(printed) = failure.partial.as_deref().map(crate::reapi::stderr)
            && !printed.inline.is_empty()
        {
            for line in String::from_utf8_lossy(&printed.inline).lines() {
                reason.push_str("\n  | ");
                reason.push_str(line);
            }
        }
        Self {
            cause,
            reason,
            hints: failure.hints(),
            store,
        }
    }
}

/// Servers refuse a platform that no worker has; one that has just started waits for workers and
/// says so as if it were a passing trouble.
fn concerns_platform(failure: &Failure) -> bool {
    let message = failure.message.to_ascii_lowercase();
    let speaks_of_it = ["platform", "worker", "propert"]
        .iter()
        .any(|word| message.contains(word));
    failure.rpc == Rpc::Execute && (failure.kind == FailureKind::Rejected || speaks_of_it)
}

/// As `remote_default_exec_properties` spells them.
fn properties(platform: &[(String, String)]) -> String {
    if platform.is_empty() {
        return "none".to_owned();
    }
    let pairs = platform
        .iter()
        .map(|(name, value)| format!("`{name}={value}`"));
    pairs.collect::<Vec<_>>().join(", ")
}
