//! Digests of files; each file is looked at once per link, and read once as long as it does not
//! change.
//!
//! Known files are found by (device, inode, size, mtime, ctime) in the database of
//! [`state`](crate::state); all others are read. [`FileFacts`] hold the digest, a note that the
//! caller derived from the contents, and the identity.

mod contents;
mod identity;
mod memory;
mod rows;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use fs_err as fs;

use crate::digest::{Digest, DigestFunction};
use crate::fs::Medium;
use crate::rlimit::open_files;
use crate::state::State;
use crate::task::{in_parallel, lock};
pub use identity::{Identity, is_settled};
pub use memory::Memory;
use rows::{NewRow, StaleUse};

/// Makes a note from the whole contents of a file. It must be a pure function of them, and the same
/// one wherever the same file is asked for, because the note of an earlier link is taken for its
/// result.
pub type ContentProbe<'a> = dyn Fn(&[u8]) -> Vec<u8> + 'a;

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    pub digest: Digest,
    /// What the probe made of the contents; always there when a probe was given.
    pub note: Option<Vec<u8>>,
    /// The state of the file that `digest` and `note` belong to.
    pub identity: Identity,
}

/// The digests of one link. Threads share it; two that ask for the same file have it read once.
#[derive(Debug)]
pub struct HashCache {
    state: Arc<State>,
    /// Only in a process that outlives the link.
    memory: Option<Arc<Memory>>,
    sha256: Mutex<HashMap<PathBuf, Arc<FactsCell>>>,
    blake3: Mutex<HashMap<PathBuf, Arc<FactsCell>>>,
    pending: Mutex<PendingRows>,
    /// By device number.
    media: Mutex<HashMap<u64, Medium>>,
    /// How many files are held open.
    held: AtomicUsize,
    files_read: AtomicU64,
    bytes_read: AtomicU64,
}

/// Locked while its file is read, so that others wait for the answer.
type FactsCell = Mutex<Option<KnownFile>>;

#[derive(Debug)]
struct KnownFile {
    facts: Arc<FileFacts>,
    /// The identity does not prove the contents, or not yet: see `is_racy` and [`Medium`].
    racy: bool,
    /// Open since the file was read, so that within this link the identity proves the contents.
    held: Option<File>,
    /// When the last reading began that found the same contents again, and the identity with them.
    agreed: Option<(Instant, Identity)>,
}

impl KnownFile {
    fn new(facts: Arc<FileFacts>, racy: bool) -> Self {
        Self {
            facts,
            racy,
            held: None,
            agreed: None,
        }
    }

    /// Whether the file has not changed since it was read, as far as that shows without reading it.
    fn is_held_unchanged(&self) -> bool {
        let now = self.held.as_ref().map(File::metadata);
        matches!(now, Some(Ok(found)) if Identity::of(&found) == self.facts.identity)
    }
}

#[derive(Debug, Default)]
struct PendingRows {
    new: Vec<NewRow>,
    used: Vec<StaleUse>,
}

impl HashCache {
    /// A cache that remembers through `state`, or only for this link if that is disabled.
    #[must_use]
    pub fn new(state: Arc<State>) -> Self {
        Self::with_memory(state, None)
    }

    /// Like [`HashCache::new`], for a process that runs many links and remembers by itself, too.
    #[must_use]
    pub fn with_memory(state: Arc<State>, memory: Option<Arc<Memory>>) -> Self {
        Self {
            state,
            memory,
            sha256: Mutex::default(),
            blake3: Mutex::default(),
            pending: Mutex::default(),
            media: Mutex::default(),
            held: AtomicUsize::new(0),
            files_read: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
        }
    }

    /// Returns digest and note of the file at `path`, from memory, from the database, or by reading
    /// it: in pieces without a `probe`, whole with one. Blocks while another thread reads the same
    /// file.
    ///
    /// # Errors
    /// The system's own, with the path; the path names no regular file (`InvalidInput`); the file
    /// changed while it was read or since it was first asked for. Errors are not remembered.
    pub fn facts(
        &self,
        path: &Path,
        function: DigestFunction,
        probe: Option<&ContentProbe<'_>>,
    ) -> io::Result<Arc<FileFacts>> {
        let slot = self.slot(path, function);
        let mut known = lock(&slot);
        if let Some(known) = &*known
            && (probe.is_none() || known.facts.note.is_some())
        {
            return Ok(Arc::clone(&known.facts));
        }
        let looked = self.look(path, function, probe)?;
        let facts = Arc::clone(&looked.facts);
        match known.replace(looked) {
            Some(before) if before.facts.identity != facts.identity => {
                *known = Some(before);
                Err(contents::changed(path))
            }
            _ => Ok(facts),
        }
    }

    /// Digests of several files, in their order. All processors read, the largest files first.
    ///
    /// # Errors
    /// As `facts`, of the first file that has one.
    pub fn facts_of_all(
        &self,
        paths: &[&Path],
        function: DigestFunction,
    ) -> io::Result<Vec<Arc<FileFacts>>> {
        let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        let mut order: Vec<usize> = (0..paths.len()).collect();
        order.sort_by_cached_key(|at| Reverse(size(paths[*at])));
        let found = in_parallel(&order, |at| self.facts(paths[*at], function, None));
        let mut all: Vec<_> = order.into_iter().zip(found).collect();
        all.sort_unstable_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, facts)| facts).collect()
    }

    /// Files that were read so far, and their bytes.
    pub fn reads(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.files_read), of(&self.bytes_read))
    }

    fn read(
        &self,
        path: &Path,
        function: DigestFunction,
        probe: Option<&ContentProbe<'_>>,
    ) -> io::Result<contents::Contents> {
        let read = contents::read(path, function, probe)?;
        self.files_read.fetch_add(1, Ordering::Relaxed);
        let size = read.facts.identity.size;
        self.bytes_read.fetch_add(size, Ordering::Relaxed);
        Ok(read)
    }

    fn look(
        &self,
        path: &Path,
        function: DigestFunction,
        probe: Option<&ContentProbe<'_>>,
    ) -> io::Result<KnownFile> {
        let identity = identity::identity(path)?;
        let medium = self.medium(path, &identity);
        let believed = medium.is_believed(identity.ctime_ns);
        if let Some(facts) = believed
            .then(|| self.remembered(&identity, function, probe.is_some()))
            .flatten()
        {
            return Ok(KnownFile::new(facts, false));
        }
        let read = self.read(path, function, probe)?;
        let mut known = KnownFile::new(Arc::new(read.facts), read.racy || !believed);
        if !believed && !read.racy && medium.is_believed_while_open() {
            known.held = self.may_hold().then_some(read.file);
        }
        self.remember(&known, function);
        Ok(known)
    }

    fn medium(&self, path: &Path, identity: &Identity) -> Medium {
        let mut media = lock(&self.media);
        *media
            .entry(identity.device)
            .or_insert_with(|| Medium::of(path))
    }

    /// Takes one of the places for files that are held open.
    fn may_hold(&self) -> bool {
        self.held.fetch_add(1, Ordering::Relaxed) < open_files::held_files()
    }

    /// What an earlier link learned of the file, with a note where one is `wanted`.
    fn remembered(
        &self,
        identity: &Identity,
        function: DigestFunction,
        wanted: bool,
    ) -> Option<Arc<FileFacts>> {
        let suffices = |facts: &FileFacts| !wanted || facts.note.is_some();
        let memory = self.memory.as_ref();
        if let Some(facts) = memory
            .and_then(|memory| memory.find(identity, function))
            .filter(|it| suffices(it))
        {
            return Some(facts);
        }
        let facts = Arc::new(self.stored(identity, function).filter(suffices)?);
        if let Some(memory) = memory {
            memory.keep(function, &facts);
        }
        Some(facts)
    }

    fn stored(&self, identity: &Identity, function: DigestFunction) -> Option<FileFacts> {
        let today = rows::day(identity::wall_clock());
        let (facts, stale) = self
            .state
            .read(|connection| rows::find(connection, identity, function, today))??;
        lock(&self.pending).used.extend(stale);
        Some(facts)
    }

    fn remember(&self, known: &KnownFile, function: DigestFunction) {
        if !known.racy {
            if let Some(memory) = &self.memory {
                memory.keep(function, &known.facts);
            }
            let facts = Arc::clone(&known.facts);
            lock(&self.pending).new.push(NewRow { function, facts });
        }
    }

    /// Whether the file at `path` still has the contents whose facts were returned. Reads it again
    /// where its times cannot tell.
    pub fn unchanged(&self, path: &Path, identity: &Identity) -> bool {
        let same = |now: Identity| now == *identity;
        identity::identity(path).is_ok_and(same)
            && [DigestFunction::Sha256, DigestFunction::Blake3]
                .into_iter()
                .all(|function| self.settle(path, function, identity))
    }

    /// Reads a racy file again, for the last time if its times are old enough to prove its
    /// contents. Callers that wait for each other share a reading that began after they came.
    fn settle(&self, path: &Path, function: DigestFunction, identity: &Identity) -> bool {
        let asked = Instant::now();
        let Some(slot) = lock(self.map(function)).get(path).map(Arc::clone) else {
            return true;
        };
        let mut slot = lock(&slot);
        let Some(known) = slot.as_mut().filter(|known| known.racy) else {
            return true;
        };
        if known.facts.identity == *identity && known.is_held_unchanged() {
            return true;
        }
        let shared = known.agreed.as_ref();
        if shared.is_some_and(|(began, found)| *began > asked && found == identity) {
            return true;
        }
        let began = Instant::now();
        let Ok(read) = self.read(path, function, None) else {
            return false;
        };
        if read.facts.digest != known.facts.digest || read.facts.identity != *identity {
            return false;
        }
        known.agreed = Some((began, *identity));
        let medium = self.medium(path, identity);
        known.racy = read.racy || !medium.is_believed(identity.ctime_ns);
        self.remember(known, function);
        true
    }

    /// Writes what this link learned, in one transaction. It is lost if another process is writing.
    pub fn flush(&self) {
        let PendingRows { new, used } = std::mem::take(&mut *lock(&self.pending));
        if !new.is_empty() || !used.is_empty() {
            let today = rows::day(identity::wall_clock());
            self.state
                .write(|transaction| rows::store(transaction, &new, &used, today));
        }
    }

    fn map(&self, function: DigestFunction) -> &Mutex<HashMap<PathBuf, Arc<FactsCell>>> {
        match function {
            DigestFunction::Sha256 => &self.sha256,
            DigestFunction::Blake3 => &self.blake3,
        }
    }

    fn slot(&self, path: &Path, function: DigestFunction) -> Arc<FactsCell> {
        let mut slots = lock(self.map(function));
        match slots.get(path) {
            Some(slot) => Arc::clone(slot),
            None => Arc::clone(slots.entry(path.to_owned()).or_default()),
        }
    }
}
