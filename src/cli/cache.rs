//! `relto cache [show|trim|clear]`: shows the size and limit of this machine's disk cache, makes it
//! smaller, or empties it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::HumanBytes;

use super::arguments::CacheAction;
use super::{CommandContext, CommandError, NoDiskCache, output};
use crate::cache::{self, CacheError, TrimReport};
use crate::config::Settings;
use crate::error::{ExitCode, Hinted};
use crate::state::remove_replaced;

/// How long another process may go on trimming: long enough for a cache of some million files.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(10);
const CLEAR_PAUSE: Duration = Duration::from_millis(50);

/// Another process is trimming the cache for too long.
#[derive(Debug, thiserror::Error)]
#[error("the disk cache `{0}` is not cleared: another process is trimming it")]
struct NotCleared(PathBuf);

impl Hinted for NotCleared {
    fn hints(&self) -> Vec<String> {
        vec!["run it again when that has ended".to_owned()]
    }
}

pub(super) fn run(context: &CommandContext, action: CacheAction) -> Result<ExitCode, CommandError> {
    let settings = &context.settings;
    let Some(dir) = settings.link.disk_cache.as_deref() else {
        return Err(Box::new(NoDiskCache));
    };
    let text = match action {
        _ if !dir.exists() => format!("{} does not exist yet\n", dir.display()),
        CacheAction::Show => show(dir, settings.link.disk_cache_max_size)?,
        CacheAction::Trim => match settings.link.disk_cache_max_size {
            // The other process does what was asked for.
            Some(max_size) => shrink(settings, dir, max_size)?
                .unwrap_or_else(|| "another process is trimming the cache\n".to_owned()),
            None => "`disk_cache_max_size` sets no limit: nothing to trim\n".to_owned(),
        },
        CacheAction::Clear => clear(settings, dir)?,
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

/// Removes everything, also what a process leaves that trims the cache now.
fn clear(settings: &Settings, dir: &Path) -> Result<String, CommandError> {
    let given_up = Instant::now() + CLEAR_TIMEOUT;
    loop {
        if let Some(text) = shrink(settings, dir, 0)? {
            return Ok(text);
        }
        if Instant::now() > given_up {
            return Err(Box::new(NotCleared(dir.to_owned())));
        }
        thread::sleep(CLEAR_PAUSE);
    }
}

/// Removes what was longest not used until the cache fits, and notes its new size for the links to
/// come. `None` when another process is trimming.
fn shrink(settings: &Settings, dir: &Path, max_size: u64) -> Result<Option<String>, CommandError> {
    let trimmed = cache::trim(dir, max_size).map_err(failure)?;
    Ok(trimmed.map(|report| {
        let state = settings.link.open_state();
        cache::reset_size_estimate(&state, dir, report.after);
        if let Some(path) = settings.link.state_file() {
            remove_replaced(&path);
        }
        described(&report)
    }))
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
