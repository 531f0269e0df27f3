//! Statuses with details, as servers send them: in the trailer at the end of a call, or as a
//! `google.rpc.Status` inside a response.

use std::time::Duration;

use prost::Message;
use prost_types::Any;
use relto::internals::digest::Digest;
use relto::internals::pb::rpc;
use tonic::{Code, Status};

/// A status with its details, for a call or inside a response.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: Code,
    pub message: String,
    pub details: Vec<Any>,
}

impl Failure {
    pub fn new(code: Code, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
            details: Vec::new(),
        }
    }

    /// With `RetryInfo`.
    pub fn retry_after(self, delay: Duration) -> Self {
        let retry_delay = Some(delay.try_into().expect("a delay that protobuf can say"));
        self.detail("google.rpc.RetryInfo", &rpc::RetryInfo { retry_delay })
    }

    /// `FAILED_PRECONDITION` with one MISSING violation a blob.
    pub fn missing(digests: &[Digest]) -> Self {
        let subjects = digests
            .iter()
            .map(|digest| ("MISSING", format!("blobs/{digest}")));
        Self::new(Code::FailedPrecondition, "blobs are missing").violations(subjects.collect())
    }

    /// `FAILED_PRECONDITION` with an INVALID violation: final.
    pub fn invalid(subject: &str) -> Self {
        Self::new(Code::FailedPrecondition, subject)
            .violations(vec![("INVALID", subject.to_owned())])
    }

    fn violations(self, violations: Vec<(&str, String)>) -> Self {
        let violations = violations
            .into_iter()
            .map(|(kind, subject)| rpc::precondition_failure::Violation {
                r#type: kind.to_owned(),
                description: format!("{kind} {subject}"),
                subject,
            })
            .collect();
        let failure = rpc::PreconditionFailure { violations };
        self.detail("google.rpc.PreconditionFailure", &failure)
    }

    fn detail(mut self, name: &str, message: &impl Message) -> Self {
        self.details.push(any(name, message));
        self
    }

    pub fn to_pb(&self) -> rpc::Status {
        rpc::Status {
            code: self.code as i32,
            message: self.message.clone(),
            details: self.details.clone(),
        }
    }

    /// As a call's end: the details travel in `grpc-status-details-bin`.
    pub(super) fn to_call(&self) -> Status {
        if self.details.is_empty() {
            return Status::new(self.code, &self.message);
        }
        let details = self.to_pb().encode_to_vec().into();
        Status::with_details(self.code, &self.message, details)
    }
}

/// `message` in an `Any` with the usual type address.
pub(super) fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}
