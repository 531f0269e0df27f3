//! One call: a stream on a connection, its headers, its deadline, its retries, its place in the
//! counters.
//!
//! Enters: a role (cache or execution) and a closure that makes one attempt. Leaves: the answer or
//! a `Failure`. What is asked is the business of the files named after the services.

pub(crate) mod address;
pub(crate) mod connector;
pub(crate) mod credentials;
pub(crate) mod metadata;
pub(crate) mod pool;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::health::retry::{Attempts, CircuitBreaker, RetryBudget, RetryPolicy};
use crate::reapi::options::{ClientOptions, Header};
use crate::reapi::rpc::{Counters, Rpc};
use crate::reapi::transport::credentials::Credentials;
use crate::reapi::transport::metadata::{LinkMetadata, RequestContext, append};
use crate::reapi::transport::pool::{Lease, Pool, TrafficClass};

/// The largest message that relto takes: several times what it asks for, so that no honest server
/// meets it.
pub(crate) const LARGEST_ANSWER: usize = 64 << 20;

/// Bytes a second that a line must carry, shared by all calls that move blobs.
const SLOWEST_LINE: u64 = 32 << 10;

/// Which of the farm's two addresses a call goes to; they may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// CAS and action cache.
    Cache,
    Execution,
}

/// One address of the farm.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) pool: Arc<Pool>,
    pub(crate) headers: Vec<Header>,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) circuit: Arc<CircuitBreaker>,
}

pub(crate) struct Transport {
    pub(crate) cache: Endpoint,
    pub(crate) execution: Option<Endpoint>,
    pub(crate) metadata: LinkMetadata,
    pub(crate) policy: RetryPolicy,
    pub(crate) budget: RetryBudget,
    pub(crate) counters: Arc<Counters>,
    /// For the answer of a unary call, and for silence on a stream.
    pub(crate) timeout: Duration,
    pub(crate) instance: String,
}

/// The right to make one call.
pub(crate) struct Call {
    pub(crate) lease: Lease,
    rpc: Rpc,
    metadata: MetadataMap,
    credentials: Vec<Header>,
    counters: Arc<Counters>,
    timeout: Duration,
    /// Milliseconds that this call gets beyond it.
    extra: AtomicU64,
    /// When the link's time for the farm is over.
    deadline: Option<Instant>,
}

impl Transport {
    /// The same addresses and connections for another link, which has its own names, limits and
    /// counters.
    pub(crate) fn for_link(&self, options: &ClientOptions) -> Self {
        Self {
            cache: self.cache.clone(),
            execution: self.execution.clone(),
            metadata: LinkMetadata::new(&options.invocation),
            policy: RetryPolicy::new(options.retries, options.deadline),
            budget: RetryBudget::default(),
            counters: Arc::default(),
            timeout: self.timeout,
            instance: self.instance.clone(),
        }
    }

    pub(crate) fn endpoint(&self, service: Service) -> &Endpoint {
        match service {
            Service::Cache => &self.cache,
            Service::Execution => self.execution.as_ref().unwrap_or(&self.cache),
        }
    }

    pub(crate) fn attempts(&self, service: Service, rpc: Rpc) -> Attempts<'_> {
        Attempts::new(
            &self.policy,
            &self.budget,
            &self.endpoint(service).circuit,
            rpc,
        )
    }

    /// Makes attempts until one succeeds, fails for good, or there are none left. Credentials that
    /// are refused are renewed once.
    pub(crate) async fn call<T, F, Fut>(
        &self,
        service: Service,
        class: TrafficClass,
        rpc: Rpc,
        context: &RequestContext,
        mut attempt: F,
    ) -> Result<T, Failure>
    where
        F: FnMut(Call) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = self.attempts(service, rpc);
        let mut renewed = false;
        loop {
            attempts.admit().await?;
            let call = self.open(service, class, rpc, context).await?;
            let used = call.credentials.clone();
            let ended = Box::pin(attempt(call)).await;
            attempts.ended(&ended);
            match ended {
                Ok(value) => {
                    attempts.succeeded();
                    return Ok(value);
                }
                Err(failure) if self.may_renew(service, &failure) && !renewed => {
                    renewed = true;
                    self.endpoint(service).credentials.refuse(&used).await;
                }
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    /// Whether other credentials may help.
    pub(crate) fn may_renew(&self, service: Service, failure: &Failure) -> bool {
        failure.kind == FailureKind::Unauthenticated
            && self.endpoint(service).credentials.can_refresh()
    }

    /// Takes a stream and makes the headers of one attempt.
    pub(crate) async fn open(
        &self,
        service: Service,
        class: TrafficClass,
        rpc: Rpc,
        context: &RequestContext,
    ) -> Result<Call, Failure> {
        let endpoint = self.endpoint(service);
        let unauthenticated = |text: String| Failure::new(FailureKind::Unauthenticated, rpc, text);
        let credentials = endpoint
            .credentials
            .headers()
            .await
            .map_err(|error| unauthenticated(error.to_string()))?;
        let mut metadata = self.metadata.of_call(context);
        append(&mut metadata, &endpoint.headers)
            .and_then(|()| append(&mut metadata, &credentials))
            .map_err(|error| unauthenticated(error.to_string()))?;
        let lease = endpoint.pool.lease(class).await;
        self.counters.request(rpc);
        Ok(Call {
            lease,
            rpc,
            metadata,
            credentials,
            counters: Arc::clone(&self.counters),
            timeout: self.timeout,
            extra: AtomicU64::new(0),
            deadline: self.policy.deadline,
        })
    }
}

impl Call {
    pub(crate) fn channel(&self) -> Channel {
        self.lease.channel()
    }

    /// Gives the call more time: it moves this many bytes of blobs, perhaps over a slow line.
    pub(crate) fn moves(&self, bytes: u64) {
        self.allow(Duration::from_secs(bytes / SLOWEST_LINE));
    }

    /// Gives the call more time.
    pub(crate) fn allow(&self, extra: Duration) {
        let milliseconds = u64::try_from(extra.as_millis()).unwrap_or(u64::MAX);
        self.extra.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// How long nothing may happen.
    pub(crate) fn timeout_left(&self) -> Duration {
        let extra = Duration::from_millis(self.extra.load(Ordering::Relaxed));
        let timeout_left = self.timeout.saturating_add(extra);
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        self.deadline
            .map_or(timeout_left, |end| timeout_left.min(left(end)))
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(crate) fn credentials(&self) -> &[Header] {
        &self.credentials
    }

    /// A request with the headers of this call; its bytes are counted as sent.
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

    /// Waits for the head of an answer: for a stream, that it begins.
    pub(crate) async fn begun<M>(
        &self,
        answer: impl Future<Output = Result<Response<M>, Status>>,
    ) -> Result<Response<M>, Failure> {
        self.raw(answer)
            .await?
            .map_err(|status| Failure::from_call(self.rpc, &status))
    }

    /// Like `begun`, but the caller reads the status.
    pub(crate) async fn raw<T>(&self, answer: impl Future<Output = T>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout_left(), answer).await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.silent()),
        }
    }

    /// The next message of a stream, which may not be silent for longer than the deadline of a
    /// call.
    pub(crate) async fn next<M: Message + Default>(
        &self,
        stream: &mut Streaming<M>,
    ) -> Result<Option<M>, Failure> {
        let message = self
            .raw(stream.message())
            .await?
            .map_err(|status| Failure::from_call(self.rpc, &status))?;
        if let Some(message) = &message {
            self.counters.received(message.encoded_len());
        }
        Ok(message)
    }

    /// Returns when the link has no more time for the farm.
    pub(crate) async fn is_too_late(&self) {
        match self.deadline {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// The connection let a deadline pass: it is not used again.
    pub(crate) fn silent(&self) -> Failure {
        self.lease.retire();
        match self.timeout_left() {
            Duration::ZERO => Failure::too_late(self.rpc),
            timeout_left => Failure::timeout(self.rpc, timeout_left),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire(instance `{}`)", self.instance)
    }
}
