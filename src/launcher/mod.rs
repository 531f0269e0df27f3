//! Decides what relto does with a compiler's command line: become the compiler at once, or run a
//! ThinLTO backend as the one job of a link.
//!
//! A build runs its compiler thousands of times for other things than backends, so the checks that
//! exclude those come first and open no file. [`link`](crate::link) runs the job.

mod backend;
mod base_dir;
mod compiler;
mod driver;
mod front_end;
mod guarded;
mod hidden;
mod inputs;
mod throttle;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::action::response::{Quoting, expand_response_files};
use crate::fs::{read_regular_to_string, remove_if_there};
use crate::job::{Caller, Job, JobFile};

pub use backend::looks_like_a_backend;
use backend::{BackendCommand, Recognized};
pub use base_dir::with_relative_paths;
pub use compiler::{
    HOLDS_SLOT, InheritedOnExec, LINKER_STARTED_BY, STARTED_BY, Wrappers, become_program,
    program_behind, wrapper_name,
};
use driver::object_of;
pub use front_end::{may_leave_a_module, modules};
pub use guarded::{GuardedError, run_guarded};
use hidden::{hidden_index, mentions};
pub use inputs::InputError;
pub use throttle::Throttle;

/// What to do with a command line.
#[derive(Debug)]
pub enum CompileDecision {
    /// Not a backend: the compiler runs as if relto were not there.
    PassThrough,
    /// A backend that no job can describe, and why; its object is checked all the same, if the
    /// command line names it.
    Guarded { object: PathBuf, reason: String },
    Backend {
        file: Box<JobFile>,
        /// A contradiction that does no harm.
        doubt: Option<String>,
    },
}

/// Decides what to do with `compiler given...`, started in `dir`, which is only used for names.
/// Words that look like a backend are read whole, response files and the index shard with them.
///
/// # Errors
/// It is a backend, and its shard or its inputs are such that the compiler would exit 0 with a
/// wrong object.
pub fn decide(
    compiler: &OsStr,
    given: &[OsString],
    dir: &str,
) -> Result<CompileDecision, InputError> {
    let Some((compiler, words)) = compiler.to_str().zip(texts(given)) else {
        return not_text(given);
    };
    let backend = match backend::recognize(compiler, &words) {
        Recognized::No => return Ok(hidden_or_none(given)),
        Recognized::Unclear { object, reason } => {
            let object = object.into();
            return Ok(CompileDecision::Guarded { object, reason });
        }
        Recognized::Foreign(backend) => return foreign(backend),
        Recognized::NotAFile { module } => return Err(InputError::NotAFile { module }),
        Recognized::Yes(backend) => backend,
    };
    let imports = inputs::imports(&backend).inspect_err(|_| {
        // As after any failed compile; the user has to see why it failed.
        let _ = remove_if_there(Path::new(&backend.object));
    })?;
    let imports = match imports {
        inputs::ImportedModules::Known(imports) => imports,
        inputs::ImportedModules::Unreadable(reason) => {
            let object = backend.object.into();
            return Ok(CompileDecision::Guarded { object, reason });
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
    Ok(CompileDecision::Backend {
        file: Box::new(file),
        doubt,
    })
}

/// A backend whose arguments relto does not know well enough to build an action. Its inputs are
/// checked here, its object after the compile.
fn foreign(backend: BackendCommand) -> Result<CompileDecision, InputError> {
    inputs::check(&backend).inspect_err(|_| {
        let _ = remove_if_there(Path::new(&backend.object));
    })?;
    Ok(CompileDecision::Guarded {
        object: backend.object.into(),
        reason: "only the arguments of clang's GCC-like driver are known well enough".to_owned(),
    })
}

/// A command line without an index; what it leads to may have one, also by its response files.
fn hidden_or_none(words: &[OsString]) -> CompileDecision {
    let in_response_files = || {
        let read = &mut |path: &str| read_regular_to_string(path);
        let expanded = expand_response_files(&texts(words)?, Quoting::Gnu, read).ok()?;
        let expanded: Vec<_> = expanded.into_iter().map(OsString::from).collect();
        hidden_index(&expanded)
    };
    match hidden_index(words).or_else(in_response_files) {
        Some(reason) => CompileDecision::Guarded {
            object: object_of(words).unwrap_or_default().into(),
            reason,
        },
        None => CompileDecision::PassThrough,
    }
}

/// A command line that is not text: no shard could name its module rightly. Only its object can be
/// checked, and only if the command line says which that is.
fn not_text(words: &[OsString]) -> Result<CompileDecision, InputError> {
    if !words.iter().any(|word| mentions(word.as_encoded_bytes())) {
        return Ok(hidden_or_none(words));
    }
    Ok(CompileDecision::Guarded {
        object: object_of(words).ok_or(InputError::NotText)?.into(),
        reason: "its command line is not UTF-8".to_owned(),
    })
}

/// `None` if a word is not text: no shard could name such a module rightly.
fn texts(words: &[OsString]) -> Option<Vec<String>> {
    let texts = words.iter().map(|word| word.to_str().map(str::to_owned));
    texts.collect()
}
