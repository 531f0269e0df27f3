//! `relto cache [show|trim|clear]`: shows the size and limit of this machine's disk cache, makes it
//! smaller, or empties it.

use std::fmt::Write as _;
use std::path::Path;

use indicatif::HumanBytes;

use super::arguments::CacheAction;
use super::{CommandContext, CommandError, NoDiskCache, output};
use crate::cache::{self, CacheError, TrimReport};
use crate::config::Settings;
use crate::error::ExitCode;

pub(super) fn run(context: &CommandContext, action: CacheAction) -> Result<ExitCode, CommandError> {
    let settings = &context.settings;
    let Some(dir) = settings.link.disk_cache.as_deref() else {
        return Err(Box::new(NoDiskCache));
    };
    let text = match action {
        _ if !dir.exists() => format!("{} does not exist yet\n", dir.display()),
        CacheAction::Show => show(dir, settings.link.disk_cache_max_size)?,
        CacheAction::Trim => match settings.link.disk_cache_max_size {
            Some(max_size) => shrink(settings, dir, max_size)?,
            None => "`disk_cache_max_size` sets no limit: nothing to trim\n".to_owned(),
        },
        CacheAction::Clear => shrink(settings, dir, 0)?,
    };
    Ok(output::print(&text))
}

fn show(dir: &Path, max_size: Option<u64>) -> Result<String, CommandError> {
    let usage = cache::usage(dir).map_err(failure)?;
    let mut text = format!("{}\n", dir.display());
    let limit = max_size.map_or("no limit".to_owned(), |limit| {
        format!("of {} at most", HumanBytes(limit))
    });
    let _ = writeln!(text, "  size     {} {limit}", HumanBytes(usage.bytes));
    let _ = writeln!(text, "  results  {}", usage.results);
    let _ = writeln!(text, "  blobs    {}", usage.blobs);
    Ok(text)
}

/// Removes what was longest not used until the cache fits, and notes its new size for the links to
/// come.
fn shrink(settings: &Settings, dir: &Path, max_size: u64) -> Result<String, CommandError> {
    let Some(report) = cache::trim(dir, max_size).map_err(failure)? else {
        return Ok("another process is trimming the cache\n".to_owned());
    };
    let state = settings.link.open_state();
    cache::reset_size_estimate(&state, dir, report.after);
    Ok(described(&report))
}

fn described(report: &TrimReport) -> String {
    let files = if report.removed == 1 { "file" } else { "files" };
    format!(
        "{} {files} removed, {} before, {} now\n",
        report.removed,
        HumanBytes(report.before),
        HumanBytes(report.after)
    )
}

fn failure(error: CacheError) -> CommandError {
    Box::new(error)
}
