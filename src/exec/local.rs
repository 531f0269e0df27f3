//! Runs jobs on this machine, as their actions say.
//!
//! A hermetic job runs in a directory of its own that looks like the action's input root, with the
//! action's command line and environment, and can read nothing else: so its outputs are what the
//! key stands for. When that fails the job has to run in place, as lld would run it: either the
//! compile reads something that the action does not name, or the second failure is the one to show.

mod in_place;
mod job_dir;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use bytes::Bytes;
use memchr::memmem;
use rustix::process::Signal;
use tokio::sync::{Mutex, OnceCell, RwLock};
use tokio_util::sync::CancellationToken;

use super::{Compiled, Hermetic, JobFailure, Planned, UnsoundResult, check_result};
use crate::action::arguments::is_heeded_for;
use crate::action::toolchain_tree::ToolchainTree;
use crate::client_context::ClientContext;
use crate::error::{Hinted as _, with_causes};
use crate::events::{Event, Events, Origin};
use crate::fs::read_regular_beneath;
use crate::hash_cache::HashCache;
use crate::process::{
    ChildEnvironment, Ending, Finished, MemoryReservation, ProcessError, ProcessSpec, Relto,
    Scratch, Spawner, huge_pages,
};
use crate::task::spawn_blocking;
use job_dir::{JobDir, link_toolchain};

/// What all local runs of a link have in common.
#[derive(Debug)]
pub struct LocalConfig {
    pub relto: Relto,
    /// Where the link's scratch directory is made, when it is needed.
    pub scratch_parent: PathBuf,
    pub toolchain: Arc<ToolchainTree>,
    /// Those of the linker, for runs in place.
    pub client_context: ClientContext,
    /// The variables of the action's Command.
    pub environment: Vec<(String, String)>,
    pub hash_cache: Arc<HashCache>,
    pub events: Events,
    pub cancel: CancellationToken,
}

/// Compiles on this machine.
#[derive(Debug)]
pub struct LocalExecutor {
    config: LocalConfig,
    spawner: Spawner,
    scratch: OnceCell<Scratch>,
    /// Ordinary runs share it; a job that ran out of memory takes it alone.
    memory: RwLock<()>,
    /// Runs that leave files named after their input take turns.
    intermediate_files: Mutex<()>,
    /// Runs that compare results from caches.
    comparisons: AtomicUsize,
    /// Set with the warning that results are not kept.
    changed: Once,
    /// The variables of compilers.
    environment: Vec<(OsString, OsString)>,
}

/// How one start of the compiler ended.
enum Attempt {
    Good(Vec<Bytes>, Finished),
    OutOfMemory,
    Bad(UnsoundResult),
}

impl LocalExecutor {
    /// Starts the thread from which compilers are started; the scratch directory is made with the
    /// first job.
    ///
    /// # Errors
    /// The system cannot start the thread.
    pub fn new(config: LocalConfig) -> std::io::Result<Self> {
        let own = config.environment.iter();
        let own = own.map(|(name, value)| (name.into(), value.into()));
        let huge_pages = huge_pages::variable().into_iter();
        let huge_pages = huge_pages.map(|(name, value)| (name.into(), value.into()));
        Ok(Self {
            spawner: Spawner::new(config.relto.clone())?,
            environment: own.chain(huge_pages).collect(),
            config,
            scratch: OnceCell::new(),
            memory: RwLock::new(()),
            intermediate_files: Mutex::new(()),
            comparisons: AtomicUsize::new(0),
            changed: Once::new(),
        })
    }

    /// Runs `job` as its action says and writes nothing where the linker looks. Returns `None` if
    /// the job has to run in place. Dropping the future kills the compiler.
    ///
    /// # Errors
    /// The compiler could not be started, or the link is being cancelled.
    pub async fn run(
        &self,
        job: &Planned,
        memory: &MemoryReservation,
    ) -> Result<Option<Compiled>, JobFailure> {
        let Some(hermetic) = job.hermetic() else {
            return Ok(None);
        };
        self.started(job, Origin::Local);
        match self
            .run_hermetic(job, hermetic, &job.id.to_string(), memory)
            .await?
        {
            Attempt::Good(outputs, finished) => {
                Ok(Some(self.compiled(hermetic, outputs, finished).await))
            }
            Attempt::OutOfMemory => Err(out_of_memory(job)),
            Attempt::Bad(reason) => {
                self.config.events.note(format!(
                    "`{}` does not compile from its action alone ({reason}); running it in place",
                    job.module
                ));
                self.config.events.send(Event::RunsInPlace {
                    job: job.id,
                    cause: "fails in the sandbox".to_owned(),
                });
                Ok(None)
            }
        }
    }

    /// Runs `job`, which has a result from a cache, as its action says, to compare that result. The
    /// inner error is why this machine makes no result of the action. Dropping the future kills the
    /// compiler.
    ///
    /// # Errors
    /// There is nothing to compare: the compiler could not be started, or the link is being
    /// cancelled.
    pub async fn run_again(
        &self,
        job: &Planned,
        memory: &MemoryReservation,
    ) -> Result<Result<Compiled, UnsoundResult>, JobFailure> {
        let no_result = |reason: String| JobFailure::Machine {
            module: job.module.clone(),
            reason,
            hints: Vec::new(),
        };
        let Some(hermetic) = job.hermetic() else {
            return Err(no_result("it runs in place".to_owned()));
        };
        // Another attempt at the job, which the cached result has superseded, may not be gone yet,
        // and results of several caches may be compared at a time.
        let number = self.comparisons.fetch_add(1, Ordering::Relaxed);
        let dir = format!("{}-again-{number}", job.id);
        match self.run_hermetic(job, hermetic, &dir, memory).await? {
            Attempt::Good(outputs, finished) => {
                Ok(Ok(self.compiled(hermetic, outputs, finished).await))
            }
            Attempt::OutOfMemory => Err(out_of_memory(job)),
            Attempt::Bad(reason) => Ok(Err(reason)),
        }
    }

    async fn compiled(
        &self,
        hermetic: &Hermetic,
        outputs: Vec<Bytes>,
        finished: Finished,
    ) -> Compiled {
        Compiled {
            origin: Origin::Local,
            outputs,
            stderr: finished.stderr.into(),
            stdout: Bytes::new(),
            storable: self.unchanged(hermetic).await,
            elapsed: finished.elapsed,
            peak_memory: finished.peak_memory,
            made_by: None,
            by_slice_key: false,
        }
    }

    fn started(&self, job: &Planned, origin: Origin) {
        self.config.events.send(Event::JobStarted {
            job: job.id,
            origin,
        });
    }

    /// Whether nothing that the result was made from has changed since it was hashed, the compiler
    /// included: only then it may be kept. The first change is told to the user.
    async fn unchanged(&self, hermetic: &Hermetic) -> bool {
        let files = hermetic.job.files.iter().zip(&hermetic.facts);
        let inputs = files.map(|(file, facts)| (Arc::clone(&file.host), Arc::clone(facts)));
        let inputs: Vec<_> = inputs.collect();
        let toolchain = Arc::clone(&self.config.toolchain);
        let hash_cache = Arc::clone(&self.config.hash_cache);
        // Files of some media are read again.
        let looking = spawn_blocking(move || {
            let inputs = inputs
                .iter()
                .map(|(host, facts)| (&**host, &facts.identity));
            let tools = toolchain.files.iter();
            inputs
                .chain(tools.map(|file| (file.host.as_path(), &file.identity)))
                .find(|(host, identity)| !hash_cache.unchanged(host, identity))
                .map(|(host, _)| host.to_owned())
        });
        let changed = tokio::select! {
            biased;
            () = self.config.cancel.cancelled() => return false,
            changed = looking => changed,
        };
        if let Some(path) = &changed {
            self.changed.call_once(|| self.warn_of_change(path));
        }
        changed.is_none()
    }

    fn warn_of_change(&self, path: &Path) {
        let path = path.display();
        self.config.events.warning(
            format!("`{path}` changed while the link used it, so results are not cached"),
            Some("link again; a new hard link or another mode of the file counts as a change"),
        );
    }

    async fn run_hermetic(
        &self,
        job: &Planned,
        hermetic: &Hermetic,
        dir: &str,
        memory: &MemoryReservation,
    ) -> Result<Attempt, JobFailure> {
        let machine = |error: std::io::Error| machine(job, &error, Vec::new());
        let scratch = self.scratch().await.map_err(machine)?;
        let dir = match JobDir::create(scratch, dir, hermetic) {
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                return Ok(Attempt::Bad(UnsoundResult::InputsTooLarge));
            }
            made => made.map_err(machine)?,
        };
        let attempt = {
            let _shared = self.memory.read().await;
            self.attempt(job, hermetic, &dir, memory).await?
        };
        let Attempt::OutOfMemory = attempt else {
            return Ok(attempt);
        };
        self.config.events.note(format!(
            "`{}` was killed by the kernel; running it once more, alone",
            job.module
        ));
        memory.take_all();
        let _alone = self.memory.write().await;
        self.attempt(job, hermetic, &dir, memory).await
    }

    async fn attempt(
        &self,
        job: &Planned,
        hermetic: &Hermetic,
        dir: &JobDir,
        memory: &MemoryReservation,
    ) -> Result<Attempt, JobFailure> {
        let finished = match self.start(self.invocation(hermetic, dir), memory).await {
            // A kernel that has Landlock can still refuse it, to the 17th domain for example.
            Err(ProcessError::Confinement { reason, .. }) => {
                // Where another file has taken the place of an input, the user is told.
                let _ = self.unchanged(hermetic).await;
                return Ok(Attempt::Bad(UnsoundResult::Unconfined(reason)));
            }
            started => started.map_err(|error| not_started(job, &error))?,
        };
        if finished.ran_out_of_memory() {
            return Ok(Attempt::OutOfMemory);
        }
        let exit_code = match finished.ending {
            Ending::Exited(code) => code,
            Ending::Signalled(signal) if is_own_crash(signal) => 128 + signal,
            Ending::Signalled(signal) => return Ok(Attempt::Bad(UnsoundResult::Killed(signal))),
        };
        let mut outputs = outputs(hermetic, dir);
        let checked = check_result(&hermetic.job, exit_code, &finished.stderr, &outputs);
        let whole = checked.and_then(|()| match dir.undeclared(hermetic) {
            _ if !finished.stdout.is_empty() => Err(UnsoundResult::Prints),
            _ if hold_directory(&outputs, &dir.path) => Err(UnsoundResult::HoldsNames),
            Some(file) => Err(UnsoundResult::Undeclared(file)),
            None => Ok(()),
        });
        Ok(match whole {
            Ok(()) => Attempt::Good(
                outputs.iter_mut().filter_map(Option::take).collect(),
                finished,
            ),
            Err(reason) => Attempt::Bad(reason),
        })
    }

    fn invocation(&self, hermetic: &Hermetic, dir: &JobDir) -> ProcessSpec {
        let arguments = hermetic.action.arguments.iter().map(OsString::from);
        let is_heeded = |name: &OsString| {
            let name = name.to_str();
            name.is_none_or(|name| is_heeded_for(hermetic.job.kind, name))
        };
        let environment = self.environment.iter().filter(|(name, _)| is_heeded(name));
        ProcessSpec {
            arguments: arguments.collect(),
            environment: ChildEnvironment::Exact(environment.cloned().collect()),
            dir: dir.path.clone(),
            confinement: Some(dir.confinement(&self.config.toolchain, hermetic)),
        }
    }

    async fn start(
        &self,
        invocation: ProcessSpec,
        memory: &MemoryReservation,
    ) -> Result<Finished, ProcessError> {
        let on_start = |process| memory.started(process);
        let cancel = &self.config.cancel;
        self.spawner
            .run_observed(&invocation, cancel, &on_start)
            .await
    }

    async fn scratch(&self) -> std::io::Result<&Path> {
        let scratch = self
            .scratch
            .get_or_try_init(|| async {
                let scratch = Scratch::create(&self.config.relto, &self.config.scratch_parent)?;
                link_toolchain(scratch.path(), &self.config.toolchain)?;
                Ok::<_, std::io::Error>(scratch)
            })
            .await?;
        Ok(scratch.path())
    }
}

/// Whether an output names the directory in which it was made.
fn hold_directory(outputs: &[Option<Bytes>], dir: &Path) -> bool {
    let finder = memmem::Finder::new(dir.as_os_str().as_encoded_bytes());
    let mut contents = outputs.iter().flatten();
    contents.any(|contents| finder.find(contents).is_some())
}

/// What the compiler has written; `None` for what it has not.
fn outputs(hermetic: &Hermetic, dir: &JobDir) -> Vec<Option<Bytes>> {
    let declared = hermetic.job.outputs.iter();
    declared
        .map(|output| {
            let read = read_regular_beneath(&dir.path, Path::new(&output.tree_path));
            read.ok().map(Bytes::from)
        })
        .collect()
}

/// Whether the signal comes of what the compiler did with its inputs. Others are sent to it, or say that
/// this machine has too little of something.
fn is_own_crash(signal: i32) -> bool {
    const CRASHES: [Signal; 5] = [
        Signal::ABORT,
        Signal::FPE,
        Signal::ILL,
        Signal::SEGV,
        Signal::TRAP,
    ];
    CRASHES.iter().any(|crash| crash.as_raw() == signal)
}

fn not_started(job: &Planned, error: &ProcessError) -> JobFailure {
    match error {
        ProcessError::Cancelled => cancelled(job),
        error => machine(job, error, error.hints()),
    }
}

fn cancelled(job: &Planned) -> JobFailure {
    JobFailure::Cancelled {
        module: job.module.clone(),
    }
}

fn machine(job: &Planned, error: &dyn std::error::Error, hints: Vec<String>) -> JobFailure {
    JobFailure::Machine {
        module: job.module.clone(),
        reason: with_causes(error),
        hints,
    }
}

fn out_of_memory(job: &Planned) -> JobFailure {
    JobFailure::Machine {
        module: job.module.clone(),
        reason: "the kernel killed the compiler twice, the second time while nothing else ran"
            .to_owned(),
        hints: vec!["the machine has too little memory for this module: see `dmesg`".to_owned()],
    }
}
