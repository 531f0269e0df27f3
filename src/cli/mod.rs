//! The command line interface: arguments in, exit code out, one file for each command.
//!
//! Only this module knows clap, and only this one and [`report`](crate::report) print: help and
//! requested output to stdout, everything else to stderr.

mod allow;
mod arguments;
mod build_events;
mod cache;
mod cc;
mod config;
mod daemon;
mod distribute;
mod doctor;
mod engine;
mod engine_error;
mod explain;
mod front_end;
mod help;
mod index;
mod ld;
mod local_slots;
mod output;
mod pages;
mod panics;
mod prefetch;
mod process_names;
mod report;
mod runtime;
mod stack;
mod stats;
mod tools;
mod upload_ahead;
mod usage;
mod via_daemon;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::Path;

use crate::config::{Environment, LoadedConfig, Settings, Warning, load};
use crate::error::{ExitCode, Hinted};
use crate::job::{JobFile, JobFileError};
use crate::launcher::Throttle;
use crate::prefetch::PrefetchRequest;
use crate::process;
use crate::state::State;
use arguments::Command;
use ld::Launched;
use usage::Answer;

/// Why a command could not do what was asked; shown with its causes and hints.
type CommandError = Box<dyn Hinted + Send + Sync>;

/// A command that needs something which the settings leave out.
#[derive(Debug, thiserror::Error)]
#[error("there is no disk cache")]
struct NoDiskCache;

impl Hinted for NoDiskCache {
    fn hints(&self) -> Vec<String> {
        vec!["`disk_cache` names its directory; `relto config` shows why there is none".to_owned()]
    }
}

/// What a user calls a job file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct NoKeptJobFile(JobFileError);

impl Hinted for NoKeptJobFile {
    fn hints(&self) -> Vec<String> {
        match &self.0 {
            JobFileError::Unreadable(_) => vec![
                "a link with `-Wl,--save-temps` keeps the job file, named like `app.1234.dist-file.json`"
                    .to_owned(),
            ],
            error => error.hints(),
        }
    }
}

/// What every command has at hand.
struct CommandContext {
    settings: Settings,
}

/// The whole program.
pub fn main() -> std::process::ExitCode {
    panics::set_hook();
    // Without this a bug would end the process with an exit code that is not one of relto's. The
    // hook has reported it by then.
    let code =
        std::panic::catch_unwind(|| stack::on_enough_stack(command)).unwrap_or(ExitCode::Failure);
    if let ExitCode::Signalled(signal) = code {
        process::end_by(signal.into());
    }
    code.into()
}

fn command() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    process::leave_the_starter(&mut arguments);
    let after_name = &arguments[arguments.len().min(1)..];
    // The hidden commands that start compilers come before anything that costs time.
    if let Some(code) = process::dispatch(after_name) {
        return code;
    }
    #[cfg(debug_assertions)]
    panics::provoked(after_name);
    process::survive_file_size_limit();
    if let Some(code) = daemon::dispatch(after_name) {
        return code;
    }
    // A compiler that is only launched replaces this process here; this returns for backends.
    match cc::launched(arguments).and_then(ld::launched) {
        Ok(launched) => {
            process::keep_exit_codes();
            process::keep_own_rights();
            match runtime::check_threads() {
                Ok(()) => output::settled(run(launched, &Environment::of_process())),
                Err(error) => {
                    output::error(&error);
                    ExitCode::Failure
                }
            }
        }
        Err(code) => code,
    }
}

/// One command, from its arguments to its exit code.
fn run(launched: Launched, environment: &Environment) -> ExitCode {
    let Launched {
        command: arguments,
        link,
    } = launched;
    if arguments.len() == 1 && std::io::stdout().is_terminal() {
        output::print(help::FIRST_STEPS);
        return ExitCode::Usage;
    }
    let invocation = match arguments::parse(&arguments) {
        Ok(invocation) => invocation,
        Err(error) => return answer(&error, arguments.get(1)),
    };
    // What is installed with the program depends on no settings.
    let command = match invocation.command {
        Command::Completions { shell } => return pages::completions(shell),
        Command::Man { dir } => return ended(pages::man(&dir)),
        Command::Version => return pages::version(),
        // What is to be allowed is not in force yet.
        Command::Allow { list: true, .. } => return allow::list(environment),
        Command::Allow { dir, .. } => {
            return allow::allow(invocation.options, environment, dir.as_deref());
        }
        Command::Deny { dir } => {
            return allow::deny(invocation.options, environment, dir.as_deref());
        }
        command => command,
    };
    let LoadedConfig { settings, warnings } = match load(invocation.options, environment) {
        Ok(loaded) => loaded,
        Err(error) => {
            output::error(&error);
            return ExitCode::Usage;
        }
    };
    output::start_log(settings.log.as_deref());
    if !settings.ignored_flags.is_empty() {
        let flags = settings.ignored_flags.join(", ");
        tracing::info!("not used of the bazelrc: {flags}");
    }
    let context = CommandContext { settings };
    if let Command::Cc { words } = command {
        // Each of a thousand launchers would show them.
        return cc::run(&context, &words, &warnings);
    }
    for warning in warnings.iter().chain(&unused(&invocation.ignored)) {
        output::warning(warning);
    }
    if let Command::Ld { words } = command {
        return ld::run(&context, &words, link);
    }
    ended(dispatch(&context, command))
}

/// The note on flags of Bazel that were typed and mean nothing here.
fn unused(flags: &[String]) -> Option<Warning> {
    (!flags.is_empty()).then(|| Warning {
        text: format!("not used, since only Bazel needs it: {}", flags.join(", ")),
        hint: None,
    })
}

/// What the processes of a build tell each other.
fn throttle(settings: &Settings) -> Throttle {
    let runtime_dir = settings.daemon.dir.as_deref();
    Throttle::of_user(settings.state_dir(), runtime_dir, &std::env::temp_dir())
}

/// To be asked where nothing was found on record: the reason why `state` could not be used.
fn usable(state: &State) -> Result<(), CommandError> {
    match state.take_trouble() {
        None => Ok(()),
        Some(trouble) => Err(Box::new(trouble)),
    }
}

/// Reads the job file of an earlier link, which the user names and not lld.
fn kept_job_file(path: &Path) -> Result<JobFile, CommandError> {
    JobFile::read(path).map_err(|error| Box::new(NoKeptJobFile(error)) as CommandError)
}

/// Whether `known` is the file that the user calls `asked`: by its name, or by the end of its path.
fn is_meant(known: &str, asked: &str) -> bool {
    known == asked
        || known
            .strip_suffix(asked)
            .is_some_and(|before| before.ends_with('/'))
}

fn ended(result: Result<ExitCode, CommandError>) -> ExitCode {
    result.unwrap_or_else(|failure| {
        output::error(failure.as_ref());
        ExitCode::Failure
    })
}

/// The table of contents.
fn dispatch(context: &CommandContext, command: Command) -> Result<ExitCode, CommandError> {
    match command {
        Command::Distribute(job_file) => distribute::run(context, &job_file),
        Command::Doctor {
            compiler,
            strict,
            job_files,
        } => match &job_files[..] {
            [] => doctor::run(context, compiler.as_deref(), strict),
            files => doctor::verify(context, files),
        },
        Command::Config => Ok(config::run(context)),
        Command::Prefetch {
            after_stdin,
            files,
            compiler,
        } => {
            let request = PrefetchRequest { files, compiler };
            if after_stdin {
                Ok(upload_ahead::run(context, request))
            } else {
                prefetch::run(context, request)
            }
        }
        Command::Daemon { action } => daemon::run(context, action),
        Command::Stats(wanted) => stats::run(context, &wanted),
        Command::Report(wanted) => report::run(context, &wanted),
        Command::Cache { action } => cache::run(context, action),
        Command::Explain(wanted) => explain::run(context, &wanted),
        Command::Index(look) => index::run(&look),
        Command::Cc { .. } | Command::Ld { .. } => {
            unreachable!("they need more than settings")
        }
        Command::Allow { .. }
        | Command::Deny { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Version => unreachable!("they end before any settings are read"),
    }
}

fn answer(error: &clap::Error, first: Option<&OsString>) -> ExitCode {
    match usage::answer(error, first) {
        Answer::Text(text) => output::print(&text),
        Answer::Error(error) => {
            output::error(&error);
            ExitCode::Usage
        }
    }
}
