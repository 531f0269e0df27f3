//! The errors of a link, in a form that can be sent to another process.

use serde::{Deserialize, Serialize};

use super::error::LinkError;
use crate::bes::FailedAction;
use crate::client_context::ClientContext;
use crate::error::{Hinted, PlainError};
use crate::exec::JobFailure;
use crate::process::Ending;

/// Why a link failed.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum LinkFailure {
    /// The compiler cannot be resolved, so nothing can be sent or sandboxed; it may compile all the
    /// same.
    #[error(transparent)]
    Compiler(PlainError),
    #[error(transparent)]
    Job(Box<JobFailure>),
    /// Cached results were wrong, and the user wants that to fail the link.
    #[error(transparent)]
    Wrong(PlainError),
    #[error("the link was cancelled")]
    Cancelled,
    #[error(transparent)]
    Other(PlainError),
}

impl LinkFailure {
    /// With the file names that the requesting process used.
    pub fn new(error: LinkError, client_context: &ClientContext) -> Self {
        let edit = |text: &str| client_context.relativize_messages(text);
        if error.is_cancellation() {
            return Self::Cancelled;
        }
        match error {
            LinkError::Compiler(error) => Self::Compiler(PlainError::of(&*error, &edit)),
            LinkError::Job(failure) => Self::Job(Box::new(failure.edited(&edit))),
            LinkError::Wrong(error) => Self::Wrong(PlainError::of(&*error, &edit)),
            error => Self::Other(PlainError::of(&error, &edit)),
        }
    }
}

impl LinkFailure {
    /// The action that failed, if it is one, as build events show it.
    #[must_use]
    pub fn failed_action(&self) -> Option<FailedAction> {
        let Self::Job(failure) = self else {
            return None;
        };
        let JobFailure::Compiler {
            module,
            reason,
            ending,
            stderr,
            ..
        } = &**failure
        else {
            return None;
        };
        Some(FailedAction {
            module: module.clone(),
            exit_code: match ending {
                Ending::Exited(code) => *code,
                Ending::Signalled(signal) => 128 + signal,
            },
            stderr: stderr.clone(),
            reason: reason.clone(),
        })
    }
}

impl Hinted for LinkFailure {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Compiler(error) | Self::Wrong(error) | Self::Other(error) => error.hints(),
            Self::Job(failure) => failure.hints(),
            Self::Cancelled => Vec::new(),
        }
    }
}
