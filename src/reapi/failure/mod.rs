//! The one classification of failures that decides retry, fallback and report.
//!
//! [`status`] makes failures out of what servers and transport say; no other module reads a status
//! code.

mod status;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use status::printable;

use crate::digest::Digest;
use crate::error::Hinted;
use crate::pb;
use crate::reapi::rpc::Rpc;
use crate::reapi::transport::http::HttpAnswer;

/// Why a call, or what it stood for, did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// No answer came: the connection was refused, reset or closed.
    Unreachable,
    /// Our own deadline or idle timer expired.
    Timeout,
    /// The server says that another attempt may succeed, perhaps after a time that it names.
    Transient { retry_after: Option<Duration> },
    /// The server has too much to do at once: fewer calls may succeed.
    Overloaded,
    /// A message was larger than one side accepts: send less at once.
    TooLarge,
    /// Inputs are not in the CAS. Empty if the server does not say which.
    MissingBlobs(Vec<Digest>),
    /// A blob or a cached result does not exist.
    NotFound,
    /// The credentials are missing, wrong or expired.
    Unauthenticated,
    /// The credentials are good but do not permit this.
    Denied,
    /// The server does not have this method.
    Unsupported,
    /// The server will not do this, however often it is asked.
    Rejected,
    /// The action ran longer than it may.
    ActionTimeout,
    /// What the server sent does not match its digest, or makes no sense.
    Corrupt,
    /// A local file cannot be read, or has changed since it was hashed.
    Source,
    /// Not tried: the farm has been found dead in this link, or the link's deadline has passed.
    GivenUp,
}

/// A failed call.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: FailureKind,
    pub rpc: Rpc,
    /// Without control characters, whatever its origin.
    pub message: String,
    /// What an execution that ended badly printed and left, if the server says so.
    pub partial: Option<Arc<pb::reapi::ActionResult>>,
    /// Set if something other than a gRPC server answered.
    pub(crate) http: Option<Arc<HttpAnswer>>,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            // No server was involved.
            FailureKind::Source => f.write_str(&self.message),
            _ => write!(f, "{}: {}", self.rpc, self.message),
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, rpc: Rpc, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            rpc,
            message: printable(message.as_ref()),
            partial: None,
            http: None,
        }
    }

    /// Our own deadline passed.
    pub(crate) fn timeout(rpc: Rpc, after: Duration) -> Self {
        let message = format!("no answer for {} s", after.as_secs_f32());
        Self::new(FailureKind::Timeout, rpc, message)
    }

    /// The link has no more time for the farm.
    pub(crate) fn too_late(rpc: Rpc) -> Self {
        let message = "the `remote_deadline` of the link has passed";
        Self::new(FailureKind::GivenUp, rpc, message)
    }

    pub(crate) fn corrupt(rpc: Rpc, message: impl AsRef<str>) -> Self {
        Self::new(FailureKind::Corrupt, rpc, message)
    }

    pub(crate) fn transient(rpc: Rpc, message: impl AsRef<str>) -> Self {
        Self::new(FailureKind::Transient { retry_after: None }, rpc, message)
    }

    /// Schedulers that have just started report a lack of workers as a transient failure.
    fn lacks_workers(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        ["no workers", "no registered executors"]
            .iter()
            .any(|words| message.contains(words))
    }

    /// Whether the server has spoken, if only to refuse.
    pub(crate) fn is_answer(&self) -> bool {
        !matches!(
            self.kind,
            FailureKind::Unreachable
                | FailureKind::Timeout
                | FailureKind::GivenUp
                | FailureKind::Source
        )
    }

    /// Whether the server answered in HTTP/1.1, or in TLS where none was expected: HTTP/2 takes that
    /// for a frame, and TLS itself tells that the server offers no HTTP/2.
    fn speaks_no_http2(&self) -> bool {
        ["frame with invalid size", "HTTP/2 was not negotiated"]
            .iter()
            .any(|words| self.message.contains(words))
    }

    /// Whether something answers there that is no gRPC server.
    #[must_use]
    pub fn is_of_another_server(&self) -> bool {
        self.http.is_some() || self.speaks_no_http2()
    }

    /// This failure of the last attempt, or that of an `earlier` one if it says more: of a server that
    /// speaks another protocol, some attempts only meet the end of the connection.
    #[must_use]
    pub(crate) fn or_earlier(self, earlier: Option<Self>) -> Self {
        let says_less = self.is_transient() && !self.is_of_another_server();
        earlier.filter(|_| says_less).unwrap_or(self)
    }

    /// Whether a smaller blob or result would have been taken.
    #[must_use]
    pub fn is_of_size(&self) -> bool {
        let answered = self.http.as_ref().map(|answer| answer.status);
        self.kind == FailureKind::TooLarge || answered == Some(413)
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
        if let Some(answer) = &self.http {
            return vec![answer.hint()];
        }
        let hint = match &self.kind {
            FailureKind::Unauthenticated => {
                "check `credential_helper`, `remote_header` or the client certificate"
            }
            FailureKind::Denied => "these credentials may not use this instance of the farm",
            FailureKind::Unreachable | FailureKind::GivenUp if self.speaks_no_http2() => {
                "the server there does not speak HTTP/2, as farms do: check address and port, and whether `grpc://` or `grpcs://` is right"
            }
            FailureKind::Unreachable | FailureKind::GivenUp => {
                "`relto doctor` checks the connection to the farm"
            }
            FailureKind::ActionTimeout => "raise `remote_timeout` if the module is that large",
            FailureKind::Source => "do not change inputs while the link runs",
            FailureKind::MissingBlobs(_) => {
                "the farm accepts uploads but does not keep them: may these credentials write?"
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

#[cfg(test)]
mod tests;
