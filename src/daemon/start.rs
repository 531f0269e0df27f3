//! Starts the daemon, unless there is one already.
//!
//! The starter takes the lock first and passes it to the daemon open, so that concurrent callers
//! start exactly one daemon.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::runtime_dir::RuntimeDir;
use crate::launcher::{HOLDS_SLOT, STARTED_BY};
use crate::process::{Relto, detach_with_files};

/// The hidden command that becomes the daemon. Its arguments are the directory, and how many
/// milliseconds it stays idle.
pub const SERVE: &str = "__daemon";

/// The slot, wrappers and jobserver of the starter are not for the daemon.
const NOT_HANDED_ON: [&str; 5] = [HOLDS_SLOT, STARTED_BY, "MAKEFLAGS", "MAKELEVEL", "MFLAGS"];

/// Starts a daemon in `place`, which has been prepared, unless there is one: then `false`.
///
/// # Errors
/// The system refuses a file or the process.
pub(super) fn start(place: &RuntimeDir, relto: &Relto, idle_timeout: Duration) -> io::Result<bool> {
    let Some(lock) = place.lock()? else {
        return Ok(false);
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let log = options.open(place.log())?;
    let arguments: [OsString; 2] = [
        place.dir().into(),
        idle_timeout.as_millis().to_string().into(),
    ];
    let (lock, log) = (lock.into_parts().0, log.into_parts().0);
    detach_with_files(relto, SERVE, &arguments, &NOT_HANDED_ON, lock, log)?;
    Ok(true)
}
