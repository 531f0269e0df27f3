//! What a farm was asked, for the tests' assertions.
//!
//! A [`Record`] is a copy to look into: counts, order, sizes, digests, concurrency, blobs that
//! arrived more than once, and what the strict validator found.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use relto::internals::digest::Digest;
use relto::internals::pb::reapi::{ExecuteRequest, RequestMetadata};
use tonic::Code;

/// The calls of REAPI and its companions that the farm answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    GetCapabilities,
    FindMissingBlobs,
    BatchUpdateBlobs,
    BatchReadBlobs,
    Read,
    Write,
    GetActionResult,
    UpdateActionResult,
    Execute,
    WaitExecution,
    GetOperation,
    CancelOperation,
}

/// One call, in the order in which they began.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    pub began: Instant,
    pub ended: Option<Instant>,
    /// Which TCP connection, from 1.
    pub connection: u64,
    /// The blobs it is about; the action for `Execute` and the action cache.
    pub digests: Vec<Digest>,
    /// Encoded size of the request; of all messages for `Write`.
    pub request_bytes: usize,
    /// The call's status as far as the farm knows: a call that the client left has none.
    pub code: Option<Code>,
    pub metadata: Option<RequestMetadata>,
    /// As a client sends them, in text.
    pub headers: HashMap<String, String>,
}

/// All that happened so far.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub calls: Vec<Call>,
    /// Complaints of the strict validator, and refused headers.
    pub violations: Vec<String>,
    /// How often each blob arrived whole.
    pub uploads: HashMap<Digest, u32>,
    /// How often each blob was sent whole.
    pub downloads: HashMap<Digest, u32>,
    pub execute_requests: Vec<ExecuteRequest>,
    /// Names of operations that the client followed again.
    pub waited: Vec<String>,
    /// Names of operations that the client cancelled.
    pub cancelled: Vec<String>,
    /// TCP and unix connections accepted.
    pub connections: u64,
    /// Bytes on the wire, both ways, from the client's side.
    pub bytes_up: u64,
    pub bytes_down: u64,
    /// Actions that really ran, not answered from the cache or merged.
    pub executed: Vec<Digest>,
    /// Calls that were forgotten.
    earlier: usize,
    running: BTreeMap<Method, u32>,
    peaks: BTreeMap<Method, u32>,
}

impl Record {
    pub fn count(&self, method: Method) -> usize {
        self.of(method).count()
    }

    pub fn of(&self, method: Method) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.method == method)
    }

    /// Calls without those of `GetCapabilities`.
    pub fn count_all(&self) -> usize {
        self.calls.len() - self.count(Method::GetCapabilities)
    }

    /// Most calls of `method` at any time.
    pub fn max_concurrent(&self, method: Method) -> u32 {
        self.peaks.get(&method).copied().unwrap_or(0)
    }

    /// Calls that have begun and not ended: a client that is done leaves none.
    pub fn open_calls(&self) -> u32 {
        self.running.values().sum()
    }

    /// Blobs that arrived more than once.
    pub fn uploaded_twice(&self) -> Vec<Digest> {
        let more = self.uploads.iter().filter(|(_, times)| **times > 1);
        more.map(|(digest, _)| *digest).collect()
    }

    /// Blobs that `FindMissingBlobs` was asked about more than once, over all calls.
    pub fn asked_twice(&self) -> Vec<Digest> {
        let mut times: BTreeMap<Digest, u32> = BTreeMap::new();
        for digest in self
            .of(Method::FindMissingBlobs)
            .flat_map(|call| &call.digests)
        {
            *times.entry(*digest).or_default() += 1;
        }
        times.retain(|_, times| *times > 1);
        times.into_keys().collect()
    }

    /// Sum of the sizes of the blobs that arrived.
    pub fn uploaded_bytes(&self) -> u64 {
        let sizes = self.uploads.iter();
        sizes
            .map(|(digest, times)| digest.size * u64::from(*times))
            .sum()
    }

    /// The metadata header was the same tool invocation in each call that had one.
    pub fn invocations(&self) -> Vec<String> {
        let metadata = self.calls.iter().filter_map(|call| call.metadata.as_ref());
        let mut ids: Vec<String> = metadata.map(|m| m.tool_invocation_id.clone()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Panics when the strict validator had a complaint.
    pub fn assert_no_violations(&self) {
        assert!(self.violations.is_empty(), "{:#?}", self.violations);
    }

    /// Panics when a blob was uploaded, or asked for in `FindMissingBlobs`, more than once.
    pub fn assert_nothing_twice(&self) {
        assert_eq!(self.uploaded_twice(), [], "uploaded more than once");
        assert_eq!(self.asked_twice(), [], "asked for more than once");
    }

    /// Nothing has happened yet; calls under way go on.
    pub(super) fn forget(&mut self) {
        *self = Self {
            earlier: self.earlier + self.calls.len(),
            running: std::mem::take(&mut self.running),
            ..Self::default()
        };
    }

    /// Returns the number of the call.
    pub(super) fn begin(&mut self, call: Call) -> usize {
        let running = self.running.entry(call.method).or_default();
        *running += 1;
        let peak = self.peaks.entry(call.method).or_default();
        *peak = (*peak).max(*running);
        self.calls.push(call);
        self.earlier + self.calls.len() - 1
    }

    /// The call with this number, unless it has been forgotten.
    pub(super) fn call(&mut self, number: usize) -> Option<&mut Call> {
        self.calls.get_mut(number.checked_sub(self.earlier)?)
    }

    pub(super) fn end(&mut self, number: usize, method: Method, code: Option<Code>) {
        if let Some(running) = self.running.get_mut(&method) {
            *running -= 1;
        }
        if let Some(call) = self.call(number) {
            call.ended = Some(Instant::now());
            call.code = code;
        }
    }
}
