//! Says what a link would find by the slice keys of its jobs, for `relto explain`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{PartOfKey, Slices, module_key, restored};
use crate::action::slice::NoSliceKey;
use crate::cache::DiskCache;
use crate::compiler::ResolvedToolchain;
use crate::digest::Digest;
use crate::exec::Hermetic;
use crate::fs::read_regular;
use crate::history::ModuleNames;
use crate::job::{Job, JobFile};
use crate::link::Options;
use crate::task::lock;
use crate::thinlto::ModuleGraph;

/// The slice key of a job, and what the disk cache has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedSlice {
    pub key: Digest,
    /// Whether the disk cache has a result under the job's own key, which is looked up first.
    pub found_whole: bool,
    /// Whether it has one under the slice key.
    pub found: bool,
    /// How many imports count by their slices, and how many whole.
    pub sliced: u32,
    pub whole: u32,
    /// What differs, in words, from the slice key that the job had when a link last looked it up;
    /// `None` if none did.
    pub changes: Option<Vec<String>>,
}

/// The slice keys of a link's jobs. Nothing is remembered of them but the graphs of modules.
#[derive(Debug)]
pub struct SliceExplainer<'a> {
    file: &'a JobFile,
    toolchain: &'a ResolvedToolchain,
    cache: DiskCache,
    slices: Slices,
    /// Why modules cannot be sliced; `None` for those that can be.
    obstacles: Mutex<HashMap<Digest, Option<String>>>,
}

impl<'a> SliceExplainer<'a> {
    /// `None` where the link would use no slice keys.
    pub fn new(
        file: &'a JobFile,
        toolchain: &'a ResolvedToolchain,
        options: &Options,
    ) -> Option<Self> {
        let modules = file.jobs.iter().map(Job::module);
        let names = Arc::new(ModuleNames::recorded(modules));
        let slices = Slices::for_compiler(options, toolchain, names)?;
        let cache = options.disk_cache.as_ref()?;
        Some(Self {
            file,
            toolchain,
            cache: DiskCache::open(cache).ok()?,
            slices,
            obstacles: Mutex::default(),
        })
    }

    /// # Errors
    /// Why the job has no slice key.
    pub fn explain(&self, hermetic: &Hermetic, job: &Job) -> Result<ExplainedSlice, String> {
        let module = module_key(self.file, job, &self.slices.names);
        let looked =
            self.slices
                .looked_at(hermetic, job.module(), module, self.toolchain, &self.cache);
        let (sliced, _) = looked.map_err(|reason| self.reason(hermetic, &reason))?;
        let file_name = |position: u32| {
            let file = hermetic.job.files.get(position as usize);
            file.map(|file| &*file.name)
        };
        let words = |change: &PartOfKey| {
            let change = change.as_change(|position| u32::try_from(position).ok())?;
            Some(change.words(file_name))
        };
        let changes = sliced.changes.as_ref();
        Ok(ExplainedSlice {
            key: sliced.key.digest(),
            found_whole: self.cache.get(&hermetic.key()).is_some(),
            found: restored(&self.cache, hermetic, &sliced.key).is_some(),
            sliced: sliced.sliced,
            whole: sliced.whole,
            changes: changes.map(|changes| changes.iter().filter_map(words).collect()),
        })
    }

    /// `reason` in words, with the module at fault.
    fn reason(&self, hermetic: &Hermetic, reason: &NoSliceKey) -> String {
        if *reason != NoSliceKey::Module {
            return reason.to_string();
        }
        let files = hermetic.job.files.iter().zip(hermetic.digests());
        let mut at_fault = files.filter_map(|(file, digest)| {
            let obstacle = self.obstacle(digest, &file.host)?;
            Some(format!("`{}` cannot be sliced: {obstacle}", file.name))
        });
        at_fault.next().unwrap_or_else(|| reason.to_string())
    }

    fn obstacle(&self, module: Digest, path: &Path) -> Option<String> {
        if let Some(known) = lock(&self.obstacles).get(&module) {
            return known.clone();
        }
        let release = self.toolchain.release();
        let obstacle = match read_regular(path).map(|bytes| ModuleGraph::read(&bytes)) {
            Err(error) => Some(error.to_string()),
            Ok(Err(opaque)) => Some(opaque.to_string()),
            Ok(Ok(graph)) if Some(graph.release()) != release => Some(format!(
                "LLVM {} wrote it, not the compiler's",
                graph.release()
            )),
            Ok(Ok(_)) => None,
        };
        lock(&self.obstacles).insert(module, obstacle.clone());
        obstacle
    }
}
