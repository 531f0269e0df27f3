//! Why a link failed, for whoever asked for it, in this process or another.
//!
//! Enters: a `LinkError`. Leaves: what tells its reader the same and can be sent.

use serde::{Deserialize, Serialize};

use super::LinkError;
use crate::client_context::ClientContext;
use crate::error::{Hinted, PlainError};
use crate::exec::JobFailure;

/// Why a link failed.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Verdict {
    /// There is nothing that could be sent or sandboxed; it may compile all the same.
    #[error(transparent)]
    Tools(PlainError),
    #[error(transparent)]
    Job(Box<JobFailure>),
    #[error("the link was given up")]
    Cancelled,
    #[error(transparent)]
    Other(PlainError),
}

impl Verdict {
    /// In the words of `surroundings`.
    pub fn new(error: LinkError, client_context: &ClientContext) -> Self {
        let edit = |text: &str| client_context.relativize_messages(text);
        if error.is_cancellation() {
            return Self::Cancelled;
        }
        match error {
            LinkError::Tools(error) => Self::Tools(PlainError::of(&*error, &edit)),
            LinkError::Job(failure) => Self::Job(Box::new(failure.edited(&edit))),
            error => Self::Other(PlainError::of(&error, &edit)),
        }
    }
}

impl Hinted for Verdict {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Tools(error) | Self::Other(error) => error.hints(),
            Self::Job(failure) => failure.hints(),
            Self::Cancelled => Vec::new(),
        }
    }
}
