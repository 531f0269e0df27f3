//! relto hands the backend compilations of a `ThinLTO` link to a build farm that speaks the Remote
//! Execution API (REAPI v2), to a cache, or to this machine's own compilers.
//!
//! It is a *distributor* for LLVM's Integrated Distributed `ThinLTO` (DTLTO): lld writes a job file
//! and waits, relto puts the objects where lld expects them. Every object is bit-identical to the
//! one that clang would have written in place.
//!
//! # One link
//!
//! 1. [`job`] reads what lld asks for; [`cli`] and [`config`] decide how to do it, and [`link`]
//!    does it.
//! 2. [`action`] and [`thinlto`] check each job's index shard and give the job its canonical form:
//!    the same content is the same bytes, whatever lld's process id or the build directory was.
//! 3. [`hash_cache`] knows the digests of the inputs, [`toolchain`] the files that a compiler
//!    consists of; [`compiler`] asks clang what those do not show. [`action`] builds the REAPI
//!    Action from them. The digest of the Action is the key in every cache.
//! 4. [`cache`] may hold the result on disk; [`reapi`] asks the farm's action cache, uploads what
//!    the farm lacks and executes there; [`process`] runs a compiler here, in a sandbox. [`exec`]
//!    decides which job runs where.
//! 5. A result is verified, renamed into place and kept. [`report`] turns the [`events`] on the way
//!    into messages, a progress bar and one summary line.
//!
//! A build system that runs the backends itself starts each through [`launcher`]; links can share
//! the connections and digests of one [`daemon`].
//!
//! # Layers
//!
//! A module uses only modules of lower layers; the table of `ARCHITECTURE.md` has them, and is the map
//! for changing something. A test compares it with the sources.
//!
//! All modules are private: the program is the interface. [`internals`] lets the tests, benchmarks
//! and fuzz targets of this package in.

// Layer 0
mod error;
mod fs;
mod pb;
mod rlimit;
mod text;
// Layer 1
mod client_context;
mod digest;
mod events;
mod interned_words;
mod state;
mod task;
// Layer 2
mod hash_cache;
mod history;
mod job;
mod process;
mod report;
mod thinlto;
mod timings;
// Layer 3
mod action;
mod toolchain;
// Layer 4
mod cache;
mod compiler;
mod reapi;
// Layer 5
mod bes;
mod exec;
mod launcher;
// Layer 6
mod link;
mod wrapper;
// Layer 7
mod config;
mod doctor;
mod explain;
mod prefetch;
mod report_page;
// Layer 8
mod daemon;
// Layer 9
mod cli;

pub use cli::main;

/// What the tests, benchmarks and fuzz targets of this package use; any of it may change in any
/// commit.
///
/// Everything else is private, so the compiler reports what nothing uses.
#[doc(hidden)]
pub mod internals {
    pub mod action {
        pub use crate::action::native;
        pub mod arguments {
            pub use crate::action::arguments::{
                HEEDED, Meaning, extra_outputs, parse, reaching, target,
            };
        }
        pub mod canonical {
            pub use crate::action::canonical::{Canonical, CanonicalJob, NamedOutput, canonical};
            pub use crate::action::file_table::FileTable;
        }
        pub mod restore {
            pub use crate::action::restore::{Renumbering, RestoreError, check, restore};
        }
        pub mod slice {
            pub use crate::action::slice::{
                ModuleNames, NoSliceKey, SliceInputs, SliceKey, SliceableJob, what_is_seen,
            };
        }
        pub mod toolchain_tree {
            pub use crate::action::toolchain_tree::ToolchainTree;
        }
        pub use crate::action::{Action, ActionTemplate};
        pub mod kind {
            pub use crate::action::kind::{
                Format, OutputKind, Processor, check_output, required_kind,
            };
        }
        pub mod response {
            pub use crate::action::response::{
                Quoting, expand_response_files, tokenize, tokenize_config,
            };
        }
    }
    pub mod bes {
        pub use crate::bes::{
            BesOptions, Closing, FailedAction, NotPublished, Outcome, Publisher, ToolLog,
            UploadMode,
        };
    }
    pub mod cache {
        pub use crate::cache::{CacheError, DiskCache, trim, usage};
    }
    pub mod config {
        pub use crate::config::{Class, ConfigSource, Environment, Opt, Settings, load};
    }
    pub mod client_context {
        pub use crate::client_context::ClientContext;
    }
    pub mod compiler {
        pub use crate::compiler::{CompilerRequest, Purpose, ResolvedToolchain};
    }
    pub mod digest {
        pub use crate::digest::{Digest, DigestFunction};
    }
    pub mod error {
        pub use crate::error::Hinted;
    }
    pub mod events {
        pub use crate::events::{Event, Events, Origin};
    }
    pub mod exec {
        pub use crate::exec::check_result;
    }
    pub mod fs {
        pub use crate::fs::FileId;
    }
    pub mod hash_cache {
        pub use crate::hash_cache::HashCache;
    }
    pub mod report_page {
        pub use crate::events::{JobStep, Origin};
        pub use crate::report_page::{KeyPairs, page};
        pub use crate::timings::{JobTimings, LinkTimings, TimeSpan, TimedAttempt, TimedStep};
    }
    pub mod history {
        pub use crate::history::{History, ModuleKey};
    }
    pub mod job {
        pub use crate::job::{Caller, Job, JobFile};
    }
    pub mod pb {
        pub use crate::pb::bounded::decode;
        pub use crate::pb::{
            build_event_stream, build_events, bytestream, command_line, failure_details,
            longrunning, reapi, rpc, semver, spawn,
        };
    }
    pub mod process {
        pub use crate::process::{
            ChildEnvironment, Confinement, Ending, ExpectedFile, Finished, ProcessError,
            ProcessSpec, Relto, Scratch, Spawner, Support, Watch, landlock_support,
        };
    }
    pub mod reapi {
        pub use crate::reapi::{
            Address, Blob, CallerIdentity, CapabilityError, Client, ClientOptions, ConnectError,
            CredentialHelper, Dials, ExecuteJob, Executed, Failure, FailureKind, Header,
            OutputStyle, RequestContext, Rpc, Stage, declared_outputs, stderr,
        };
        pub mod limits {
            pub use crate::reapi::limits::{LONGEST_STAGE, PRESENT_FOR};
        }
    }
    pub mod state {
        pub use crate::state::{FILE_NAME, State, StateError};
    }
    pub mod text {
        pub use crate::text::{messages, one_line};
    }
    pub mod task {
        pub use crate::task::{Task, in_parallel, lock, spawn, spawn_blocking};
    }
    pub mod thinlto {
        pub use crate::thinlto::{
            Form, Index, LtoKind, ModuleFacts, ModuleGraph, PROVED_RELEASES, guid, module,
            name_hash, names_processors,
        };
    }
    pub mod toolchain {
        pub use crate::toolchain::{
            LdSoCache, SearchEnvironment, Toolchain, ToolchainError, config, elf, ld_so_conf,
        };
    }
    pub mod wrapper {
        pub use crate::wrapper::Archive;
    }
}
