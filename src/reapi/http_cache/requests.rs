//! The requests that an HTTP cache understands, and what its answers mean in gRPC's terms.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message as _;
use reqwest::redirect::Policy;
use reqwest::{Body, Client, RequestBuilder, Response};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::error::with_causes;
use crate::pb;
use crate::reapi::options::ClientOptions;
use crate::reapi::transport::connector::{EndpointError, USER_AGENT, check_identity_is_whole};
use crate::reapi::transport::http::HttpAnswer;
use crate::reapi::transport::inbound::{InboundBudget, Reservation};
use crate::reapi::transport::tls;

/// Headers that belong to the call between client and gateway.
const OF_THE_CALL: [&str; 5] = ["te", "content-type", "user-agent", "host", "content-length"];

/// What a cache keeps under a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ActionResult,
    Blob,
}

/// Makes requests to one cache.
#[derive(Clone)]
pub(super) struct HttpRequests {
    http: Client,
    url: String,
    /// Of all answers that are collected before they are passed on.
    inbound: InboundBudget,
}

/// An answer with the reservations for its bytes.
struct HeldAnswer {
    bytes: BytesMut,
    _reserved: Vec<Reservation>,
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpRequests {
    pub(super) fn new(url: &str, options: &ClientOptions) -> Result<Self, EndpointError> {
        let tls = if url.starts_with("https:") {
            check_identity_is_whole(&options.tls)?;
            tls::rustls_config(&options.tls)?
        } else {
            tls::rustls_config_without_trust()
        };
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            .connect_timeout(options.connect_timeout)
            .pool_max_idle_per_host(options.max_connections)
            .redirect(Policy::none()) // credentials are for this address alone
            .no_proxy(); // as for gRPC, which no variable redirects either
        let url = url.to_owned();
        match http.build() {
            Ok(http) => Ok(Self {
                http,
                url,
                inbound: InboundBudget::default(),
            }),
            Err(source) => Err(EndpointError::Http { url, source }),
        }
    }

    /// The contents under `hash`, as they arrive.
    pub(super) async fn get(
        &self,
        kind: Kind,
        hash: &str,
        of_call: &MetadataMap,
    ) -> Result<Response, Status> {
        let request = self.http.get(self.url_of(kind, hash));
        let answer = send(request, of_call).await?;
        if is_page(answer.headers()) {
            return Err(status_of(answer.status(), answer.headers()));
        }
        Ok(answer)
    }

    /// Asks for the result of an action that no cache has.
    ///
    /// # Errors
    /// What answers is no cache, or it fails.
    pub(super) async fn probe(&self, hash: &str, of_call: &MetadataMap) -> Result<(), Status> {
        match self.get(Kind::ActionResult, hash, of_call).await {
            Ok(answer) => Err(status_of(answer.status(), answer.headers())),
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(status),
        }
    }

    /// The contents under `hash`, which are at most `limit` bytes.
    pub(super) async fn get_whole(
        &self,
        kind: Kind,
        hash: &str,
        limit: usize,
        of_call: &MetadataMap,
    ) -> Result<Bytes, Status> {
        let mut answer = self.get(kind, hash, of_call).await?;
        let (mut bytes, mut reserved) = (BytesMut::new(), Vec::new());
        while let Some(piece) = answer.chunk().await.map_err(|error| broken(&error))? {
            if bytes.len() + piece.len() > limit {
                let message = format!("the cache sent more than {limit} bytes");
                return Err(Status::data_loss(message));
            }
            reserved.push(self.inbound.reserve(piece.len())?);
            bytes.extend_from_slice(&piece);
        }
        Ok(Bytes::from_owner(HeldAnswer {
            bytes,
            _reserved: reserved,
        }))
    }

    /// Stores `size` bytes under `hash`.
    pub(super) async fn put(
        &self,
        kind: Kind,
        hash: &str,
        size: u64,
        contents: Body,
        of_call: &MetadataMap,
    ) -> Result<(), Status> {
        let request = self.http.put(self.url_of(kind, hash));
        // A stream has no length of its own, and some servers take no other.
        let request = request.header(CONTENT_LENGTH, size);
        send(request.body(contents), of_call).await?;
        Ok(())
    }

    fn url_of(&self, kind: Kind, hash: &str) -> String {
        let store = match kind {
            Kind::ActionResult => "ac",
            Kind::Blob => "cas",
        };
        format!("{}/{store}/{hash}", self.url)
    }
}

impl fmt::Debug for HttpRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequests({})", self.url)
    }
}

async fn send(request: RequestBuilder, of_call: &MetadataMap) -> Result<Response, Status> {
    let request = request.headers(forwarded(of_call));
    let answer = request.send().await.map_err(|error| broken(&error))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(status_of(answer.status(), answer.headers()))
}

/// The user's headers and credentials, and the trace that the call belongs to.
fn forwarded(of_call: &MetadataMap) -> HeaderMap {
    let mut headers = of_call.clone().into_headers();
    let names: Vec<_> = headers.keys().cloned().collect();
    for name in names {
        let text = name.as_str();
        if OF_THE_CALL.contains(&text) || text.starts_with("grpc-") || text.ends_with("-bin") {
            headers.remove(&name);
        }
    }
    headers
}

fn broken(error: &reqwest::Error) -> Status {
    Status::unavailable(with_causes(error))
}

/// What browsers show, such as the page of a login: no cache keeps that.
fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"text/html"))
}

/// What gRPC calls an answer that is no success, or that no cache gives.
fn status_of(status: StatusCode, headers: &HeaderMap) -> Status {
    let code = match status.as_u16() {
        401 => Code::Unauthenticated,
        403 | 407 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        405 | 501 => Code::Unimplemented,
        408 | 429 | 500 | 502..=504 => Code::Unavailable,
        _ => Code::FailedPrecondition,
    };
    let answer = HttpAnswer::of_cache(status, headers);
    let message = answer.to_string();
    let details = pb::rpc::Status {
        code: code.into(),
        message: message.clone(),
        details: vec![answer.to_detail()],
    };
    Status::with_details(code, message, details.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::reapi::limits::INBOUND_BYTES;

    /// The address of a server that answers everything with ten bytes.
    fn ten_bytes() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
                let _ = write!(stream, "{answer}0123456789");
            }
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn answers_that_are_held_share_a_budget_and_have_a_limit() {
        let requests = HttpRequests::new(&ten_bytes(), &ClientOptions::default()).expect("good");
        let of_call = MetadataMap::new();
        let get = |limit| requests.get_whole(Kind::Blob, "a", limit, &of_call);
        let other = requests.inbound.reserve(INBOUND_BYTES - 19).expect("free");
        let first = get(10).await.expect("small");
        assert_eq!(first, "0123456789");
        let status = get(10).await.expect_err("nine bytes are left");
        assert_eq!(status.code(), Code::ResourceExhausted);
        drop(first);
        assert_eq!(get(10).await.expect("ten are left").len(), 10);
        drop(other);
        let status = get(9).await.expect_err("too long");
        assert_eq!(status.code(), Code::DataLoss);
    }

    #[test]
    fn the_headers_of_the_user_travel_and_those_of_grpc_do_not() {
        let mut of_call = MetadataMap::new();
        for name in [
            "authorization",
            "x-key",
            "traceparent",
            "grpc-timeout",
            "te",
        ] {
            of_call.insert(name, "value".parse().expect("a value"));
        }
        let binary = tonic::metadata::MetadataValue::from_bytes(b"\x01");
        of_call.insert_bin("a-bin", binary);
        let headers = forwarded(&of_call);
        let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "traceparent", "x-key"]);
    }

    #[test]
    fn only_an_answer_that_may_change_is_worth_another_attempt() {
        let code = |status| {
            let status = StatusCode::from_u16(status).expect("a status");
            status_of(status, &HeaderMap::new()).code()
        };
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(code(status), Code::Unavailable);
        }
        assert_eq!(code(401), Code::Unauthenticated);
        assert_eq!(code(403), Code::PermissionDenied);
        assert_eq!(code(404), Code::NotFound);
        for status in [302, 400, 411, 413, 507] {
            assert_eq!(code(status), Code::FailedPrecondition);
        }
    }
}
