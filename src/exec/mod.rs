//! Running jobs: the types that all executors share, and the guard that every result passes.
//!
//! Keeping results and handing outputs to the linker is up to [`link`](crate::link).

mod action_result;
pub mod admission;
mod check;
pub mod local;
pub mod queue;
pub mod remote;
pub mod wait_clock;

pub use action_result::action_result;
pub use check::{UnsoundResult, check_kind, check_result};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::action::canonical::{CanonicalJob, NoCanonicalForm};
use crate::action::kind::OutputKind;
use crate::action::slice::SliceKey;
use crate::action::{self, Action, Input};
use crate::digest::Digest;
use crate::error::Hinted;
use crate::events::{JobId, Origin};
use crate::hash_cache::FileFacts;
use crate::pb::reapi::ExecutedActionMetadata;
use crate::process::Ending;

/// A job that is not in the disk cache.
#[derive(Debug)]
pub struct Planned {
    pub id: JobId,
    /// The module as the user knows it.
    pub module: String,
    pub index: String,
    /// Real output paths, the object first.
    pub outputs: Vec<String>,
    /// The command line as lld means it.
    pub command_line: Vec<String>,
    pub form: PlannedForm,
    pub kind: OutputKind,
    /// Whether clang may name intermediate files after its input, in the current directory: those of
    /// `a/x.o` and `b/x.o` are the same, and would be exchanged if both were compiled at a time.
    pub names_intermediate_files: bool,
    /// The expected duration in microseconds; longer jobs go first.
    pub cost: u64,
    /// What the compiler is expected to need, in bytes.
    pub memory: u64,
}

impl Planned {
    /// `None` for what runs in place.
    pub fn hermetic(&self) -> Option<&Hermetic> {
        self.form.hermetic()
    }

    /// Jobs of one key have the same result. `None` for what runs in place.
    pub fn key(&self) -> Option<Digest> {
        self.hermetic().map(Hermetic::key)
    }
}

/// How a job may run.
#[derive(Debug)]
pub enum PlannedForm {
    Hermetic(Box<Hermetic>),
    /// With its real names, as lld would run it; never cached.
    InPlace(InPlaceReason),
}

impl PlannedForm {
    /// `None` for what runs in place.
    pub fn hermetic(&self) -> Option<&Hermetic> {
        match self {
            Self::Hermetic(hermetic) => Some(hermetic),
            Self::InPlace(_) => None,
        }
    }
}

/// Why no action can describe a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InPlaceReason {
    /// The arguments that all jobs of the link share, or its environment, mean something only here.
    #[error("{0}")]
    Link(String),
    /// The job's own arguments do.
    #[error(transparent)]
    Arguments(#[from] NoCanonicalForm),
    /// The command line comes from response files and is longer than a process can be started with.
    #[error("its command line is too long to be sent without response files")]
    TooLong,
    /// An argument names a file that cannot be read.
    #[error("{0}")]
    Input(String),
    /// The compiler writes its own command line and the path of the object into what describes the
    /// program to a debugger.
    #[error(
        "the debug information for Windows (CodeView) holds the command line and its directory"
    )]
    CodeView,
    /// `-fsanitize=alloc-token` in its random mode.
    #[error("its random tokens of allocations depend on the name of the module's file")]
    RandomTokens,
    /// What an SDK of Apple says.
    #[error(
        "the version of the target's system may come from an SDK, which is no input of the job"
    )]
    Sdk,
    /// What a `multilib.yaml` says.
    #[error("clang chooses libraries by files in the sysroot, which is no input of the job")]
    Multilib,
    /// What the CUDA of this machine says.
    #[error(
        "clang chooses the version of PTX by the CUDA that it finds, which is no input of the job"
    )]
    Cuda,
    /// Functions that name no processor.
    #[error(
        "some functions name no processor, and clang chooses their features by the GCC that it finds"
    )]
    Gcc,
}

impl InPlaceReason {
    /// In a few words, for the summary.
    #[must_use]
    pub fn cause(&self) -> &str {
        match self {
            Self::Link(_) => "the link's arguments",
            Self::Arguments(none) => &none.cause,
            Self::TooLong => "long command lines",
            Self::Input(_) => "unreadable files",
            Self::CodeView => "CodeView",
            Self::RandomTokens => "random allocation tokens",
            Self::Sdk => "SDK",
            Self::Multilib => "multilib",
            Self::Cuda => "CUDA",
            Self::Gcc => "functions without a processor",
        }
    }
}

/// A job that can run anywhere and whose result may be kept.
#[derive(Debug)]
pub struct Hermetic {
    pub job: CanonicalJob,
    /// Without its directories and the digests of files: thousands of jobs may wait.
    pub action: Action,
    /// What `job.files` were when they were hashed; jobs share it.
    pub facts: Vec<Arc<FileFacts>>,
    /// The key of what a compiler of the worker's own makes; `None` where the farm gets ours.
    pub worker_key: Option<Digest>,
    /// The key by what the job sees, where it has one and was looked up by it.
    pub slice: Option<Box<SliceKey>>,
}

/// The result of a successful run.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub origin: Origin,
    /// Contents of the outputs, in the order of the job's outputs; empty when the compiler wrote
    /// them in place.
    pub outputs: Vec<Bytes>,
    /// As the compiler wrote it: with canonical names unless it ran in place.
    pub stderr: Bytes,
    /// The compiler's stdout in place; other runs have none.
    pub stdout: Bytes,
    /// The inputs are still what they were when they were hashed, so the result may be kept.
    pub storable: bool,
    /// How long the compile took, the start of the compiler included.
    pub elapsed: Duration,
    /// Bytes, where it was measured.
    pub peak_memory: Option<u64>,
    /// What the farm says about the execution.
    pub made_by: Option<Box<ExecutedActionMetadata>>,
    /// It was found in the farm's action cache by the job's slice key.
    pub by_slice_key: bool,
}

impl Compiled {
    /// Whether this is the result of every job with the same action.
    pub fn is_of_its_action(&self) -> bool {
        self.storable && self.origin != Origin::InPlace
    }
}

/// Why a job has no object.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum JobFailure {
    /// The compiler failed, or its object is unsound. Another run would end the same way.
    #[error(
        "cannot compile `{module}`: {reason}\n  command ({place}): {command}{}",
        Quoted(stderr)
    )]
    Compiler {
        module: String,
        reason: String,
        /// Where it ran.
        place: String,
        command: String,
        /// What the compiler itself ended with.
        ending: Ending,
        stderr: String,
        hint: Option<String>,
    },
    /// The farm did not compile it, and this machine may not.
    #[error("the farm at `{farm}` does not compile `{module}`: {reason}")]
    Farm {
        module: String,
        farm: String,
        reason: String,
        hints: Vec<String>,
        /// Whether `remote_local_fallback` would run it on this machine.
        fallback_helps: bool,
    },
    /// The compiler could not be run.
    #[error("cannot run the job of `{module}`: {reason}")]
    Machine {
        module: String,
        reason: String,
        hints: Vec<String>,
    },
    /// The link is being cancelled.
    #[error("the job of `{module}` was stopped")]
    Cancelled { module: String },
}

impl JobFailure {
    /// With the reason that `edit` makes of the one it has.
    #[must_use]
    pub fn edited(mut self, edit: &dyn Fn(&str) -> String) -> Self {
        match &mut self {
            Self::Compiler { reason, .. }
            | Self::Farm { reason, .. }
            | Self::Machine { reason, .. } => *reason = edit(reason),
            Self::Cancelled { .. } => {}
        }
        self
    }
}

impl Hinted for JobFailure {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Compiler { hint, .. } => hint.iter().cloned().collect(),
            Self::Farm {
                hints,
                fallback_helps,
                ..
            } => {
                let mut hints = hints.clone();
                if *fallback_helps {
                    hints.push("`remote_local_fallback` would run it on this machine".to_owned());
                }
                hints
            }
            Self::Machine { hints, .. } => hints.clone(),
            Self::Cancelled { .. } => Vec::new(),
        }
    }
}

/// The compiler's own words, set off from ours.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.lines() {
            write!(f, "\n  | {line}")?;
        }
        Ok(())
    }
}

/// A command line as a shell would take it, for messages.
pub fn shell_words<S: AsRef<str>>(words: &[S]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    let quote = |word: &str| {
        if !word.is_empty() && word.chars().all(plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let quoted: Vec<String> = words.iter().map(|word| quote(word.as_ref())).collect();
    quoted.join(" ")
}

impl Hermetic {
    /// The key of what our own compiler makes.
    pub fn key(&self) -> Digest {
        self.action.digest()
    }

    /// The slice key, if a farm may have an object under it: one whose names can be restored.
    pub fn slice_at_farm(&self) -> Option<&SliceKey> {
        self.slice.as_deref().filter(|slice| slice.restorable)
    }

    /// Of the job's files, in their order.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.facts.iter().map(|facts| facts.digest)
    }

    /// What the job reads besides its compiler: its files in their order, and the shard.
    pub fn inputs(&self) -> impl Iterator<Item = Input<'_>> {
        action::inputs(&self.job, self.digests(), self.action.shard)
    }

    /// Bytes of all inputs.
    pub fn input_bytes(&self) -> u64 {
        self.inputs().map(|input| input.digest.size).sum()
    }

    /// The key under which a result of that origin is kept: another compiler's results never mix
    /// with ours.
    pub fn key_of(&self, origin: Origin) -> Digest {
        match (origin, self.worker_key) {
            (Origin::Remote | Origin::RemoteCache, Some(key)) => key,
            _ => self.key(),
        }
    }

    /// The key to look for before a job runs anywhere.
    pub fn wanted_key(&self) -> Digest {
        self.worker_key.unwrap_or_else(|| self.key())
    }
}
