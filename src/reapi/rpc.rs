//! The methods that relto calls, and counters of the calls and bytes.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::reapi::transport::Service;

/// A method of the Remote Execution API, or of the Build Event Service beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rpc {
    GetCapabilities,
    GetActionResult,
    UpdateActionResult,
    FindMissingBlobs,
    BatchUpdateBlobs,
    BatchReadBlobs,
    Read,
    Write,
    Execute,
    WaitExecution,
    CancelOperation,
    PublishBuildToolEventStream,
    PublishLifecycleEvent,
}

impl Rpc {
    pub const ALL: [Self; 13] = [
        Self::GetCapabilities,
        Self::GetActionResult,
        Self::UpdateActionResult,
        Self::FindMissingBlobs,
        Self::BatchUpdateBlobs,
        Self::BatchReadBlobs,
        Self::Read,
        Self::Write,
        Self::Execute,
        Self::WaitExecution,
        Self::CancelOperation,
        Self::PublishBuildToolEventStream,
        Self::PublishLifecycleEvent,
    ];
}

impl Rpc {
    /// Which address it is called at; each has its own `GetCapabilities`.
    #[must_use]
    pub fn service(self) -> Service {
        match self {
            Self::Execute | Self::WaitExecution | Self::CancelOperation => Service::Execution,
            _ => Service::Cache,
        }
    }
}

impl fmt::Display for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What one link sent and received. Bytes are those of messages, compressed if they were.
#[derive(Debug, Default)]
pub struct Counters {
    requests: [AtomicU64; Rpc::ALL.len()],
    up: AtomicU64,
    down: AtomicU64,
}

impl Counters {
    /// Attempts of `rpc`, retries included.
    #[must_use]
    pub fn requests(&self, rpc: Rpc) -> u64 {
        self.requests[rpc as usize].load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn bytes_up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn bytes_down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    pub(super) fn request(&self, rpc: Rpc) {
        self.requests[rpc as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
