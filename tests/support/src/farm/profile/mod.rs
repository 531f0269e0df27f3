//! How a farm of some kind behaves when nothing goes wrong.
//!
//! A [`Profile`] is plain data that the services obey; `kinds` has a constructor for each kind of
//! server. The fields are what those servers differ in, and a test may change any of them.

mod kinds;

use std::time::Duration;

use relto::internals::digest::DigestFunction;
use relto::internals::pb::reapi::{
    ActionCacheUpdateCapabilities, CacheCapabilities, ExecutionCapabilities, ServerCapabilities,
    compressor, symlink_absolute_path_strategy as symlinks,
};
use relto::internals::pb::semver::SemVer;
use tonic::Code;
use tonic::transport::ServerTlsConfig;

/// What `max_batch` is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchCount {
    /// The sum of the blobs' own sizes.
    BlobSizes,
    /// The encoded request.
    Request,
}

/// `committed_size` after a compressed upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    Compressed,
    Uncompressed,
    MinusOne,
}

/// What the workers demand of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    Any,
    /// Exactly this list, nothing more.
    Exact(Vec<(&'static str, &'static str)>),
    /// A property of this name.
    Demands(&'static str),
}

/// How a missing blob is reported by `Execute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `FAILED_PRECONDITION` and MISSING violations; all missing blobs are named.
    Details,
    /// The same, but only the first missing blob is named.
    FirstOnly,
    /// A bare status in the response, with this code.
    Bare(Code),
}

/// Major and minor.
pub type Version = (i32, i32);

/// A header that every call must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: &'static str,
    pub value: String,
}

#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, as servers have them"
)]
pub struct Profile {
    pub name: &'static str,
    /// The only instance name that is served; `None` serves any.
    pub instance: Option<&'static str>,
    pub digest_functions: Vec<DigestFunction>,
    /// Advertised; 0 says nothing.
    pub max_batch: u64,
    /// What a batch is really held against, 0 for nothing but the message limit.
    pub batch_limit: u64,
    pub batch_count: BatchCount,
    /// Sum of blob sizes that one `BatchReadBlobs` may ask for.
    pub batch_read_limit: u64,
    /// More calls than this at a time are refused, in the words of gRPC for Python.
    pub most_calls: u32,
    /// Largest request message.
    pub message_limit: usize,
    pub max_blob_size: u64,
    /// Most digests in one `FindMissingBlobs`.
    pub find_missing_limit: usize,
    /// `ByteStream` speaks zstd, and says so.
    pub stream_zstd: bool,
    /// Batches speak zstd, and say so. Else a compressor in a batch is ignored.
    pub batch_zstd: bool,
    pub committed: Committed,
    /// An upload of a known blob is answered at once: full size, or -1 when compressed.
    pub returns_early: bool,
    /// Deprecated (or none), low and high.
    pub versions: (Option<Version>, Version, Version),
    /// Reads `Command.output_files` and the platform in `Command` (2.0), else `output_paths` and
    /// that in `Action`.
    pub speaks_2_0: bool,
    /// There is an execution service.
    pub executes: bool,
    /// `Execute` answers from the action cache.
    pub execute_uses_cache: bool,
    /// Equal actions in flight become one operation.
    pub merges: bool,
    pub ac_update: bool,
    /// `GetActionResult` answers `NOT_FOUND` when an output is gone.
    pub checks_completeness: bool,
    pub absolute_symlinks: bool,
    pub platforms: Platforms,
    pub missing: Missing,
    /// A wrong action is `FAILED_PRECONDITION` with INVALID violations, else `INVALID_ARGUMENT`.
    pub invalid_details: bool,
    pub header: Option<Header>,
    /// Uploads and results are accepted and thrown away.
    pub pretends_to_store: bool,
    /// Honours the `inline_` fields.
    pub inlines: bool,
    /// There is a service for `CancelOperation`.
    pub operations: bool,
    /// What `WaitExecution` says to a name that it does not know.
    pub unknown_operation: Code,
    /// A connection gets a GOAWAY at this age, as from a load balancer.
    pub connection_age: Option<Duration>,
    /// Windows of flow control, of a stream and of a connection; `None`: as HTTP/2 begins.
    pub windows: Option<(u32, u32)>,
    /// Most bytes of one message of a `Read`.
    pub read_chunk: usize,
    /// How long a call and its answer travel.
    pub round_trip: Duration,
    /// Bytes of blobs each way; `None`: as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// Only TLS is spoken, see `tls`.
    pub tls: Option<ServerTlsConfig>,
    /// Every message is held against the rules of the standard, see `strict`.
    pub strict: bool,
    /// Uploads are decompressed, hashed and kept. Else the farm believes the client, and keeps the
    /// name alone.
    pub checks_uploads: bool,
    /// The farm keeps a [`Record`](super::Record).
    pub records: bool,
}

impl Profile {
    /// relto's options for a farm of this kind at `address`, as environment variables. Values are
    /// in Bazel's spelling.
    pub fn environment(&self, address: &str) -> Vec<(&'static str, String)> {
        let endpoint = if self.executes {
            "RELTO_REMOTE_EXECUTOR"
        } else {
            "RELTO_REMOTE_CACHE"
        };
        let mut variables = vec![(endpoint, address.to_owned())];
        if let Some(instance) = self.instance {
            variables.push(("RELTO_REMOTE_INSTANCE_NAME", instance.to_owned()));
        }
        if let Some(header) = &self.header {
            let value = format!("{}={}", header.name, header.value);
            variables.push(("RELTO_REMOTE_HEADER", value));
        }
        let properties = match &self.platforms {
            Platforms::Any => Vec::new(),
            Platforms::Exact(wanted) => wanted.iter().map(|(k, v)| format!("{k}={v}")).collect(),
            Platforms::Demands(name) => vec![format!("{name}=docker://image")],
        };
        for property in properties {
            variables.push(("RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES", property));
        }
        variables
    }

    /// What `GetCapabilities` answers.
    pub fn capabilities(&self) -> ServerCapabilities {
        let functions: Vec<i32> = self.digest_functions.iter().map(|f| f.to_pb()).collect();
        let zstd = |yes: bool| {
            if yes {
                vec![compressor::Value::Zstd as i32]
            } else {
                Vec::new()
            }
        };
        let strategy = if self.absolute_symlinks {
            symlinks::Value::Allowed
        } else {
            symlinks::Value::Disallowed
        };
        let (deprecated, low, high) = self.versions;
        let execution = ExecutionCapabilities {
            digest_function: functions[0],
            exec_enabled: true,
            digest_functions: functions.clone(),
            ..ExecutionCapabilities::default()
        };
        ServerCapabilities {
            cache_capabilities: Some(CacheCapabilities {
                digest_functions: functions,
                action_cache_update_capabilities: Some(ActionCacheUpdateCapabilities {
                    update_enabled: self.ac_update,
                }),
                max_batch_total_size_bytes: signed(self.max_batch),
                symlink_absolute_path_strategy: strategy as i32,
                supported_compressors: zstd(self.stream_zstd),
                supported_batch_update_compressors: zstd(self.batch_zstd),
                max_cas_blob_size_bytes: signed(self.max_blob_size),
                ..CacheCapabilities::default()
            }),
            execution_capabilities: self.executes.then_some(execution),
            deprecated_api_version: deprecated.map(version),
            low_api_version: Some(version(low)),
            high_api_version: Some(version(high)),
        }
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).expect("sizes of profiles are small")
}

fn version((major, minor): Version) -> SemVer {
    SemVer {
        major,
        minor,
        ..SemVer::default()
    }
}
