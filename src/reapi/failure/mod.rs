//! What went wrong with a call, as the one classification that decides retry, fallback and report.
//!
//! Enters: `tonic::Status` of a call, `google.rpc.Status` of one blob or one execution. Leaves:
//! `Failure`. No other file reads a status code. What is done about a failure is decided in
//! `retry`, `execution` and above.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Status};

use crate::digest::Digest;
use crate::error::Hinted;
use crate::pb;
use crate::reapi::cas::resource_name::parse_subject;
use crate::reapi::rpc::Rpc;

/// Why a call, or what it stood for, did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// No answer came: the connection was refused, reset or closed.
    Unreachable,
    /// Our own deadline or idle watchdog passed.
    Timeout,
    /// The server says that another attempt may succeed, perhaps after a time that it names.
    Transient { retry_after: Option<Duration> },
    /// The server has too much to do at once: fewer calls may do.
    Overloaded,
    /// A message was larger than one side takes: send less at once.
    TooLarge,
    /// Inputs are not in the CAS. Empty where the server does not say which.
    MissingBlobs(Vec<Digest>),
    /// A blob or a cached result is not there.
    NotFound,
    /// The credentials are missing, wrong or too old.
    Unauthenticated,
    /// The credentials are good but do not allow this.
    Denied,
    /// The server does not have this method.
    Unsupported,
    /// The server will not do this, however often it is asked.
    Rejected,
    /// The action ran longer than it may.
    ActionTimeout,
    /// What the server gave is not what its digest says, or makes no sense.
    Corrupt,
    /// A local file cannot be read, or is no longer what was hashed.
    Source,
    /// Not tried: the farm has been found dead in this link, or the link's deadline is over.
    GivenUp,
}

/// A failed call.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: FailureKind,
    pub rpc: Rpc,
    pub message: String,
    /// What an execution that ended badly printed and left, if the server says so.
    pub partial: Option<Arc<pb::reapi::ActionResult>>,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            // No server had a part in it.
            FailureKind::Source => f.write_str(&self.message),
            _ => write!(f, "{}: {}", self.rpc, self.message),
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, rpc: Rpc, message: impl Into<String>) -> Self {
        Self {
            kind,
            rpc,
            message: message.into(),
            partial: None,
        }
    }

    /// How a call ended that has no other meaning than the general one.
    pub(crate) fn from_call(rpc: Rpc, status: &Status) -> Self {
        let details = pb::rpc::Status::decode(status.details())
            .map(|status| status.details)
            .unwrap_or_default();
        let kind = if status.source().is_some() && !is_size_fault(status) {
            FailureKind::Unreachable
        } else {
            classify(status.code(), status.message(), &details)
        };
        Self::new(kind, rpc, describe(status))
    }

    /// How one blob of a batch ended; `None` for good.
    pub(crate) fn from_blob(rpc: Rpc, status: Option<&pb::rpc::Status>) -> Option<Self> {
        let status = status.filter(|status| status.code != 0)?;
        let code = Code::from_i32(status.code);
        let kind = classify(code, &status.message, &status.details);
        Some(Self::new(kind, rpc, text(code, &status.message)))
    }

    /// How `Execute` or `WaitExecution` ended before there was a result: a precondition without
    /// details, or something not found, may mean that inputs are missing.
    pub(crate) fn from_execute_call(rpc: Rpc, status: &Status) -> Self {
        let mut failure = Self::from_call(rpc, status);
        if failure.kind != FailureKind::Unreachable {
            failure.kind =
                unnamed_missing(failure.kind, status.code(), status.details().is_empty());
        }
        failure
    }

    /// How an execution ended, from `ExecuteResponse.status` or `Operation.error`; `None` for good.
    pub(crate) fn from_execution(status: Option<&pb::rpc::Status>) -> Option<Self> {
        let mut failure = Self::from_blob(Rpc::Execute, status)?;
        let status = status?;
        let code = Code::from_i32(status.code);
        failure.kind = if code == Code::DeadlineExceeded {
            FailureKind::ActionTimeout
        } else {
            unnamed_missing(failure.kind, code, status.details.is_empty())
        };
        Some(failure)
    }

    /// Our own deadline passed.
    pub(crate) fn timeout(rpc: Rpc, after: Duration) -> Self {
        let message = format!("no answer for {} s", after.as_secs_f32());
        Self::new(FailureKind::Timeout, rpc, message)
    }

    /// The link has no more time for the farm.
    pub(crate) fn too_late(rpc: Rpc) -> Self {
        let message = "the time that `remote_deadline` gives the farm is over";
        Self::new(FailureKind::GivenUp, rpc, message)
    }

    pub(crate) fn corrupt(rpc: Rpc, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Corrupt, rpc, message)
    }

    /// Schedulers that have just started say this of a platform as if it would pass.
    fn lacks_workers(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        ["no workers", "no registered executors"]
            .iter()
            .any(|words| message.contains(words))
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Unreachable
                | FailureKind::Timeout
                | FailureKind::Transient { .. }
                | FailureKind::Overloaded
        )
    }
}

impl Hinted for Failure {
    fn hints(&self) -> Vec<String> {
        let hint = match &self.kind {
            FailureKind::Unauthenticated => {
                "check `credential_helper`, `remote_header` or the client certificate"
            }
            FailureKind::Denied => "these credentials may not use this instance of the farm",
            FailureKind::Unreachable | FailureKind::GivenUp => {
                "`relto doctor` checks the way to the farm"
            }
            FailureKind::ActionTimeout => "raise `remote_timeout` if the module is that large",
            FailureKind::Source => "do not change inputs while the link runs",
            FailureKind::MissingBlobs(_) => {
                "the farm takes uploads but does not keep them: may these credentials write?"
            }
            FailureKind::Rejected | FailureKind::Transient { .. }
                if self.rpc == Rpc::Execute
                    && (self.kind == FailureKind::Rejected || self.lacks_workers()) =>
            {
                "check `remote_default_exec_properties` and `remote_instance_name` against what the workers offer"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

fn classify(code: Code, message: &str, details: &[prost_types::Any]) -> FailureKind {
    let found = Details::read(details);
    if let Some(missing) = found.missing {
        return FailureKind::MissingBlobs(missing);
    }
    if let Some(retry_after) = found.retry_after {
        return FailureKind::Transient {
            retry_after: Some(retry_after),
        };
    }
    match code {
        Code::ResourceExhausted | Code::OutOfRange if speaks_of_size(message) => {
            FailureKind::TooLarge
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => FailureKind::Transient { retry_after: None },
        Code::ResourceExhausted => FailureKind::Overloaded,
        Code::NotFound => FailureKind::NotFound,
        Code::Unauthenticated => FailureKind::Unauthenticated,
        Code::PermissionDenied => FailureKind::Denied,
        Code::Unimplemented => FailureKind::Unsupported,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::AlreadyExists => FailureKind::Rejected,
    }
}

/// Several servers report lost inputs without saying so in details.
fn unnamed_missing(kind: FailureKind, code: Code, bare: bool) -> FailureKind {
    match (code, kind) {
        (Code::FailedPrecondition, FailureKind::Rejected) if bare => {
            FailureKind::MissingBlobs(Vec::new())
        }
        (Code::NotFound, FailureKind::NotFound) => FailureKind::MissingBlobs(Vec::new()),
        (_, kind) => kind,
    }
}

/// No server has a common word for it; grpc-go, grpc-java, tonic, Buildbarn and casd are matched.
fn speaks_of_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "larger than",
        "too large",
        "exceeds maximum",
        "message size",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn is_size_fault(status: &Status) -> bool {
    matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted)
        && speaks_of_size(status.message())
}

/// What error details of `google/rpc/error_details.proto` say.
#[derive(Default)]
struct Details {
    /// Set when every violation is a missing blob.
    missing: Option<Vec<Digest>>,
    retry_after: Option<Duration>,
}

impl Details {
    fn read(details: &[prost_types::Any]) -> Self {
        let mut found = Self::default();
        for any in details {
            match any.type_url.rsplit('/').next() {
                Some("google.rpc.PreconditionFailure") => found.read_violations(&any.value),
                Some("google.rpc.RetryInfo") => found.read_retry(&any.value),
                _ => {}
            }
        }
        found
    }

    fn read_violations(&mut self, value: &[u8]) {
        let Ok(failure) = pb::rpc::PreconditionFailure::decode(value) else {
            return;
        };
        let violations = failure.violations;
        if !violations.is_empty() && violations.iter().all(|v| v.r#type == "MISSING") {
            let subjects = violations.iter().filter_map(|v| parse_subject(&v.subject));
            self.missing.get_or_insert_default().extend(subjects);
        }
    }

    fn read_retry(&mut self, value: &[u8]) {
        if let Ok(info) = pb::rpc::RetryInfo::decode(value) {
            let delay = info.retry_delay.and_then(|delay| delay.try_into().ok());
            self.retry_after = Some(delay.unwrap_or_default());
        }
    }
}

/// The status with the deepest cause: the outer texts of transport errors say nothing.
fn describe(status: &Status) -> String {
    let mut described = text(status.code(), status.message());
    let mut deepest = status.source();
    while let Some(inner) = deepest.and_then(std::error::Error::source) {
        deepest = Some(inner);
    }
    if let Some(cause) = deepest.map(ToString::to_string)
        && !described.contains(&cause)
    {
        described = format!("{described}: {cause}");
    }
    described
}

fn text(code: Code, message: &str) -> String {
    if message.is_empty() {
        return code.description().to_ascii_lowercase();
    }
    let name = CodeName(code);
    format!("{name}: {}", printable(message))
}

/// Servers' words go to people's terminals: no control characters, and not without end.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 2000;
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.trim().chars().take(LONGEST).map(clean).collect()
}

struct CodeName(Code);

impl fmt::Display for CodeName {
    /// `FAILED_PRECONDITION`, as servers' documents spell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, letter) in format!("{:?}", self.0).chars().enumerate() {
            if letter.is_uppercase() && index > 0 {
                f.write_str("_")?;
            }
            write!(f, "{}", letter.to_ascii_uppercase())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
