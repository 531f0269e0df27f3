//! What must hold before a job is worth running, and what its compiler must not have said.
//!
//! Enters: a job, its parsed shard, the facts of its modules; afterwards the compiler's stderr.
//! Leaves: nothing, or the reason why the object would be wrong. Needed because clang exits 0 with
//! an empty or a plausible but wrong object when a shard or an import is missing, stale, damaged or
//! spelled otherwise, and lld drops empty objects without a word. The form of the object itself is
//! checked in `kind`.

use std::collections::BTreeSet;

use crate::error::Hinted;
use crate::job::{Caller, Job};
use crate::thinlto::{Index, IndexError, ModuleEntry, ModuleError, ModuleFacts, RewriteError};

/// Why a job must not run.
#[derive(Debug, thiserror::Error)]
pub enum Unsound {
    #[error("cannot read `{name}`")]
    Unreadable {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{name}` is empty")]
    Empty { name: String },
    #[error("the index shard `{name}` is damaged")]
    Index {
        name: String,
        #[source]
        source: IndexError,
    },
    #[error("the index shard `{name}` cannot be put into canonical form")]
    Rewrite {
        name: String,
        #[source]
        source: RewriteError,
    },
    #[error("`{name}` is not a bitcode module")]
    Module {
        name: String,
        #[source]
        source: ModuleError,
    },
    #[error("the index shard `{index}` writes the name `{name}` wrongly")]
    DamagedName { index: String, name: String },
    #[error("the index shard `{index}` does not mention `{name}`, which the job reads")]
    NotInIndex { index: String, name: String },
    #[error("the index shard `{index}` imports from `{name}`, which the job does not list")]
    NotInJob { index: String, name: String },
    #[error("`{name}` is not the module that the index shard `{index}` was made for")]
    Stale { index: String, name: String },
}

impl Hinted for Unsound {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::DamagedName { .. } => {
                "lld before LLVM 23 writes names that are not ASCII wrongly, and clang would then drop code without \
                 a word: rename the file, or use LLVM 23 or later"
            }
            Self::Stale { .. } | Self::Module { .. } | Self::Unreadable { .. } => {
                "did something replace the file while the link was running? Link again; if it stays so, delete the \
                 file and build it anew"
            }
            Self::Empty { .. } | Self::Index { .. } => {
                "is the file system full? lld writes the shards beside the linker's output"
            }
            Self::NotInIndex { .. } | Self::NotInJob { .. } | Self::Rewrite { .. } => {
                "clang would exit 0 with a wrong object here; this looks like a mismatch between lld and relto, \
                 please report it"
            }
        };
        vec![hint.to_owned()]
    }
}

/// The shard's modules must be the job's inputs, by the same spelling: clang finds a module's own
/// summary by comparing names. lld makes no jobs of modules that it skips; a build system does, and
/// their shards name nothing.
pub fn check_names(caller: Caller, job: &Job, index: &Index<'_>) -> Result<(), Unsound> {
    if let Some(entry) = index.modules().iter().find(|entry| entry.damaged) {
        return Err(Unsound::DamagedName {
            index: job.index().to_owned(),
            name: lossy(entry),
        });
    }
    let in_index: BTreeSet<&[u8]> = index
        .modules()
        .iter()
        .map(|entry| &entry.path[..])
        .collect();
    let in_job: BTreeSet<&[u8]> = job
        .imports()
        .iter()
        .map(String::as_str)
        .chain([job.module()])
        .map(str::as_bytes)
        .collect();
    let skipped = caller == Caller::Launcher && index.flags().skip_module();
    let mut unknown = in_job.difference(&in_index);
    if let Some(name) = unknown.find(|name| !skipped || **name != job.module().as_bytes()) {
        return Err(Unsound::NotInIndex {
            index: job.index().to_owned(),
            name: String::from_utf8_lossy(name).into_owned(),
        });
    }
    if let Some(name) = in_index.difference(&in_job).next() {
        return Err(Unsound::NotInJob {
            index: job.index().to_owned(),
            name: String::from_utf8_lossy(name).into_owned(),
        });
    }
    Ok(())
}

/// The module must be the one that the thin link saw. A shard without a hash record cannot tell.
pub fn check_module(index: &str, entry: &ModuleEntry, facts: &ModuleFacts) -> Result<(), Unsound> {
    match entry.hash {
        Some(expected) if !facts.hashes.contains(&expected) => Err(Unsound::Stale {
            index: index.to_owned(),
            name: lossy(entry),
        }),
        _ => Ok(()),
    }
}

fn lossy(entry: &ModuleEntry) -> String {
    String::from_utf8_lossy(&entry.path).into_owned()
}

/// Lines with which clang 21 to 24 say that the object is wrong, though they exit 0.
const ADMISSIONS: [&str; 2] = ["Error loading ", "Error running ThinLTO backend"];

/// The line of `stderr` that admits a failure, if there is one.
pub fn admitted_failure(stderr: &str) -> Option<&str> {
    stderr
        .lines()
        .find(|line| ADMISSIONS.iter().any(|admission| line.contains(admission)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clang_admits_is_heard() {
        let stderr =
            "warning: x\nError running ThinLTO backend: Error loading imported file b.o: gone\n";
        assert!(admitted_failure(stderr).is_some_and(|line| line.contains("b.o")));
        assert_eq!(admitted_failure("warning: loading is slow\n"), None);
    }
}
