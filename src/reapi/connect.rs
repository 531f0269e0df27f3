//! Connects to a farm.

use std::fmt;
use std::sync::Arc;

use crate::error::Hinted;
use crate::reapi::capabilities::{CapabilityError, discover};
use crate::reapi::cas::resource_name::instance_name_fault;
use crate::reapi::health::circuit::CircuitBreaker;
use crate::reapi::health::retry::{RetryBudget, RetryPolicy};
use crate::reapi::http_cache;
use crate::reapi::limits::{FIRST_ANSWER, FIRST_RETRIES};
use crate::reapi::options::{ClientOptions, Header};
use crate::reapi::rpc::Counters;
use crate::reapi::session::Session;
use crate::reapi::transport::address::Address;
use crate::reapi::transport::connector::{Connector, EndpointError};
use crate::reapi::transport::credentials::Credentials;
use crate::reapi::transport::inbound::InboundBudget;
use crate::reapi::transport::metadata::{BadHeader, LinkMetadata, append};
use crate::reapi::transport::pool::{ConnectionPool, Dial};
use crate::reapi::transport::{Endpoint, Service, Transport};

/// Why a farm cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("neither `remote_executor` nor `remote_cache` is set")]
    NoAddress,
    #[error("instance name `{name}` cannot be used: {fault}")]
    InstanceName { name: String, fault: &'static str },
    #[error("cannot connect to a farm")]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Header(#[from] BadHeader),
    #[error("cannot use the farm at `{address}`")]
    Capabilities {
        address: String,
        #[source]
        source: CapabilityError,
    },
}

impl Hinted for ConnectError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Endpoint(error) => error.hints(),
            Self::Capabilities { source, .. } => source.hints(),
            Self::NoAddress | Self::InstanceName { .. } | Self::Header(_) => Vec::new(),
        }
    }
}

/// How to open connections to the cache and, if there is one, to the executor.
pub struct Dials {
    pub cache: (Address, Dial),
    /// Its dial is `None` if it is the cache's address.
    pub execution: Option<(Address, Option<Dial>)>,
}

impl fmt::Debug for Dials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dials({})", self.cache.0)
    }
}

pub(super) async fn connect(
    dials: Dials,
    options: &ClientOptions,
) -> Result<Session, ConnectError> {
    let cache = dials.cache.0.to_string();
    let execution = dials.execution.as_ref().map(|(address, _)| address);
    let execution = execution.map_or_else(|| cache.clone(), ToString::to_string);
    let mut transport = transport(dials, options)?;
    let (retries, timeout) = (transport.policy.retries, transport.timeout);
    for_first_answer(&mut transport);
    let capabilities = discover(&transport, options)
        .await
        .map_err(|(service, source)| ConnectError::Capabilities {
            address: match service {
                Service::Cache => cache,
                Service::Execution => execution,
            },
            source,
        })?;
    (transport.policy.retries, transport.timeout) = (retries, timeout);
    Ok(Session::new(transport, capabilities, options))
}

/// Shortens timeouts and retries, so that an absent server is noticed soon.
pub(super) fn for_first_answer(transport: &mut Transport) {
    transport.policy.retries = transport.policy.retries.min(FIRST_RETRIES);
    transport.timeout = transport.timeout.min(FIRST_ANSWER);
}

pub(super) fn dials(options: &ClientOptions) -> Result<Dials, ConnectError> {
    let (executor, cache) = (options.executor.clone(), options.cache.clone());
    let store = cache
        .or_else(|| executor.clone())
        .ok_or(ConnectError::NoAddress)?;
    let execution = match executor {
        None => None,
        Some(address) if address == store => Some((address, None)),
        Some(address) => {
            let dial = dial(&address, options)?;
            Some((address, Some(dial)))
        }
    };
    let dial = dial(&store, options)?;
    Ok(Dials {
        cache: (store, dial),
        execution,
    })
}

fn dial(address: &Address, options: &ClientOptions) -> Result<Dial, ConnectError> {
    if matches!(address, Address::Http { .. }) {
        return Ok(http_cache::dial(&address.to_string(), options)?);
    }
    let connector = Connector::new(address, options)?;
    Ok(Arc::new(move || connector.connect_lazy()))
}

pub(super) fn transport(dials: Dials, options: &ClientOptions) -> Result<Transport, ConnectError> {
    if let Some(fault) = instance_name_fault(&options.instance_name) {
        return Err(ConnectError::InstanceName {
            name: options.instance_name.clone(),
            fault,
        });
    }
    let endpoint =
        |address: &Address, dial: Dial, own: &[Header]| -> Result<Endpoint, ConnectError> {
            Ok(Endpoint {
                pool: ConnectionPool::new(dial, options.max_connections),
                headers: headers(options, own)?,
                credentials: Arc::new(Credentials::new(address, options)),
                circuit: Arc::new(CircuitBreaker::default()),
            })
        };
    let (address, dial) = dials.cache;
    let cache = endpoint(&address, dial, &options.cache_headers)?;
    let execution = match dials.execution {
        None => None,
        Some((address, Some(dial))) => Some(endpoint(&address, dial, &options.exec_headers)?),
        Some((_, None)) => Some(Endpoint {
            pool: Arc::clone(&cache.pool),
            headers: headers(options, &options.exec_headers)?,
            credentials: Arc::clone(&cache.credentials),
            circuit: Arc::clone(&cache.circuit),
        }),
    };
    Ok(Transport {
        cache,
        execution,
        metadata: LinkMetadata::new(&options.caller),
        policy: RetryPolicy::new(options.retries, options.deadline),
        budget: RetryBudget::default(),
        inbound: InboundBudget::default(),
        counters: Arc::new(Counters::default()),
        timeout: options.timeout,
        instance: options.instance_name.clone(),
    })
}

/// The headers of all calls and of one service, checked once.
fn headers(options: &ClientOptions, own: &[Header]) -> Result<Vec<Header>, BadHeader> {
    let all: Vec<Header> = options.headers.iter().chain(own).cloned().collect();
    append(&mut tonic::metadata::MetadataMap::new(), &all)?;
    Ok(all)
}
