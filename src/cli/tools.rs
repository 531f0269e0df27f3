//! Runs programs other than compilers: the steps of a wrapped link that the linker itself does.

use std::ffi::OsString;

use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::engine_error::EngineError;
use super::runtime::{NoThreads, small_runtime};
use crate::process::{ChildEnvironment, Finished, ProcessSpec, Relto, Spawner, Watch};

/// Runs `commands` at the same time, each with relto's own environment and tied to its life.
pub(super) fn run(commands: &[Vec<OsString>]) -> Result<Vec<Finished>, EngineError> {
    small_runtime()?.block_on(async {
        let mut watch = Watch::start().map_err(NoThreads)?;
        let spawner = Spawner::new(Relto::itself()).map_err(NoThreads)?;
        let cancel = CancellationToken::new();
        let specs: Vec<_> = commands.iter().map(|command| spec(command)).collect();
        let running = try_join_all(specs.iter().map(|spec| spawner.run(spec, &cancel)));
        tokio::pin!(running);
        let interruption = tokio::select! {
            ended = &mut running => return ended.map_err(EngineError::Tool),
            interruption = watch.interrupted() => interruption,
        };
        cancel.cancel();
        // They have to be gone; how they went no longer counts.
        let _ = running.await;
        Err(EngineError::Interrupted(interruption))
    })
}

fn spec(command: &[OsString]) -> ProcessSpec {
    ProcessSpec {
        arguments: command.to_vec(),
        environment: ChildEnvironment::Inherited,
        dir: ".".into(),
        confinement: None,
    }
}
