//! One call: a stream on a connection, its headers, its deadline, its retries, its place in the
//! counters.
//!
//! Enters: a role (cache or execution) and a closure that makes one attempt. Leaves: the answer or
//! a `Failure`. What is asked is the business of the files named after the services.

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

use super::channel::{Lane, Lease, Pool};
use super::credentials::Credentials;
use super::metadata::{Metadata, RequestContext, append};
use super::options::{ClientOptions, Header};
use super::retry::{Attempts, Budget, Circuit, Policy};
use super::rpc::{Counters, Rpc};
use super::status::{Failure, FailureKind};

/// The largest message that relto takes: several times what it asks for, so that no honest server
/// meets it.
pub(super) const LARGEST_ANSWER: usize = 64 << 20;

/// Bytes a second that a line must carry, shared by all calls that move blobs.
const SLOWEST_LINE: u64 = 32 << 10;

/// Which of the farm's two addresses a call goes to; they may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// CAS and action cache.
    Cache,
    Execution,
}

/// One address of the farm.
#[derive(Clone)]
pub(super) struct Side {
    pub(super) pool: Arc<Pool>,
    pub(super) headers: Vec<Header>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) circuit: Arc<Circuit>,
}

pub(super) struct Wire {
    pub(super) cache: Side,
    pub(super) execution: Option<Side>,
    pub(super) metadata: Metadata,
    pub(super) policy: Policy,
    pub(super) budget: Budget,
    pub(super) counters: Arc<Counters>,
    /// For the answer of a unary call, and for silence on a stream.
    pub(super) timeout: Duration,
    pub(super) instance: String,
}

/// The right to make one call.
pub(super) struct Call {
    pub(super) lease: Lease,
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

impl Wire {
    /// The same addresses and connections for another link, which has its own names, limits and
    /// counters.
    pub(super) fn of_link(&self, options: &ClientOptions) -> Self {
        Self {
            cache: self.cache.clone(),
            execution: self.execution.clone(),
            metadata: Metadata::new(&options.invocation),
            policy: Policy::new(options.retries, options.deadline),
            budget: Budget::default(),
            counters: Arc::default(),
            timeout: self.timeout,
            instance: self.instance.clone(),
        }
    }

    pub(super) fn side(&self, role: Role) -> &Side {
        match role {
            Role::Cache => &self.cache,
            Role::Execution => self.execution.as_ref().unwrap_or(&self.cache),
        }
    }

    pub(super) fn attempts(&self, role: Role, rpc: Rpc) -> Attempts<'_> {
        Attempts::new(&self.policy, &self.budget, &self.side(role).circuit, rpc)
    }

    /// Makes attempts until one succeeds, fails for good, or there are none left. Credentials that
    /// are refused are renewed once.
    pub(super) async fn call<T, F, Fut>(
        &self,
        role: Role,
        lane: Lane,
        rpc: Rpc,
        context: &RequestContext,
        mut attempt: F,
    ) -> Result<T, Failure>
    where
        F: FnMut(Call) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = self.attempts(role, rpc);
        let mut renewed = false;
        loop {
            attempts.admit().await?;
            let call = self.open(role, lane, rpc, context).await?;
            let used = call.credentials.clone();
            let ended = Box::pin(attempt(call)).await;
            attempts.ended(&ended);
            match ended {
                Ok(value) => {
                    attempts.succeeded();
                    return Ok(value);
                }
                Err(failure) if self.may_renew(role, &failure) && !renewed => {
                    renewed = true;
                    self.side(role).credentials.refuse(&used).await;
                }
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    /// Whether other credentials may help.
    pub(super) fn may_renew(&self, role: Role, failure: &Failure) -> bool {
        failure.kind == FailureKind::Unauthenticated && self.side(role).credentials.can_refresh()
    }

    /// Takes a stream and makes the headers of one attempt.
    pub(super) async fn open(
        &self,
        role: Role,
        lane: Lane,
        rpc: Rpc,
        context: &RequestContext,
    ) -> Result<Call, Failure> {
        let side = self.side(role);
        let unauthenticated = |text: String| Failure::new(FailureKind::Unauthenticated, rpc, text);
        let credentials = side
            .credentials
            .headers()
            .await
            .map_err(|error| unauthenticated(error.to_string()))?;
        let mut metadata = self.metadata.of_call(context);
        append(&mut metadata, &side.headers)
            .and_then(|()| append(&mut metadata, &credentials))
            .map_err(|error| unauthenticated(error.to_string()))?;
        let lease = side.pool.lease(lane).await;
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
    pub(super) fn channel(&self) -> Channel {
        self.lease.channel()
    }

    /// Gives the call more time: it moves this many bytes of blobs, perhaps over a slow line.
    pub(super) fn moves(&self, bytes: u64) {
        self.allow(Duration::from_secs(bytes / SLOWEST_LINE));
    }

    /// Gives the call more time.
    pub(super) fn allow(&self, extra: Duration) {
        let milliseconds = u64::try_from(extra.as_millis()).unwrap_or(u64::MAX);
        self.extra.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// How long nothing may happen.
    pub(super) fn patience(&self) -> Duration {
        let extra = Duration::from_millis(self.extra.load(Ordering::Relaxed));
        let patience = self.timeout.saturating_add(extra);
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        self.deadline
            .map_or(patience, |end| patience.min(left(end)))
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(super) fn credentials(&self) -> &[Header] {
        &self.credentials
    }

    /// A request with the headers of this call; its bytes are counted as sent.
    pub(super) fn request<M: Message>(&self, message: M) -> Request<M> {
        self.counters.sent(message.encoded_len());
        self.stream_request(message)
    }

    /// A request whose bytes are counted as they are sent.
    pub(super) fn stream_request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    /// Waits for the answer of a unary call.
    pub(super) fn answer<M: Message>(
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
    pub(super) async fn begun<M>(
        &self,
        answer: impl Future<Output = Result<Response<M>, Status>>,
    ) -> Result<Response<M>, Failure> {
        self.raw(answer)
            .await?
            .map_err(|status| Failure::from_call(self.rpc, &status))
    }

    /// Like `begun`, but the caller reads the status.
    pub(super) async fn raw<T>(&self, answer: impl Future<Output = T>) -> Result<T, Failure> {
        match tokio::time::timeout(self.patience(), answer).await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.silent()),
        }
    }

    /// The next message of a stream, which may not be silent for longer than the deadline of a
    /// call.
    pub(super) async fn next<M: Message + Default>(
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
    pub(super) async fn is_too_late(&self) {
        match self.deadline {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// The connection let a deadline pass: it is not used again.
    pub(super) fn silent(&self) -> Failure {
        self.lease.condemn();
        match self.patience() {
            Duration::ZERO => Failure::too_late(self.rpc),
            patience => Failure::timeout(self.rpc, patience),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire(instance `{}`)", self.instance)
    }
}
