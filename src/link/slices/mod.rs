//! Finds results by what their jobs see of imports ([`crate::action::slice`]).
//!
//! The disk cache holds three kinds of entries for this, in its usual layout, all trimmed like
//! everything else: the graph of a module, under a key made of the module's digest ([`graphs`]); of
//! each job, what it saw of its modules last time ([`seen`]), so that after an edit only the
//! modules that are new are looked at; and an object with the numbers of its job's modules, under
//! the slice key.

mod explained;
mod graphs;
mod record;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use self::explained::{ExplainedSlice, SliceExplainer};
use self::graphs::Graphs;
pub(super) use self::record::{remove, replace, restored, store, stored_key};
use self::seen::{OtherParts, SeenFile, SeenModules};
use crate::action::kind::Processor;
use crate::action::slice::{
    NoSliceKey, SliceInputs, SliceKey, SliceableJob, check_kind, what_is_seen,
};
use crate::cache::{CacheError, DiskCache};
use crate::compiler::ResolvedToolchain;
use crate::digest::{Digest, DigestFunction};
use crate::exec::Hermetic;
use crate::history::{ModuleKey, ModuleNames, SliceChange};
use crate::job::{Job, JobFile};
use crate::link::Options;
use crate::pb::reapi;
use crate::thinlto::{Index, ModuleGraph, PROVED_RELEASES, name_hash};

/// What a link knows of the modules of its jobs.
#[derive(Debug, Default)]
pub(super) struct Slices {
    graphs: Graphs,
    names: Arc<ModuleNames>,
    /// The user wants them whatever was compared.
    everywhere: bool,
}

/// A job with a slice key.
#[derive(Debug)]
pub(super) struct SlicedJob {
    pub(super) key: SliceKey,
    /// How many imports count by their slices, and how many whole.
    pub(super) sliced: u32,
    pub(super) whole: u32,
    /// What differs from the key that the job had before; `None` if that is not known.
    pub(super) changes: Option<Vec<PartOfKey>>,
}

/// A part of a slice key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartOfKey {
    Toolchain,
    Command,
    Shard,
    /// Which modules share the name of a source file, and which inline assembly has one location.
    Equalities,
    OwnModule,
    /// An import, by its position in the job.
    File(usize),
}

impl PartOfKey {
    /// The same for those who read the history; `file` gives the number of a file there.
    pub(super) fn as_change(self, file: impl FnOnce(usize) -> Option<u32>) -> Option<SliceChange> {
        match self {
            Self::Toolchain => Some(SliceChange::Toolchain),
            Self::Command => Some(SliceChange::Command),
            Self::Shard => Some(SliceChange::Shard),
            Self::Equalities => Some(SliceChange::Equalities),
            Self::OwnModule => Some(SliceChange::OwnModule),
            Self::File(position) => file(position).map(SliceChange::Import),
        }
    }
}

/// By which a job is known in other links of `file`'s output.
fn module_key(file: &JobFile, job: &Job, names: &ModuleNames) -> ModuleKey {
    let identity = [&file.linker_output, &*names.stable(job.module())].join("\0");
    ModuleKey::of(identity.as_bytes())
}

/// A module of a job.
#[derive(Debug, Clone, Copy)]
struct JobModule<'a> {
    /// Of the name by which it is known in other links.
    name: u64,
    path: &'a Path,
    digest: Digest,
    /// GUIDs that the job imports; `None` for its own module.
    imported: Option<&'a BTreeSet<u64>>,
    /// The release of the compiler.
    release: u32,
}

impl Slices {
    /// `None` where jobs have no slice keys: the option is off, or it is not set and the compiler is
    /// of another release than was compared enough.
    pub(super) fn for_compiler(
        options: &Options,
        toolchain: &ResolvedToolchain,
        names: Arc<ModuleNames>,
    ) -> Option<Self> {
        let is_proved = |release| PROVED_RELEASES.contains(&release);
        let by_default = || toolchain.release().is_some_and(is_proved);
        let wanted = options.slice_keys.unwrap_or_else(by_default);
        wanted.then(|| Self {
            graphs: Graphs::default(),
            names,
            everywhere: options.slice_keys.is_some(),
        })
    }

    /// How many modules this link has read.
    pub(super) fn decoded(&self) -> u64 {
        self.graphs.decoded()
    }

    /// The slice key of a job of `file`, if it has one.
    pub(super) fn sliced(
        &self,
        hermetic: &Hermetic,
        file: &JobFile,
        job: &Job,
        toolchain: &ResolvedToolchain,
        cache: &DiskCache,
    ) -> Option<SlicedJob> {
        let module = module_key(file, job, &self.names);
        let looked = self.looked_at(hermetic, job.module(), module, toolchain, cache);
        let (sliced, seen) = looked.ok()?;
        // The cache only saves the next look.
        let _ = seen.store(cache, module);
        Some(sliced)
    }

    /// The same, and what the job sees, which is not remembered.
    fn looked_at(
        &self,
        hermetic: &Hermetic,
        own: &str,
        module: ModuleKey,
        toolchain: &ResolvedToolchain,
        cache: &DiskCache,
    ) -> Result<(SlicedJob, SeenModules), NoSliceKey> {
        let job = &hermetic.job;
        let release = toolchain.release().ok_or(NoSliceKey::Compiler)?;
        if hermetic.worker_key.is_some() {
            return Err(NoSliceKey::Compiler);
        }
        check_kind(job)?;
        if !self.everywhere && job.processor == Processor::Other {
            return Err(NoSliceKey::Processor);
        }
        let digests: Vec<Digest> = hermetic.digests().collect();
        let index = Index::parse(&job.shard).map_err(|_| NoSliceKey::Module)?;
        let inputs = SliceInputs {
            template: toolchain.template(),
            toolchain: toolchain.tree(),
            digests: &digests,
            index: &index,
            own,
        };
        let sliceable = SliceableJob::new(job, &inputs)?;
        let files = job.files.iter().zip(&digests).zip(sliceable.imported());
        let modules: Vec<JobModule<'_>> = files
            .map(|((file, digest), imported)| JobModule {
                name: name_hash(&self.names.stable(&file.name)),
                path: &file.host,
                digest: *digest,
                imported: imported.as_ref(),
                release,
            })
            .collect();
        let before = SeenModules::last(cache, module).filter(|it| it.release == release);
        let mentioned = sliceable.mentioned();
        let again = before
            .as_ref()
            .and_then(|before| self.seen_again(before, &modules, mentioned, cache));
        let seen = again.or_else(|| self.seen(&modules, mentioned, cache));
        let mut seen = seen.ok_or(NoSliceKey::Module)?;
        let names: Vec<_> = seen.files.iter().map(SeenFile::names).collect();
        let views: Vec<_> = seen.files.iter().map(|file| file.view.as_ref()).collect();
        let key = sliceable.key(&views, &names)?;
        seen.others = OtherParts::of(&key, toolchain.tree().root);
        let (sliced, whole) = seen.counts();
        let job = SlicedJob {
            changes: before.map(|before| seen.changes_since(&before)),
            key,
            sliced,
            whole,
        };
        Ok((job, seen))
    }

    /// The graph of a module, if the compiler is of the release that wrote it: another one may see
    /// something else in it.
    fn graph(&self, module: &JobModule<'_>, cache: &DiskCache) -> Option<Arc<ModuleGraph>> {
        let graph = self.graphs.of(module.digest, module.path, cache);
        graph.filter(|graph| graph.release() == module.release)
    }

    /// What a job sees of its modules; `None` if its own one is not understood, as none is with debug
    /// information: then the others need not be read. `mentioned` are the GUIDs in its shard.
    fn seen(
        &self,
        modules: &[JobModule<'_>],
        mentioned: &[u64],
        cache: &DiskCache,
    ) -> Option<SeenModules> {
        let mut own = modules.iter().filter(|module| module.imported.is_none());
        own.next().and_then(|own| self.graph(own, cache))?;
        let graphs = modules.iter().map(|module| self.graph(module, cache));
        let graphs: Vec<_> = graphs.collect();
        let imported: Vec<_> = modules.iter().map(|it| it.imported.cloned()).collect();
        let by_file: Vec<Option<&ModuleGraph>> = graphs.iter().map(Option::as_deref).collect();
        let (views, namesakes) = what_is_seen(&imported, &by_file);
        let files = modules.iter().zip(&graphs).zip(views);
        let files: Vec<SeenFile> = files
            .map(|((module, graph), view)| SeenFile::new(module, graph.as_deref(), view, mentioned))
            .collect();
        Some(SeenModules {
            release: modules.first()?.release,
            not_local: SeenModules::not_local(&files, mentioned),
            files,
            namesakes,
            others: OtherParts::default(),
        })
    }

    /// The same, from what the job saw before: only modules that are new are looked at, and those
    /// of which it imports something else. `None` if the others may look different now: a slice
    /// depends on other modules by the names that they share with it, which are not known of a module
    /// that is not understood.
    fn seen_again(
        &self,
        before: &SeenModules,
        modules: &[JobModule<'_>],
        mentioned: &[u64],
        cache: &DiskCache,
    ) -> Option<SeenModules> {
        let matched = before.matched(modules)?;
        if !before.is_understood() {
            return None;
        }
        let mut differing = Vec::new();
        let mut new = Vec::new();
        for (module, then) in &matched.replaced {
            let now = self.graph(module, cache)?;
            let names = self
                .graphs
                .differing_names(*then, module.digest, &now, cache)?;
            differing.extend_from_slice(&names);
            new.push(now);
        }
        differing.sort_unstable();
        differing.dedup();
        for (module, then) in modules.iter().zip(&matched.then) {
            let is_old = then.is_some();
            if is_old && self.graphs.mentions(module, &differing, cache)? {
                return None;
            }
        }
        let namesakes = before.namesakes_after(&differing, &new);
        let mut files = Vec::with_capacity(modules.len());
        for (module, then) in modules.iter().zip(matched.then) {
            files.push(match then {
                Some(then) if then.imports_the_same(module) => then.at(module),
                _ => {
                    let graph = self.graph(module, cache)?;
                    let view = graph.seen(module.imported, &namesakes);
                    SeenFile::new(module, Some(&graph), view, mentioned)
                }
            });
        }
        let not_local = SeenModules::not_local(&files, mentioned);
        // A GUID that the shard did not mention before may be a local value's of any module.
        let known = |guid: &u64| {
            before.not_local.binary_search(guid).is_ok()
                || new.iter().any(|graph| graph.has_visible(*guid))
        };
        if !not_local.iter().all(known) {
            return None;
        }
        Some(SeenModules {
            release: before.release,
            files,
            namesakes,
            not_local,
            others: OtherParts::default(),
        })
    }
}

fn output(cache: &DiskCache, result: &reapi::ActionResult, path: &str) -> Option<Bytes> {
    let mut files = result.output_files.iter();
    let file = files.find(|file| file.path == path)?;
    cache.blob(&Digest::from_pb(file.digest.as_ref()?).ok()?)
}

/// A small output that stands in the result itself: it is written and read with it, and one file is
/// enough.
fn inline_output<'a>(result: &'a reapi::ActionResult, path: &str) -> Option<&'a Bytes> {
    let mut files = result.output_files.iter();
    let file = files.find(|file| file.path == path)?;
    let digest = DigestFunction::Sha256.digest(&result.stdout_raw);
    (file.digest.as_ref() == Some(&digest.to_pb())).then_some(&result.stdout_raw)
}

fn add_inline_output(result: &mut reapi::ActionResult, path: &str, contents: Bytes) {
    let digest = DigestFunction::Sha256.digest(&contents);
    result.output_files.push(output_file(path, digest));
    result.stdout_raw = contents;
}

fn add_output(
    cache: &DiskCache,
    result: &mut reapi::ActionResult,
    path: &str,
    contents: &[u8],
) -> Result<(), CacheError> {
    let digest = DigestFunction::Sha256.digest(contents);
    cache.put_blob(&digest, contents)?;
    result.output_files.push(output_file(path, digest));
    Ok(())
}

fn output_file(path: &str, digest: Digest) -> reapi::OutputFile {
    reapi::OutputFile {
        path: path.to_owned(),
        digest: Some(digest.to_pb()),
        ..Default::default()
    }
}
