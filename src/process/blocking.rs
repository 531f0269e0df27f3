//! Runs one short program from the calling thread, which waits for its end.
//!
//! The program dies with that thread, like those of a [`Spawner`](super::Spawner) with theirs.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use super::plan::ProcessPlan;
use super::self_exe::Relto;
use super::spawner::unnamed_file;
use super::supervise::read_report;
use super::{ProcessError, ProcessSpec};

/// Runs a program to its end and keeps all that it prints.
///
/// # Errors
/// The program could not be started or confined. One that ran and failed is not an error here.
pub fn run_blocking(relto: &Relto, spec: &ProcessSpec) -> Result<Output, ProcessError> {
    let program = spec.arguments.first().ok_or(ProcessError::Empty)?;
    let helper_error = |source| ProcessError::Helper {
        helper: relto.path().to_owned(),
        source,
    };
    let channel = unnamed_file(&ProcessPlan::encode(spec)).map_err(helper_error)?;
    let stdin = channel.try_clone().map_err(helper_error)?;
    let output = relto
        .helper(spec)
        .stdin(Stdio::from(stdin))
        .output()
        .map_err(helper_error)?;
    let report = read_report(&channel, output.status).map_err(helper_error)?;
    match report.into_error(&PathBuf::from(program), &spec.dir) {
        Some(error) => Err(error),
        None => Ok(output),
    }
}
