//! Starts relto itself for work that outlives this process.
//!
//! The new process holds none of the linker's streams, so no build waits for it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;

use super::self_exe::Relto;
use crate::fs::null_device;

/// Starts `relto SUBCOMMAND ARGUMENTS...` with these further variables, and does not wait for it.
///
/// # Errors
/// It cannot be started.
pub fn detach(
    relto: &Relto,
    subcommand: &str,
    arguments: &[&str],
    variables: &[(&str, OsString)],
) -> io::Result<()> {
    let mut command = relto.command(subcommand);
    command
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .process_group(0)
        .stdin(null_device()?)
        .stdout(null_device()?)
        .stderr(null_device()?);
    // Dropping the handle leaves the child alone; when relto ends, init takes it over.
    command.spawn().map(drop)
}

/// Starts `relto SUBCOMMAND ARGUMENTS...` without `variables`, reading `stdin` and writing to
/// `log`. It leads no process group yet, so it can become the leader of a session.
///
/// # Errors
/// It cannot be started.
pub fn detach_with_files(
    relto: &Relto,
    subcommand: &str,
    arguments: &[OsString],
    variables: &[&str],
    stdin: File,
    log: File,
) -> io::Result<()> {
    let mut command = relto.command(subcommand);
    for name in variables {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir("/")
        .stdin(stdin)
        .stdout(log.try_clone()?)
        .stderr(log);
    command.spawn().map(drop)
}
