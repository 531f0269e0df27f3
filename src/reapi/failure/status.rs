//! Reads statuses: `tonic::Status` of a call, `google.rpc.Status` of a blob or an execution.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::{Code, Status};

use super::{Failure, FailureKind};
use crate::digest::Digest;
use crate::pb::{self, bounded};
use crate::reapi::cas::resource_name::parse_subject;
use crate::reapi::rpc::Rpc;
use crate::reapi::transport::http::HttpAnswer;
use crate::{error, text};

impl Failure {
    /// The failure of a call whose status has only its general meaning.
    pub(crate) fn from_call(rpc: Rpc, status: &Status) -> Self {
        if let Some(answer) = http_answer(status) {
            let mut failure = Self::new(answer.kind(), rpc, answer.to_string());
            failure.http = Some(Arc::new(answer.clone()));
            return failure;
        }
        let details = Bytes::copy_from_slice(status.details());
        let details = bounded::decode::<pb::rpc::Status>(details)
            .map(|status| status.details)
            .unwrap_or_default();
        let kind = if status.source().is_some() && !is_size_fault(status) {
            FailureKind::Unreachable
        } else {
            classify(status.code(), status.message(), &details)
        };
        Self::new(kind, rpc, describe(status)).with_answer(&details)
    }

    /// How one blob of a batch ended; `None` if it ended well.
    pub(crate) fn from_blob(rpc: Rpc, status: Option<&pb::rpc::Status>) -> Option<Self> {
        let status = status.filter(|status| status.code != 0)?;
        let code = Code::from_i32(status.code);
        let kind = classify(code, &status.message, &status.details);
        let failure = Self::new(kind, rpc, coded(code, &status.message));
        Some(failure.with_answer(&status.details))
    }

    /// What a cache of plain HTTP answered, if the status is made from that.
    fn with_answer(mut self, details: &[prost_types::Any]) -> Self {
        self.http = HttpAnswer::from_details(details).map(Arc::new);
        self
    }

    /// How `Execute` or `WaitExecution` ended before there was a result: a failed precondition
    /// without details, or something not found, may mean that inputs are missing.
    pub(crate) fn from_execute_call(rpc: Rpc, status: &Status) -> Self {
        let mut failure = Self::from_call(rpc, status);
        if failure.kind != FailureKind::Unreachable && failure.http.is_none() {
            failure.kind =
                unnamed_missing(failure.kind, status.code(), status.details().is_empty());
        }
        failure
    }

    /// How an execution ended, from `ExecuteResponse.status` or `Operation.error`; `None` if it
    /// ended well.
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
}

/// What a proxy or web server answered, if that is where the status comes from.
fn http_answer(status: &Status) -> Option<&HttpAnswer> {
    error::causes(status).find_map(|cause| cause.downcast_ref())
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
        Code::ResourceExhausted | Code::OutOfRange if mentions_size(message) => {
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

/// Several servers report lost inputs without naming them in details.
fn unnamed_missing(kind: FailureKind, code: Code, bare: bool) -> FailureKind {
    match (code, kind) {
        (Code::FailedPrecondition, FailureKind::Rejected) if bare => {
            FailureKind::MissingBlobs(Vec::new())
        }
        (Code::NotFound, FailureKind::NotFound) => FailureKind::MissingBlobs(Vec::new()),
        (_, kind) => kind,
    }
}

/// Servers have no common word for it: this matches grpc-go, grpc-java, tonic, Buildbarn and casd.
fn mentions_size(message: &str) -> bool {
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
        && mentions_size(status.message())
}

/// What the messages of `google/rpc/error_details.proto` say.
#[derive(Default)]
struct Details {
    /// Set if every violation is a missing blob.
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
        let Ok(failure) =
            bounded::decode::<pb::rpc::PreconditionFailure>(Bytes::copy_from_slice(value))
        else {
            return;
        };
        let violations = failure.violations;
        if !violations.is_empty() && violations.iter().all(|v| v.r#type == "MISSING") {
            let subjects = violations.iter().filter_map(|v| parse_subject(&v.subject));
            self.missing.get_or_insert_default().extend(subjects);
        }
    }

    fn read_retry(&mut self, value: &[u8]) {
        if let Ok(info) = bounded::decode::<pb::rpc::RetryInfo>(Bytes::copy_from_slice(value)) {
            let delay = info.retry_delay.and_then(|delay| delay.try_into().ok());
            self.retry_after = Some(delay.unwrap_or_default());
        }
    }
}

/// The status with its deepest cause: the outer texts of transport errors say nothing.
fn describe(status: &Status) -> String {
    let described = coded(status.code(), status.message());
    match error::causes(status).last().map(ToString::to_string) {
        Some(cause) if !described.contains(&cause) => format!("{described}: {cause}"),
        _ => described,
    }
}

fn coded(code: Code, message: &str) -> String {
    if message.is_empty() {
        return code.description().to_ascii_lowercase();
    }
    let name = CodeName(code);
    format!("{name}: {}", printable(message))
}

/// What a server wrote, fit for a message.
pub(crate) fn printable(text: &str) -> String {
    const SERVER_TEXT_CHARS: usize = 2000;
    text::one_line(text, SERVER_TEXT_CHARS)
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
