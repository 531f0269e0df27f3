//! Whether the farm answers: connection, TLS, credentials, and what it can do.

use indicatif::HumanBytes;

use super::{Finding, Grade, ReportSection};
use crate::link::FarmOptions;
use crate::reapi::{Capabilities, ClientOptions, Offer, Probed, probe};

/// `grade` is how bad it is for a link when the farm cannot be used.
pub(super) async fn section(farm: &FarmOptions, grade: Grade) -> (ReportSection, bool) {
    let mut findings = Vec::new();
    let usable = match probe(&farm.client).await {
        Err(error) => {
            findings.push(Finding::of(grade, &error));
            false
        }
        Ok(found) => {
            for server in &found.servers {
                report(server, &farm.client, grade, &mut findings);
            }
            match found.capabilities {
                None => false,
                Some(Err(error)) => {
                    findings.push(Finding::of(grade, &error));
                    false
                }
                Some(Ok(capabilities)) => {
                    findings.push(use_of(&capabilities, farm));
                    findings.extend(shortcomings(&capabilities, farm));
                    true
                }
            }
        }
    };
    (ReportSection::new("Farm", findings), usable)
}

fn report(server: &Probed, client: &ClientOptions, grade: Grade, findings: &mut Vec<Finding>) {
    let offer = match &server.answer {
        Ok(offer) => offer,
        Err(unreached) => {
            findings.push(Finding::of(grade, unreached));
            return;
        }
    };
    let instance = match client.instance_name.as_str() {
        "" => String::new(),
        name => format!(" with instance `{name}`"),
    };
    let versions = offer.versions.as_deref().unwrap_or("(it does not say)");
    findings.push(Finding::good(format!(
        "{} at `{}`{instance}: REAPI {versions}",
        server.role, server.address
    )));
    if server.role != "executor" {
        findings.push(Finding::good(stores(offer)));
    }
}

fn stores(offer: &Offer) -> String {
    let limit = |bytes: Option<u64>| match bytes {
        Some(bytes) => HumanBytes(bytes).to_string(),
        None => "not named".to_owned(),
    };
    let functions = match offer.digest_functions.as_str() {
        "" => "not named",
        functions => functions,
    };
    format!(
        "digests {functions}; largest batch {}, largest blob {}; compression of streams: {}, of batches: {}",
        limit(offer.batch_limit),
        limit(offer.largest_blob),
        offer.stream_compressors,
        offer.batch_compressors
    )
}

/// What relto makes of all that.
fn use_of(capabilities: &Capabilities, farm: &FarmOptions) -> Finding {
    let work = if capabilities.can_execute {
        "executes jobs"
    } else {
        "is a cache only, jobs run here"
    };
    let zstd = match (capabilities.zstd_streams, capabilities.zstd_batches) {
        (true, true) => "zstd",
        (true, false) => "zstd for large blobs",
        (false, true) => "zstd for small blobs",
        (false, false) if farm.client.compression => "no compression",
        (false, false) => "no compression (`remote_cache_compression` is off)",
    };
    let updates = if capabilities.can_update_action_cache {
        "may be written"
    } else {
        "is read only"
    };
    Finding::good(format!(
        "the farm {work}; its action cache {updates}; used: {}, batches of {}, {zstd}",
        capabilities.digest_function,
        HumanBytes(capabilities.batch_limit as u64)
    ))
}

fn shortcomings(capabilities: &Capabilities, farm: &FarmOptions) -> Option<Finding> {
    let useless = !capabilities.can_execute
        && !capabilities.can_update_action_cache
        && farm.upload_local_results;
    useless.then(|| {
        Finding::warning(
            "the farm accepts no results from here; it only returns those of others",
            "ask for credentials that may write, or set `remote_upload_local_results` to false",
        )
    })
}
