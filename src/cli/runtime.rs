//! What a command runs on: the threads of this process, and the place of the user's daemon.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::config::Settings;
use crate::daemon::RuntimeDir;
use crate::error::Hinted;

#[derive(Debug, thiserror::Error)]
#[error("cannot start the threads of a link")]
pub(super) struct NoThreads(#[from] pub(super) io::Error);

impl Hinted for NoThreads {}

/// Threads for a whole link.
pub(super) fn runtime() -> Result<Runtime, NoThreads> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// One thread: a single job keeps no second one busy, and starting some is a good part of the time
/// that a hit takes.
pub(super) fn small_runtime() -> Result<Runtime, NoThreads> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The directory of the daemon of these settings.
pub(super) fn daemon_dir(settings: &Settings) -> Option<RuntimeDir> {
    settings.daemon.dir.as_ref().map(RuntimeDir::new)
}
