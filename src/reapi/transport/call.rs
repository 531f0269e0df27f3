//! One attempt of a call: its stream, its headers and its time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::Transport;
use super::inbound::{CheckedChannel, InboundBudget};
use super::pool::Lease;
use crate::reapi::failure::Failure;
use crate::reapi::limits::SLOWEST_LINE;
use crate::reapi::options::Header;
use crate::reapi::rpc::{Counters, Rpc};

/// The right to make one call.
pub(crate) struct Call {
    lease: Lease,
    rpc: Rpc,
    metadata: MetadataMap,
    credentials: Vec<Header>,
    counters: Arc<Counters>,
    inbound: InboundBudget,
    timeout: Duration,
    /// Milliseconds that the call gets on top of it.
    extra: AtomicU64,
    /// When the link has no more time for the farm.
    deadline: Option<Instant>,
}

impl Call {
    pub(super) fn new(
        transport: &Transport,
        lease: Lease,
        rpc: Rpc,
        metadata: MetadataMap,
        credentials: Vec<Header>,
    ) -> Self {
        Self {
            lease,
            rpc,
            metadata,
            credentials,
            counters: Arc::clone(&transport.counters),
            inbound: transport.inbound.clone(),
            timeout: transport.timeout,
            extra: AtomicU64::new(0),
            deadline: transport.policy.deadline,
        }
    }

    pub(crate) fn channel(&self) -> CheckedChannel {
        CheckedChannel::new(self.lease.channel(), self.inbound.clone())
    }

    /// Extends the timeout of a call that moves this many bytes of blobs, perhaps over a slow line.
    pub(crate) fn moves(&self, bytes: u64) {
        self.extend(Duration::from_secs(bytes / SLOWEST_LINE));
    }

    pub(super) fn shorten(&mut self, timeout: Duration) {
        self.timeout = self.timeout.min(timeout);
    }

    pub(crate) fn extend(&self, extra: Duration) {
        let milliseconds = u64::try_from(extra.as_millis()).unwrap_or(u64::MAX);
        self.extra.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// How long the call may go on without progress.
    pub(crate) fn timeout(&self) -> Duration {
        let extra = Duration::from_millis(self.extra.load(Ordering::Relaxed));
        let timeout = self.timeout.saturating_add(extra);
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        self.deadline.map_or(timeout, |end| timeout.min(left(end)))
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(crate) fn credentials(&self) -> &[Header] {
        &self.credentials
    }

    /// A request with the headers of this call. Its bytes are counted as sent.
    pub(crate) fn request<M: Message>(&self, message: M) -> Request<M> {
        self.counters.sent(message.encoded_len());
        self.stream_request(message)
    }

    /// A request whose bytes are counted as they are sent.
    pub(crate) fn stream_request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    /// Waits for the answer of a unary call.
    pub(crate) fn answer<M: Message>(
        &self,
        answer: impl Future<Output = Result<Response<M>, Status>> + Send,
    ) -> impl Future<Output = Result<M, Failure>> + Send {
        // On the heap: each of thousands of calls would otherwise carry several copies of tonic's
        // state.
        let answer = Box::pin(answer);
        async move {
            let message = self.begun(answer).await?.into_inner();
            self.counters.received(message.encoded_len());
            Ok(message)
        }
    }

    /// Waits for the head of an answer: for a stream, until it begins.
    pub(crate) async fn begun<M>(
        &self,
        answer: impl Future<Output = Result<Response<M>, Status>>,
    ) -> Result<Response<M>, Failure> {
        self.within_timeout(answer)
            .await?
            .map_err(|status| Failure::from_call(self.rpc, &status))
    }

    /// Like [`Call::begun`], but the caller reads the status.
    pub(crate) async fn within_timeout<T>(
        &self,
        answer: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout(), answer).await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The next message of a stream, however long it takes.
    pub(crate) async fn message<M: Message + Default>(
        &self,
        stream: &mut Streaming<M>,
    ) -> Result<Option<M>, Failure> {
        let message = stream.message().await;
        let message = message.map_err(|status| Failure::from_call(self.rpc, &status))?;
        if let Some(message) = &message {
            self.counters.received(message.encoded_len());
        }
        Ok(message)
    }

    /// The next message of a stream in which every message is a sign of life.
    pub(crate) async fn next<M: Message + Default>(
        &self,
        stream: &mut Streaming<M>,
    ) -> Result<Option<M>, Failure> {
        self.within_timeout(self.message(stream)).await?
    }

    /// Resolves when the link has no more time for the farm.
    pub(crate) async fn deadline_passed(&self) {
        match self.deadline {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// The failure of a call that ran into its timeout. Its connection is not used again.
    pub(crate) fn timed_out(&self) -> Failure {
        self.lease.retire();
        match self.timeout() {
            Duration::ZERO => Failure::too_late(self.rpc),
            timeout => Failure::timeout(self.rpc, timeout),
        }
    }
}
