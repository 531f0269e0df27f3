//! Starts relto itself for work that outlives this process.
//!
//! The new process holds none of the linker's streams, nor anything else that was open, so no build
//! waits for it: an open pipe would keep its reader, a lock whoever wants it, and a token of make's
//! jobserver would never be returned.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use fs_err as fs;

use super::self_exe::Relto;
use crate::fs::null_device;

/// Stands before the arguments of a relto that is to [`leave_the_starter`].
const DETACHED: &str = "__detached";

/// A command that leaves its starter.
pub(super) fn detached(relto: &Relto) -> Command {
    relto.command(DETACHED)
}

/// Closes what this process has inherited, if the arguments say that it was started for work that
/// outlives its starter, and takes the word out of them that says so. Must be called before this
/// process opens any file.
pub fn leave_the_starter(arguments: &mut Vec<OsString>) {
    if arguments.get(1).is_some_and(|word| word == DETACHED) {
        arguments.remove(1);
        // Without `/proc` they stay open.
        let _ = close_inherited();
    }
}

/// Closes all descriptors but those of the three streams. Must be called before this process opens any
/// file.
///
/// # Errors
/// There is no `/proc`.
pub fn close_inherited() -> io::Result<()> {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let open = fs::read_dir("/proc/self/fd")?.flatten().filter_map(number);
    let inherited: Vec<i32> = open.filter(|number| *number > 2).collect();
    for number in inherited {
        // One of them was the listing itself and is closed.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

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
    let mut command = detached(relto);
    command
        .arg(subcommand)
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
