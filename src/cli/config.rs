//! `relto config`: the settings in force, and where each comes from.

use std::fmt::Write as _;

use super::{CommandContext, output};
use crate::config::{ConfigSource, DISK_CACHE, EffectiveValue, Settings};
use crate::error::ExitCode;

pub(super) fn run(context: &CommandContext) -> ExitCode {
    output::print(&shown(&context.settings))
}

/// The files that were read and the value of every option that has one; secrets are masked.
fn shown(settings: &Settings) -> String {
    let mut text = String::new();
    for file in &settings.files {
        let _ = writeln!(text, "read {}", file.display());
    }
    if !settings.ignored_flags.is_empty() {
        let flags = settings.ignored_flags.join(", ");
        let _ = writeln!(text, "not used of the bazelrc: {flags}");
    }
    for value in settings.values.effective_with_defaults() {
        let EffectiveValue {
            name,
            value,
            source,
        } = value;
        if name == DISK_CACHE && settings.has_no_home() {
            let _ = writeln!(text, "{name} = off  (no home directory can be used)");
        } else if !value.is_empty() || source != ConfigSource::Default {
            let _ = writeln!(text, "{name} = {value}  ({source})");
        }
    }
    text
}
