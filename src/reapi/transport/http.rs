//! Recognizes HTTP answers that are not gRPC: those of proxies, load balancers and web servers.
//!
//! gRPC maps their status codes to its own (`http-grpc-status-mapping.md`). [`HttpAnswer`] keeps
//! the original, so that a message can say what answered and what to change.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, SERVER};
use http::{HeaderMap, StatusCode};
use tonic::{Code, Status};

use crate::reapi::failure::{FailureKind, printable};

/// An HTTP answer that did not come from a gRPC server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    content_type: Option<String>,
    server: Option<String>,
    location: Option<String>,
    retry_after: Option<Duration>,
}

impl std::error::Error for HttpAnswer {}

impl fmt::Display for HttpAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        let code = StatusCode::from_u16(self.status).ok();
        if let Some(reason) = code.and_then(|code| code.canonical_reason()) {
            write!(f, " {reason}")?;
        }
        if let Some(kind) = &self.content_type {
            write!(f, ", {kind}")?;
        }
        if let Some(server) = &self.server {
            write!(f, ", from {server}")?;
        }
        Ok(())
    }
}

impl HttpAnswer {
    /// `None` for the answer of a gRPC server.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let content_type = text(headers, &CONTENT_TYPE);
        // Whatever the HTTP status, `grpc-status` says that a gRPC server answered.
        let is_grpc = content_type
            .as_deref()
            .is_none_or(|kind| kind.starts_with("application/grpc"));
        if headers.contains_key("grpc-status") || (status == StatusCode::OK && is_grpc) {
            return None;
        }
        let seconds = text(headers, &RETRY_AFTER).and_then(|text| text.parse().ok());
        Some(Self {
            status: status.as_u16(),
            content_type,
            server: text(headers, &SERVER),
            location: text(headers, &LOCATION),
            retry_after: seconds.map(Duration::from_secs),
        })
    }

    /// The gRPC code of gRPC's mapping, with the answer as its source.
    pub(crate) fn into_status(self) -> Status {
        let code = match self.status {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502..=504 => Code::Unavailable,
            _ => Code::Unknown,
        };
        let mut status = Status::new(code, self.to_string());
        status.set_source(std::sync::Arc::new(self));
        status
    }

    /// Only a temporary failure is worth another attempt.
    pub(crate) fn kind(&self) -> FailureKind {
        match self.status {
            401 => FailureKind::Unauthenticated,
            403 | 407 => FailureKind::Denied,
            404 => FailureKind::Unsupported,
            413 => FailureKind::TooLarge,
            429 if self.retry_after.is_none() => FailureKind::Overloaded,
            408 | 425 | 429 | 500.. => FailureKind::Transient {
                retry_after: self.retry_after,
            },
            _ => FailureKind::Rejected,
        }
    }

    pub(crate) fn hint(&self) -> String {
        match self.status {
            401 => "a proxy or the farm's front end requires credentials: check `credential_helper`, `remote_header` or the client certificate".to_owned(),
            403 => "a proxy or the farm's front end does not allow this: may these credentials, and this machine, use the farm?".to_owned(),
            407 => "a proxy on the way requires credentials of its own: use an address that reaches the farm directly".to_owned(),
            404 => "a web server answers there that does not know gRPC's paths: check address, port and the routes of the proxy".to_owned(),
            413 => "a proxy limits the size of requests: raise its limit (nginx: `client_max_body_size 0`)".to_owned(),
            429 => "a proxy limits the rate of requests: lower `remote_max_connections` or raise its limit".to_owned(),
            502..=504 => "the proxy in front of the farm answers, the farm behind it does not: is it running?".to_owned(),
            300..=399 => match &self.location {
                Some(to) => format!("gRPC follows no redirects: set the address that `{to}` stands for"),
                None => "gRPC follows no redirects: set the address of the farm itself".to_owned(),
            },
            400 => "the server does not accept gRPC there: check the port, and whether `grpc://` or `grpcs://` is right".to_owned(),
            _ => "a web server or proxy answers there, not the farm: check address and port".to_owned(),
        }
    }
}

/// A header's value, fit for a message.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    const HEADER_CHARS: usize = 100;
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    Some(printable(&value).chars().take(HEADER_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Option<HttpAnswer> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    value.parse().expect("a value"),
                )
            })
            .collect();
        HttpAnswer::of(StatusCode::from_u16(status).expect("a status"), &headers)
    }

    #[test]
    fn answers_of_grpc_servers_pass() {
        assert_eq!(
            answer(200, &[("content-type", "application/grpc+proto")]),
            None
        );
        assert_eq!(answer(200, &[]), None);
        assert_eq!(answer(503, &[("grpc-status", "14")]), None);
    }

    #[test]
    fn every_status_has_grpcs_code_a_kind_and_a_hint() {
        let transient = |retry_after| FailureKind::Transient { retry_after };
        for (status, code, kind, hint) in [
            (
                200,
                Code::Unknown,
                FailureKind::Rejected,
                "address and port",
            ),
            (302, Code::Unknown, FailureKind::Rejected, "redirects"),
            (400, Code::Internal, FailureKind::Rejected, "grpcs://"),
            (
                401,
                Code::Unauthenticated,
                FailureKind::Unauthenticated,
                "credential_helper",
            ),
            (403, Code::PermissionDenied, FailureKind::Denied, "allow"),
            (404, Code::Unimplemented, FailureKind::Unsupported, "routes"),
            (407, Code::Unknown, FailureKind::Denied, "proxy"),
            (
                413,
                Code::Unknown,
                FailureKind::TooLarge,
                "client_max_body_size",
            ),
            (429, Code::Unavailable, FailureKind::Overloaded, "rate"),
            (502, Code::Unavailable, transient(None), "running"),
            (503, Code::Unavailable, transient(None), "running"),
            (504, Code::Unavailable, transient(None), "running"),
        ] {
            let found = answer(status, &[("content-type", "text/html")]).expect("not gRPC");
            assert_eq!(found.kind(), kind, "{status}");
            assert!(found.hint().contains(hint), "{status}");
            let status = found.into_status();
            assert_eq!(status.code(), code);
            assert!(status.message().ends_with(", text/html"), "{status}");
        }
        let pause = Some(Duration::from_secs(7));
        let busy = answer(503, &[("retry-after", "7")]).expect("not gRPC");
        assert_eq!(busy.kind(), transient(pause));
        assert_eq!(busy.to_string(), "HTTP 503 Service Unavailable");
        let moved = answer(308, &[("location", "https://b/")]).expect("not gRPC");
        assert!(moved.hint().contains("`https://b/`"));
    }
}
