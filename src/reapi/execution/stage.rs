//! Bounds how long an execution may stay in one stage.

use tokio::time::Instant;

use super::operation::Stage;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::LONGEST_STAGE;
use crate::reapi::rpc::Rpc;

/// The furthest stage of an execution, and since when. A server may report stages again.
#[derive(Debug)]
pub(super) struct StageClock {
    /// `None` until the server has answered; some never say more than that the stage is unknown.
    furthest: Option<Stage>,
    since: Instant,
}

impl StageClock {
    pub(super) fn start() -> Self {
        Self {
            furthest: None,
            since: Instant::now(),
        }
    }

    /// Whether the execution has got further than ever before, as by the first answer.
    pub(super) fn advance(&mut self, stage: Stage) -> bool {
        let advances = self.furthest.is_none_or(|furthest| stage > furthest);
        if advances {
            (self.furthest, self.since) = (Some(stage), Instant::now());
        }
        advances
    }

    /// Signs of life alone do not keep an execution alive forever.
    pub(super) fn check(&self, rpc: Rpc) -> Result<(), Failure> {
        if self.since.elapsed() < LONGEST_STAGE {
            return Ok(());
        }
        let hours = LONGEST_STAGE.as_secs() / 3600;
        let message = format!("the execution has made no progress for {hours} hours");
        Err(Failure::new(FailureKind::GivenUp, rpc, message))
    }
}
