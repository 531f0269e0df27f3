//! The errors of a link, within this process.

use super::delivery::DeliveryError;
use super::planner::PlanError;
use super::verify::WrongResults;
use crate::compiler::CompilerError;
use crate::error::Hinted;
use crate::exec::JobFailure;
use crate::reapi::ConnectError;

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(transparent)]
    Compiler(#[from] Box<CompilerError>),
    #[error(transparent)]
    Plan(#[from] Box<PlanError>),
    #[error(transparent)]
    Job(#[from] Box<JobFailure>),
    #[error("the farm cannot be used")]
    Farm(#[from] Box<ConnectError>),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Wrong(#[from] Box<WrongResults>),
    #[error("cannot start compiler processes")]
    Machine(#[source] std::io::Error),
    #[error("the link was cancelled")]
    Cancelled,
}

impl LinkError {
    /// Whether this job was stopped because of something that happened elsewhere.
    #[must_use]
    pub fn is_cancellation(&self) -> bool {
        match self {
            Self::Job(failure) => matches!(**failure, JobFailure::Cancelled { .. }),
            Self::Cancelled | Self::Delivery(DeliveryError::LinkerGone) => true,
            Self::Compiler(_)
            | Self::Plan(_)
            | Self::Farm(_)
            | Self::Delivery(_)
            | Self::Wrong(_)
            | Self::Machine(_) => false,
        }
    }
}

impl LinkError {
    /// The hints for a link that must not fall back to this machine.
    #[must_use]
    pub fn hints_without_fallback(&self) -> Vec<String> {
        match self {
            Self::Farm(error) => error.hints(),
            Self::Job(error) => match &**error {
                JobFailure::Farm { hints, .. } => hints.clone(),
                error => error.hints(),
            },
            error => error.hints(),
        }
    }
}

impl Hinted for LinkError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Compiler(error) => error.hints(),
            Self::Plan(error) => error.hints(),
            Self::Job(error) => error.hints(),
            Self::Farm(error) => {
                let mut hints = error.hints();
                hints.push("`remote_local_fallback` would run the jobs on this machine".to_owned());
                hints
            }
            Self::Delivery(error) => error.hints(),
            Self::Wrong(error) => error.hints(),
            Self::Machine(_) | Self::Cancelled => Vec::new(),
        }
    }
}
