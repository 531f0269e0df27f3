//! What was set, as typed values.
//!
//! Enters: `Values`, the texts that count. Leaves: `Settings`, checked and complete with defaults,
//! from which the engine's parts take what is theirs. Nothing here touches the network or asks
//! whether a file exists, except that secrets are read from the files that hold them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::daemon::DaemonSettings;
use super::merge::Values;
use super::secret::Secret;
use crate::digest::DigestFunction;
use crate::reapi::{Address, CredentialHelper, TlsOptions};

/// Where jobs are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Local,
    Remote,
    /// Both at once; the first result wins.
    Dynamic,
}

/// Whose compiler runs at the farm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// This machine's, sent along.
    Upload,
    /// The worker's own.
    Worker,
    /// One in a directory of this machine, sent along.
    Dir(PathBuf),
}

/// Everything that can be set, after defaults.
#[derive(Clone)]
pub struct Settings {
    /// Never `Remote` or `Dynamic` without an executor.
    pub strategy: Strategy,
    pub toolchain: Toolchain,
    pub remote: RemoteSettings,
    pub local: LocalSettings,
    pub disk_cache: DiskCacheSettings,
    pub daemon: DaemonSettings,
    /// relto's own directory, for what it remembers besides the cache; `None` where the user has no
    /// home.
    pub state_dir: Option<PathBuf>,
    /// Part of every action: results are shared only among users of the same salt.
    pub cache_salt: String,
    pub output: OutputSettings,
    /// Where each value was written.
    pub values: Values,
    /// The configuration files that were read.
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own, named by the user"
)]
pub struct RemoteSettings {
    pub executor: Option<Address>,
    /// The executor's own address where no other is set.
    pub cache: Option<Address>,
    pub instance_name: String,
    /// For every call, in order; a name may stand more than once.
    pub headers: Vec<Header>,
    /// For calls to cache services only, after `headers`.
    pub cache_headers: Vec<Header>,
    /// For calls to the execution service only, after `headers`.
    pub exec_headers: Vec<Header>,
    /// Platform properties, sorted.
    pub exec_properties: Vec<(String, String)>,
    /// Longest that one call may take.
    pub timeout: Duration,
    /// Attempts after the first.
    pub retries: usize,
    /// Longest that a link waits for the farm; `None`: as long as it takes.
    pub deadline: Option<Duration>,
    /// To one server.
    pub max_connections: usize,
    /// Compress where the server can.
    pub compression: bool,
    pub accept_cached: bool,
    pub upload_local_results: bool,
    /// Send modules when they are compiled, not when they are linked.
    pub upload_ahead: bool,
    pub local_fallback: bool,
    pub tls: TlsOptions,
    /// In the order of their sources, the strongest last.
    pub credential_helpers: Vec<CredentialHelper>,
    /// `None`: the first that the farm offers, SHA256 preferred.
    pub digest_function: Option<DigestFunction>,
    /// `None`: no pings.
    pub keepalive_time: Option<Duration>,
    /// Jobs under way at the farm; `None`: relto decides.
    pub jobs: Option<usize>,
}

/// A header to send. Its value is a secret until proved otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    pub value: Secret,
}

#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// Compilers at once; `None`: one a processor.
    pub jobs: Option<usize>,
    /// What make tells its recipes, its jobserver among it.
    pub makeflags: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskCacheSettings {
    /// `None`: no cache.
    pub dir: Option<PathBuf>,
    /// Bytes; `None`: no limit.
    pub max_size: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct OutputSettings {
    pub quiet: bool,
    pub profile: Option<PathBuf>,
    pub execution_log_json_file: Option<PathBuf>,
    /// What `RELTO_LOG` says.
    pub log: Option<String>,
    /// A bar may be drawn if stderr is a terminal: nobody forbade it, and the terminal can redraw a
    /// line.
    pub progress: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("strategy", &self.strategy)
            .field("toolchain", &self.toolchain)
            .field("remote", &self.remote)
            .field("local", &self.local)
            .field("disk_cache", &self.disk_cache)
            .field("daemon", &self.daemon)
            .field("state_dir", &self.state_dir)
            .field("cache_salt", &self.cache_salt)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}
