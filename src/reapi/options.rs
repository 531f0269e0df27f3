//! How to reach a farm, as plain values. `config` fills them from flags, environment and files.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::DigestFunction;
use crate::reapi::transport::address::Address;

/// Everything that the client is told from outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientOptions {
    /// The server that executes; without one the farm is a cache only.
    pub executor: Option<Address>,
    /// Address of CAS and action cache, where it is not the executor's.
    pub cache: Option<Address>,
    pub instance_name: String,
    /// Headers of every call.
    pub headers: Vec<Header>,
    /// Headers of calls to CAS and action cache.
    pub cache_headers: Vec<Header>,
    /// Headers of calls to the executor.
    pub exec_headers: Vec<Header>,
    pub tls: TlsOptions,
    pub credential_helpers: Vec<CredentialHelper>,
    pub credential_helper_timeout: Duration,
    /// The variables that helpers see; `None`: those of this process.
    pub credential_helper_environment: Option<Vec<(OsString, OsString)>>,
    /// How long a call may take, and a stream may be silent.
    pub timeout: Duration,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Connections to one address.
    pub max_connections: usize,
    /// Whether blobs travel compressed where the server can.
    pub compression: bool,
    /// Upper limit of a batch of blobs, whatever the server says.
    pub max_batch_bytes: Option<usize>,
    /// Seconds between HTTP/2 pings; none by default.
    pub keepalive_time: Option<Duration>,
    pub keepalive_timeout: Duration,
    /// The only digest function to use; else SHA256, then BLAKE3.
    pub digest_function: Option<DigestFunction>,
    /// When the whole link must be over, counted from the connecting.
    pub deadline: Option<Duration>,
    /// `ExecutionPolicy.priority`; lower is sooner. Sent only where the server says that it heeds
    /// it.
    pub execution_priority: i32,
    /// `ResultsCachePolicy.priority`.
    pub cache_priority: i32,
    pub invocation: InvocationIds,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            executor: None,
            cache: None,
            instance_name: String::new(),
            headers: Vec::new(),
            cache_headers: Vec::new(),
            exec_headers: Vec::new(),
            tls: TlsOptions::default(),
            credential_helpers: Vec::new(),
            credential_helper_timeout: Duration::from_secs(10),
            credential_helper_environment: None,
            timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(10),
            retries: 5,
            max_connections: 100,
            compression: true,
            max_batch_bytes: None,
            keepalive_time: None,
            keepalive_timeout: Duration::from_secs(20),
            digest_function: None,
            deadline: None,
            execution_priority: 0,
            cache_priority: 0,
            invocation: InvocationIds::default(),
        }
    }
}

/// A header whose value is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: (hidden)", self.name)
    }
}

/// PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsOptions {
    /// The authority that signed the server's certificate, instead of those that the system and
    /// relto know.
    pub certificate: Option<PathBuf>,
    /// There with its key, or not at all.
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

/// A program that speaks Bazel's credential-helper protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialHelper {
    /// `farm.example.com` or `*.example.com`; `None` for every host.
    pub host: Option<String>,
    /// A path, or a name to look up in `PATH`.
    pub program: PathBuf,
}

/// What `RequestMetadata` says about the link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InvocationIds {
    /// One id a link.
    pub id: String,
    /// One id for all links of a build, if the build has one; farms schedule by it.
    pub correlated_id: String,
}

impl Default for InvocationIds {
    fn default() -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            correlated_id: String::new(),
        }
    }
}
