//! Runs a job as lld itself would: with its own names, directory and environment.
//!
//! It checks the outputs that the compiler wrote where lld looks for them, and removes the object
//! after a failure.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{LocalExecutor, not_started};
use crate::action::arguments::{extra_outputs, parse};
use crate::action::guard::reported_failure;
use crate::action::kind::check_output;
use crate::action::response::{Quoting, expand_response_files};
use crate::client_context::ClientContext;
use crate::events::Origin;
use crate::exec::{Compiled, JobFailure, Planned, UnsoundResult, shell_words};
use crate::fs::{FileId, dir_of, read_regular, read_regular_to_string, remove_if_there};
use crate::process::{ChildEnvironment, Ending, Finished, MemoryReservation, ProcessSpec};

impl LocalExecutor {
    /// Runs `job` as lld would run it: the compiler writes the outputs where lld looks for them.
    ///
    /// # Errors
    /// The compiler failed or could not be started, or the link is being cancelled.
    pub async fn run_in_place(
        &self,
        job: &Planned,
        memory: &MemoryReservation,
    ) -> Result<Compiled, JobFailure> {
        self.started(job, Origin::InPlace);
        self.run_in_place_again(job, memory).await
    }

    /// The same for a job that has a result, which is replaced: it has been started already as far as
    /// the user knows.
    ///
    /// # Errors
    /// The same.
    pub async fn run_in_place_again(
        &self,
        job: &Planned,
        memory: &MemoryReservation,
    ) -> Result<Compiled, JobFailure> {
        let client_context = &self.config.client_context;
        let finished = self
            .start_in_place(job, memory)
            .await
            .inspect_err(|_| discard_object(job, client_context))?;
        let stderr = String::from_utf8_lossy(&finished.stderr).into_owned();
        match check(job, client_context, &finished, &stderr) {
            Ok(()) => Ok(Compiled {
                origin: Origin::InPlace,
                outputs: Vec::new(),
                stderr: finished.stderr.into(),
                stdout: finished.stdout.into(),
                storable: false,
                elapsed: finished.elapsed,
                peak_memory: finished.peak_memory,
                made_by: None,
                by_slice_key: false,
            }),
            Err(reason) => {
                discard_object(job, client_context);
                Err(JobFailure::Compiler {
                    module: job.module.clone(),
                    reason,
                    place: "on this machine".to_owned(),
                    command: shell_words(&job.command_line),
                    ending: finished.ending,
                    stderr,
                    hint: Some(hint(finished.ending).to_owned()),
                })
            }
        }
    }

    async fn start_in_place(
        &self,
        job: &Planned,
        memory: &MemoryReservation,
    ) -> Result<Finished, JobFailure> {
        let client_context = &self.config.client_context;
        let invocation = || invocation(job, client_context);
        let outputs = UnfinishedOutputs::of(job, client_context);
        let _turn = if job.names_intermediate_files {
            Some(self.intermediate_files.lock().await)
        } else {
            None
        };
        let mut finished = {
            let _shared = self.memory.read().await;
            let started = self.start(invocation(), memory).await;
            started.map_err(|error| not_started(job, &error))?
        };
        if finished.ran_out_of_memory() {
            discard_object(job, client_context);
            memory.take_all();
            let _alone = self.memory.write().await;
            let started = self.start(invocation(), memory).await;
            finished = started.map_err(|error| not_started(job, &error))?;
        }
        if let Ending::Exited(_) = finished.ending {
            outputs.keep();
        }
        Ok(finished)
    }
}

/// The command line as lld wrote it.
fn invocation(job: &Planned, client_context: &ClientContext) -> ProcessSpec {
    let environment = match (client_context.environment(), client_context.umask()) {
        (Some(variables), Some(umask)) => ChildEnvironment::Another {
            variables: variables.to_vec(),
            umask,
        },
        _ => ChildEnvironment::Inherited,
    };
    ProcessSpec {
        arguments: job.command_line.iter().map(OsString::from).collect(),
        environment,
        dir: client_context.resolve("."),
        confinement: None,
    }
}

/// What [`super::check_result`] asks of other results; the error is the reason why there is no
/// object.
fn check(
    job: &Planned,
    client_context: &ClientContext,
    finished: &Finished,
    stderr: &str,
) -> Result<(), String> {
    match finished.ending {
        Ending::Exited(0) => {}
        Ending::Exited(code) => return Err(UnsoundResult::ExitCode(code).to_string()),
        Ending::Signalled(signal) => {
            return Err(UnsoundResult::Killed(signal).to_string());
        }
    }
    if let Some(line) = reported_failure(stderr) {
        return Err(UnsoundResult::ReportedFailure(line.to_owned()).to_string());
    }
    for (number, output) in job.outputs.iter().enumerate() {
        let contents = match read_regular(client_context.resolve(output)) {
            Err(_) if number > 0 && may_be_missing(job, client_context, output) => continue,
            contents => {
                contents.map_err(|_| UnsoundResult::MissingOutput(output.clone()).to_string())?
            }
        };
        if number == 0 {
            check_output(job.kind, &contents)
                .map_err(|wrong| UnsoundResult::WrongOutput(wrong.to_string()).to_string())?;
        }
    }
    Ok(())
}

/// Whether an option asks for `output`. clang writes such a file if it has something to say: no `.su`
/// without a function, no `.dwo` without debug information.
fn may_be_missing(job: &Planned, client_context: &ClientContext, output: &String) -> bool {
    let read = &mut |path: &str| read_regular_to_string(client_context.resolve(path));
    let words = job.command_line.get(1..).unwrap_or_default();
    let words = expand_response_files(words, Quoting::Gnu, read).unwrap_or_default();
    let object = job.outputs.first().map_or("", String::as_str);
    extra_outputs(&parse(&words), object).contains(output)
}

/// The hint after a compile that failed in place, as lld itself would have run it.
fn hint(ending: Ending) -> &'static str {
    match ending {
        Ending::Exited(0) => {
            "the compiler claims success: is the disk full? Is this the clang that belongs to lld? The same link without relto shows whether the compiler is at fault"
        }
        Ending::Exited(_) => {
            "to run this command by hand, link with `-Wl,--save-temps`: lld then keeps the shard that it reads"
        }
        Ending::Signalled(_) => {
            "the compiler crashed: to see it crash by itself, link with `-Wl,--save-temps` and run this command by hand"
        }
    }
}

/// What a failed compile left in place must not be taken for an object. One that was killed leaves
/// its temporary file. Further outputs stay as the compiler left them: clang removes its object
/// alone, and a job file may name any file.
fn discard_object(job: &Planned, client_context: &ClientContext) {
    let Some(object) = job.outputs.first() else {
        return;
    };
    let object = client_context.resolve(object);
    // lld reports the failed link; a file that cannot be removed changes nothing about that.
    let _ = remove_if_there(&object);
    for temporary in temporary_files(&object) {
        let _ = remove_if_there(&temporary);
    }
}

/// The outputs beside the object while a compiler may be writing them. clang removes what it has not
/// finished, unless it is killed: dropping this does so in its place.
#[derive(Debug)]
struct UnfinishedOutputs(Vec<(PathBuf, Option<FileState>)>);

/// Which file it is, and when it was changed last.
type FileState = (FileId, i64, i64);

impl UnfinishedOutputs {
    /// To be called before the compiler starts.
    fn of(job: &Planned, client_context: &ClientContext) -> Self {
        let further = job.outputs.iter().skip(1);
        let paths = further.map(|output| client_context.resolve(output));
        Self(
            paths
                .map(|path| {
                    let before = file_state(&path);
                    (path, before)
                })
                .collect(),
        )
    }

    /// The compiler has ended by itself.
    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for UnfinishedOutputs {
    fn drop(&mut self) {
        for (path, before) in &self.0 {
            if file_state(path) != *before {
                let _ = remove_if_there(path);
            }
        }
    }
}

fn file_state(path: &Path) -> Option<FileState> {
    let found = fs::metadata(path).ok()?;
    Some((FileId::of(&found), found.ctime(), found.ctime_nsec()))
}

/// clang writes `a.o` as `a-0123abcd.o.tmp` and renames it
/// (`CompilerInstance::createOutputFileImpl`).
fn temporary_files(output: &Path) -> Vec<PathBuf> {
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let prefix = format!("{}-", text(output.file_stem()));
    let suffix = format!(".{}.tmp", text(output.extension()));
    let is_temporary = |name: &str| {
        let random = name
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix(&suffix));
        random.is_some_and(|it| it.len() == 8 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let entries = fs::read_dir(dir_of(output)).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_temporary))
        .map(|entry| entry.path())
        .collect()
}
