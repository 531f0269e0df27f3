//! The graphs of modules: in memory as far as they find room, and all of them in the disk cache.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::{JobModule, add_output, output};
use crate::cache::{CacheError, DiskCache};
use crate::digest::{Digest, DigestFunction};
use crate::fs::read_regular;
use crate::pb::reapi;
use crate::task::lock;
use crate::thinlto::ModuleGraph;

/// Changes when the same module would have another graph.
const GRAPH_FORM: &str = "relto graph 8";
const GRAPH: &str = "relto/graph";
/// Bytes of recently used graphs after which those that were not used meanwhile are let go.
const GENERATION: usize = 48 << 20;

/// A graph, or that the module is taken whole.
type Known = Option<Arc<ModuleGraph>>;

/// The graphs that a link needs.
#[derive(Debug, Default)]
pub(super) struct Graphs {
    memory: Mutex<GraphMemory>,
    names: Mutex<NameMemory>,
    /// How many modules were read.
    decoded: AtomicU64,
}

/// Two generations: what is used moves into the recent one, which becomes the older one when it is
/// full.
#[derive(Debug, Default)]
struct GraphMemory {
    recent: HashMap<Digest, Arc<OnceLock<Known>>>,
    older: HashMap<Digest, Arc<OnceLock<Known>>>,
    recent_bytes: usize,
}

/// What was found out about names.
#[derive(Debug, Default)]
struct NameMemory {
    /// By old and new module.
    differing: HashMap<(Digest, Digest), Arc<[u64]>>,
    /// By module, and a hash of the names.
    mentions: HashMap<(Digest, [u8; 16]), bool>,
}

impl Graphs {
    /// The graph of the module with this digest, which is the file at `path`; `None` if it is taken
    /// whole. It is read once, whichever jobs ask for it.
    pub(super) fn of(&self, module: Digest, path: &Path, cache: &DiskCache) -> Known {
        let slot = self.slot(module);
        if let Some(known) = slot.get() {
            return known.clone();
        }
        self.kept(&slot, || {
            stored(cache, module)
                .or_else(|| {
                    self.decoded.fetch_add(1, Ordering::Relaxed);
                    decoded(module, path, cache)
                })
                .flatten()
        })
    }

    /// How many modules were read, and not known from an earlier link.
    pub(super) fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }

    /// The graph of a module that an earlier link had.
    fn earlier(&self, module: Digest, cache: &DiskCache) -> Known {
        let slot = self.slot(module);
        if let Some(known) = slot.get() {
            return known.clone();
        }
        // This link may have the file, too: then it is read if the graph is not stored.
        let known = stored(cache, module)?;
        self.kept(&slot, || known)
    }

    /// What is in `slot`, which is made if it is not there. Only who makes it counts its bytes.
    fn kept(&self, slot: &OnceLock<Known>, make: impl FnOnce() -> Known) -> Known {
        let mut is_new = false;
        let known = slot.get_or_init(|| {
            is_new = true;
            make()
        });
        if is_new {
            self.account(known);
        }
        known.clone()
    }

    /// The names in which the module `now` differs from an earlier one; `None` if that is not known
    /// any more.
    pub(super) fn differing_names(
        &self,
        then: Digest,
        now: Digest,
        graph: &ModuleGraph,
        cache: &DiskCache,
    ) -> Option<Arc<[u64]>> {
        let key = (then, now);
        if let Some(known) = lock(&self.names).differing.get(&key) {
            return Some(Arc::clone(known));
        }
        let then = self.earlier(then, cache)?;
        let differing: Arc<[u64]> = then.differing_names(graph).into();
        let kept = Arc::clone(&differing);
        lock(&self.names).differing.insert(key, kept);
        Some(differing)
    }

    /// Whether a module has one of these names; `None` if it is taken whole.
    pub(super) fn mentions(
        &self,
        module: &JobModule<'_>,
        names: &[u64],
        cache: &DiskCache,
    ) -> Option<bool> {
        if names.is_empty() {
            return Some(false);
        }
        let key = (module.digest, hash_of(names));
        if let Some(known) = lock(&self.names).mentions.get(&key) {
            return Some(*known);
        }
        let graph = self.of(module.digest, module.path, cache)?;
        let mentions = graph.has_any_of(names);
        lock(&self.names).mentions.insert(key, mentions);
        Some(mentions)
    }

    fn slot(&self, module: Digest) -> Arc<OnceLock<Known>> {
        let mut memory = lock(&self.memory);
        if let Some(slot) = memory.recent.get(&module) {
            return Arc::clone(slot);
        }
        let slot = memory.older.remove(&module).unwrap_or_default();
        if let Some(known) = slot.get() {
            memory.recent_bytes += bytes(known);
        }
        memory.recent.insert(module, Arc::clone(&slot));
        slot
    }

    fn account(&self, known: &Known) {
        let mut memory = lock(&self.memory);
        memory.recent_bytes += bytes(known);
        if memory.recent_bytes > GENERATION {
            memory.older = std::mem::take(&mut memory.recent);
            memory.recent_bytes = 0;
        }
    }
}

fn bytes(known: &Known) -> usize {
    known.as_ref().map_or(0, |graph| graph.memory())
}

/// Of numbers in their order.
pub(super) fn hash_of<'a>(numbers: impl IntoIterator<Item = &'a u64>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

/// Reads a module; `None` if it cannot be read, or is not the one that was hashed.
fn decoded(module: Digest, path: &Path, cache: &DiskCache) -> Option<Known> {
    let bytes = read_regular(path).ok()?;
    if DigestFunction::Sha256.digest(&bytes) != module {
        return None;
    }
    let graph = ModuleGraph::read(&bytes).ok();
    let encoded = postcard::to_stdvec(&graph).ok()?;
    // The cache only saves the next decoding.
    let _ = store(cache, module, &encoded);
    Some(graph.map(Arc::new))
}

fn key(module: Digest) -> Digest {
    let text = format!("{GRAPH_FORM}\n{}", module.hex());
    DigestFunction::Sha256.digest(text.as_bytes())
}

fn stored(cache: &DiskCache, module: Digest) -> Option<Known> {
    let result = cache.get(&key(module))?;
    let encoded = output(cache, &result, GRAPH)?;
    let graph: Option<ModuleGraph> = postcard::from_bytes(&encoded).ok()?;
    Some(graph.map(Arc::new))
}

fn store(cache: &DiskCache, module: Digest, encoded: &[u8]) -> Result<(), CacheError> {
    let mut result = reapi::ActionResult::default();
    add_output(cache, &mut result, GRAPH, encoded)?;
    cache.put_result(&key(module), &result)
}
