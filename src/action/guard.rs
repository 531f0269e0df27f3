//! Checks that a job's inputs are sound, and what its compiler must not have printed.
//!
//! clang exits 0 with an empty or a plausible but wrong object when a shard or an import is
//! missing, stale, damaged or spelled otherwise, and lld drops empty objects silently.
//! [`kind`](super::kind) checks the object itself.

use std::collections::BTreeSet;

use crate::error::Hinted;
use crate::fs::read_regular;
use crate::job::{Caller, Job};
use crate::thinlto::{
    Index, IndexError, ModuleEntry, ModuleError, ModuleFacts, RewriteError, module,
};

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
    #[error("the index shard `{index}` does not list `{name}`, which the job reads")]
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
                "lld before LLVM 23 writes non-ASCII names wrongly, and clang would then silently drop code: rename the \
                 file, or use LLVM 23 or later"
            }
            Self::Stale { .. } | Self::Module { .. } | Self::Unreadable { .. } => {
                "did something replace the file while the link was running? Link again; if the error persists, delete \
                 the file and rebuild it"
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

/// Checks that the shard's modules are the job's inputs, spelled the same: clang finds a module's
/// own summary by comparing names. lld creates no jobs for modules that it skips; build systems do,
/// and the shards of those modules list no module.
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

/// Checks that the module is the one that the thin link saw. Without a hash record in the shard
/// this cannot be checked.
pub fn check_module(index: &str, entry: &ModuleEntry, facts: &ModuleFacts) -> Result<(), Unsound> {
    match entry.hash {
        Some(expected) if !facts.hashes.contains(&expected) => Err(Unsound::Stale {
            index: index.to_owned(),
            name: lossy(entry),
        }),
        _ => Ok(()),
    }
}

/// Reads every module that `index` lists by its name there, and checks it.
///
/// # Errors
/// The first that cannot be read, is no module, or is not the one that the thin link saw.
pub fn check_modules(index_name: &str, index: &Index<'_>) -> Result<(), Unsound> {
    for entry in index.modules() {
        let name = lossy(entry);
        let bytes = match read_regular(&name) {
            Ok(bytes) => bytes,
            Err(source) => return Err(Unsound::Unreadable { name, source }),
        };
        let facts = module::facts(&bytes).map_err(|source| Unsound::Module { name, source })?;
        check_module(index_name, entry, &facts)?;
    }
    Ok(())
}

fn lossy(entry: &ModuleEntry) -> String {
    String::from_utf8_lossy(&entry.path).into_owned()
}

/// Messages of clang 21 to 24 that mean a wrong object despite exit code 0.
const FAILURE_MESSAGES: [&str; 2] = ["Error loading ", "Error running ThinLTO backend"];

/// The line of `stderr` that reports a failure, if any.
pub fn reported_failure(stderr: &str) -> Option<&str> {
    stderr.lines().find(|line| {
        FAILURE_MESSAGES
            .iter()
            .any(|message| line.contains(message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reported_failure_is_found_in_stderr() {
        let stderr =
            "warning: x\nError running ThinLTO backend: Error loading imported file b.o: gone\n";
        assert!(reported_failure(stderr).is_some_and(|line| line.contains("b.o")));
        assert_eq!(reported_failure("warning: loading is slow\n"), None);
    }
}
