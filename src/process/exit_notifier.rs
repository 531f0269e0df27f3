//! Starts a relto that begins its work when another program has ended.
//!
//! Its stdin is a pipe whose other end is the [`ExitNotifier`]. The holder of the notifier may
//! become another program by `exec`: when that ends, however it ends, stdin ends and the work
//! begins. So relto does not stand between a build and its compiler.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use super::detached::detached;
use super::self_exe::Relto;
use crate::fs::null_device;

/// Lower numbers may be those of descriptors that make has closed, and would be taken for its
/// jobserver.
const LOWEST: i32 = 100;

/// An open descriptor that closes when the programs that hold it have ended.
#[derive(Debug)]
pub struct ExitNotifier(OwnedFd);

impl ExitNotifier {
    /// Starts `relto ARGUMENTS...`, which must read its stdin to the end before it does anything
    /// else.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(relto: &Relto, arguments: &[OsString]) -> io::Result<Self> {
        let (end, notifier) = io::pipe()?;
        // A group of its own: what ends the build must not end this.
        let mut command = detached(relto);
        command
            .args(arguments)
            // It speaks of descriptors that the new process does not have.
            .env_remove("MAKEFLAGS")
            .process_group(0)
            .stdin(end)
            .stdout(null_device()?)
            .stderr(null_device()?);
        command.spawn()?;
        Self::from_fd(notifier.into())
    }

    /// The end of a connection or pipe as an exit notifier.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn from_fd(end: OwnedFd) -> io::Result<Self> {
        Ok(Self(fcntl_dupfd_cloexec(end, LOWEST)?))
    }

    /// The program that takes this process's place holds it until it ends.
    pub fn survive_exec(self) {
        // Where this fails the work begins too early, and finds nothing.
        let _ = fcntl_setfd(&self.0, FdFlags::empty());
        std::mem::forget(self.0);
    }
}
