//! What `relto cc` does for a compile that writes ThinLTO modules, besides starting the compiler.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::arguments;
use crate::config::{self, Environment, Settings};
use crate::launcher;

/// A compile that writes modules.
#[derive(Debug)]
pub(super) struct FrontEnd {
    pub(super) settings: Settings,
    /// The modules, by the compiler's names for them.
    pub(super) modules: Vec<String>,
}

impl FrontEnd {
    /// `None` for a command line that writes no module, which costs one pass over its `words`.
    /// `options` are relto's own. Errors in the settings are left to the backends.
    pub(super) fn of(options: &[OsString], words: &[OsString]) -> Option<Self> {
        let modules = modules(words);
        if modules.is_empty() {
            return None;
        }
        let typed = if options.is_empty() {
            // The full parser would take longer than all the rest.
            Vec::new()
        } else {
            let mut line = ["relto", arguments::CC].map(OsString::from).to_vec();
            line.extend_from_slice(options);
            line.extend(["--", "compiler"].map(OsString::from));
            arguments::parse(line).ok()?.options
        };
        let loaded = config::load(typed, &Environment::of_process());
        let settings = loaded.ok()?.settings;
        Some(Self { settings, modules })
    }
}

fn modules(words: &[OsString]) -> Vec<String> {
    if launcher::may_leave_a_module(words) {
        launcher::modules(words)
    } else {
        Vec::new()
    }
}

/// The compiler's arguments, as `base_dir` wants them.
pub(super) fn words<'a>(
    settings: &Settings,
    compiler: &OsStr,
    words: &'a [OsString],
) -> Cow<'a, [OsString]> {
    match &settings.base_dir {
        Some(base) if !modules(words).is_empty() => {
            let program = launcher::program_behind(compiler);
            let program = program.unwrap_or_else(|| PathBuf::from(compiler));
            Cow::Owned(launcher::with_relative_paths(&program, words, base))
        }
        _ => Cow::Borrowed(words),
    }
}
