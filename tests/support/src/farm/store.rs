//! Blobs and action results in memory, until a test or a fault evicts them. The services decide
//! what may enter.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi::ActionResult;

#[derive(Debug, Default)]
pub(super) struct Store {
    blobs: HashMap<Digest, Bytes>,
    /// Blobs that are said to be there, and are not.
    claimed: HashSet<Digest>,
    /// By instance name and action.
    results: HashMap<(String, Digest), ActionResult>,
}

impl Store {
    /// The empty blob is always there.
    pub(super) fn blob(&self, digest: &Digest) -> Option<Bytes> {
        if digest.is_empty() {
            return Some(Bytes::new());
        }
        self.blobs.get(digest).cloned()
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        digest.is_empty() || self.blobs.contains_key(digest) || self.claimed.contains(digest)
    }

    pub(super) fn put(&mut self, function: DigestFunction, bytes: Bytes) -> Digest {
        let digest = function.digest(&bytes);
        self.put_named(digest, bytes);
        digest
    }

    pub(super) fn put_named(&mut self, digest: Digest, bytes: Bytes) {
        self.blobs.insert(digest, bytes);
    }

    pub(super) fn claim(&mut self, digests: impl IntoIterator<Item = Digest>) {
        self.claimed.extend(digests);
    }

    pub(super) fn claimed(&self) -> &HashSet<Digest> {
        &self.claimed
    }

    pub(super) fn evict(&mut self, digest: &Digest) {
        self.blobs.remove(digest);
        self.claimed.remove(digest);
    }

    pub(super) fn evict_all(&mut self) {
        self.blobs.clear();
        self.claimed.clear();
    }

    pub(super) fn digests(&self) -> Vec<Digest> {
        self.blobs.keys().copied().collect()
    }

    pub(super) fn result(&self, instance: &str, action: Digest) -> Option<ActionResult> {
        self.results.get(&(instance.to_owned(), action)).cloned()
    }

    pub(super) fn put_result(&mut self, instance: &str, action: Digest, result: ActionResult) {
        self.results.insert((instance.to_owned(), action), result);
    }

    pub(super) fn results(&self) -> HashMap<Digest, ActionResult> {
        let results = self.results.iter();
        results
            .map(|((_, action), result)| (*action, result.clone()))
            .collect()
    }

    pub(super) fn clear_results(&mut self) {
        self.results.clear();
    }
}
