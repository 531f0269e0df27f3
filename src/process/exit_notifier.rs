//! Starts a relto process that begins its work when another program has ended.
//!
//! The process holds none of the linker's or build's streams. Its stdin is connected to an
//! [`ExitNotifier`], whose holder may become another program by `exec`: when that program has
//! ended, however it ended, stdin ends and the work begins. So relto need not stay between a build
//! and its compiler.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use super::supervise::Relto;

/// Lower numbers may be those of descriptors that make has closed, and would be taken for its
/// jobserver.
const LOWEST: i32 = 100;

/// What ends together with the programs that hold it.
#[derive(Debug)]
pub struct ExitNotifier(OwnedFd);

impl ExitNotifier {
    /// Starts `relto ARGUMENTS...`, which is to read its stdin to the end first.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(relto: &Relto, arguments: &[OsString]) -> io::Result<Self> {
        let (end, exit_notifier) = io::pipe()?;
        // A group of its own: what ends the build must not end this.
        let mut command = relto.bare_command();
        command
            .args(arguments)
            .process_group(0)
            .stdin(end)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn()?;
        Self::from_fd(exit_notifier.into())
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
