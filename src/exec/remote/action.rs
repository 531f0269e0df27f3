//! Builds a job's Action as this farm needs it: with its digest function, output fields and
//! platform.
//!
//! It is built when the job is sent, and again if the farm loses blobs, so that waiting jobs do not
//! hold their Directory messages in memory.

use std::path::Path;
use std::sync::Arc;

use super::{RemoteExecutor, WorkerSize};
use crate::action::canonical::CanonicalJob;
use crate::action::toolchain_tree::{ToolFile, ToolchainTree};
use crate::action::{Action, InputSource};
use crate::digest::{Digest, DigestFunction};
use crate::exec::{Hermetic, Planned};
use crate::hash_cache::HashCache;
use crate::reapi::{ActionClosure, Blob};

/// The toolchain's tree in the farm's digest function, and its blobs.
#[derive(Debug)]
pub(super) struct FarmToolchain {
    pub(super) tree: Arc<ToolchainTree>,
    pub(super) blobs: Vec<Blob>,
}

impl FarmToolchain {
    /// `tree` is by SHA256; for another function its files are read once more or found in
    /// `hash_cache`.
    pub(super) fn new(
        tree: &Arc<ToolchainTree>,
        function: DigestFunction,
        hash_cache: &HashCache,
    ) -> std::io::Result<Self> {
        let tree = match function {
            DigestFunction::Sha256 => Arc::clone(tree),
            DigestFunction::Blake3 => Arc::new(rehash(tree, function, hash_cache)?),
        };
        let directories = tree.directories.iter().filter(|_| !tree.files.is_empty());
        let files = tree.files.iter();
        let blobs = directories
            .map(|encoded| Blob::from_bytes(encoded.digest, encoded.bytes.clone()))
            .chain(files.map(|file| Blob::from_file(file.digest, file.host.as_path())))
            .collect();
        Ok(Self { tree, blobs })
    }
}

/// The blobs that a farm needs in its CAS for the compiler of `tree`, which is by SHA256.
///
/// # Errors
/// A file of the compiler cannot be read.
pub fn toolchain_blobs(
    tree: &Arc<ToolchainTree>,
    function: DigestFunction,
    hash_cache: &HashCache,
) -> std::io::Result<Vec<Blob>> {
    Ok(FarmToolchain::new(tree, function, hash_cache)?.blobs)
}

fn rehash(
    tree: &ToolchainTree,
    function: DigestFunction,
    hash_cache: &HashCache,
) -> std::io::Result<ToolchainTree> {
    let paths: Vec<&Path> = tree.files.iter().map(|file| file.host.as_path()).collect();
    let facts = hash_cache.facts_of_all(&paths, function)?;
    let files = tree.files.iter().zip(facts).map(|(file, facts)| ToolFile {
        digest: facts.digest,
        ..file.clone()
    });
    let files = files.collect();
    let (start, configuration) = (tree.launch_prefix.clone(), tree.configuration.clone());
    Ok(ToolchainTree::new(function, files, start, configuration))
}

impl RemoteExecutor {
    /// The action of `hermetic` on workers of this `size`.
    ///
    /// # Errors
    /// An input has changed since it was hashed for the disk cache's key.
    pub(super) fn action(&self, hermetic: &Hermetic, size: WorkerSize) -> Result<Action, String> {
        let digests = match self.template.function {
            DigestFunction::Sha256 => hermetic.digests().collect(),
            function @ DigestFunction::Blake3 => {
                digests(hermetic, function, &self.config.hash_cache)?
            }
        };
        let tree = &self.toolchain.tree;
        let template = self.template(size);
        Ok(Action::new(template, tree, &hermetic.job, &digests))
    }
}

fn digests(
    hermetic: &Hermetic,
    function: DigestFunction,
    hash_cache: &HashCache,
) -> Result<Vec<Digest>, String> {
    let files = hermetic.job.files.iter().zip(&hermetic.facts);
    files
        .map(|(file, known)| {
            let facts = hash_cache
                .facts(&file.host, function, None)
                .map_err(|error| error.to_string())?;
            if facts.identity == known.identity {
                Ok(facts.digest)
            } else {
                Err(format!("`{}` changed after it was hashed", file.name))
            }
        })
        .collect()
}

/// All blobs of `action`, which is that of `job`, except the toolchain's. Inputs come first: an
/// action is useless without them.
pub(super) fn blobs(action: &Action, job: &CanonicalJob) -> Vec<Blob> {
    let inputs = action.inputs(job).map(|input| match input.source {
        InputSource::File(path) => Blob::from_file(input.digest, Arc::clone(path)),
        InputSource::Bytes(bytes) => Blob::from_bytes(input.digest, bytes.clone()),
    });
    let messages = action.directories.iter();
    let messages = messages.chain([&action.command, &action.message]);
    inputs
        .chain(messages.map(|encoded| Blob::from_bytes(encoded.digest, encoded.bytes.clone())))
        .collect()
}

/// All blobs of one job, rebuilt when the farm needs them.
pub(super) struct JobClosure {
    pub(super) executor: Arc<RemoteExecutor>,
    pub(super) job: Arc<Planned>,
    pub(super) size: WorkerSize,
}

impl ActionClosure for JobClosure {
    fn blobs(&self) -> Vec<Blob> {
        let mut all = self.executor.toolchain.blobs.clone();
        if let Some(hermetic) = self.job.hermetic()
            // Inputs that changed meanwhile cannot be sent again; the farm will report them missing
            // once more.
            && let Ok(action) = self.executor.action(hermetic, self.size)
        {
            all.extend(blobs(&action, &hermetic.job));
        }
        all
    }
}
