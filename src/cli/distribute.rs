//! `relto JOBS.json`: the command that lld runs.
//!
//! It exits with 0 when every object is in its place; otherwise the reason is on stderr and the
//! exit code is 1. Nothing goes to stdout. This module adds settings and a reporter to the
//! [`engine`].

use std::io::IsTerminal as _;
use std::path::Path;

use super::build_events::BuildEvents;
use super::engine_error::EngineError;
use super::report::TimingsPage;
use super::usage::UsageError;
use super::{CommandContext, CommandError, engine, output};
use crate::config::Settings;
use crate::error::ExitCode;
use crate::events::{Event, Events};
use crate::job::JobFile;
use crate::link;
use crate::process::Parent;
use crate::report::{Reporter, Style};

pub(super) fn run(context: &CommandContext, job_file: &Path) -> Result<ExitCode, CommandError> {
    if let Some(error) = UsageError::unknown_command(job_file) {
        output::error(&error);
        return Ok(ExitCode::Usage);
    }
    // Before anything is opened that could take the place of a descriptor that make has closed.
    let mut options = engine::options(&context.settings);
    options.record.linker_age = Parent::now().linker_age();
    let file = JobFile::read(job_file).map_err(|error| Box::new(error) as CommandError)?;
    let settings = &context.settings;
    let output = file.linker_output.clone();
    let linked = reported(settings, &options, &output, |events| {
        engine::run_jobs(settings, &options, file, events)
    });
    match linked {
        Ok(()) => Ok(ExitCode::Success),
        Err(error) => Err(Box::new(error)),
    }
}

/// Runs the jobs for the linker's `output` by `run`, and tells of its events: on the terminal, and
/// where else the settings say.
pub(super) fn reported(
    settings: &Settings,
    options: &link::Options,
    output: &str,
    run: impl FnOnce(Events) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let build_events = BuildEvents::start(settings, output);
    let (events, receiver) = Events::channel();
    let events = build_events.of(events);
    let page = TimingsPage::wanted(settings, options);
    let events = page.observed(events);
    let reporter = Reporter::start(receiver, style(settings));
    let linked = run(events.clone());
    events.send(Event::LinkFinished);
    drop(events);
    reporter.finish(linked.is_ok());
    page.write(linked.is_ok());
    build_events.end(settings, options, &linked);
    linked
}

/// What to show, and how.
fn style(settings: &Settings) -> Style {
    let style = settings.style.clone();
    let terminal = std::io::stderr().is_terminal();
    Style {
        // Log lines would tear the bar.
        progress: terminal && style.progress && !style.quiet && settings.log.is_none(),
        invocation_id: settings.farm.client.caller.invocation_id.clone(),
        ..style
    }
}
