//! One link, from the job file to the exit code.
//!
//! Enters: a job file and the options that concern it. Leaves: every object where lld looks for it,
//! or the reason why not. Owns cancellation: when one job fails, or lld is gone, everything stops.
//! What the user sees of it is told in events.

pub mod ahead;
mod compiler;
mod connections;
mod deliver;
pub mod doctor;
pub mod explain;
mod farm;
mod options;
mod plan;
mod record;
mod runners;
mod schedule;
mod site;
mod tools;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::deliver::{Delivery, DeliveryError};
use self::farm::Farm;
pub use self::farm::FarmOptions;
pub use self::options::Options;
use self::plan::PlanError;
pub use self::site::Site;
pub use self::tools::ToolchainSource;
use self::tools::{Tools, ToolsError};
pub use self::verdict::Verdict;
use crate::client_context::ClientContext;
use crate::error::Hinted;
use crate::events::{Events, JobId};
use crate::exec::JobFailure;
use crate::exec::queue::Queue;
use crate::hash_cache::HashCache;
use crate::job::JobFile;
use crate::process::Slots;
use crate::reapi::ConnectError;

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(transparent)]
    Tools(#[from] Box<ToolsError>),
    #[error(transparent)]
    Plan(#[from] Box<PlanError>),
    #[error(transparent)]
    Job(#[from] Box<JobFailure>),
    #[error("the farm cannot be used")]
    Farm(#[from] Box<ConnectError>),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error("the machine has nothing left to run compilers with")]
    Machine(#[source] std::io::Error),
    #[error("the link was given up")]
    Cancelled,
}

impl LinkError {
    /// Whether this job was stopped for something that happened elsewhere.
    pub fn is_cancellation(&self) -> bool {
        match self {
            Self::Job(failure) => matches!(**failure, JobFailure::Cancelled { .. }),
            Self::Cancelled | Self::Delivery(DeliveryError::NobodyWaits) => true,
            Self::Tools(_)
            | Self::Plan(_)
            | Self::Farm(_)
            | Self::Delivery(_)
            | Self::Machine(_) => false,
        }
    }
}

impl Hinted for LinkError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Tools(error) => error.hints(),
            Self::Plan(error) => error.hints(),
            Self::Job(error) => error.hints(),
            Self::Farm(error) => {
                let mut hints = error.hints();
                hints.push("`remote_local_fallback` would run the jobs on this machine".to_owned());
                hints
            }
            Self::Delivery(error) => error.hints(),
            Self::Machine(_) | Self::Cancelled => Vec::new(),
        }
    }
}

/// What all parts of a running link share.
#[derive(Debug)]
struct Link {
    file: JobFile,
    tools: Tools,
    hash_cache: Arc<HashCache>,
    delivery: Delivery,
    events: Events,
    cancel: CancellationToken,
    farm: Option<Farm>,
    /// Local slots take jobs that the farm may have, too.
    beside_farm: bool,
    slots: Slots,
    client_context: ClientContext,
    /// Results that are written at a time: hundreds may come at once, and more threads than this
    /// only wait for each other.
    writing: Semaphore,
    /// Jobs without a result.
    queue: Arc<Queue>,
    /// The order in which jobs are planned.
    order: Vec<JobId>,
    /// The first place in `order` that nobody plans yet.
    next: AtomicUsize,
}

/// Runs all jobs of `file` in a process that has nothing else to do. Ends early, with every
/// compiler gone, when `cancel` fires.
///
/// # Errors
/// The first failure; the other jobs are stopped then.
pub async fn run(
    file: JobFile,
    options: &Options,
    events: Events,
    cancel: CancellationToken,
) -> Result<(), LinkError> {
    let site = Site::of_one_link(options);
    site.run(file, options, events, cancel).await
}
