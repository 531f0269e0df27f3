//! Finds results by what their jobs see of imports ([`crate::action::slice`]).
//!
//! The disk cache holds two kinds of entries for this, in its usual layout: the graph of a module,
//! under a key made of the module's digest, and an object with the numbers of its job's modules,
//! under the slice key. So an unchanged module is decoded once on a machine, and both are trimmed
//! like everything else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::action::canonical::NamedFile;
use crate::action::restore::{Renumbering, check, restore};
use crate::action::slice::{SliceInputs, SliceKey, check_kind, slice_key};
use crate::cache::{CacheError, DiskCache};
use crate::compiler::ResolvedToolchain;
use crate::digest::{Digest, DigestFunction};
use crate::exec::{Compiled, Hermetic, check_result};
use crate::fs::read_regular;
use crate::pb::reapi;
use crate::task::lock;
use crate::thinlto::{Index, ModuleGraph};

/// The release that the differential tests cover, as it stands in `clang --version`. Another one may
/// read the same modules and see more of them.
const COMPILER: &str = "version 22.";
/// Changes when the same module would have another graph.
const GRAPH_FORM: &str = "relto graph 1";
const GRAPH: &str = "relto/graph";
const NUMBERS: &str = "relto/numbers";
const OBJECT: &str = "relto/out.o";
/// Bytes of stored graphs that one link keeps in memory.
const MEMORY: usize = 256 << 20;

/// A graph, or that the module is taken whole.
type Known = Option<Arc<ModuleGraph>>;

/// The graphs that a link has needed so far.
#[derive(Debug, Default)]
pub(super) struct Slices(Mutex<GraphCache>);

#[derive(Debug, Default)]
struct GraphCache {
    graphs: HashMap<Digest, Known>,
    bytes: usize,
}

impl Slices {
    /// The slice key of a job, if it has one.
    pub(super) fn key(
        &self,
        hermetic: &Hermetic,
        own: &str,
        toolchain: &ResolvedToolchain,
        cache: &DiskCache,
    ) -> Option<Box<SliceKey>> {
        let job = &hermetic.job;
        let known_compiler = toolchain.version().contains(COMPILER);
        if hermetic.worker_key.is_some() || !known_compiler || check_kind(job).is_err() {
            return None;
        }
        let digests: Vec<Digest> = hermetic.action.inputs.iter().map(|it| it.digest).collect();
        // The shard is the last of the inputs.
        let digests = digests.get(..job.files.len())?;
        let mut known = Vec::with_capacity(job.files.len());
        for (file, digest) in job.files.iter().zip(digests) {
            known.push((file.tree_path.as_str(), self.graph(file, *digest, cache)?));
        }
        let graphs = known.iter().map(|(path, graph)| (*path, &**graph));
        let index = Index::parse(&job.shard).ok()?;
        let inputs = SliceInputs {
            template: toolchain.template(),
            toolchain: toolchain.tree(),
            digests,
            index: &index,
            own,
            graphs: &graphs.collect(),
        };
        slice_key(job, &inputs).ok().map(Box::new)
    }

    fn graph(&self, file: &NamedFile, digest: Digest, cache: &DiskCache) -> Known {
        let memory = || lock(&self.0);
        if let Some(known) = memory().graphs.get(&digest) {
            return known.clone();
        }
        let (graph, bytes) = stored_graph(cache, digest).or_else(|| {
            let bytes = read_regular(&file.host).ok()?;
            // Not the module that was hashed: nothing of it may be remembered.
            if DigestFunction::Sha256.digest(&bytes) != digest {
                return None;
            }
            let graph = ModuleGraph::read(&bytes).ok();
            let encoded = postcard::to_stdvec(&graph).ok()?;
            // The cache only saves the next decoding.
            let _ = store_graph(cache, digest, &encoded);
            Some((graph, encoded.len()))
        })?;
        let graph = graph.map(Arc::new);
        let mut memory = memory();
        if memory.bytes + bytes > MEMORY {
            *memory = GraphCache::default();
        }
        memory.bytes += bytes;
        memory.graphs.insert(digest, graph.clone());
        graph
    }
}

fn graph_key(module: Digest) -> Digest {
    let text = format!("{GRAPH_FORM}\n{}", module.hex());
    DigestFunction::Sha256.digest(text.as_bytes())
}

fn stored_graph(cache: &DiskCache, module: Digest) -> Option<(Option<ModuleGraph>, usize)> {
    let result = cache.get(&graph_key(module))?;
    let encoded = output(cache, &result, GRAPH)?;
    Some((postcard::from_bytes(&encoded).ok()?, encoded.len()))
}

fn store_graph(cache: &DiskCache, module: Digest, encoded: &[u8]) -> Result<(), CacheError> {
    let mut result = reapi::ActionResult::default();
    add_output(cache, &mut result, GRAPH, encoded)?;
    cache.put_result(&graph_key(module), &result)
}

/// The object that is stored under a job's slice key, with the numbers of this job. It has passed
/// the same guard as any result.
pub(super) fn restored(cache: &DiskCache, hermetic: &Hermetic, slice: &SliceKey) -> Option<Bytes> {
    let result = cache.get(&slice.digest())?;
    let object = output(cache, &result, OBJECT)?;
    let numbers = output(cache, &result, NUMBERS)?;
    let numbers = std::str::from_utf8(&numbers).ok()?;
    let then: Vec<u64> = numbers.lines().map_while(|it| it.parse().ok()).collect();
    if then.len() != slice.numbers.len() {
        return None;
    }
    let pairs = then.into_iter().zip(slice.numbers.iter().copied());
    let restored = restore(&object, &Renumbering::new(pairs).ok()?).ok()?;
    let mut outputs = [Some(Bytes::from(restored))];
    check_result(&hermetic.job, 0, b"", &outputs).ok()?;
    outputs[0].take()
}

/// Stores a fresh result under the slice key of its job, if the names in it can be restored;
/// returns whether it is stored. A job's messages may contain more than its key covers.
pub(super) fn store(
    cache: &DiskCache,
    slice: &SliceKey,
    compiled: &Compiled,
) -> Result<bool, CacheError> {
    let [object] = &compiled.outputs[..] else {
        return Ok(false);
    };
    if !compiled.stderr.is_empty() || check(object, &slice.numbers).is_err() {
        return Ok(false);
    }
    let lines = slice.numbers.iter().map(|number| format!("{number}\n"));
    let numbers: String = lines.collect();
    let mut result = reapi::ActionResult::default();
    add_output(cache, &mut result, OBJECT, object)?;
    add_output(cache, &mut result, NUMBERS, numbers.as_bytes())?;
    cache.put_blob(&slice.message.digest, &slice.message.bytes)?;
    cache.put_result(&slice.digest(), &result)?;
    Ok(true)
}

fn output(cache: &DiskCache, result: &reapi::ActionResult, path: &str) -> Option<Bytes> {
    let mut files = result.output_files.iter();
    let file = files.find(|file| file.path == path)?;
    cache.blob(&Digest::from_pb(file.digest.as_ref()?).ok()?)
}

fn add_output(
    cache: &DiskCache,
    result: &mut reapi::ActionResult,
    path: &str,
    contents: &[u8],
) -> Result<(), CacheError> {
    let digest = DigestFunction::Sha256.digest(contents);
    cache.put_blob(&digest, contents)?;
    result.output_files.push(reapi::OutputFile {
        path: path.to_owned(),
        digest: Some(digest.to_pb()),
        ..Default::default()
    });
    Ok(())
}
