//! Finds out for `relto doctor` what stands between this machine and a farm, and what the farm
//! offers.
//!
//! For each address the report says how far relto got, or what the server announces and what relto
//! makes of it. Nothing is stored or executed. A link uses [`connect`](super::connect) instead.

pub(crate) mod unreached;

use std::io;

use tokio::net::{TcpStream, UnixStream};

use crate::pb::reapi::ServerCapabilities;
use crate::pb::reapi::compressor::Value as Compressor;
use crate::reapi::capabilities::{
    Capabilities, CapabilityError, ask, function_names, merge, version_text,
};
use crate::reapi::connect::{ConnectError, dials, for_first_answer, transport};
use crate::reapi::failure::FailureKind;
use crate::reapi::limits::FIRST_ANSWER;
use crate::reapi::options::ClientOptions;
use crate::reapi::probe::unreached::{Unreached, diagnose, speaks_of_certificates};
use crate::reapi::transport::address::Address;
use crate::reapi::transport::host_names::look_up;
use crate::reapi::transport::{Service, Transport};

/// What was found out.
#[derive(Debug)]
pub struct FarmProbe {
    /// The executor's before the cache's, where they are two.
    pub servers: Vec<Probed>,
    /// What relto makes of it; `None` where a server did not answer.
    pub capabilities: Option<Result<Capabilities, CapabilityError>>,
}

/// One address.
#[derive(Debug)]
pub struct Probed {
    pub address: String,
    /// `executor and cache`, `executor` or `cache`.
    pub role: &'static str,
    pub answer: Result<Offer, Unreached>,
}

/// What a server says it offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// As in `2.0 to 2.12`; `None` where it does not say.
    pub versions: Option<String>,
    pub digest_functions: String,
    /// Bytes; `None` where it names no limit.
    pub batch_limit: Option<u64>,
    /// Bytes; `None` where it names no limit.
    pub largest_blob: Option<u64>,
    pub stream_compressors: String,
    pub batch_compressors: String,
    pub updates_action_cache: bool,
    pub executes: bool,
}

/// Asks all addresses.
///
/// # Errors
/// The options make no sense.
pub async fn probe(options: &ClientOptions) -> Result<FarmProbe, ConnectError> {
    let mut transport = transport(dials(options)?, options)?;
    for_first_answer(&mut transport);
    let mut servers = Vec::new();
    let mut answers = Vec::new();
    for (address, service, name) in addresses(options) {
        let answer = match examine(&transport, address, service, options).await {
            Ok(said) => {
                let offer = Offer::new(&said);
                answers.push(said);
                Ok(offer)
            }
            Err(unreached) => Err(unreached),
        };
        servers.push(Probed {
            address: address.to_string(),
            role: name,
            answer,
        });
    }
    let complete = answers.len() == servers.len();
    let capabilities = answers.last().filter(|_| complete).map(|cache| {
        let execution = options.executor.as_ref().and(answers.first());
        merge(cache, execution, options)
    });
    Ok(FarmProbe {
        servers,
        capabilities,
    })
}

/// Each address once, and what it is used for.
fn addresses(options: &ClientOptions) -> Vec<(&Address, Service, &'static str)> {
    match (&options.executor, &options.cache) {
        (Some(executor), Some(cache)) if executor != cache => vec![
            (executor, Service::Execution, "executor"),
            (cache, Service::Cache, "cache"),
        ],
        (Some(executor), _) => vec![(executor, Service::Execution, "executor and cache")],
        (None, cache) => cache
            .iter()
            .map(|cache| (cache, Service::Cache, "cache"))
            .collect(),
    }
}

async fn examine(
    transport: &Transport,
    address: &Address,
    service: Service,
    options: &ClientOptions,
) -> Result<ServerCapabilities, Unreached> {
    reach(address).await?;
    let failure = match ask(transport, service).await {
        Ok(said) => return Ok(said),
        Err(failure) => failure,
    };
    let silent = matches!(
        failure.kind,
        FailureKind::Unreachable | FailureKind::Timeout
    );
    if silent
        && let Address::Tcp {
            tls: false,
            host,
            port,
        } = address
        && speaks_tls(host, *port, options).await
    {
        return Err(Unreached::OnlyTls {
            address: address.to_string(),
        });
    }
    Err(diagnose(address, failure))
}

/// Opens a connection and closes it again.
async fn reach(address: &Address) -> Result<(), Unreached> {
    let no_connection = |source| Unreached::NoConnection {
        address: address.to_string(),
        source,
    };
    let (host, port) = match address {
        Address::Unix(path) => {
            let connected = UnixStream::connect(path).await;
            return connected.map(drop).map_err(no_connection);
        }
        Address::Tcp { host, port, .. } | Address::Http { host, port, .. } => {
            (host.trim_start_matches('[').trim_end_matches(']'), *port)
        }
    };
    let found = answered(look_up(host.to_owned(), port)).await;
    let found = found.map_err(|source| Unreached::NoName {
        address: address.to_string(),
        source,
    })?;
    let connected = answered(TcpStream::connect(&found[..])).await;
    connected.map(drop).map_err(no_connection)
}

/// What `question` brings, unless that takes too long.
async fn answered<T>(question: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let ended = tokio::time::timeout(FIRST_ANSWER, question).await;
    ended.unwrap_or_else(|_| {
        let silence = format!("no answer for {} s", FIRST_ANSWER.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, silence))
    })
}

/// Whether a server that does not answer in plain text does with TLS, trusted or not.
async fn speaks_tls(host: &str, port: u16, options: &ClientOptions) -> bool {
    let address = Address::Tcp {
        tls: true,
        host: host.to_owned(),
        port,
    };
    let options = ClientOptions {
        executor: None,
        cache: Some(address),
        ..options.clone()
    };
    let made = dials(&options).and_then(|dials| transport(dials, &options));
    let Ok(mut transport) = made else {
        return false;
    };
    for_first_answer(&mut transport);
    match ask(&transport, Service::Cache).await {
        Ok(_) => true,
        Err(failure) => match failure.kind {
            FailureKind::Unreachable => speaks_of_certificates(&failure),
            FailureKind::Timeout => false,
            _ => true,
        },
    }
}

impl Offer {
    fn new(said: &ServerCapabilities) -> Self {
        let stored = said.cache_capabilities.clone().unwrap_or_default();
        let executes = said.execution_capabilities.as_ref();
        let functions = match executes {
            Some(found) if stored.digest_functions.is_empty() => &found.digest_functions,
            _ => &stored.digest_functions,
        };
        let limit = |size: i64| u64::try_from(size).ok().filter(|size| *size > 0);
        Self {
            versions: versions(said),
            digest_functions: function_names(functions),
            batch_limit: limit(stored.max_batch_total_size_bytes),
            largest_blob: limit(stored.max_cas_blob_size_bytes),
            stream_compressors: compressors(&stored.supported_compressors),
            batch_compressors: compressors(&stored.supported_batch_update_compressors),
            updates_action_cache: stored
                .action_cache_update_capabilities
                .is_some_and(|update| update.update_enabled),
            executes: executes.is_some_and(|found| found.exec_enabled),
        }
    }
}

fn versions(said: &ServerCapabilities) -> Option<String> {
    let low = said.low_api_version.as_ref()?;
    let high = said.high_api_version.as_ref()?;
    Some(format!("{} to {}", version_text(low), version_text(high)))
}

fn compressors(list: &[i32]) -> String {
    let name = |number: &i32| {
        Compressor::try_from(*number).map_or("an unknown one", |found| found.as_str_name())
    };
    let names: Vec<_> = list
        .iter()
        .filter(|number| **number != 0)
        .map(name)
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ").to_lowercase()
    }
}
