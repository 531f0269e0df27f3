//! The farm's capabilities: the answers of both addresses, merged, with usable limits.
//!
//! Each address may know only its own half. A server without the service is taken to be a plain
//! one.

use crate::digest::DigestFunction;
use crate::error::Hinted;
use crate::pb::reapi::compressor::Value as Compressor;
use crate::pb::reapi::digest_function::Value as Function;
use crate::pb::reapi::{self, ServerCapabilities};
use crate::pb::semver::SemVer;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::{DEFAULT_MESSAGE_LIMIT, LARGEST_MESSAGE, MESSAGE_SLACK, SMALLEST_BATCH};
use crate::reapi::options::ClientOptions;
use crate::reapi::rpc::Rpc;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;
use crate::reapi::transport::{Service, Transport};

/// Which field of Command names the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStyle {
    /// `output_files`: the server speaks nothing newer than 2.0.
    Files,
    /// `output_paths`, from 2.1 on.
    Paths,
}

/// What relto can rely on, from whichever address.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a separate ability of a server"
)]
pub struct Capabilities {
    pub digest_function: DigestFunction,
    pub output_style: OutputStyle,
    /// The newest version that the server speaks, for `doctor`.
    pub high_version: String,
    /// Otherwise the farm is only a cache.
    pub can_execute: bool,
    pub can_update_action_cache: bool,
    /// Bytes of blobs in one batch, entries' overhead included.
    pub batch_limit: usize,
    /// `max_cas_blob_size_bytes`, if the server sets it.
    pub largest_blob: Option<u64>,
    pub zstd_streams: bool,
    pub zstd_batches: bool,
}

/// Why a farm cannot be used with these options.
#[derive(Debug, thiserror::Error)]
pub enum CapabilityError {
    #[error("the farm speaks REAPI {low} to {high} and relto 2.0 to 2.12")]
    Version { low: String, high: String },
    #[error("the farm computes digests by {theirs} and relto by {ours}")]
    DigestFunction {
        theirs: String,
        ours: String,
        /// The farm offers the function that `digest_function` rules out.
        unset_helps: bool,
    },
    #[error("`{0}` does not execute anything")]
    NoExecution(String),
    #[error("the farm does not answer")]
    Unanswered(#[source] Failure),
}

impl Hinted for CapabilityError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Version { .. } => Vec::new(),
            Self::DigestFunction {
                unset_helps: true, ..
            } => {
                vec!["leave `digest_function` unset to use what the farm offers".to_owned()]
            }
            Self::DigestFunction { .. } => {
                vec!["switch SHA256 or BLAKE3 on in the farm's configuration".to_owned()]
            }
            Self::NoExecution(_) => vec![
                "check `remote_instance_name`, or give the address as `remote_cache`: then it is used as a cache"
                    .to_owned(),
            ],
            Self::Unanswered(failure) => failure.hints(),
        }
    }
}

/// Asks both addresses at once and merges their answers.
///
/// # Errors
/// Which of them is the reason, and why.
pub(super) async fn discover(
    transport: &Transport,
    options: &ClientOptions,
) -> Result<Capabilities, (Service, CapabilityError)> {
    let ask_one = async |service| {
        let answer = ask(transport, service).await;
        let answer = answer.map_err(CapabilityError::Unanswered);
        let checked = answer.and_then(|answer| check_version(&answer).map(|()| answer));
        checked.map_err(|error| (service, error))
    };
    let (cache, execution) = match &transport.execution {
        Some(_) if options.cache.is_some() && options.cache != options.executor => {
            let (cache, execution) =
                tokio::join!(ask_one(Service::Cache), ask_one(Service::Execution));
            (cache?, Some(execution?))
        }
        Some(_) => {
            let both = ask_one(Service::Execution).await?;
            (both.clone(), Some(both))
        }
        None => (ask_one(Service::Cache).await?, None),
    };
    merge(&cache, execution.as_ref(), options).map_err(|error| (Service::Execution, error))
}

/// The answer of one address. A server without the service is taken to be a plain one, but a web
/// server that does not know the path is not.
pub(super) async fn ask(
    transport: &Transport,
    service: Service,
) -> Result<ServerCapabilities, Failure> {
    let message = reapi::GetCapabilitiesRequest {
        instance_name: transport.instance.clone(),
    };
    let context = RequestContext::default();
    let asked = transport.call(
        service,
        TrafficClass::Calls,
        Rpc::GetCapabilities,
        &context,
        |call| {
            let message = message.clone();
            async move {
                let mut client =
                    reapi::capabilities_client::CapabilitiesClient::new(call.channel())
                        .max_decoding_message_size(LARGEST_MESSAGE);
                let request = call.request(message);
                call.answer(client.get_capabilities(request)).await
            }
        },
    );
    match asked.await {
        Err(failure) if failure.kind == FailureKind::Unsupported && failure.http.is_none() => {
            Ok(plain(service))
        }
        asked => asked,
    }
}

/// What a server without the service is assumed to offer.
fn plain(service: Service) -> ServerCapabilities {
    ServerCapabilities {
        execution_capabilities: (service == Service::Execution).then(|| {
            reapi::ExecutionCapabilities {
                exec_enabled: true,
                ..reapi::ExecutionCapabilities::default()
            }
        }),
        ..ServerCapabilities::default()
    }
}

/// `cache` and `execution` may be the same answer.
pub(super) fn merge(
    cache: &ServerCapabilities,
    execution: Option<&ServerCapabilities>,
    options: &ClientOptions,
) -> Result<Capabilities, CapabilityError> {
    for server in std::iter::once(cache).chain(execution) {
        check_version(server)?;
    }
    let executes = execution.and_then(|server| server.execution_capabilities.as_ref());
    let can_execute = executes.is_some_and(|found| found.exec_enabled);
    if execution.is_some() && !can_execute {
        let address = options.executor.as_ref().map(ToString::to_string);
        return Err(CapabilityError::NoExecution(address.unwrap_or_default()));
    }
    let stored = cache.cache_capabilities.clone().unwrap_or_default();
    let high = execution.unwrap_or(cache).high_api_version.as_ref();
    let zstd = |list: &[i32]| options.compression && list.contains(&(Compressor::Zstd as i32));
    Ok(Capabilities {
        digest_function: choose_function(&stored.digest_functions, executes, options)?,
        output_style: output_style(high),
        high_version: high.map_or_else(|| "2.0".to_owned(), version_text),
        can_execute,
        can_update_action_cache: stored
            .action_cache_update_capabilities
            .is_some_and(|update| update.update_enabled),
        batch_limit: batch_limit(stored.max_batch_total_size_bytes),
        largest_blob: u64::try_from(stored.max_cas_blob_size_bytes)
            .ok()
            .filter(|size| *size > 0),
        zstd_streams: zstd(&stored.supported_compressors),
        zstd_batches: zstd(&stored.supported_batch_update_compressors),
    })
}

/// All 2.x versions are compatible except for older and newer fields. BuildBuddy calls itself 99.9.
fn check_version(server: &ServerCapabilities) -> Result<(), CapabilityError> {
    let oldest = server
        .deprecated_api_version
        .as_ref()
        .or(server.low_api_version.as_ref());
    let low = oldest.map_or(2, |version| version.major);
    let high = server
        .high_api_version
        .as_ref()
        .map_or(2, |version| version.major);
    // Servers that leave a field at zero accept any version.
    if low > 2 || (high != 0 && high < 2) {
        let text = |version: Option<&SemVer>| version.map_or_else(|| "?".to_owned(), version_text);
        return Err(CapabilityError::Version {
            low: text(oldest),
            high: text(server.high_api_version.as_ref()),
        });
    }
    Ok(())
}

pub(super) fn version_text(version: &SemVer) -> String {
    format!("{}.{}", version.major, version.minor)
}

fn output_style(high: Option<&SemVer>) -> OutputStyle {
    match high {
        Some(version) if (version.major, version.minor) >= (2, 1) => OutputStyle::Paths,
        _ => OutputStyle::Files,
    }
}

fn choose_function(
    stored: &[i32],
    execution: Option<&reapi::ExecutionCapabilities>,
    options: &ClientOptions,
) -> Result<DigestFunction, CapabilityError> {
    let executed: Vec<i32> = match execution {
        Some(found) if !found.digest_functions.is_empty() => found.digest_functions.clone(),
        Some(found) if found.digest_function != 0 => vec![found.digest_function],
        _ => Vec::new(),
    };
    // An empty list was not filled in: every server has SHA256.
    let offers = |list: &[i32], function: DigestFunction| {
        list.contains(&function.to_pb()) || (list.is_empty() && function == DigestFunction::Sha256)
    };
    let common = |function: DigestFunction| {
        offers(stored, function)
            && (execution.is_none()
                || offers(&executed, function)
                || (executed.is_empty() && stored.contains(&function.to_pb())))
    };
    let known = [DigestFunction::Sha256, DigestFunction::Blake3];
    let wanted = match options.digest_function {
        Some(function) => vec![function],
        None => known.to_vec(),
    };
    wanted
        .iter()
        .copied()
        .find(|function| common(*function))
        .ok_or_else(|| CapabilityError::DigestFunction {
            theirs: function_names(if executed.is_empty() {
                stored
            } else {
                &executed
            }),
            ours: wanted
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or "),
            unset_helps: known.iter().any(|function| common(*function)),
        })
}

pub(super) fn function_names(list: &[i32]) -> String {
    let names = list.iter().map(|number| {
        Function::try_from(*number).map_or("an unknown function", |function| function.as_str_name())
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Zero means that only gRPC's own limit holds. Larger values are not trusted.
fn batch_limit(advertised: i64) -> usize {
    let advertised = usize::try_from(advertised)
        .ok()
        .filter(|limit| *limit > 0)
        .unwrap_or(DEFAULT_MESSAGE_LIMIT)
        .min(DEFAULT_MESSAGE_LIMIT - MESSAGE_SLACK);
    advertised.max(SMALLEST_BATCH)
}

#[cfg(test)]
mod tests;
