//! The settings of the [`daemon`](crate::daemon): whether links use it, and where it lives.

use std::path::PathBuf;
use std::time::Duration;

/// When links go through the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonUse {
    Never,
    /// `relto cc` starts it; linkers use it when it is there.
    Auto,
    /// Linkers start it, too.
    Always,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    pub when: DaemonUse,
    /// The directory of its socket; `None` where the user has no place for one.
    pub dir: Option<PathBuf>,
    /// How long it stays without work.
    pub idle_timeout: Duration,
}
