//! The options of a link, as plain values that can be handed to another process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bes::BesOptions;
use crate::client_context::ClientContext;
use crate::compiler::{CompilerRequest, Purpose, ToolchainSource};
use crate::job::Caller;
use crate::process::{Jobserver, LocalMemory, MemoryLedger, Parent, Relto, Slots};
use crate::reapi::{ClientOptions, Service};
use crate::state::{self, State};

/// How a link is to be run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Options {
    /// `None`: nothing is kept.
    pub disk_cache: Option<PathBuf>,
    /// Bytes; the cache is trimmed to it after a link, by a process of its own. `None`: it may
    /// grow.
    pub disk_cache_max_size: Option<u64>,
    /// Look results up by what their jobs see of imports, too, and keep them so; `None`: where
    /// the compiler is of a release that was [compared enough](crate::thinlto::PROVED_RELEASES).
    pub slice_keys: Option<bool>,
    /// The directory for the `.dwo` files of the linker's jobs, as objects name it; `None`: debug
    /// information stays in the objects.
    pub dwo_dir: Option<String>,
    pub verify: VerifyOptions,
    /// relto's own directory, with the database of file digests and history; `None`: nothing is
    /// remembered.
    pub state_dir: Option<PathBuf>,
    /// Compilers that this link runs on this machine at a time.
    pub local_jobs: NonZeroUsize,
    /// Compilers that all links of the user run on this machine at a time, beside the first of
    /// each.
    pub machine_jobs: usize,
    /// The first of this link counts, too.
    pub no_free_permit: bool,
    /// What compilers of this user may have together here.
    pub local_memory: LocalMemory,
    /// An existing directory where scratch directories may be made.
    pub scratch_parent: PathBuf,
    /// The user's own addition to every key.
    pub salt: String,
    pub record: RecordOptions,
    /// The environment that lld gave us.
    pub environment: Vec<(OsString, OsString)>,
    /// `None`: all jobs run on this machine.
    pub farm: Option<FarmOptions>,
    /// This machine and the farm work on the jobs together; otherwise it does what the farm does
    /// not.
    pub dynamic: bool,
    /// `None`: build events are not published.
    pub bes: Option<BesOptions>,
    /// What the names in the job file are relative to, and where jobs run in place.
    #[serde(skip)]
    pub client_context: ClientContext,
    /// make's, where the recipe has been given one; it counts instead of `machine_jobs`.
    #[serde(skip)]
    pub jobserver: Option<Arc<Jobserver>>,
    /// The process that must still be running for the objects to be needed.
    #[serde(skip)]
    pub linker: Option<Parent>,
}

/// What the record of a link needs from its caller.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RecordOptions {
    /// The build that this link is a part of, if that has no end of its own.
    pub build: Option<String>,
    /// How long the linker had been running when it called relto, if it did.
    pub linker_age: Option<Duration>,
    /// The user's names for modules that the job file names otherwise.
    pub names: BTreeMap<String, String>,
    /// The caller makes a page of the link as soon as that has ended.
    pub page_follows: bool,
    /// The caller logs what each job runs, reads and writes.
    pub describe_jobs: bool,
}

/// Which results from caches are compiled again on this machine and compared.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct VerifyOptions {
    /// Of the hits; 0: none.
    pub percent: f64,
    /// A wrong result fails the link; otherwise it is a warning.
    pub fail: bool,
    /// The directory of the user's secret and of objects that differ; `None` where the user has no
    /// home: they are not kept.
    pub dir: Option<PathBuf>,
}

/// A farm, and how a link may use it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FarmOptions {
    pub client: ClientOptions,
    /// Platform properties, sorted.
    pub platform: Vec<(String, String)>,
    /// Those of large jobs, all of them, sorted; empty where they are as any others.
    pub large_platform: Vec<(String, String)>,
    /// A job that reads more is large.
    pub large_job_bytes: u64,
    /// Executions under way there at a time.
    pub jobs: NonZeroUsize,
    /// Take results from the farm's action cache.
    pub accept_cached: bool,
    /// Give results of this machine to it.
    pub upload_local_results: bool,
    /// Find results there by slice keys, and give it results under these.
    pub slice_results: bool,
    /// Run here what the farm fails to run.
    pub local_fallback: bool,
    pub toolchain: ToolchainSource,
}

impl Default for Options {
    /// A link on this machine, of which nothing is kept or remembered.
    fn default() -> Self {
        Self {
            disk_cache: None,
            disk_cache_max_size: None,
            slice_keys: None,
            dwo_dir: None,
            verify: VerifyOptions::default(),
            state_dir: None,
            local_jobs: NonZeroUsize::MIN,
            machine_jobs: 1,
            no_free_permit: false,
            local_memory: LocalMemory::default(),
            scratch_parent: PathBuf::new(),
            salt: String::new(),
            record: RecordOptions::default(),
            environment: Vec::new(),
            farm: None,
            dynamic: false,
            bes: None,
            client_context: ClientContext::default(),
            jobserver: None,
            linker: None,
        }
    }
}

impl Options {
    /// The database of file digests and history; a disabled one where nothing is remembered.
    #[must_use]
    pub fn open_state(&self) -> State {
        match self.state_file() {
            Some(path) => State::at(&path),
            None => State::disabled(),
        }
    }

    /// The same for commands that only show what is in it.
    #[must_use]
    pub fn open_state_to_show(&self) -> State {
        match self.state_file() {
            Some(path) => State::to_be_shown(&path),
            None => State::disabled(),
        }
    }

    /// Where that database is.
    #[must_use]
    pub fn state_file(&self) -> Option<PathBuf> {
        let dir = self.state_dir.as_ref()?;
        Some(dir.join(state::FILE_NAME))
    }

    /// The slots of this machine that the link may use, shared with other links.
    pub(super) fn slots(&self) -> Slots {
        match (&self.jobserver, &self.state_dir) {
            (Some(jobserver), _) => Slots::of_jobserver(Arc::clone(jobserver)),
            (None, Some(dir)) if self.no_free_permit => {
                Slots::of_machine_only(dir, self.machine_jobs)
            }
            (None, Some(dir)) => Slots::of_machine(dir, self.machine_jobs),
            (None, None) => Slots::unlimited(),
        }
    }

    /// The memory of this machine, shared with other links.
    pub(super) fn memory_ledger(&self) -> MemoryLedger {
        MemoryLedger::of_machine(self.state_dir.as_deref(), self.local_memory)
    }

    /// The compiler of a job file with these `common_arguments`, of which it is the first, as these
    /// options choose it.
    #[must_use]
    pub fn compiler_request<'a>(
        &'a self,
        common_arguments: &'a [String],
        caller: Caller,
        purpose: Purpose,
    ) -> CompilerRequest<'a> {
        CompilerRequest {
            purpose,
            arguments: &common_arguments[1..],
            caller,
            ..self.compiler_named(&common_arguments[0])
        }
    }

    /// The compiler that is called `name`, a path or a bare name, without arguments.
    #[must_use]
    pub fn compiler_named<'a>(&'a self, name: &'a str) -> CompilerRequest<'a> {
        CompilerRequest {
            name,
            arguments: &[],
            caller: Caller::Linker,
            purpose: Purpose::Link,
            source: self.farm.as_ref().map(|farm| &farm.toolchain),
            environment: &self.environment,
            client_context: &self.client_context,
            salt: &self.salt,
            secret_dir: self.verify.dir.as_deref(),
            relto: Relto::itself(),
        }
    }
}

impl FarmOptions {
    /// The address that messages name.
    #[must_use]
    pub fn address(&self) -> String {
        self.address_of(Service::Execution)
    }

    /// The address of one of its services.
    #[must_use]
    pub fn address_of(&self, service: Service) -> String {
        let ClientOptions {
            cache, executor, ..
        } = &self.client;
        let address = match service {
            Service::Cache => cache.as_ref().or(executor.as_ref()),
            Service::Execution => executor.as_ref().or(cache.as_ref()),
        };
        address.map(ToString::to_string).unwrap_or_default()
    }

    /// Whether a link may do without the farm.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.local_fallback || self.is_cache_only()
    }

    /// Whether only the farm's caches are used; a link can do without those.
    #[must_use]
    pub fn is_cache_only(&self) -> bool {
        self.client.executor.is_none()
    }
}
