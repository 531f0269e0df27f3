//! When links go through the daemon, and where it lives.
//!
//! Enters: words. Leaves: typed values. What a daemon is, is said in `daemon`.

use std::path::PathBuf;
use std::time::Duration;

use super::value::{self, Wrong};

/// When links go through the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonUse {
    Never,
    /// `relto cc` starts it; linkers use it when it is there.
    Auto,
    /// Everybody starts it.
    Always,
}

impl DaemonUse {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let words = [
            ("auto", Self::Auto),
            ("on", Self::Always),
            ("off", Self::Never),
        ];
        value::word(text, &words)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    pub when: DaemonUse,
    /// Where it lives; `None` where the user has no place for it.
    pub dir: Option<PathBuf>,
    /// How long it stays without work.
    pub patience: Duration,
}
