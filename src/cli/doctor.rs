//! `relto doctor [COMPILER]`: lists what is set, what works, and what to change.
//!
//! Prints findings on stdout, each section as soon as it is known. The exit code is 1 if a link
//! would fail, with `--strict` also if the farm cannot be used.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};

use super::runtime::runtime;
use super::{CommandContext, CommandError, engine, kept_job_file, output};
use crate::config::{EffectiveValue, Settings, Strategy};
use crate::doctor::{Finding, Grade, ReportSection, examine, verify_cached};
use crate::error::ExitCode;

/// Where the findings' texts begin.
const COLUMN: usize = 11;

pub(super) fn run(
    context: &CommandContext,
    compiler: Option<&Path>,
    strict: bool,
) -> Result<ExitCode, CommandError> {
    let settings = &context.settings;
    output::print(&configuration(settings));
    let options = engine::options(settings);
    let mut print = |section: &ReportSection| {
        output::print(&shown(section));
    };
    let examined = examine(compiler, &options, strict, &mut print);
    let grade = runtime()
        .map_err(|error| Box::new(error) as CommandError)?
        .block_on(examined);
    let (verdict, code) = match grade {
        Grade::Good => ("a link works", ExitCode::Success),
        Grade::Warning => ("a link works; see the warnings", ExitCode::Success),
        Grade::Bad if strict => (
            "a link or its farm would fail; see the errors",
            ExitCode::Failure,
        ),
        Grade::Bad => ("a link would fail; see the errors", ExitCode::Failure),
    };
    output::print(&format!("{verdict}\n"));
    Ok(code)
}

/// Compares what caches hold of the links of `files` with fresh compiles.
pub(super) fn verify(
    context: &CommandContext,
    files: &[PathBuf],
) -> Result<ExitCode, CommandError> {
    let options = engine::options(&context.settings);
    let runtime = runtime().map_err(|error| Box::new(error) as CommandError)?;
    let mut worst = Grade::Good;
    for path in files {
        let file = kept_job_file(path)?;
        let section = runtime.block_on(verify_cached(file, &options));
        let section = section.map_err(|error| Box::new(error) as CommandError)?;
        worst = worst.max(section.grade());
        output::print(&format!("{}: {}", path.display(), shown(&section)));
    }
    let (verdict, code) = match worst {
        Grade::Good => ("no cached result is wrong", ExitCode::Success),
        Grade::Warning => (
            "no cached result is known to be wrong; see the warnings",
            ExitCode::Success,
        ),
        Grade::Bad => (
            "cached results were wrong; see the errors",
            ExitCode::Failure,
        ),
    };
    output::print(&format!("{verdict}\n"));
    Ok(code)
}

fn shown(section: &ReportSection) -> String {
    let mut text = format!("{}\n", section.title);
    for finding in &section.findings {
        show(finding, &mut text);
    }
    text
}

fn show(finding: &Finding, text: &mut String) {
    let (word, colour) = match finding.grade {
        Grade::Good => ("ok", AnsiColor::Green),
        Grade::Warning => ("warning", AnsiColor::Yellow),
        Grade::Bad => ("error", AnsiColor::Red),
    };
    let style = colour.on_default();
    let mut lines = finding.text.lines();
    let first = lines.next().unwrap_or_default();
    let gap = COLUMN - 2 - word.len();
    let _ = writeln!(text, "  {style}{word}{style:#}{:gap$}{first}", "");
    for line in lines {
        let _ = writeln!(text, "{:COLUMN$}{line}", "");
    }
    let hint: Style = AnsiColor::Cyan.on_default();
    for way_out in &finding.hints {
        let _ = writeln!(text, "{:COLUMN$}{hint}hint:{hint:#} {way_out}", "");
    }
}

/// The files that were read and every value that somebody set, secrets masked.
fn configuration(settings: &Settings) -> String {
    let mut text = String::from("Configuration\n");
    for file in &settings.files {
        let _ = writeln!(text, "  read {}", file.display());
    }
    for EffectiveValue {
        name,
        value,
        source,
    } in settings.values.effective()
    {
        let _ = writeln!(text, "  {name} = {value}  ({source})");
    }
    let _ = writeln!(text, "  jobs run by strategy `{}`", settings.strategy);
    if settings.strategy == Strategy::Local
        && let Some(executor) = &settings.farm.client.executor
    {
        let _ = writeln!(text, "  so the farm at `{executor}` is not used");
    }
    text
}
