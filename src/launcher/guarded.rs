//! A backend that is no job: the compiler does it alone, but its object is looked at.
//!
//! Enters: the command line and the object's name. Leaves: how the compiler ended and what it said, or why what it left is no
//! object. Needed because clang exits 0 with an empty object when something is wrong with a shard or an import.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use fs_err as fs;
use tokio_util::sync::CancellationToken;

use crate::action::guard::admitted_failure;
use crate::error::Hinted;
use crate::fs::remove_if_there;
use crate::process::{Environment, Finished, Invocation, ProcessError, Relto, Spawner};

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum GuardedError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("the compiler exited with 0 but says `{line}`")]
    Admitted { line: String },
    #[error("the compiler exited with 0 but left `{object}` empty")]
    Empty { object: String },
}

impl Hinted for GuardedError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Process(error) => error.hints(),
            Self::Admitted { .. } | Self::Empty { .. } => {
                vec!["run the thin link again, and see that its objects are still there".to_owned()]
            }
        }
    }
}

/// Runs `compiler words...` here, as it is, and removes what it leaves if that cannot be right.
///
/// # Errors
/// The compiler cannot be started, was cancelled, or claims a success that it had not. A compiler that fails is no error.
pub async fn run_guarded(
    compiler: &OsStr,
    words: &[OsString],
    object: &str,
    cancel: &CancellationToken,
) -> Result<Finished, GuardedError> {
    let helper = |source| ProcessError::Helper {
        helper: compiler.into(),
        source,
    };
    let spawner = Spawner::new(Relto::itself()).map_err(helper)?;
    let mut arguments = vec![compiler.to_owned()];
    arguments.extend_from_slice(words);
    let invocation = Invocation {
        arguments,
        environment: Environment::Inherited,
        folder: ".".into(),
        confinement: None,
    };
    let finished = spawner.run(&invocation, cancel).await?;
    match fault(&finished, object) {
        Some(error) => {
            // The fault is what the user must see, not this.
            let _ = remove_if_there(Path::new(object));
            Err(error)
        }
        None => Ok(finished),
    }
}

fn fault(finished: &Finished, object: &str) -> Option<GuardedError> {
    if !finished.succeeded() {
        return None;
    }
    let stderr = String::from_utf8_lossy(&finished.stderr);
    if let Some(line) = admitted_failure(&stderr) {
        let line = line.to_owned();
        return Some(GuardedError::Admitted { line });
    }
    let empty = fs::metadata(object).is_ok_and(|found| found.is_file() && found.len() == 0);
    empty.then(|| GuardedError::Empty {
        object: object.to_owned(),
    })
}
