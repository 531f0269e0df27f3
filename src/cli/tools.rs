//! Runs programs other than compilers: the steps of a wrapped link that the linker itself does.

use std::ffi::OsString;
use std::panic::resume_unwind;
use std::sync::mpsc;

use futures_util::future::{try_join, try_join_all};
use tokio_util::sync::CancellationToken;

use super::engine_error::EngineError;
use super::runtime::{NoThreads, small_runtime};
use crate::process::{ChildEnvironment, Finished, ProcessSpec, Relto, Spawner, Watch};

/// Runs `command` in `environment` and tied to relto's life.
pub(super) fn run(
    command: &[OsString],
    environment: &ChildEnvironment,
) -> Result<Finished, EngineError> {
    run_both(command, environment, &[], |_| {})
}

/// Runs `command` and, at the same time, all of `questions`; `answered` gets what became of those
/// as soon as the last has ended. Each runs in `environment` and is tied to relto's life.
pub(super) fn run_with<T: Send>(
    command: &[OsString],
    environment: &ChildEnvironment,
    questions: &[Vec<OsString>],
    answered: impl FnOnce(Vec<Finished>) -> T + Send,
) -> Result<(Finished, T), EngineError> {
    let (sender, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        let meanwhile = move || answers.recv().ok().map(answered);
        let meanwhile = std::thread::Builder::new().spawn_scoped(scope, meanwhile);
        let meanwhile = meanwhile.map_err(NoThreads)?;
        // The thread that receives them ends no earlier.
        let finished = run_both(command, environment, questions, move |answers| {
            drop(sender.send(answers));
        })?;
        match meanwhile.join() {
            Ok(made) => Ok((finished, made.expect("the questions are answered by now"))),
            Err(panic) => resume_unwind(panic),
        }
    })
}

fn run_both(
    command: &[OsString],
    environment: &ChildEnvironment,
    questions: &[Vec<OsString>],
    answered: impl FnOnce(Vec<Finished>),
) -> Result<Finished, EngineError> {
    small_runtime()?.block_on(async {
        let mut watch = Watch::start().map_err(NoThreads)?;
        let spawner = Spawner::new(Relto::itself()).map_err(NoThreads)?;
        // The names of all files of a link, or its map.
        let spawner = spawner.with_whole_output();
        let cancel = CancellationToken::new();
        let command = spec(command, environment);
        let specs: Vec<_> = questions
            .iter()
            .map(|command| spec(command, environment))
            .collect();
        let asking = async {
            let asked = specs.iter().map(|spec| spawner.run(spec, &cancel));
            answered(try_join_all(asked).await?);
            Ok(())
        };
        let running = try_join(spawner.run(&command, &cancel), asking);
        tokio::pin!(running);
        let interruption = tokio::select! {
            ended = &mut running => return ended.map(|(ended, ())| ended).map_err(EngineError::Tool),
            interruption = watch.interrupted() => interruption,
        };
        cancel.cancel();
        // They have to be gone; how they went no longer counts.
        let _ = running.await;
        Err(EngineError::Interrupted(interruption))
    })
}

fn spec(command: &[OsString], environment: &ChildEnvironment) -> ProcessSpec {
    ProcessSpec {
        arguments: command.to_vec(),
        environment: environment.clone(),
        dir: ".".into(),
        confinement: None,
    }
}
