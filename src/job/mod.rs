//! What lld asks for: one compile per module, as the job file lists them.
//!
//! A [`JobFile`] is complete and valid as text. The modules that read the files it names check
//! whether those exist and match ([`thinlto`](crate::thinlto), [`action`](crate::action)).

mod file;
mod outputs;

use serde::{Deserialize, Serialize};

pub use file::JobFileError;

/// The origin of a job, which decides what is normal and what is a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Caller {
    /// lld, by a job file.
    Linker,
    /// A build system that runs the backends itself, through `relto cc`: one job, whose whole
    /// command line are the common arguments, and whose object has the name that the build gave it.
    Launcher,
}

/// The jobs of one link. The format is LLVM's (`llvm/docs/DTLTO`), the same from LLVM 21 to 24.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFile {
    pub caller: Caller,
    /// `-o` as it was given to lld.
    pub linker_output: String,
    /// The compiler, then the arguments that every job has.
    pub common_arguments: Vec<String>,
    /// Files that every job reads (a sample profile), spelled as the arguments spell them.
    pub common_inputs: Vec<String>,
    pub jobs: Vec<Job>,
    /// Keys that this version of relto does not know; a newer lld may write some.
    pub unknown_keys: Vec<String>,
}

/// One backend compile: `common_arguments` and then `arguments`, without a shell, in lld's
/// directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub arguments: Vec<String>,
    /// The module, its index shard, then the modules that it imports from.
    pub inputs: Vec<String>,
    /// The native object first; lld reserves the right to ask for more.
    pub outputs: Vec<String>,
}

impl JobFile {
    /// The compiler that lld names, a path or a bare name.
    pub fn compiler(&self) -> &str {
        &self.common_arguments[0]
    }

    /// The whole command line of `job` as lld means it.
    pub fn command_line<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a str> {
        self.common_arguments
            .iter()
            .chain(&job.arguments)
            .map(String::as_str)
    }
}

impl Job {
    /// The bitcode module to compile, by the name that the user knows it.
    pub fn module(&self) -> &str {
        &self.inputs[0]
    }

    /// The shard of the combined index that belongs to the module.
    pub fn index(&self) -> &str {
        &self.inputs[1]
    }

    /// Modules whose functions may be imported.
    pub fn imports(&self) -> &[String] {
        &self.inputs[2..]
    }

    /// Where lld will look for the native object.
    pub fn object(&self) -> &str {
        &self.outputs[0]
    }
}
