//! `relto JOBS.json`: what lld runs.
//!
//! Enters: the job file's path. Leaves: every object in its place and exit code 0, or the reason on
//! stderr and 1. Nothing on stdout. The link itself is the engine's; here it only gets its settings
//! and somebody to report to.

use std::io::IsTerminal as _;
use std::path::Path;

use super::usage::UsageError;
use super::{Context, Failure, engine, help, output};
use crate::config::{self, Settings};
use crate::error::ExitCode;
use crate::events::{Event, Events};
use crate::report::{Reporter, Style};

pub(super) fn run(context: &Context, job_file: &Path) -> Result<ExitCode, Failure> {
    if let Some(error) = mistyped_command(job_file) {
        output::error(&error);
        return Ok(ExitCode::Usage);
    }
    let (events, receiver) = Events::channel();
    let reporter = Reporter::start(receiver, style(&context.settings));
    let linked = engine::run(&context.settings, job_file, events.clone());
    events.send(Event::LinkFinished);
    drop(events);
    reporter.finish(linked.is_ok());
    linked.map(|()| ExitCode::Success)
}

/// `relto docter` asks for a command, although any word may be a job file.
fn mistyped_command(job_file: &Path) -> Option<UsageError> {
    let word = job_file.to_str().filter(|_| !job_file.exists())?;
    let command = config::nearest(word, help::COMMANDS.map(|(name, _)| name))?;
    Some(UsageError::mistyped_command(word, command))
}

/// What to show, and how.
pub(super) fn style(settings: &Settings) -> Style {
    let style = settings.style.clone();
    let terminal = std::io::stderr().is_terminal();
    Style {
        // Log lines would tear the bar.
        progress: terminal && style.progress && !style.quiet && settings.log.is_none(),
        ..style
    }
}
