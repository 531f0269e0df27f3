//! A channel that checks answers while they arrive: they must be gRPC's, and a link must not hold
//! more of them than [`INBOUND_BYTES`] at a time.
//!
//! tonic collects a message before it decodes it, so a limit on single messages does not bound what
//! hundreds of calls hold together. A message that exceeds the budget fails its call as too large:
//! waiting for the others instead could block them, since all share one flow-control window.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;
use tonic::transport::Channel;
use tower::Service as TowerService;

use super::http::HttpAnswer;

use crate::reapi::limits::INBOUND_BYTES;

/// The bytes of incoming messages that a link may hold. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct InboundBudget {
    used: Arc<AtomicUsize>,
}

/// A part of the budget, returned on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl InboundBudget {
    /// # Errors
    /// Other messages leave too little.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reservation, Status> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let reserved = Reservation {
            used: Arc::clone(&self.used),
            bytes,
        };
        if before + bytes <= INBOUND_BYTES {
            return Ok(reserved);
        }
        let limit = INBOUND_BYTES >> 20;
        Err(Status::resource_exhausted(format!(
            "the incoming answers are too large together: more than {limit} MiB"
        )))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A connection whose answers are checked.
#[derive(Debug, Clone)]
pub(crate) struct CheckedChannel {
    channel: Channel,
    budget: InboundBudget,
}

impl CheckedChannel {
    pub(crate) fn new(channel: Channel, budget: InboundBudget) -> Self {
        Self { channel, budget }
    }
}

impl TowerService<http::Request<tonic::body::Body>> for CheckedChannel {
    type Response = http::Response<CheckedBody>;
    type Error = tonic::codegen::StdError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let answering = self.channel.call(request);
        let budget = self.budget.clone();
        Box::pin(async move {
            let answer = answering.await?;
            match HttpAnswer::of(answer.status(), answer.headers()) {
                Some(other) => Err(other.into_status().into()),
                None => Ok(answer.map(|body| CheckedBody::new(body, budget))),
            }
        })
    }
}

/// The body of an answer: gRPC messages, each after its length.
#[derive(Debug)]
pub(crate) struct CheckedBody {
    body: tonic::body::Body,
    budget: InboundBudget,
    prefix: Vec<u8>,
    /// Bytes of the current message that have not arrived.
    left: usize,
    message: Option<Reservation>,
}

/// A compression flag and the message's length.
const PREFIX: usize = 5;

impl CheckedBody {
    fn new(body: tonic::body::Body, budget: InboundBudget) -> Self {
        Self {
            body,
            budget,
            prefix: Vec::with_capacity(PREFIX),
            left: 0,
            message: None,
        }
    }

    /// Follows the messages through `data` and reserves memory for each that begins.
    fn follow(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.left > 0 {
                let part = self.left.min(data.len());
                self.left -= part;
                data = &data[part..];
                continue;
            }
            let (part, rest) = data.split_at(data.len().min(PREFIX - self.prefix.len()));
            self.prefix.extend_from_slice(part);
            data = rest;
            if let [_, a, b, c, d] = self.prefix[..] {
                self.prefix.clear();
                self.begin(u32::from_be_bytes([a, b, c, d]) as usize)?;
            }
        }
        Ok(())
    }

    /// The message before this one has been decoded by now.
    fn begin(&mut self, bytes: usize) -> Result<(), Status> {
        self.message = None;
        self.left = bytes;
        self.message = Some(self.budget.reserve(bytes)?);
        Ok(())
    }
}

impl Body for CheckedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        if let Some(data) = frame.data_ref() {
            let data = data.clone();
            self.follow(&data)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(budget: &InboundBudget) -> CheckedBody {
        CheckedBody::new(tonic::body::Body::empty(), budget.clone())
    }

    #[test]
    fn a_message_beyond_the_budget_fails_and_the_budget_recovers() {
        let budget = InboundBudget::default();
        let half = u32::try_from(INBOUND_BYTES / 2)
            .expect("small")
            .to_be_bytes();
        let prefix = [&[0][..], &half].concat();
        let (mut first, mut second, mut third) = (body(&budget), body(&budget), body(&budget));
        // A prefix may arrive in pieces.
        first.follow(&prefix[..2]).expect("no message yet");
        first.follow(&prefix[2..]).expect("half of it");
        second.follow(&prefix).expect("all of it");
        let status = third.follow(&prefix).expect_err("too much");
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        drop(third);
        drop(second);
        body(&budget).follow(&prefix).expect("half is free again");
    }

    #[test]
    fn the_next_message_returns_what_the_one_before_took() {
        let budget = InboundBudget::default();
        let mut body = body(&budget);
        for _ in 0..3 {
            body.follow(&[0, 0, 0, 0, 2, 7, 7]).expect("small");
            assert_eq!(budget.used.load(Ordering::Relaxed), 2);
        }
        drop(body);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
