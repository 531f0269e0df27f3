//! Makes calls: connections, headers, deadlines, retries and counters.
//!
//! [`Transport::call`] repeats an attempt as long as that is worthwhile. What is asked is decided
//! by the modules named after the services.

pub(crate) mod address;
pub(crate) mod call;
pub(crate) mod connector;
pub(crate) mod credentials;
pub(crate) mod host_names;
pub(crate) mod http;
pub(crate) mod inbound;
pub(crate) mod metadata;
pub(crate) mod pool;
pub(crate) mod tls;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::MetadataMap;

pub(crate) use call::Call;
use credentials::Credentials;
use inbound::InboundBudget;
use metadata::{LinkMetadata, RequestContext, append};
use pool::{ConnectionPool, TrafficClass};

use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::health::circuit::CircuitBreaker;
use crate::reapi::health::retry::{Attempts, RetryBudget, RetryPolicy};
use crate::reapi::limits::FIRST_ANSWER;
use crate::reapi::options::{ClientOptions, Header};
use crate::reapi::rpc::{Counters, Rpc};

/// Which of the farm's two addresses a call goes to. They may be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// CAS and action cache.
    Cache,
    Execution,
}

/// One address of the farm.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) pool: Arc<ConnectionPool>,
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
    pub(crate) inbound: InboundBudget,
    pub(crate) counters: Arc<Counters>,
    /// Limits a unary call, and a stream without progress.
    pub(crate) timeout: Duration,
    pub(crate) instance: String,
}

impl Transport {
    /// The same addresses and connections for another link, with names, limits and counters of its
    /// own.
    pub(crate) fn for_link(&self, options: &ClientOptions) -> Self {
        for endpoint in self.endpoints() {
            endpoint.circuit.try_again();
        }
        Self {
            cache: self.cache.clone(),
            execution: self.execution.clone(),
            metadata: LinkMetadata::new(&options.caller),
            policy: RetryPolicy::new(options.retries, options.deadline),
            budget: RetryBudget::default(),
            inbound: InboundBudget::default(),
            counters: Arc::default(),
            timeout: self.timeout,
            instance: self.instance.clone(),
        }
    }

    /// Whether a server last refused a method that it served before.
    pub(crate) fn has_withdrawn(&self) -> bool {
        let mut endpoints = self.endpoints();
        endpoints.any(|endpoint| endpoint.circuit.has_withdrawn())
    }

    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.cache).chain(&self.execution)
    }

    pub(crate) fn endpoint(&self, service: Service) -> &Endpoint {
        match service {
            Service::Cache => &self.cache,
            Service::Execution => self.execution.as_ref().unwrap_or(&self.cache),
        }
    }

    pub(crate) fn attempts(&self, service: Service, rpc: Rpc) -> Attempts<'_> {
        let circuit = &self.endpoint(service).circuit;
        Attempts::new(&self.policy, &self.budget, circuit, rpc)
    }

    /// Makes attempts until one succeeds, fails for good, or none is left. Credentials that are
    /// refused are renewed once.
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
        let mut renewal = Renewal::default();
        loop {
            attempts.admit().await?;
            let mut call = self.open(service, class, rpc, context).await?;
            if attempts.is_trial() && class == TrafficClass::Calls {
                call.shorten(FIRST_ANSWER);
            }
            let used = call.credentials().to_vec();
            let ended = Box::pin(attempt(call)).await;
            attempts.ended(&ended);
            match ended {
                Ok(value) => {
                    attempts.succeeded();
                    return Ok(value);
                }
                Err(failure) if renewal.renew(self, service, &failure, &used).await => {}
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    /// Acquires a stream and makes the headers of one attempt.
    pub(crate) async fn open(
        &self,
        service: Service,
        class: TrafficClass,
        rpc: Rpc,
        context: &RequestContext,
    ) -> Result<Call, Failure> {
        let endpoint = self.endpoint(service);
        let (credentials, headers) = (&endpoint.credentials, &endpoint.headers);
        let metadata = self.metadata.of_call(context);
        let (metadata, credentials) = complete(metadata, rpc, headers, credentials).await?;
        let lease = endpoint.pool.lease(class).await;
        self.counters.request(rpc);
        Ok(Call::new(self, lease, rpc, metadata, credentials))
    }
}

/// Adds `headers` and `credentials` to the `metadata` of a call. Returns the credentials too: the
/// server may refuse them.
///
/// # Errors
/// The credential helper fails.
pub(crate) async fn complete(
    mut metadata: MetadataMap,
    rpc: Rpc,
    headers: &[Header],
    credentials: &Credentials,
) -> Result<(MetadataMap, Vec<Header>), Failure> {
    let fail = |text: String| Failure::new(FailureKind::Unauthenticated, rpc, text);
    let credentials = credentials.headers().await;
    let credentials = credentials.map_err(|error| fail(error.to_string()))?;
    append(&mut metadata, headers)
        .and_then(|()| append(&mut metadata, &credentials))
        .map_err(|error| fail(error.to_string()))?;
    Ok((metadata, credentials))
}

/// Renews the credentials of one call once, when the server refuses them.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    done: bool,
}

impl Renewal {
    /// Whether another attempt has other credentials than the `used` ones, after `failure`.
    pub(crate) async fn renew(
        &mut self,
        transport: &Transport,
        service: Service,
        failure: &Failure,
        used: &[Header],
    ) -> bool {
        if self.done {
            return false;
        }
        let credentials = &transport.endpoint(service).credentials;
        self.done = credentials.renew(failure, used).await;
        self.done
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport(instance `{}`)", self.instance)
    }
}
