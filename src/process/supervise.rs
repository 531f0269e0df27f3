//! The hidden subcommands: relto as the process that becomes a compiler, and as the janitor of a
//! scratch directory.
//!
//! `__run` finds its plan in an unnamed file on stdin and writes over it why it could not become
//! the compiler. The compiler does not inherit the file, so a report is always the helper's own,
//! whatever the compiler exits with or prints.
//!
//! Everything that must happen between `fork` and `exec` happens here, in a process of its own with
//! one thread: it needs no `unsafe`, and relto can start it the cheap way (`posix_spawn`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;

use super::plan::{HelperReport, ProcessPlan};
use super::self_exe::{JANITOR, RUN};
use super::{ChildEnvironment, ProcessSpec, confine, scratch};
use crate::error::ExitCode;
use crate::fs::null_device;
use crate::rlimit::open_files;

/// Runs a hidden subcommand. Must be called first in `main`, before any thread is started.
///
/// `arguments` are the ones after relto's own name. `None` means that they are the user's; with
/// `__run` this returns only if the compiler could not be executed.
pub fn dispatch(arguments: &[OsString]) -> Option<ExitCode> {
    match arguments {
        [name] if name == RUN => Some(run()),
        [name, dir] if name == JANITOR => Some(scratch::janitor(Path::new(dir))),
        _ => None,
    }
}

/// Does not return on success. Without a plan on stdin there is nowhere to report a failure.
fn run() -> ExitCode {
    let Ok(channel) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::Usage;
    };
    let channel = File::from(channel);
    let plan = read_all(&channel)
        .ok()
        .and_then(|bytes| ProcessPlan::decode(&bytes));
    let Some(plan) = plan else {
        return ExitCode::Usage;
    };
    let report = become_the_compiler(&plan, &channel);
    // If even this fails, relto finds the plan unanswered and says so.
    let _ = answer(&channel, &report);
    ExitCode::Failure
}

/// The order matters: first the tie to the parent, last what takes the right to open files away.
fn become_the_compiler(plan: &ProcessPlan, channel: &File) -> HelperReport {
    let spec = &plan.spec;
    if tie_to_parent(plan.parent).is_err() {
        return HelperReport::Orphaned;
    }
    if let Some(limit) = plan.open_files {
        open_files::restore(limit);
    }
    if let Err(error) = std::env::set_current_dir(&spec.dir) {
        return HelperReport::Dir(number(&error));
    }
    let mut command = match command(spec) {
        Ok(command) => command,
        Err(error) => return HelperReport::Exec(number(&error)),
    };
    if let Some(confinement) = &spec.confinement
        && let Err(reason) = confine::restrict(confinement)
    {
        return HelperReport::Confinement(reason);
    }
    match answer(channel, &HelperReport::Started) {
        Ok(()) => HelperReport::Exec(number(&command.exec())),
        Err(error) => HelperReport::Exec(number(&error)),
    }
}

/// From here on the kernel kills this process, and the compiler that it becomes, when the thread
/// that started it ends. The kernel does not notice a parent that died before, so the parent is
/// checked afterwards.
fn tie_to_parent(parent: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let found = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if found == Some(parent) {
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn command(spec: &ProcessSpec) -> io::Result<Command> {
    let (program, arguments) = spec
        .arguments
        .split_first()
        .ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program_path(program, &spec.environment));
    command.arg0(program).args(arguments);
    match &spec.environment {
        ChildEnvironment::Inherited => {}
        ChildEnvironment::InheritedWith(variables) => {
            command.envs(variables.iter().cloned());
        }
        ChildEnvironment::Exact(variables) => {
            command.env_clear().envs(variables.iter().cloned());
        }
        ChildEnvironment::Another { variables, umask } => {
            command.env_clear().envs(variables.iter().cloned());
            rustix::process::umask(Mode::from_raw_mode(*umask));
        }
    }
    // Opened here, because the sandbox comes before the exec.
    let stdin = match &spec.environment {
        ChildEnvironment::Inherited | ChildEnvironment::InheritedWith(_) => stdin_of_parent(),
        _ => None,
    };
    let stdin = match stdin {
        Some(stdin) => File::from(stdin),
        None => null_device()?,
    };
    command.stdin(stdin);
    Ok(command)
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// What relto itself could read, since stdin of this process is the plan. `None` where it has none,
/// or a socket.
fn stdin_of_parent() -> Option<OwnedFd> {
    let parent = rustix::process::getppid()?.as_raw_nonzero();
    let path = format!("/proc/{parent}/fd/0");
    // A named pipe that nobody writes must not be waited for yet.
    let stdin = rustix::fs::open(path, READ | OFlags::NONBLOCK, Mode::empty()).ok()?;
    let flags = rustix::fs::fcntl_getfl(&stdin).ok()?;
    rustix::fs::fcntl_setfl(&stdin, flags - OFlags::NONBLOCK).ok()?;
    Some(stdin)
}

/// A bare name would be searched in the C library's default directories if the exact environment
/// has no `PATH`: that would be a hidden input.
fn program_path(program: &OsStr, environment: &ChildEnvironment) -> PathBuf {
    let path = Path::new(program);
    match environment {
        ChildEnvironment::Exact(_) if path.components().count() == 1 => Path::new(".").join(path),
        _ => path.to_owned(),
    }
}

fn number(error: &io::Error) -> i32 {
    error
        .raw_os_error()
        .unwrap_or_else(|| rustix::io::Errno::INVAL.raw_os_error())
}

/// How far the helper came that had `channel` and ended with `status`.
///
/// # Errors
/// A plan that was not overwritten means that the helper was killed early, or is not relto at all.
pub(super) fn read_report(channel: &File, status: ExitStatus) -> io::Result<HelperReport> {
    let report = HelperReport::decode(&read_all(channel)?);
    report.ok_or_else(|| io::Error::other(format!("it ended before it ran anything ({status})")))
}

/// The whole file, from its start and without moving its position.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn answer(channel: &File, report: &HelperReport) -> io::Result<()> {
    channel.set_len(0)?;
    channel.write_all_at(&report.encode(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_forms_are_hidden_subcommands() {
        for arguments in [
            vec!["--help"],
            vec![RUN, "x"],
            vec![JANITOR],
            vec!["--", RUN],
            vec![],
        ] {
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
            assert_eq!(dispatch(&arguments), None, "{arguments:?}");
        }
    }

    #[test]
    fn a_bare_program_name_is_looked_for_in_the_directory_unless_path_is_inherited() {
        let exact = ChildEnvironment::Exact(Vec::new());
        let found = |name: &str, environment| program_path(OsStr::new(name), environment);
        assert_eq!(found("clang", &exact), Path::new("./clang"));
        assert_eq!(found("bin/clang", &exact), Path::new("bin/clang"));
        assert_eq!(found("/usr/bin/clang", &exact), Path::new("/usr/bin/clang"));
        assert_eq!(
            found("clang", &ChildEnvironment::Inherited),
            Path::new("clang")
        );
    }
}
