//! Runs one short program from the calling thread, which waits for its end.
//!
//! The program dies with that thread, like those of a [`Spawner`](super::Spawner) with theirs. Its end is
//! what counts: a process that it leaves behind may hold its output open for as long as it likes.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Pid;

use super::plan::ProcessPlan;
use super::self_exe::Relto;
use super::spawner::{kill_group, unnamed_file};
use super::supervise::read_report;
use super::{ProcessError, ProcessSpec};
use crate::fs::check_cancelled;

/// Bytes of an answer: more are none.
const LONGEST_ANSWER: usize = 4 << 20;

/// How often a cancellation is looked for. A program that prints or ends is noticed at once.
const LOOK_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// Between two looks at a program that has closed its output and not ended yet.
const END_INTERVAL: Duration = Duration::from_micros(200);

/// Runs a program to its end and keeps all that it prints.
///
/// # Errors
/// The program could not be started or confined, printed more than an answer has, or was cancelled. One
/// that ran and failed is not an error here.
pub fn run_blocking(relto: &Relto, spec: &ProcessSpec) -> Result<Output, ProcessError> {
    let program = PathBuf::from(spec.arguments.first().ok_or(ProcessError::Empty)?);
    let helper_error = |source| ProcessError::Helper {
        helper: relto.path().to_owned(),
        source,
    };
    let channel = unnamed_file(&ProcessPlan::encode(spec)).map_err(helper_error)?;
    let stdin = channel.try_clone().map_err(helper_error)?;
    let mut child = relto
        .helper(spec)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What it starts ends with it, if it is cancelled.
        .process_group(0)
        .spawn()
        .map_err(helper_error)?;
    let ended = output(&mut child);
    if !matches!(ended, Ok(Some(_))) {
        kill_group(Pid::from_child(&child));
        let _ = child.wait();
    }
    let lost = |source| ProcessError::Lost {
        program: program.clone(),
        source,
    };
    let output = ended.map_err(lost)?.ok_or(ProcessError::Cancelled)?;
    let report = read_report(&channel, output.status).map_err(helper_error)?;
    match report.into_error(&program, &spec.dir) {
        Some(error) => Err(error),
        None => Ok(output),
    }
}

/// What `child` has printed when it ends; `None` if what this thread does is cancelled before.
fn output(child: &mut Child) -> io::Result<Option<Output>> {
    let mut stdout = Stream::new(child.stdout.take())?;
    let mut stderr = Stream::new(child.stderr.take())?;
    while check_cancelled().is_ok() {
        let status = child.try_wait()?;
        stdout.read()?;
        stderr.read()?;
        if let Some(status) = status {
            let (stdout, stderr) = (stdout.read, stderr.read);
            return Ok(Some(Output {
                status,
                stdout,
                stderr,
            }));
        }
        let open = [
            stdout.open.as_ref().map(AsFd::as_fd),
            stderr.open.as_ref().map(AsFd::as_fd),
        ];
        let open = open.iter().flatten();
        let mut open: Vec<_> = open.map(|it| PollFd::new(it, PollFlags::IN)).collect();
        if open.is_empty() {
            std::thread::sleep(END_INTERVAL);
        } else {
            poll(&mut open, Some(&LOOK_INTERVAL))?;
        }
    }
    Ok(None)
}

/// One of the streams of a program.
struct Stream<R> {
    /// `None` at its end.
    open: Option<R>,
    read: Vec<u8>,
}

impl<R: Read + AsFd> Stream<R> {
    fn new(pipe: Option<R>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
        }
        Ok(Self {
            open: pipe,
            read: Vec::new(),
        })
    }

    /// Reads what is there.
    fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.open else {
            return Ok(());
        };
        let rest = LONGEST_ANSWER.saturating_sub(self.read.len()) as u64;
        match pipe.take(rest).read_to_end(&mut self.read) {
            Ok(_) if self.read.len() >= LONGEST_ANSWER => {
                Err(io::Error::other("it prints without end"))
            }
            Ok(_) => {
                self.open = None;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}
