//! The names that other modules can refer to: which of them matter to the slices of a job, and
//! which differ between two versions of a module.

use std::collections::BTreeSet;

use super::{Global, GlobalKind, ModuleGraph, ModuleView};

/// Bits of the filter that keeps most names of functions from being looked up.
const FILTER: u64 = 1 << 16;

impl Global {
    /// Whether LLVM moves it when another module of a job has its name.
    fn moves(&self) -> bool {
        self.kind == GlobalKind::Variable && !self.appending
    }
}

impl ModuleGraph {
    fn visible(&self) -> impl Iterator<Item = &Global> {
        self.globals.iter().filter(|global| !global.local)
    }

    /// Hashes of all names that other modules can refer to.
    pub fn names(&self) -> impl Iterator<Item = u64> {
        self.visible().map(|global| global.name)
    }

    /// Hashes of the names that only one of two modules has, or that are a variable's in only one
    /// of them; ascending.
    #[must_use]
    pub fn differing_names(&self, other: &Self) -> Vec<u64> {
        let names = |graph: &Self| -> BTreeSet<(u64, bool)> {
            let visible = graph.visible();
            visible.map(|it| (it.name, it.moves())).collect()
        };
        let (ours, theirs) = (names(self), names(other));
        let mut differing: Vec<u64> = ours
            .symmetric_difference(&theirs)
            .map(|(name, _)| *name)
            .collect();
        differing.dedup();
        differing
    }

    /// Whether one of the names has a hash that `names`, which ascend, contain.
    #[must_use]
    pub fn has_any_of(&self, names: &[u64]) -> bool {
        self.names().any(|name| names.binary_search(&name).is_ok())
    }

    /// What a job sees of the module; `None` where it counts whole. `imported` are GUIDs,
    /// `namesakes` those of the job ([`namesakes`]).
    pub(super) fn slice_of(
        &self,
        imported: &BTreeSet<u64>,
        namesakes: &[u64],
    ) -> Option<ModuleView> {
        let is_root = |guid| imported.contains(&guid);
        let is_namesake = |name| namesakes.binary_search(&name).is_ok();
        self.slice(&is_root, &is_namesake).ok()
    }
}

/// Hashes of the names that are a variable's in one of the modules and stand in another one, too;
/// ascending.
#[must_use]
pub fn namesakes(graphs: &[&ModuleGraph]) -> Vec<u64> {
    let variables = graphs.iter().flat_map(|graph| graph.visible());
    let mut variables: Vec<u64> = variables
        .filter(|global| global.moves())
        .map(|global| global.name)
        .collect();
    variables.sort_unstable();
    variables.dedup();
    let mut filter = vec![false; usize::try_from(FILTER).unwrap_or_default()];
    let bit = |name: u64| usize::try_from(name % FILTER).unwrap_or_default();
    for name in &variables {
        filter[bit(*name)] = true;
    }
    let mut counts = vec![0_u32; variables.len()];
    for graph in graphs {
        for name in graph.names().filter(|name| filter[bit(*name)]) {
            if let Ok(position) = variables.binary_search(&name) {
                counts[position] += 1;
            }
        }
    }
    let counted = variables.into_iter().zip(counts);
    counted
        .filter(|(_, count)| *count > 1)
        .map(|(name, _)| name)
        .collect()
}
