//! A compiler's command line, and what relto is to do with it.
//!
//! Enters: the words after `relto cc`. Leaves: a `Decision`: become the compiler at once, or run a
//! ThinLTO backend as the one job of a link. A build runs its compiler thousands of times for other
//! things than backends, so what decides for those comes first and opens no file. Running the job
//! is the business of `link`.

mod backend;
mod compiler;
mod front_end;
mod guarded;
mod inputs;
mod throttle;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::fs::remove_if_there;
use crate::job::{Caller, Job, JobFile};

pub use backend::looks_like_a_backend;
pub use compiler::{HOLDS_SLOT, InheritedOnExec, become_the_compiler, real_compiler, wrapper_name};
pub use front_end::{may_leave_a_module, modules};
pub use guarded::{GuardedError, run_guarded};
pub use inputs::InputError;
pub use throttle::Throttle;

/// What becomes of a command line.
#[derive(Debug)]
pub enum Decision {
    /// No backend: what the compiler makes of it is the compiler's business.
    PassThrough,
    /// A backend that no job can describe, and why; its object must be looked at all the same.
    Guarded { object: String, reason: String },
    Backend {
        file: Box<JobFile>,
        /// What does not fit together, but does no harm.
        doubt: Option<String>,
    },
}

/// Decides about `compiler words...`, started in `dir`, which is only named. `words` that look like
/// a backend are read whole, response files and the index shard with them.
///
/// # Errors
/// It is a backend, and its shard or its inputs are such that the compiler would exit 0 with a
/// wrong object.
pub fn decide(compiler: &OsStr, words: &[OsString], dir: &str) -> Result<Decision, InputError> {
    let Some((compiler, words)) = compiler.to_str().zip(texts(words)) else {
        return Ok(Decision::PassThrough);
    };
    let backend = match backend::recognize(&words) {
        backend::Recognized::No => return Ok(Decision::PassThrough),
        backend::Recognized::Unclear { object, reason } => {
            return Ok(Decision::Guarded { object, reason });
        }
        backend::Recognized::Yes(backend) => backend,
    };
    let imports = inputs::imports(&backend).inspect_err(|_| {
        // As after any compile that fails; why it failed is what the user must see.
        let _ = remove_if_there(Path::new(&backend.object));
    })?;
    let imports = match imports {
        inputs::Imports::Known(imports) => imports,
        inputs::Imports::Unreadable(reason) => {
            let object = backend.object;
            return Ok(Decision::Guarded { object, reason });
        }
    };
    let doubt = inputs::doubt(&backend, &imports);
    let mut inputs = vec![backend.module, backend.index];
    inputs.extend(imports);
    let mut outputs = vec![backend.object];
    outputs.extend(backend.extra_outputs);
    let mut common_arguments = vec![compiler.to_owned()];
    common_arguments.extend(words);
    let job = Job {
        arguments: Vec::new(),
        inputs,
        outputs,
    };
    let file = JobFile {
        caller: Caller::Launcher,
        linker_output: format!("backends in {dir}"),
        common_arguments,
        common_inputs: Vec::new(),
        jobs: vec![job],
        unknown_keys: Vec::new(),
    };
    Ok(Decision::Backend {
        file: Box::new(file),
        doubt,
    })
}

/// `None` if a word is not text: no shard could name such a module rightly.
fn texts(words: &[OsString]) -> Option<Vec<String>> {
    let texts = words.iter().map(|word| word.to_str().map(str::to_owned));
    texts.collect()
}
