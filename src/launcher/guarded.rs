//! Runs a backend that no job can describe: the compiler runs as it is, and its object is checked.
//!
//! clang exits 0 with an empty object when something is wrong with a shard or an import.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::backend::is_for_bitcode;
use super::texts;
use crate::action::arguments;
use crate::action::guard::reported_failure;
use crate::action::kind::{OutputKind, WrongOutput, check_output, required_kind};
use crate::error::Hinted;
use crate::fs::{open_regular, remove_if_there};
use crate::process::{ChildEnvironment, Finished, ProcessError, ProcessSpec, Relto, Spawner};

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum GuardedError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("the compiler exited with 0 but says `{line}`")]
    ReportedFailure { line: String },
    #[error("the compiler exited with 0 but `{object}` is not what it was told to make")]
    Wrong {
        object: String,
        #[source]
        source: WrongOutput,
    },
}

impl Hinted for GuardedError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Process(error) => error.hints(),
            Self::ReportedFailure { .. } | Self::Wrong { .. } => {
                vec!["run the thin link again, and see that its objects are still there".to_owned()]
            }
        }
    }
}

/// Runs `compiler words...` unchanged, and removes its output if that cannot be right.
///
/// # Errors
/// The compiler cannot be started, was cancelled, or exits with 0 after a failure. A compiler that
/// reports a failure is not an error.
pub async fn run_guarded(
    compiler: &OsStr,
    words: &[OsString],
    object: &Path,
    cancel: &CancellationToken,
) -> Result<Finished, GuardedError> {
    let helper = |source| ProcessError::Helper {
        helper: compiler.into(),
        source,
    };
    let spawner = Spawner::new(Relto::itself()).map_err(helper)?;
    let mut arguments = vec![compiler.to_owned()];
    arguments.extend_from_slice(words);
    let invocation = ProcessSpec {
        arguments,
        environment: ChildEnvironment::Inherited,
        dir: ".".into(),
        confinement: None,
    };
    let finished = spawner.run(&invocation, cancel).await?;
    match fault(&finished, object, kind(words)) {
        Some(error) => {
            // The user has to see the fault, not this error.
            let _ = remove_if_there(object);
            Err(error)
        }
        None => Ok(finished),
    }
}

fn fault(finished: &Finished, object: &Path, kind: OutputKind) -> Option<GuardedError> {
    if !finished.succeeded() {
        return None;
    }
    let stderr = String::from_utf8_lossy(&finished.stderr);
    if let Some(line) = reported_failure(&stderr) {
        let line = line.to_owned();
        return Some(GuardedError::ReportedFailure { line });
    }
    // An output that cannot be read is not a regular file, or its name is unknown.
    let start = match object.to_str() {
        Some("-") => finished.stdout.clone(),
        _ => start(object).ok()?,
    };
    let checked = match kind {
        _ if start.is_empty() => Err(WrongOutput::Empty),
        kind => check_output(kind, &start),
    };
    checked.err().map(|source| GuardedError::Wrong {
        object: object.display().to_string(),
        source,
    })
}

/// The output that `words` ask for, as far as they show it: the object format of an unnamed target
/// is known to the compiler only.
fn kind(words: &[OsString]) -> OutputKind {
    let words = texts(words).unwrap_or_default();
    let arguments = arguments::parse(&words);
    // Headers and modules become other files.
    if !is_for_bitcode(&arguments) {
        return OutputKind::Other;
    }
    let target = arguments::target(&arguments);
    match required_kind(&arguments, target.unwrap_or_default()) {
        OutputKind::Object(_) if target.is_none() => OutputKind::Other,
        kind => kind,
    }
}

fn start(object: &Path) -> io::Result<Vec<u8>> {
    const ENOUGH: u64 = 4096;
    let mut start = Vec::new();
    open_regular(object)?.take(ENOUGH).read_to_end(&mut start)?;
    Ok(start)
}
