//! Child processes: how compilers are started, and how relto ensures that none outlives it.
//!
//! A [`Spawner`] starts every child from one thread of its own. Each child is first relto itself,
//! in a hidden subcommand ([`supervise`]) that ties its life to relto's and confines it, and then
//! becomes the compiler; so does a program that a thread waits for ([`run_blocking`]). A [`Scratch`] directory vanishes with relto, however relto ends. [`Slots`]
//! count what runs on the machine and a [`MemoryLedger`] the memory for it, [`Watch`] says when
//! relto itself should stop, and a [`World`] is everything by which two processes of a user can
//! differ in what they see and may do.

mod blocking;
mod build;
mod capture;
mod cgroups;
mod child_signal;
mod compile_locks;
mod confine;
mod detached;
mod exit_notifier;
mod file_size;
mod free_memory;
pub mod huge_pages;
mod jobserver;
mod memory;
mod memory_ledger;
mod parent;
mod plan;
mod proc_stat;
mod proc_status;
mod scratch;
mod self_exe;
mod slot_files;
mod slots;
mod spawner;
mod supervise;
mod umask;
mod world;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Hinted;
use crate::fs::FileId;

pub use blocking::run_blocking;
pub use build::{BuildProcess, build_identity};
pub use child_signal::keep_exit_codes;
pub use compile_locks::{CompileAttempt, CompileLock, CompileLocks, OtherCompile};
pub use confine::{Support, landlock_support};
pub use detached::{close_inherited, detach, detach_with_files, leave_the_starter};
pub use exit_notifier::ExitNotifier;
pub use file_size::survive_file_size_limit;
pub use jobserver::Jobserver;
pub use memory_ledger::{LocalMemory, MemoryLedger, MemoryReservation, MemoryWait, Room};
pub use parent::{Interruption, Parent, Watch, end_by};
pub use proc_status::ProcStatus;
pub use scratch::Scratch;
pub use self_exe::Relto;
pub use slot_files::{SlotFiles, SlotLock, lock_trouble};
pub use slots::{SlotPermit, Slots};
pub use spawner::Spawner;
pub use supervise::dispatch;
pub use umask::keep_own_rights;
pub use world::{World, cgroup_holds_fewer_processes};

/// One program to run to its end, without input: its stdin is `/dev/null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// The program and its arguments. A program whose name holds a slash is a path, seen from
    /// `dir`; a bare name is searched in `PATH` if the environment is inherited and looked for in
    /// `dir` if it is exact.
    pub arguments: Vec<OsString>,
    pub environment: ChildEnvironment,
    /// Where the program runs.
    #[serde(with = "plan::path_bytes")]
    pub dir: PathBuf,
    /// Without it the program may touch whatever the user may.
    pub confinement: Option<Confinement>,
}

/// The variables that a program sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildEnvironment {
    /// These and no others.
    Exact(Vec<(OsString, OsString)>),
    /// Those that relto was started with, for runs in place of the linker's own.
    Inherited,
    /// The same, and these.
    InheritedWith(Vec<(OsString, OsString)>),
    /// The same for a linker that is another process's: its variables and its umask.
    Another {
        variables: Vec<(OsString, OsString)>,
        umask: u32,
    },
}

impl ChildEnvironment {
    /// Whether it says all variables, whatever relto's own are.
    fn is_whole(&self) -> bool {
        match self {
            Self::Exact(_) | Self::Another { .. } => true,
            Self::Inherited | Self::InheritedWith(_) => false,
        }
    }
}

/// The files that a program may open. Paths are seen from the invocation's directory and followed
/// through links: what is admitted is the file at the end. A directory admits everything below it.
/// A path that does not exist admits nothing.
///
/// `/dev/null` is always admitted. Landlock restricts opening, creating, renaming, removing and
/// executing, and where the kernel can, TCP, abstract sockets and signals to other processes; it
/// does not restrict `stat`, `readlink` and `chdir`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// May be read, and listed if they are directories.
    #[serde(with = "plan::path_bytes::list")]
    pub readable: Vec<PathBuf>,
    /// May be read and executed. A library needs only to be readable; the dynamic loader of an
    /// executable must be here.
    #[serde(with = "plan::path_bytes::list")]
    pub executable: Vec<PathBuf>,
    /// May be read, written, created, renamed and removed.
    #[serde(with = "plan::path_bytes::list")]
    pub writable: Vec<PathBuf>,
    /// What some of these paths must lead to. A directory may be renamed, and come back later,
    /// without a trace at the files below it; what is admitted is the file that was checked here.
    pub expected: Vec<ExpectedFile>,
}

/// A path and the file that it must lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedFile {
    #[serde(with = "plan::path_bytes")]
    pub path: PathBuf,
    pub id: FileId,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    Exited(i32),
    /// By a signal of this number that relto did not send.
    Signalled(i32),
}

/// The result of a program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub ending: Ending,
    /// The first and the last MiB of the stream, with a line between them that says how much was
    /// left out; all of it from a [`Spawner::with_whole_output`].
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// From the request to the end, the start of the helper included.
    pub elapsed: Duration,
    /// Highest resident size in bytes; unknown for a program that ran very shortly and needed less
    /// than relto itself.
    pub peak_memory: Option<u64>,
}

impl Finished {
    pub fn succeeded(&self) -> bool {
        self.ending == Ending::Exited(0)
    }

    /// Whether the program probably ended for lack of memory: the kernel killed it, or LLVM said so
    /// itself.
    pub fn ran_out_of_memory(&self) -> bool {
        memory::ran_out(self.ending, &self.stderr)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot run `{}`", program.display())]
    Exec {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot run `{}` in the directory `{}`", program.display(), dir.display())]
    Dir {
        program: PathBuf,
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot confine `{}`: {reason}", program.display())]
    Confinement { program: PathBuf, reason: String },
    #[error("nothing to run: the command is empty")]
    Empty,
    #[error("cannot start `{}`, relto's own helper", helper.display())]
    Helper {
        helper: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot wait for `{}`", program.display())]
    Lost {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cancelled")]
    Cancelled,
}

impl Hinted for ProcessError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "install the compiler, or pass the linker the right path; if the compiler exists, its dynamic loader may be missing"
            }
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::ArgumentListTooLong => {
                "pass the arguments in a response file"
            }
            Self::Helper { source, .. } => match reached_limit(source) {
                Some(limit) => limit,
                None => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// The limit of this process that an error of the system comes from, and what to do about it.
pub fn reached_limit(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error().map(Errno::from_raw_os_error)? {
        Errno::AGAIN => {
            Some("the limit of processes is reached: lower `--local-jobs` or raise `ulimit -u`")
        }
        Errno::MFILE => {
            Some("the limit of open files is reached: lower `--local-jobs` or raise `ulimit -n`")
        }
        Errno::FBIG => {
            Some("the limit of file sizes is too low to start anything: raise `ulimit -f`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_program_and_have_a_hint() {
        let exec = |errno: Errno| ProcessError::Exec {
            program: "clang".into(),
            source: errno.into(),
        };
        assert_eq!(exec(Errno::NOENT).to_string(), "cannot run `clang`");
        assert!(exec(Errno::NOENT).hints()[0].contains("loader"));
        assert!(exec(Errno::TOOBIG).hints()[0].contains("response file"));
        assert_eq!(exec(Errno::ACCESS).hints(), Vec::<String>::new());
        let helper = |errno: Errno| ProcessError::Helper {
            helper: "relto".into(),
            source: errno.into(),
        };
        assert!(helper(Errno::AGAIN).hints()[0].contains("ulimit -u"));
        assert!(helper(Errno::MFILE).hints()[0].contains("ulimit -n"));
        assert!(helper(Errno::FBIG).hints()[0].contains("ulimit -f"));
    }
}
