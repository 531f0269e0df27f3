//! The second key of a job, made of what the job can see of its imports instead of their bytes.
//!
//! The key is the digest of an action that is never run. It has the shape of the real one: a digest
//! of the job's own module without the directory of its source file, the shard without hashes, and
//! for each import a digest of its slice in place of that of its bytes. Two jobs with the same key
//! have the same object but for the numbers in the names of promoted locals, which are part of a
//! [`SliceKey`] and which [`restore`](super::restore) replaces. An object in which they cannot be
//! replaced has a key with those numbers that may be in it ([`SliceKey::numbered`]).
//!
//! The GUID of a local value is a hash of its name and of the name of its source file. A backend
//! only compares GUIDs, so in the shard those of local values become hashes of the name and of the
//! number that the job gives to the name of the source file ([`Numbering`]).
//!
//! Of the locations of inline assembly, too, a backend only sees which are equal
//! ([`ModuleView::cookies`]): the key has the numbers that the job gives to them.
//!
//! An import that is not understood counts by its bytes. Neither its names nor the GUIDs of its local
//! values are known, so then the names and GUIDs of all other modules count too.

mod excluded;

use std::collections::{BTreeSet, HashMap, HashSet};

use self::excluded::excluded;
use super::arguments::NO_DEFAULT_CONFIG;
use super::canonical::CanonicalJob;
use super::kind::{Format, OutputKind};
use super::toolchain_tree::ToolchainTree;
use super::tree::Encoded;
use super::{Action, ActionTemplate, encode_action};
use crate::digest::Digest;
use crate::thinlto::{
    Index, ModuleGraph, ModuleView, Numbering, Obstacle, name_hash, namesakes, suffix,
};

/// Changes whenever the same job would get another key without a change of its content.
const SLICE_FORM: &str = "relto slices 6";
/// The directory of modules in the input root.
const MODULES: &str = "relto/m/";

/// A job's key by what it can see.
#[derive(Debug, Clone)]
pub struct SliceKey {
    /// The action whose digest is the key; it is never run.
    pub message: Encoded,
    /// Of the action: its command, and the shard without hashes.
    pub command: Digest,
    pub shard: Option<Digest>,
    /// Of what says which modules share the name of a source file, and which inline assembly has
    /// one location.
    pub equalities: Digest,
    /// By the canonical number of each module: what follows `.llvm.` in names of its promoted
    /// locals.
    pub numbers: Vec<u64>,
    /// Whether an object's names can be restored, as far as the modules tell.
    pub restorable: bool,
    /// The same action with the numbers of those modules whose promoted locals the job can see:
    /// under its digest an object is kept whose names cannot be restored.
    pub numbered: Encoded,
}

impl SliceKey {
    /// The key under which the object is looked up first.
    pub fn digest(&self) -> Digest {
        let message = if self.restorable {
            &self.message
        } else {
            &self.numbered
        };
        message.digest
    }
}

/// Why a job has no slice key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSliceKey {
    #[error("its compiler is not one of this machine whose release is known")]
    Compiler,
    #[error("it does not write one native ELF object")]
    Kind,
    #[error(
        "it is for a processor with which slice keys were not compared; `slice_keys=on` takes it"
    )]
    Processor,
    #[error("`{0}` is among its arguments")]
    Argument(String),
    #[error("its shard has {0}")]
    Shard(#[from] Obstacle),
    #[error("the environment or a configuration file may add arguments")]
    Environment,
    #[error("one of its modules cannot be sliced")]
    Module,
    #[error("one of its modules has no hash")]
    Hash,
}

/// What a slice key is made of, besides the job and what it sees of its imports.
#[derive(Debug)]
pub struct SliceInputs<'a> {
    pub template: &'a ActionTemplate,
    pub toolchain: &'a ToolchainTree,
    /// The digests of the job's files, in their order.
    pub digests: &'a [Digest],
    /// The canonical shard, parsed.
    pub index: &'a Index<'a>,
    /// The job's own module, as the job names it.
    pub own: &'a str,
}

/// The arguments of a job as far as they may keep it from having a slice key.
///
/// # Errors
/// They do.
pub fn check_kind(job: &CanonicalJob) -> Result<(), NoSliceKey> {
    let modules_only = job.files.iter().all(|it| it.tree_path.starts_with(MODULES));
    if job.kind != OutputKind::Object(Format::Elf) || job.outputs.len() != 1 || !modules_only {
        return Err(NoSliceKey::Kind);
    }
    match excluded(&job.arguments) {
        Some(word) => Err(NoSliceKey::Argument(word.clone())),
        None => Ok(()),
    }
}

/// What a key takes of the names of a module that is understood.
#[derive(Debug, Clone, Copy)]
pub struct ModuleNames<'a> {
    /// See [`ModuleGraph::source`].
    pub source: u64,
    /// Those local values of the module that the shard mentions ([`SliceableJob::mentioned`]).
    pub locals: &'a [LocalValue],
    /// See [`ModuleGraph::suffixes`].
    pub suffixes: &'a [u64],
    /// See [`ModuleGraph::depends_on_names`].
    pub depends_on_names: bool,
}

/// The GUID of a local value, and the hash of its name.
pub type LocalValue = (u64, u64);

/// A job whose arguments and shard allow a slice key.
#[derive(Debug)]
pub struct SliceableJob<'a> {
    job: &'a CanonicalJob,
    inputs: &'a SliceInputs<'a>,
    numbers: Vec<u64>,
    imported: Vec<Option<BTreeSet<u64>>>,
    mentioned: Vec<u64>,
}

impl<'a> SliceableJob<'a> {
    /// # Errors
    /// The job is known by its whole inputs only.
    pub fn new(job: &'a CanonicalJob, inputs: &'a SliceInputs<'a>) -> Result<Self, NoSliceKey> {
        check_kind(job)?;
        check_environment(job, inputs)?;
        let own = job.files.iter().filter(|file| *file.name == *inputs.own);
        if own.count() != 1 {
            return Err(NoSliceKey::Module);
        }
        let mut imports = inputs.index.imports()?;
        let modules = inputs.index.modules();
        let by_path: HashMap<&[u8], u64> = modules.iter().map(|it| (&it.path[..], it.id)).collect();
        let numbers: Vec<u64> = modules.iter().map(|entry| suffix(entry.hash)).collect();
        if numbers.contains(&0) {
            return Err(NoSliceKey::Hash);
        }
        let imported = job.files.iter().map(|file| {
            if *file.name == *inputs.own {
                return Ok(None);
            }
            let id = by_path.get(file.tree_path.as_bytes());
            let id = id.ok_or(NoSliceKey::Module)?;
            Ok(Some(imports.remove(id).unwrap_or_default()))
        });
        Ok(Self {
            job,
            inputs,
            imported: imported.collect::<Result<_, NoSliceKey>>()?,
            numbers,
            mentioned: inputs.index.guids(),
        })
    }

    /// The GUIDs that the job imports of each of its files; `None` for its own module.
    #[must_use]
    pub fn imported(&self) -> &[Option<BTreeSet<u64>>] {
        &self.imported
    }

    /// The GUIDs of all values in the shard; ascending.
    #[must_use]
    pub fn mentioned(&self) -> &[u64] {
        &self.mentioned
    }

    /// The job's key, if this is what it sees of its files ([`what_is_seen`]). `names` has `None` for a
    /// module that is not understood.
    ///
    /// # Errors
    /// It has none.
    pub fn key(
        &self,
        views: &[Option<&ModuleView>],
        names: &[Option<ModuleNames<'_>>],
    ) -> Result<SliceKey, NoSliceKey> {
        let is_understood = names.iter().all(Option::is_some);
        if !is_understood && !self.has_slices(views, names) {
            return Err(NoSliceKey::Module);
        }
        let keeps_names = |module: &ModuleNames<'_>| {
            let mut suffixes = module.suffixes.iter();
            module.depends_on_names || suffixes.any(|suffix| self.numbers.contains(suffix))
        };
        let keeps_names = names.iter().flatten().any(keeps_names);
        let mut digests = self.inputs.digests.to_vec();
        // What cannot be sliced keeps the digest of its bytes.
        let function = self.inputs.template.function;
        for (digest, view) in digests.iter_mut().zip(views) {
            if let Some(view) = view {
                *digest = function.digest(&view.digest);
            }
        }
        let (sources, stand_ins) = sources(names);
        let equalities = format!("{sources}\n{}", locations(views));
        let equalities = function.digest(equalities.as_bytes());
        let stand_in = |guid| stand_ins.get(&guid).copied().unwrap_or(guid);
        let mut seen = self.job.clone();
        seen.shard = self.inputs.index.as_seen(&stand_in)?.into();
        let mut template = self.inputs.template.clone();
        template.salt = format!("{SLICE_FORM}\n{}\n{}", equalities.hex(), template.salt);
        let action = Action::new(&template, self.inputs.toolchain, &seen, &digests);
        template.salt = format!("{}\n{:?}", template.salt, self.numbers_seen(views));
        let numbered = encode_action(&template, &action.command, action.root);
        Ok(SliceKey {
            command: action.command.digest,
            shard: Some(action.shard),
            message: action.message,
            equalities,
            numbers: self.numbers.clone(),
            restorable: is_understood && !keeps_names,
            numbered: Encoded::new(function, numbered),
        })
    }

    /// Whether the own module is understood, and an import counts by what the job sees of it.
    fn has_slices(&self, views: &[Option<&ModuleView>], names: &[Option<ModuleNames<'_>>]) -> bool {
        let own = self.imported.iter().position(Option::is_none);
        let mut files = self.imported.iter().zip(views);
        own.is_some_and(|own| names[own].is_some())
            && files.any(|(imported, view)| imported.is_some() && view.is_some())
    }

    /// The numbers that may stand in names of the object, each with that of its module: all but
    /// those of modules without a local value that the job sees.
    fn numbers_seen(&self, views: &[Option<&ModuleView>]) -> Vec<(usize, u64)> {
        let files = self.job.files.iter().zip(views);
        let without = files.filter(|(_, view)| view.is_some_and(|view| !view.locals));
        let without: HashSet<&[u8]> = without.map(|(file, _)| file.tree_path.as_bytes()).collect();
        let modules = self.inputs.index.modules().iter().enumerate();
        let with = modules.filter(|(_, module)| !without.contains(&module.path[..]));
        with.map(|(at, _)| (at, self.numbers[at])).collect()
    }
}

/// Says what of the names of source files matters, and what stands for GUIDs.
fn sources(names: &[Option<ModuleNames<'_>>]) -> (String, HashMap<u64, u64>) {
    let understood: Option<Vec<ModuleNames<'_>>> = names.iter().copied().collect();
    let Some(names) = understood else {
        // A GUID may be that of a local value of a module that is not understood.
        let sources = names.iter().map(|name| name.map(|name| name.source));
        return (format!("{:?}", sources.collect::<Vec<_>>()), HashMap::new());
    };
    let mut numbering = Numbering::default();
    let sources = names.iter().map(|name| numbering.number(name.source));
    let sources: Vec<u64> = sources.collect();
    (format!("{sources:?}"), stand_ins(&names, &sources))
}

/// Says which inline assembly of the job has one location. The bytes of a file that counts whole
/// have its locations as they are, and those of other files may equal them, so then all are told as
/// they are.
fn locations(views: &[Option<&ModuleView>]) -> String {
    let cookies = views.iter().map(|view| view.map(|view| &view.cookies));
    let cookies: Vec<Option<&Vec<u64>>> = cookies.collect();
    if cookies.contains(&None) {
        return format!("{cookies:?}");
    }
    let mut numbering = Numbering::default();
    let numbers = cookies.into_iter().flatten().map(|cookies| {
        let numbers = cookies.iter().map(|cookie| numbering.number(*cookie));
        numbers.collect::<Vec<u64>>()
    });
    format!("{:?}", numbers.collect::<Vec<_>>())
}

/// What stands for the GUIDs of local values: it does not depend on how source files are called,
/// only on which modules share a name.
fn stand_ins(names: &[ModuleNames<'_>], sources: &[u64]) -> HashMap<u64, u64> {
    let mut stand_ins = HashMap::new();
    for (name, source) in names.iter().zip(sources) {
        for (guid, local) in name.locals {
            let stand_in = || name_hash(&format!("{source} {local}"));
            stand_ins.entry(*guid).or_insert_with(stand_in);
        }
    }
    stand_ins
}

/// What a job sees of its files, `None` where a file counts whole; and the namesakes among their
/// names. `imported` is that of a [`SliceableJob`], `graphs` has one for each of its files, `None`
/// for a module that is not understood: it may have any name.
#[must_use]
pub fn what_is_seen(
    imported: &[Option<BTreeSet<u64>>],
    graphs: &[Option<&ModuleGraph>],
) -> (Vec<Option<ModuleView>>, Vec<u64>) {
    let understood: Vec<&ModuleGraph> = graphs.iter().copied().flatten().collect();
    let names = if understood.len() == graphs.len() {
        namesakes(&understood)
    } else {
        let names = understood.iter().flat_map(|graph| graph.names());
        names.collect::<BTreeSet<u64>>().into_iter().collect()
    };
    let views = imported
        .iter()
        .zip(graphs)
        .map(|(imported, graph)| graph.as_ref()?.seen(imported.as_ref(), &names));
    (views.collect(), names)
}

/// Arguments that are not part of the job.
fn check_environment(job: &CanonicalJob, inputs: &SliceInputs<'_>) -> Result<(), NoSliceKey> {
    let configuration = &inputs.toolchain.configuration;
    let harmless = |word: &String| word == NO_DEFAULT_CONFIG;
    let mut environment = inputs.template.environment_for(job.kind);
    if environment.next().is_none() && configuration.iter().all(harmless) {
        Ok(())
    } else {
        Err(NoSliceKey::Environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The views of modules of one digest, with these locations.
    fn told(modules: &[&[u64]], whole: bool) -> String {
        let views = modules.iter().map(|cookies| ModuleView {
            digest: [0; 32],
            locals: false,
            cookies: cookies.to_vec(),
        });
        let views: Vec<ModuleView> = views.collect();
        let mut views: Vec<_> = views.iter().map(Some).collect();
        if whole {
            views.push(None);
        }
        locations(&views)
    }

    #[test]
    fn locations_count_by_which_of_them_are_equal_in_all_modules() {
        let base = told(&[&[100, 200], &[100]], false);
        assert_eq!(told(&[&[101, 201], &[101]], false), base);
        assert_eq!(told(&[&[5, 4], &[5]], false), base);
        for other in [
            [&[100, 200][..], &[200]],
            [&[100, 200], &[300]],
            [&[100, 100], &[100]],
            [&[100], &[200, 100]],
        ] {
            assert_ne!(told(&other, false), base, "{other:?}");
        }
    }

    #[test]
    fn locations_beside_those_of_a_module_that_counts_whole_count_as_they_are() {
        let base = told(&[&[100, 200], &[100]], true);
        assert_ne!(base, told(&[&[100, 200], &[100]], false));
        assert_ne!(base, told(&[&[101, 201], &[101]], true));
    }
}
