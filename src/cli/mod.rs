//! The terminal: arguments in, exit code out.
//!
//! Enters: the process's arguments and environment. Leaves: an exit code; help and answers on
//! stdout, everything else on stderr. The only room that knows clap, and, with `report`, the only
//! one that prints. One file a command.

mod arguments;
mod cache;
mod cc;
mod daemon;
mod distribute;
mod doctor;
mod engine;
mod engine_error;
mod explain;
mod help;
mod index;
mod ld;
mod local_slots;
mod options;
mod output;
mod prefetch;
mod runtime;
mod stats;
mod tools;
mod upload_ahead;
mod usage;
mod via_daemon;

use std::ffi::OsString;

use crate::config::{self, Environment, Loaded, Settings};
use crate::error::{ExitCode, Hinted};
use crate::process;
use arguments::{Action, When};
use usage::Answer;

/// Why a command could not do what was asked; shown with its causes and hints.
type Failure = Box<dyn Hinted + Send + Sync>;

/// A command that needs something which the settings leave out.
#[derive(Debug, thiserror::Error)]
#[error("there is no disk cache to look at")]
struct NoDiskCache;

impl Hinted for NoDiskCache {
    fn hints(&self) -> Vec<String> {
        vec![
            "`disk_cache` names its directory; `relto doctor` shows who switched it off".to_owned(),
        ]
    }
}

/// What every command has at hand.
struct Context {
    settings: Settings,
}

/// The whole program.
pub fn main() -> std::process::ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The hidden commands that start compilers come before anything that costs time.
    if let Some(code) = process::dispatch(&arguments[arguments.len().min(1)..]) {
        return code.into();
    }
    if let Some(code) = daemon::dispatch(&arguments[arguments.len().min(1)..]) {
        return code.into();
    }
    // So does a compiler that is only launched: this returns for backends.
    let launched = cc::launched(arguments).and_then(ld::launched);
    let arguments = match launched {
        Ok(arguments) => arguments,
        Err(code) => return code.into(),
    };
    let program = || run(arguments, &Environment::of_process());
    // Without this a bug would end the process with a code that is none of ours. The panic itself
    // is on stderr by then.
    std::panic::catch_unwind(program)
        .unwrap_or(ExitCode::Failure)
        .into()
}

/// One command, from its arguments to its exit code.
fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let invocation = match arguments::parse(arguments) {
        Ok(invocation) => invocation,
        Err(error) => return answer(&error),
    };
    if invocation.action == Action::HelpAll {
        return output::print(&help::everything());
    }
    let Loaded { settings, warnings } = match config::load(invocation.options, environment) {
        Ok(loaded) => loaded,
        Err(error) => {
            output::error(&error);
            return ExitCode::Usage;
        }
    };
    output::start_log(settings.log.as_deref());
    let context = Context { settings };
    if let Action::Compile(words) = invocation.action {
        return cc::run(&context, &words, &warnings);
    }
    for warning in &warnings {
        output::warning(warning);
    }
    dispatch(&context, invocation.action).unwrap_or_else(|failure| {
        output::error(failure.as_ref());
        ExitCode::Failure
    })
}

/// The table of contents.
fn dispatch(context: &Context, action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Distribute(job_file) => distribute::run(context, &job_file),
        Action::Doctor(compiler) => doctor::run(context, compiler.as_deref()),
        Action::Stats => Ok(stats::run(context)),
        Action::Daemon(action) => daemon::run(context, action),
        Action::Cache(action) => cache::run(context, action),
        Action::Index(look) => index::run(&look),
        Action::Explain(jobs, earlier) => explain::run(context, &jobs, earlier.as_deref()),
        Action::Prefetch(wanted, When::Now) => prefetch::run(context, wanted),
        Action::Prefetch(wanted, When::AfterStdin) => Ok(upload_ahead::run(context, wanted)),
        Action::Compile(words) => Ok(cc::run(context, &words, &[])),
        Action::Wrap(words) => Ok(ld::run(context, &words)),
        Action::HelpAll => Ok(output::print(&help::everything())),
    }
}

fn answer(error: &clap::Error) -> ExitCode {
    match usage::answer(error) {
        Answer::Text(text) => output::print(&text),
        Answer::Error(error) => {
            output::error(&error);
            ExitCode::Usage
        }
    }
}
