//! Recognizes HTTP answers that are not gRPC: those of proxies, load balancers and web servers, and
//! those of a cache of plain HTTP that are no success.
//!
//! gRPC maps their status codes to its own (`http-grpc-status-mapping.md`). [`HttpAnswer`] keeps
//! the original, so that a message can say what answered and what to change.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, SERVER};
use http::{HeaderMap, StatusCode};
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use crate::reapi::failure::{FailureKind, printable};

/// The type of an answer in the details of a status.
const TYPE: &str = "relto/HttpAnswer";
/// Of a header's value.
const HEADER_CHARS: usize = 100;

/// An HTTP answer that did not come from a gRPC server.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct HttpAnswer {
    #[prost(uint32, tag = "1")]
    pub(crate) status: u32,
    #[prost(string, optional, tag = "2")]
    content_type: Option<String>,
    #[prost(string, optional, tag = "3")]
    server: Option<String>,
    #[prost(string, optional, tag = "4")]
    location: Option<String>,
    /// In seconds.
    #[prost(uint64, optional, tag = "5")]
    retry_after: Option<u64>,
    /// A cache of plain HTTP is expected there, not a gRPC server.
    #[prost(bool, tag = "6")]
    of_cache: bool,
}

impl std::error::Error for HttpAnswer {}

impl fmt::Display for HttpAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        let code = u16::try_from(self.status).ok();
        let code = code.and_then(|code| StatusCode::from_u16(code).ok());
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
        Some(Self::new(status, headers, false))
    }

    /// The answer that a cache of plain HTTP should not have given.
    pub(crate) fn of_cache(status: StatusCode, headers: &HeaderMap) -> Self {
        Self::new(status, headers, true)
    }

    fn new(status: StatusCode, headers: &HeaderMap, of_cache: bool) -> Self {
        Self {
            status: status.as_u16().into(),
            content_type: text(headers, &CONTENT_TYPE),
            server: text(headers, &SERVER),
            location: text(headers, &LOCATION),
            retry_after: text(headers, &RETRY_AFTER).and_then(|text| text.parse().ok()),
            of_cache,
        }
    }

    /// For the details of a status: the answer of a cache reaches the client as a gRPC call's.
    pub(crate) fn to_detail(&self) -> Any {
        Any {
            type_url: TYPE.to_owned(),
            value: self.encode_to_vec(),
        }
    }

    /// What [`Self::to_detail`] made. Whoever sends it has no more effect than with a message.
    pub(crate) fn from_details(details: &[Any]) -> Option<Self> {
        let detail = details.iter().find(|detail| detail.type_url == TYPE)?;
        let mut answer = Self::decode(&detail.value[..]).ok()?;
        let texts = [
            &mut answer.content_type,
            &mut answer.server,
            &mut answer.location,
        ];
        for text in texts.into_iter().flatten() {
            *text = shortened(text);
        }
        Some(answer)
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
                retry_after: self.retry_after.map(Duration::from_secs),
            },
            _ => FailureKind::Rejected,
        }
    }

    pub(crate) fn hint(&self) -> String {
        match self.status {
            200..=299 if self.of_cache => "a web server answers there, not a cache: check address, port and path".to_owned(),
            400 if self.of_cache => "check the port, and whether `http://` or `https://` is right".to_owned(),
            404..=405 | 501 if self.of_cache => "a web server answers there that takes no results: check the path, or send none with `remote_upload_local_results=false`".to_owned(),
            401 => "a proxy or the farm's front end requires credentials: check `credential_helper`, `remote_header` or the client certificate".to_owned(),
            403 => "a proxy or the farm's front end does not allow this: may these credentials, and this machine, use the farm?".to_owned(),
            407 => "a proxy on the way requires credentials of its own: use an address that reaches the farm directly".to_owned(),
            404 => "a web server answers there that does not know gRPC's paths: check address, port and the routes of the proxy".to_owned(),
            413 => "a proxy limits the size of requests: raise its limit (nginx: `client_max_body_size 0`)".to_owned(),
            429 => "a proxy limits the rate of requests: lower `remote_max_connections` or raise its limit".to_owned(),
            502..=504 => "the proxy in front of the farm answers, the farm behind it does not: is it running?".to_owned(),
            300..=399 => match &self.location {
                Some(to) => format!("relto follows no redirects: set the address that `{to}` stands for"),
                None => "relto follows no redirects: set the address of the farm itself".to_owned(),
            },
            400 => "the server does not accept gRPC there: check the port, and whether `grpc://` or `grpcs://` is right".to_owned(),
            _ => "a web server or proxy answers there, not the farm: check address and port".to_owned(),
        }
    }
}

/// A header's value, fit for a message.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    Some(shortened(&value))
}

fn shortened(text: &str) -> String {
    printable(text).chars().take(HEADER_CHARS).collect()
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

    #[test]
    fn the_answer_of_a_cache_survives_in_details_without_what_a_terminal_acts_on() {
        let evil = HttpAnswer {
            status: 302,
            location: Some("\u{1b}[2J".repeat(1000)),
            of_cache: true,
            ..HttpAnswer::default()
        };
        let other = Any {
            type_url: "other".to_owned(),
            ..Any::default()
        };
        let read = HttpAnswer::from_details(&[other, evil.to_detail()]).expect("an answer");
        let location = read.location.clone().unwrap_or_default();
        assert!(location.len() <= HEADER_CHARS && !location.contains('\u{1b}'));
        assert_eq!((read.status, read.of_cache), (302, true));
        assert_eq!(HttpAnswer::from_details(&[]), None);
    }

    #[test]
    fn a_cache_and_a_farm_are_expected_to_answer_differently() {
        for (status, hint) in [
            (200, "not a cache"),
            (400, "https://"),
            (404, "takes no results"),
            (405, "takes no results"),
            (413, "client_max_body_size"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = HttpAnswer::of_cache(status, &HeaderMap::new());
            assert!(answer.hint().contains(hint), "{status}");
        }
    }
}
