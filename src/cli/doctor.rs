//! `relto doctor`: what is set, what works, and what to change.
//!
//! Enters: the settings. Leaves: on stdout a list of findings; exit code 1 if a link would fail.

use std::fmt::Write as _;

use super::{Context, output};
use crate::config::{Described, Settings};
use crate::error::ExitCode;

pub(super) fn run(context: &Context) -> ExitCode {
    output::print(&configuration(&context.settings))
}

/// The files that were read and every value that somebody set, secrets masked.
fn configuration(settings: &Settings) -> String {
    let mut text = String::from("Configuration\n");
    for file in &settings.files {
        let _ = writeln!(text, "  read {}", file.display());
    }
    for Described {
        name,
        value,
        source,
    } in settings.values.described()
    {
        let _ = writeln!(text, "  {name} = {value}  ({source})");
    }
    let strategy = format!("{:?}", settings.strategy).to_lowercase();
    let _ = writeln!(text, "  jobs run by strategy `{strategy}`");
    match &settings.disk_cache.folder {
        Some(folder) => {
            let _ = writeln!(text, "  disk cache in {}", folder.display());
        }
        None => text.push_str("  no disk cache\n"),
    }
    text
}
