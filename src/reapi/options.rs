//! How to reach a farm, as plain values. `config` fills them from flags, environment and files.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::DigestFunction;
use crate::reapi::transport::address::Address;

/// All settings of the client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientOptions {
    /// The server that executes; without it the farm is only a cache.
    pub executor: Option<Address>,
    /// The address of CAS and action cache, if it is not the executor's.
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
    /// The environment of helpers; `None` for that of this process.
    pub credential_helper_environment: Option<Vec<(OsString, OsString)>>,
    /// The directory that helpers run in; `None` for that of this process.
    pub credential_helper_dir: Option<PathBuf>,
    /// How long a unary call may take, and a stream may make no progress.
    pub timeout: Duration,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Connections to one address.
    pub max_connections: usize,
    /// Whether blobs travel compressed if the server supports it.
    pub compression: bool,
    /// The interval of HTTP/2 pings; none by default.
    pub keepalive_time: Option<Duration>,
    pub keepalive_timeout: Duration,
    /// The only digest function to use; else SHA256, then BLAKE3.
    pub digest_function: Option<DigestFunction>,
    /// How long the link may use the farm, counted from connecting.
    pub deadline: Option<Duration>,
    pub caller: CallerIdentity,
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
            credential_helper_dir: None,
            timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(10),
            retries: 5,
            max_connections: 100,
            compression: true,
            keepalive_time: None,
            keepalive_timeout: Duration::from_secs(20),
            digest_function: None,
            deadline: None,
            caller: CallerIdentity::default(),
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
    /// The authority that signed the server's certificate, instead of those of the system and of
    /// webpki-roots.
    pub certificate: Option<PathBuf>,
    /// Set together with its key.
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

/// Who asks, as the farm's pages and its scheduler see it. Each link has its own, also where
/// several share connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerIdentity {
    /// Of the link, or of the build whose compilers are launched.
    pub invocation_id: String,
    /// Ties invocations together: the run of a continuous-integration service.
    pub build_request_id: String,
    /// The trace that calls belong to, in the form of W3C Trace Context.
    pub traceparent: Option<String>,
    /// Lower values are executed first, on servers that have priorities.
    pub execution_priority: i32,
    /// Lower values are kept longer, on servers that have priorities.
    pub result_cache_priority: i32,
}

impl CallerIdentity {
    /// The same for everybody, to compare what else differs.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            invocation_id: String::new(),
            build_request_id: String::new(),
            traceparent: None,
            execution_priority: 0,
            result_cache_priority: 0,
        }
    }
}

impl Default for CallerIdentity {
    fn default() -> Self {
        Self {
            invocation_id: uuid::Uuid::new_v4().to_string(),
            ..Self::nobody()
        }
    }
}
