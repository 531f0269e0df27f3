//! What a job saw of its modules, as the disk cache remembers it from link to link.
//!
//! The record stands in a result of its own, not in a blob, since it is written and read once a job.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::graphs::hash_of;
use super::{JobModule, PartOfKey, add_inline_output, inline_output};
use crate::action::slice::{LocalValue, ModuleNames, SliceKey};
use crate::cache::{CacheError, DiskCache};
use crate::digest::{Digest, DigestFunction};
use crate::history::ModuleKey;
use crate::pb::reapi;
use crate::thinlto::{ModuleGraph, ModuleView};

/// Changes with the record, and when the same module would have another slice.
const SEEN_FORM: &str = "relto seen 9";
const SEEN: &str = "relto/seen";

/// What a job saw of its modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenModules {
    /// The release of the compiler, and of the modules.
    pub(super) release: u32,
    /// In the order of the job's files.
    pub(super) files: Vec<SeenFile>,
    /// See [`namesakes`](crate::thinlto::namesakes).
    pub(super) namesakes: Vec<u64>,
    /// GUIDs in the shard that are no local value's; ascending.
    pub(super) not_local: Vec<u64>,
    pub(super) others: OtherParts,
}

/// What else the slice key of the job was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OtherParts {
    toolchain: Option<Digest>,
    command: Option<Digest>,
    shard: Option<Digest>,
    equalities: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenFile {
    /// Of the module's name, by which it is known in other links.
    name: u64,
    module: Digest,
    /// Of the GUIDs that the job imports; `None` for its own module.
    imported: Option<[u8; 16]>,
    /// `None` if the file counts whole.
    pub(super) view: Option<ModuleView>,
    /// `None` if the module is not understood.
    understood: Option<UnderstoodModule>,
}

/// What a job's key takes of a module besides what is seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct UnderstoodModule {
    /// See [`ModuleNames`].
    suffixes: Vec<u64>,
    depends_on_names: bool,
    /// What follows from the name of its source file.
    source: u64,
    locals: Vec<LocalValue>,
}

/// The modules of a job beside those of an earlier link.
#[derive(Debug)]
pub(super) struct MatchedModules<'a, 'b> {
    /// What was seen of each; `None` for one that is new.
    pub(super) then: Vec<Option<&'a SeenFile>>,
    /// The new ones, each with the digest of one that is gone.
    pub(super) replaced: Vec<(JobModule<'b>, Digest)>,
}

impl SeenFile {
    /// `mentioned` are the GUIDs in the shard; there is no graph of a module that is not understood.
    pub(super) fn new(
        module: &JobModule<'_>,
        graph: Option<&ModuleGraph>,
        view: Option<ModuleView>,
        mentioned: &[u64],
    ) -> Self {
        Self {
            name: module.name,
            module: module.digest,
            imported: module.imported.map(hash_of),
            view,
            understood: graph.map(|graph| UnderstoodModule {
                suffixes: graph.suffixes().to_vec(),
                depends_on_names: graph.depends_on_names(),
                source: graph.source(),
                locals: graph.locals_among(mentioned),
            }),
        }
    }

    pub(super) fn names(&self) -> Option<ModuleNames<'_>> {
        self.understood.as_ref().map(|module| ModuleNames {
            source: module.source,
            locals: &module.locals,
            suffixes: &module.suffixes,
            depends_on_names: module.depends_on_names,
        })
    }

    fn locals(&self) -> &[LocalValue] {
        let module = self.understood.as_ref();
        module.map_or(&[], |module| &module.locals)
    }

    pub(super) fn imports_the_same(&self, module: &JobModule<'_>) -> bool {
        self.imported == module.imported.map(hash_of)
    }

    /// The same, of a file that may have another name.
    pub(super) fn at(&self, module: &JobModule<'_>) -> Self {
        Self {
            name: module.name,
            ..self.clone()
        }
    }

    /// Whether it stands in the job's key with the same digest.
    fn counts_the_same(&self, other: &Self) -> bool {
        let digest = |file: &Self| file.view.as_ref().map(|view| view.digest);
        digest(self) == digest(other) && (self.view.is_some() || self.module == other.module)
    }
}

impl OtherParts {
    pub(super) fn of(key: &SliceKey, toolchain: Digest) -> Self {
        Self {
            toolchain: Some(toolchain),
            command: Some(key.command),
            shard: key.shard,
            equalities: Some(key.equalities),
        }
    }
}

impl SeenModules {
    pub(super) fn is_understood(&self) -> bool {
        self.files.iter().all(|file| file.understood.is_some())
    }

    /// Finds the modules again, whatever their names and places are. `None` if there are more or
    /// fewer now.
    pub(super) fn matched<'a, 'b>(
        &'a self,
        modules: &[JobModule<'b>],
    ) -> Option<MatchedModules<'a, 'b>> {
        if self.files.len() != modules.len() {
            return None;
        }
        let mut free = vec![true; self.files.len()];
        let mut then = vec![None; modules.len()];
        for (position, module) in modules.iter().enumerate() {
            let file = &self.files[position];
            if file.module == module.digest {
                free[position] = false;
                then[position] = Some(file);
            }
        }
        for (position, module) in modules.iter().enumerate() {
            let is_it = |at: &usize| free[*at] && self.files[*at].module == module.digest;
            if then[position].is_none()
                && let Some(at) = (0..free.len()).find(is_it)
            {
                free[at] = false;
                then[position] = Some(&self.files[at]);
            }
        }
        let new = modules.iter().zip(&then).filter(|(_, then)| then.is_none());
        let gone = self.files.iter().zip(free).filter(|(_, free)| *free);
        let replaced = new.zip(gone);
        Some(MatchedModules {
            replaced: replaced
                .map(|((module, _), (file, _))| (*module, file.module))
                .collect(),
            then,
        })
    }

    /// The namesakes after modules were replaced that differ from the earlier ones in the names
    /// `differing`, which no other module has. `new` are the graphs of the new ones.
    pub(super) fn namesakes_after(&self, differing: &[u64], new: &[Arc<ModuleGraph>]) -> Vec<u64> {
        let graphs: Vec<&ModuleGraph> = new.iter().map(|graph| &**graph).collect();
        let among_new = crate::thinlto::namesakes(&graphs);
        let differs = |name: &u64| differing.binary_search(name).is_ok();
        let kept = self.namesakes.iter().filter(|name| !differs(name));
        let mut namesakes: Vec<u64> = kept
            .chain(among_new.iter().filter(|name| differs(name)))
            .copied()
            .collect();
        namesakes.sort_unstable();
        namesakes
    }

    /// The GUIDs of `mentioned`, which ascend, that are no local value's of these files.
    pub(super) fn not_local(files: &[SeenFile], mentioned: &[u64]) -> Vec<u64> {
        let locals = files.iter().flat_map(SeenFile::locals);
        let locals: HashSet<u64> = locals.map(|(guid, _)| *guid).collect();
        let others = mentioned.iter().filter(|guid| !locals.contains(guid));
        others.copied().collect()
    }

    /// How many imports count by their slices, and how many whole.
    pub(super) fn counts(&self) -> (u32, u32) {
        let imports = self.files.iter().filter(|file| file.imported.is_some());
        imports.fold((0, 0), |(sliced, whole), file| match file.view {
            Some(_) => (sliced + 1, whole),
            None => (sliced, whole + 1),
        })
    }

    /// The parts of the slice key that are other ones than before.
    pub(super) fn changes_since(&self, before: &Self) -> Vec<PartOfKey> {
        let mut changes = Vec::new();
        let (now, then) = (&self.others, &before.others);
        for (part, differs) in [
            (PartOfKey::Toolchain, now.toolchain != then.toolchain),
            (PartOfKey::Command, now.command != then.command),
            (PartOfKey::Shard, now.shard != then.shard),
        ] {
            changes.extend(differs.then_some(part));
        }
        let by_name: HashMap<u64, &SeenFile> =
            before.files.iter().map(|it| (it.name, it)).collect();
        for (position, file) in self.files.iter().enumerate() {
            let then = by_name.get(&file.name);
            if then.is_some_and(|then| file.counts_the_same(then)) {
                continue;
            }
            changes.push(match file.imported {
                None => PartOfKey::OwnModule,
                Some(_) => PartOfKey::File(position),
            });
        }
        // They follow from what is different already, as a rule.
        if changes.is_empty() && now.equalities != then.equalities {
            changes.push(PartOfKey::Equalities);
        }
        changes
    }

    /// What the job of `module` saw in the last link that looked.
    pub(super) fn last(cache: &DiskCache, module: ModuleKey) -> Option<Self> {
        let result = cache.get(&key(module))?;
        postcard::from_bytes(inline_output(&result, SEEN)?).ok()
    }

    pub(super) fn store(&self, cache: &DiskCache, module: ModuleKey) -> Result<(), CacheError> {
        let encoded = postcard::to_stdvec(self).unwrap_or_default();
        let mut result = reapi::ActionResult::default();
        add_inline_output(&mut result, SEEN, encoded.into());
        cache.put_result(&key(module), &result)
    }
}

fn key(module: ModuleKey) -> Digest {
    let mut text = SEEN_FORM.as_bytes().to_vec();
    text.extend(module.bytes());
    DigestFunction::Sha256.digest(&text)
}
