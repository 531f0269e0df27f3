//! Starts work that outlives relto: a relto process in a group of its own that holds none of the
//! linker's streams and ends by itself.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use super::supervise::Relto;

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
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Dropping the handle leaves the child alone; when relto ends, init takes it over.
    command.spawn().map(drop)
}

/// Starts `relto SUBCOMMAND ARGUMENTS...` as a process that leads no group yet, and so can lead a
/// session, without `variables`. It reads `stdin`, and what it has to say goes to `log`.
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
