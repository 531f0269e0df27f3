//! The errors of a link that this process runs.

use super::runtime::NoThreads;
use crate::error::Hinted;
use crate::launcher::GuardedError;
use crate::link::LinkFailure;
use crate::process::{Interruption, ProcessError};

#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    NoThreads(#[from] NoThreads),
    #[error("stopped: {0}")]
    Interrupted(Interruption),
    #[error(transparent)]
    Link(LinkFailure),
    #[error(transparent)]
    Tool(ProcessError),
    #[error(transparent)]
    Guarded(GuardedError),
}

impl Hinted for EngineError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Link(error) => error.hints(),
            Self::Tool(error) => error.hints(),
            Self::Guarded(error) => error.hints(),
            Self::NoThreads(error) => error.hints(),
            Self::Interrupted(_) => Vec::new(),
        }
    }
}
