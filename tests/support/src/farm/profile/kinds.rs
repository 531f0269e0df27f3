//! The kinds of servers, as their own capabilities and code say.

use std::time::Duration;

use relto::internals::digest::DigestFunction;
use tonic::Code;

use super::{BatchCount, Committed, Header, Missing, Platforms, Profile};

const MIB: u64 = 1 << 20;

impl Profile {
    /// A server without quirks that keeps every rule.
    pub fn plain() -> Self {
        Self {
            name: "plain",
            instance: None,
            digest_functions: vec![DigestFunction::Sha256, DigestFunction::Blake3],
            max_batch: 4 * MIB,
            batch_limit: 4 * MIB,
            batch_count: BatchCount::BlobSizes,
            batch_read_limit: 4 * MIB,
            message_limit: 8 << 20,
            max_blob_size: 0,
            find_missing_limit: usize::MAX,
            most_calls: u32::MAX,
            stream_zstd: false,
            batch_zstd: false,
            committed: Committed::Compressed,
            returns_early: false,
            versions: (None, (2, 0), (2, 12)),
            speaks_2_0: false,
            executes: true,
            execute_uses_cache: true,
            merges: true,
            ac_update: true,
            checks_completeness: false,
            absolute_symlinks: true,
            platforms: Platforms::Any,
            missing: Missing::Details,
            invalid_details: false,
            header: None,
            pretends_to_store: false,
            inlines: true,
            operations: true,
            unknown_operation: Code::NotFound,
            connection_age: None,
            windows: None,
            read_chunk: 64 << 10,
            round_trip: Duration::ZERO,
            bytes_per_second: None,
            tls: None,
            strict: true,
            checks_uploads: true,
            records: true,
        }
    }

    /// A server that costs as little as any can: it checks nothing and records nothing. On a shared
    /// machine the client is what a benchmark measures. For
    /// [`Farm::timed`](crate::farm::Farm::timed).
    pub fn cheap() -> Self {
        Self {
            name: "cheap",
            digest_functions: vec![DigestFunction::Sha256],
            max_batch: 0,
            batch_limit: 0,
            batch_read_limit: 0,
            message_limit: usize::MAX,
            versions: (None, (2, 0), (2, 3)),
            merges: false,
            inlines: false,
            operations: false,
            windows: Some((4 << 20, 16 << 20)),
            read_chunk: 256 << 10,
            strict: false,
            checks_uploads: false,
            records: false,
            ..Self::plain()
        }
    }

    /// Says nothing of limits and means 2 MiB; `Execute` never looks in the action cache; one
    /// platform.
    pub fn buildbarn() -> Self {
        Self {
            name: "buildbarn",
            instance: Some(""),
            max_batch: 0,
            batch_limit: 0,
            batch_read_limit: 2 * MIB,
            message_limit: 4 << 20,
            stream_zstd: true,
            versions: (Some((2, 2)), (2, 3), (2, 12)),
            execute_uses_cache: false,
            platforms: Platforms::Exact(vec![("OSFamily", "linux")]),
            missing: Missing::FirstOnly,
            operations: false,
            inlines: false,
            unknown_operation: Code::InvalidArgument,
            ..Self::plain()
        }
    }

    /// Wants its key in a header, announces version 99.9.
    pub fn buildbuddy(key: &str) -> Self {
        Self {
            name: "buildbuddy",
            digest_functions: vec![DigestFunction::Sha256],
            max_batch: 0,
            batch_limit: 0,
            batch_read_limit: 4 * MIB,
            message_limit: 4 << 20,
            stream_zstd: true,
            batch_zstd: true,
            returns_early: true,
            versions: (None, (2, 0), (99, 9)),
            header: Some(Header {
                name: "x-buildbuddy-api-key",
                value: key.to_owned(),
            }),
            ..Self::plain()
        }
    }

    /// A key that may only read: uploads seem to succeed.
    pub fn buildbuddy_read_only(key: &str) -> Self {
        Self {
            pretends_to_store: true,
            ..Self::buildbuddy(key)
        }
    }

    /// Wants a bearer token and an image.
    pub fn engflow(token: &str) -> Self {
        Self {
            name: "engflow",
            versions: (None, (2, 0), (2, 11)),
            stream_zstd: true,
            ac_update: false,
            platforms: Platforms::Demands("container-image"),
            header: Some(Header {
                name: "authorization",
                value: format!("Bearer {token}"),
            }),
            ..Self::plain()
        }
    }

    /// Counts uncompressed sizes everywhere, 10,000 digests at most.
    pub fn google_rbe(token: &str) -> Self {
        Self {
            name: "google_rbe",
            instance: Some("projects/p/instances/default_instance"),
            digest_functions: vec![DigestFunction::Sha256],
            find_missing_limit: 10_000,
            message_limit: 4 << 20,
            max_batch: 4 * MIB - 1024,
            batch_limit: 4 * MIB - 1024,
            stream_zstd: true,
            committed: Committed::Uncompressed,
            platforms: Platforms::Demands("container-image"),
            header: Some(Header {
                name: "authorization",
                value: format!("Bearer {token}"),
            }),
            ..Self::plain()
        }
    }

    /// Checks each action before it is queued; no version below 2.3; a batch is as large as its
    /// request.
    pub fn buildfarm() -> Self {
        Self {
            name: "buildfarm",
            batch_count: BatchCount::Request,
            message_limit: 4 << 20,
            max_blob_size: 2 << 30,
            stream_zstd: true,
            committed: Committed::MinusOne,
            versions: (None, (2, 3), (2, 11)),
            checks_completeness: true,
            absolute_symlinks: false,
            invalid_details: true,
            ..Self::plain()
        }
    }

    /// Advertises batches of 64 KiB.
    pub fn nativelink() -> Self {
        Self {
            name: "nativelink",
            max_batch: 64 * 1024,
            batch_limit: 64 * 1024,
            message_limit: 4 << 20,
            versions: (None, (2, 0), (2, 3)),
            absolute_symlinks: false,
            ..Self::plain()
        }
    }

    /// A cache without execution; SHA256 only.
    pub fn bazel_remote() -> Self {
        Self {
            name: "bazel_remote",
            digest_functions: vec![DigestFunction::Sha256],
            max_batch: 0,
            batch_limit: 0,
            message_limit: 4 << 20,
            stream_zstd: true,
            batch_zstd: true,
            returns_early: true,
            versions: (None, (2, 0), (2, 3)),
            executes: false,
            checks_completeness: true,
            operations: false,
            ..Self::plain()
        }
    }

    /// Version 2.0 and nothing newer.
    pub fn kajiya() -> Self {
        Self {
            name: "kajiya",
            digest_functions: vec![DigestFunction::Sha256],
            versions: (None, (2, 0), (2, 0)),
            speaks_2_0: true,
            ..Self::plain()
        }
    }

    /// buildbox-casd: neither compression nor MISSING details, no batch over 4,128,768 bytes
    /// although it names no limit.
    pub fn casd() -> Self {
        Self {
            name: "casd",
            digest_functions: vec![DigestFunction::Sha256],
            max_batch: 0,
            batch_limit: 0,
            batch_read_limit: 4_128_768,
            message_limit: 4 << 20,
            versions: (None, (2, 1), (2, 12)),
            checks_completeness: true,
            missing: Missing::Bare(Code::Internal),
            inlines: false,
            merges: false,
            ..Self::plain()
        }
    }

    /// All kinds, for tests that must hold on any farm. Secrets are `secret`.
    pub fn all() -> Vec<Self> {
        vec![
            Self::plain(),
            Self::buildbarn(),
            Self::buildbuddy("secret"),
            Self::engflow("secret"),
            Self::google_rbe("secret"),
            Self::buildfarm(),
            Self::nativelink(),
            Self::bazel_remote(),
            Self::kajiya(),
            Self::casd(),
        ]
    }
}
