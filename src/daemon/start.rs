//! Starts the daemon.
//!
//! The starter takes the lock and hands it over as an open file, so that only one of many processes
//! that try to start a daemon does so.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use super::runtime_dir::RuntimeDir;
use crate::fs::open_private_file;
use crate::launcher::{HOLDS_SLOT, LINKER_STARTED_BY, STARTED_BY};
use crate::process::{Relto, detach_with_files};

/// The hidden command that becomes the daemon. Its arguments are the directory, and how many
/// milliseconds it stays idle.
pub const SERVE: &str = "__daemon";

/// Variables of the starter's build that mean nothing to the daemon.
const NOT_HANDED_ON: [&str; 6] = [
    HOLDS_SLOT,
    STARTED_BY,
    LINKER_STARTED_BY,
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
];

/// Starts a daemon in `runtime_dir`, which has been prepared. False if there is one already.
///
/// # Errors
/// A file cannot be opened, or the process cannot be started.
pub(super) fn start(
    runtime_dir: &RuntimeDir,
    relto: &Relto,
    idle_timeout: Duration,
) -> io::Result<bool> {
    let Some(lock) = runtime_dir.lock()? else {
        return Ok(false);
    };
    let log = open_private_file(&runtime_dir.log())?;
    log.set_len(0)?;
    let arguments: [OsString; 2] = [
        runtime_dir.dir().into(),
        idle_timeout.as_millis().to_string().into(),
    ];
    let (lock, log) = (lock.into_parts().0, log.into_parts().0);
    detach_with_files(relto, SERVE, &arguments, &NOT_HANDED_ON, lock, log)?;
    Ok(true)
}
