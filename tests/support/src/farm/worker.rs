//! What makes an action's outputs: a script of the test, or the command itself.
//!
//! The real worker gives the command a directory with its inputs and exactly its environment. There
//! is no sandbox, so it is for commands that a test wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fs_err as fs;
use relto::internals::digest::Digest;
use relto::internals::pb::reapi::{Action, Command};
use relto::internals::task;
use tonic::Code;

use super::failure::Failure;

/// One file of the input root.
#[derive(Debug, Clone)]
pub struct Input {
    pub digest: Digest,
    pub contents: Bytes,
    pub is_executable: bool,
}

/// An action with all that it refers to.
#[derive(Debug, Clone)]
pub struct Job {
    pub digest: Digest,
    pub action: Action,
    pub command: Command,
    /// By path from the input root.
    pub inputs: BTreeMap<String, Input>,
    pub dirs: BTreeSet<String>,
    /// The outputs that this kind of server reads, relative to the working directory.
    pub outputs: Vec<String>,
}

/// What running a job gave.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Path, contents, executable.
    pub outputs: Vec<(String, Bytes, bool)>,
    pub exit_code: i32,
    pub stdout: Bytes,
    pub stderr: Bytes,
    /// Becomes `ExecuteResponse.status`.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// Success: each output of the job is `contents`.
    pub fn object(job: &Job, contents: impl Into<Bytes>) -> Self {
        let contents = contents.into();
        let outputs = job.outputs.iter();
        Self {
            outputs: outputs
                .map(|path| (path.clone(), contents.clone(), false))
                .collect(),
            ..Self::default()
        }
    }

    /// The compiler ran and said no.
    pub fn exit(code: i32, stderr: &str) -> Self {
        Self {
            exit_code: code,
            stderr: stderr.to_owned().into(),
            ..Self::default()
        }
    }

    /// The command did not come to run.
    pub fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }
}

pub type Script = Arc<dyn Fn(&Job) -> Outcome + Send + Sync>;

#[derive(Clone)]
pub enum Worker {
    Real,
    Script(Script),
}

impl Worker {
    /// Runs `job`; `scratch` is a directory of the farm, where blobs of earlier jobs wait to be
    /// linked.
    pub(super) async fn run(&self, job: &Job, scratch: &Path) -> Outcome {
        match self {
            Self::Script(script) => {
                let (script, job) = (Arc::clone(script), job.clone());
                task::spawn_blocking(move || run_script(&script, &job)).await
            }
            Self::Real => run_really(job, scratch)
                .await
                .unwrap_or_else(Outcome::failed),
        }
    }
}

/// A script may block, to hold a job back. One that panics must not leave its client waiting.
fn run_script(script: &Script, job: &Job) -> Outcome {
    std::panic::catch_unwind(AssertUnwindSafe(|| script(job))).unwrap_or_else(|_| {
        Outcome::failed(Failure::new(Code::Internal, "the test's script panicked"))
    })
}

async fn run_really(job: &Job, scratch: &Path) -> Result<Outcome, Failure> {
    let internal = |error: std::io::Error| Failure::new(Code::Internal, &error.to_string());
    let root = tempfile::Builder::new()
        .prefix("action-")
        .tempdir_in(scratch)
        .map_err(internal)?;
    materialise(job, root.path(), &scratch.join("files")).map_err(internal)?;
    let dir = root.path().join(&job.command.working_directory);
    let mut command = tokio::process::Command::new(program(job, &dir)?);
    command
        .args(&job.command.arguments[1..])
        .current_dir(&dir)
        .env_clear()
        .envs(
            job.command
                .environment_variables
                .iter()
                .map(|v| (&v.name, &v.value)),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let limit = job.action.timeout;
    let limit = limit.and_then(|limit| Duration::try_from(limit).ok());
    let limit = limit.unwrap_or(Duration::from_mins(10));
    let running = tokio::time::timeout(limit, output(&mut command));
    let Ok(finished) = running.await else {
        return Err(Failure::new(
            Code::DeadlineExceeded,
            "the action's time is over",
        ));
    };
    let finished = finished.map_err(|error| {
        Failure::new(
            Code::InvalidArgument,
            &format!("failed to start process: {error}"),
        )
    })?;
    Ok(Outcome {
        outputs: collect(job, &dir).map_err(internal)?,
        exit_code: exit_code(finished.status),
        stdout: finished.stdout.into(),
        stderr: finished.stderr.into(),
        failure: None,
    })
}

/// A program that was just written may still be open in a child that another job is forking: such a
/// start is repeated.
async fn output(command: &mut tokio::process::Command) -> std::io::Result<Output> {
    for _ in 0..20 {
        match command.output().await {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            finished => return finished,
        }
    }
    command.output().await
}

/// A bare name is looked up in the Command's own PATH, and nowhere else.
fn program(job: &Job, dir: &Path) -> Result<PathBuf, Failure> {
    let name = &job.command.arguments[0];
    if name.contains('/') {
        return Ok(dir.join(name));
    }
    let variables = &job.command.environment_variables;
    let path = variables
        .iter()
        .find(|v| v.name == "PATH")
        .map_or("", |v| &v.value);
    let mut candidates = path.split(':').map(|part| dir.join(part).join(name));
    candidates.find(|path| path.is_file()).ok_or_else(|| {
        let text = format!("cannot find executable `{name}` in search paths `{path}`");
        Failure::new(Code::InvalidArgument, &text)
    })
}

/// 128 and the signal, as a shell and most servers say it.
fn exit_code(status: std::process::ExitStatus) -> i32 {
    let signal = status.signal().map(|signal| 128 + signal);
    status.code().or(signal).unwrap_or(-1)
}

/// Writes the tree. Each blob is written once a farm and then linked: a toolchain has 300 MB.
fn materialise(job: &Job, root: &Path, files: &Path) -> std::io::Result<()> {
    fs::create_dir_all(files)?;
    for dir in &job.dirs {
        fs::create_dir_all(root.join(dir))?;
    }
    for (path, input) in &job.inputs {
        let mode = if input.is_executable { 0o555 } else { 0o444 };
        let kept = files.join(format!("{}-{mode:o}", input.digest.hex()));
        if !kept.exists() {
            let file = tempfile::Builder::new()
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
                .tempfile_in(files)?;
            fs::write(file.path(), &input.contents)?;
            // Closed before it is named: a program that is open for writing does not
            // start.
            let (closed, temporary) = file.into_parts();
            drop(closed);
            // Never replaced: a link to a file that loses its last name meanwhile fails with
            // ENOENT, and another job may be making one now.
            if let Err(error) = temporary.persist_noclobber(&kept)
                && error.error.kind() != ErrorKind::AlreadyExists
            {
                return Err(error.error);
            }
        }
        fs::hard_link(&kept, root.join(path))?;
    }
    for output in &job.outputs {
        let path = root.join(&job.command.working_directory).join(output);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
    }
    Ok(())
}

/// The declared outputs that are there.
fn collect(job: &Job, dir: &Path) -> std::io::Result<Vec<(String, Bytes, bool)>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut outputs = Vec::new();
    for output in &job.outputs {
        let path = dir.join(output);
        if let Ok(found) = fs::metadata(&path)
            && found.is_file()
        {
            let is_executable = found.permissions().mode() & 0o111 != 0;
            outputs.push((output.clone(), fs::read(&path)?.into(), is_executable));
        }
    }
    Ok(outputs)
}
