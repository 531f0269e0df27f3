//! What a daemon remembers of files from one link to the next, without asking the database.
//!
//! Bounded: of two generations the older one is dropped when the younger is full.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::FileFacts;
use super::identity::Identity;
use crate::digest::DigestFunction;
use crate::task::lock;

/// Files of a generation; some 20 MB.
const GENERATION: usize = 50_000;

/// What one process remembers from all its links.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    generations: Mutex<Generations>,
}

type Facts = HashMap<(Identity, DigestFunction), Arc<FileFacts>>;

#[derive(Debug, Default)]
struct Generations {
    young: Facts,
    old: Facts,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_limit(GENERATION)
    }
}

impl Memory {
    fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            generations: Mutex::default(),
        }
    }

    /// Files that are known, including those that no link uses any more.
    pub fn len(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn find(
        &self,
        identity: &Identity,
        function: DigestFunction,
    ) -> Option<Arc<FileFacts>> {
        let key = (*identity, function);
        let mut generations = self.lock();
        if let Some(facts) = generations.young.get(&key) {
            return Some(Arc::clone(facts));
        }
        let facts = generations.old.remove(&key)?;
        generations.keep(key, Arc::clone(&facts), self.limit);
        Some(facts)
    }

    /// `facts` must stay true for the identity: not those of a file that has just been written.
    pub(super) fn keep(&self, function: DigestFunction, facts: &Arc<FileFacts>) {
        let key = (facts.identity, function);
        self.lock().keep(key, Arc::clone(facts), self.limit);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        lock(&self.generations)
    }
}

impl Generations {
    fn keep(&mut self, key: (Identity, DigestFunction), facts: Arc<FileFacts>, limit: usize) {
        if self.young.len() >= limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, facts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(inode: u64) -> Arc<FileFacts> {
        let identity = Identity {
            device: 1,
            inode,
            size: 1,
            mtime_ns: 0,
            ctime_ns: 0,
        };
        Arc::new(FileFacts {
            digest: DigestFunction::Sha256.digest(b"x"),
            note: None,
            identity,
        })
    }

    #[test]
    fn used_entries_stay_and_their_number_is_bounded() {
        let memory = Memory::with_limit(10);
        let sha256 = DigestFunction::Sha256;
        let used = facts(0);
        memory.keep(sha256, &used);
        for inode in 1..100 {
            memory.keep(sha256, &facts(inode));
            assert!(memory.find(&used.identity, sha256).is_some(), "{inode}");
            assert!(memory.len() <= 20, "{}", memory.len());
        }
        assert!(memory.find(&facts(1).identity, sha256).is_none());
        assert!(
            memory
                .find(&used.identity, DigestFunction::Blake3)
                .is_none()
        );
    }
}
