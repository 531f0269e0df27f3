//! The second key of a job, made of what the job can see of its imports instead of their bytes.
//!
//! The key is the digest of an action that is never run. It has the shape of the real one: the
//! job's own module whole, the shard without hashes, and for each import a digest of its slice in
//! place of that of its bytes. Two jobs with the same key have the same object but for the numbers
//! in the names of promoted locals, which are part of a [`SliceKey`] and which
//! [`restore`](super::restore) replaces.

use std::collections::{HashMap, HashSet};

use super::canonical::CanonicalJob;
use super::kind::{Format, OutputKind};
use super::toolchain_tree::ToolchainTree;
use super::tree::Encoded;
use super::{Action, ActionTemplate};
use crate::digest::Digest;
use crate::thinlto::{Index, ModuleGraph, Obstacle, suffix};

/// Changes whenever the same job would get another key without a change of its content.
const SLICE_FORM: &str = "relto slices 1";
/// The directory of modules in the input root.
const MODULES: &str = "relto/m/";

/// Arguments after which an object, or what is written beside it, may depend on more than a slice
/// holds: names, GUIDs or profiles as data, bitcode, remarks, measurements, libraries, and options
/// of passes.
const EXCLUDED: [&str; 36] = [
    "-B",
    "-M",
    "-R",
    "-S",
    "-X",
    "--coverage",
    "--save-",
    "-dump",
    "-emit-",
    "-fauto-profile",
    "-fbasic-block",
    "-fcoverage",
    "-fcs-",
    "-fdebug",
    "-fembed",
    "-ffat-lto",
    "-fmemory-profile",
    "-foptimization-record",
    "-fpass-plugin",
    "-fplugin",
    "-fproc-stat",
    "-fprofile",
    "-fpseudo",
    "-frecord",
    "-fsanitize",
    "-fsave",
    "-fsplit",
    "-fstack-usage",
    "-ftest-coverage",
    "-ftime",
    "-fverbose",
    "-fxray",
    "-g",
    "-mllvm",
    "-pg",
    "-save-",
];

/// A job's key by what it can see.
#[derive(Debug, Clone)]
pub struct SliceKey {
    /// The action whose digest is the key; it is never run.
    pub message: Encoded,
    /// By the canonical number of each module: what follows `.llvm.` in names of its promoted
    /// locals.
    pub numbers: Vec<u64>,
}

impl SliceKey {
    pub fn digest(&self) -> Digest {
        self.message.digest
    }
}

/// Why a job has no slice key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSliceKey {
    #[error("it does not write one native ELF object")]
    Kind,
    #[error("`{0}` is among its arguments")]
    Argument(String),
    #[error("its shard has {0}")]
    Shard(#[from] Obstacle),
    #[error("the environment or a configuration file may add arguments")]
    Environment,
    #[error("one of its modules cannot be sliced")]
    Module,
    #[error("a name or text of a module looks like the name of a promoted local of this job")]
    Suffix,
    #[error("nothing of it can be sliced")]
    Nothing,
}

/// What a slice key is made of, besides the job.
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
    /// The graphs of all its modules, by canonical path.
    pub graphs: &'a HashMap<&'a str, &'a ModuleGraph>,
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
    let excluded = job
        .arguments
        .iter()
        .find(|word| EXCLUDED.iter().any(|prefix| word.starts_with(prefix)));
    match excluded {
        Some(word) => Err(NoSliceKey::Argument(word.clone())),
        None => Ok(()),
    }
}

/// The slice key of `job`.
///
/// # Errors
/// It has none, and is known by its whole inputs only.
pub fn slice_key(job: &CanonicalJob, inputs: &SliceInputs<'_>) -> Result<SliceKey, NoSliceKey> {
    check_kind(job)?;
    check_environment(inputs)?;
    let own = job.files.iter().filter(|file| file.name == inputs.own);
    if own.count() != 1 {
        return Err(NoSliceKey::Module);
    }
    let imports = inputs.index.imports()?;
    let modules = inputs.index.modules();
    let numbers: Vec<u64> = modules.iter().map(|entry| suffix(entry.hash)).collect();
    let graphs = inputs.graphs;
    let by_file: Vec<&ModuleGraph> = job
        .files
        .iter()
        .map(|file| graphs.get(file.tree_path.as_str()).copied())
        .collect::<Option<_>>()
        .ok_or(NoSliceKey::Module)?;
    let distinct: HashSet<u64> = numbers.iter().copied().collect();
    let mut suffixes = by_file.iter().flat_map(|graph| graph.suffixes());
    if suffixes.any(|suffix| distinct.contains(suffix)) {
        return Err(NoSliceKey::Suffix);
    }
    let owners = owners(&by_file);
    let mut digests = inputs.digests.to_vec();
    let mut sliced = 0;
    for (position, file) in job.files.iter().enumerate() {
        if file.name == inputs.own {
            continue;
        }
        let path = file.tree_path.as_bytes();
        let Some(entry) = modules.iter().find(|entry| entry.path == path) else {
            return Err(NoSliceKey::Module);
        };
        let roots = imports.get(&entry.id);
        let is_root = |guid| roots.is_some_and(|roots| roots.contains(&guid));
        let is_namesake = |name| {
            owners
                .get(&name)
                .is_some_and(|owner| *owner != Some(position))
        };
        // What cannot be sliced keeps the digest of its bytes.
        if let Ok(slice) = by_file[position].slice(&is_root, &is_namesake) {
            digests[position] = inputs.template.function.digest(&slice);
            sliced += 1;
        }
    }
    if sliced == 0 {
        return Err(NoSliceKey::Nothing);
    }
    let mut seen = job.clone();
    seen.shard = inputs.index.without_hashes().into();
    let mut template = inputs.template.clone();
    template.salt = format!("{SLICE_FORM}\n{}", template.salt);
    Ok(SliceKey {
        message: Action::new(&template, inputs.toolchain, &seen, &digests).message,
        numbers,
    })
}

/// Arguments that are not part of the job.
fn check_environment(inputs: &SliceInputs<'_>) -> Result<(), NoSliceKey> {
    let configuration = &inputs.toolchain.configuration;
    let harmless = |word: &String| word == "--no-default-config";
    if inputs.template.environment.is_empty() && configuration.iter().all(harmless) {
        Ok(())
    } else {
        Err(NoSliceKey::Environment)
    }
}

/// Which of the modules has a global of each name, by the name's hash; `None` for more than one.
fn owners(graphs: &[&ModuleGraph]) -> HashMap<u64, Option<usize>> {
    let mut owners = HashMap::new();
    for (position, graph) in graphs.iter().enumerate() {
        for name in graph.names() {
            owners
                .entry(name)
                .and_modify(|owner| {
                    if *owner != Some(position) {
                        *owner = None;
                    }
                })
                .or_insert(Some(position));
        }
    }
    owners
}
