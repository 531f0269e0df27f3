//! What a link is told from outside.
//!
//! Enters: values that the command line's room makes of settings. Leaves: the same, for all parts
//! of the engine. All but what belongs to this process alone can be handed to another one.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::farm::FarmOptions;
use crate::client_context::ClientContext;
use crate::process::{Jobserver, Parent, Slots};
use crate::state;

/// What a link is told from outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Options {
    /// `None`: nothing is kept.
    pub disk_cache: Option<PathBuf>,
    /// Bytes; the cache is trimmed to it after a link, by a process of its own. `None`: it may
    /// grow.
    pub disk_cache_max_size: Option<u64>,
    /// relto's own directory, with the database of file digests and history; `None`: nothing is
    /// remembered.
    pub state_dir: Option<PathBuf>,
    /// Compilers that this link runs on this machine at a time.
    pub local_jobs: NonZeroUsize,
    /// Compilers that all links of the user run on this machine at a time, beside the first of
    /// each.
    pub machine_jobs: usize,
    /// The first of this link counts, too.
    pub counts_first: bool,
    /// An existing directory where scratch directories may be made.
    pub scratch_parent: PathBuf,
    /// The user's own addition to every key.
    pub salt: String,
    /// The environment that lld gave us.
    pub environment: Vec<(OsString, OsString)>,
    /// `None`: all jobs run on this machine.
    pub farm: Option<FarmOptions>,
    /// This machine and the farm work on the jobs together; otherwise it does what the farm does
    /// not.
    pub beside_farm: bool,
    /// What the names in the job file are relative to, and where jobs run in place.
    #[serde(skip)]
    pub client_context: ClientContext,
    /// make's, where the recipe has been given one; it counts instead of `machine_jobs`.
    #[serde(skip)]
    pub jobserver: Option<Arc<Jobserver>>,
    /// Whoever must still be there to want the objects of a linker's job file.
    #[serde(skip)]
    pub linker: Option<Parent>,
}

impl Options {
    /// The database, if there is one.
    pub(super) fn state(&self) -> Option<PathBuf> {
        let dir = self.state_dir.as_ref()?;
        Some(dir.join(state::FILE_NAME))
    }

    /// What this machine has room for, other links included.
    pub(super) fn slots(&self) -> Slots {
        match (&self.jobserver, &self.state_dir) {
            (Some(jobserver), _) => Slots::of_jobserver(Arc::clone(jobserver)),
            (None, Some(dir)) if self.counts_first => {
                Slots::of_machine_only(dir, self.machine_jobs)
            }
            (None, Some(dir)) => Slots::of_machine(dir, self.machine_jobs),
            (None, None) => Slots::unlimited(),
        }
    }
}
