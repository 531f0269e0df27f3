//! What the symbols of the loaded files say together.

use std::collections::{HashMap, HashSet};

use super::{InputFile, InputKind, SymbolResolver};
use crate::thinlto::Visibility;
use crate::wrapper::Flavour;

impl SymbolResolver {
    /// The files that were loaded.
    pub(super) fn loaded(&self) -> impl Iterator<Item = &InputFile> {
        self.loaded.iter().map(|&number| &*self.files[number])
    }

    pub(super) fn of_modules(&self) -> HashSet<Vec<u8>> {
        let modules = self.loaded().filter(|file| file.kind == InputKind::Bitcode);
        let symbols = modules.flat_map(|file| &file.symbols);
        let defined = symbols.filter(|symbol| !symbol.undefined);
        // Most definitions of C++ are in many modules.
        let names: HashSet<&[u8]> = defined.map(|symbol| &symbol.name[..]).collect();
        names.into_iter().map(<[u8]>::to_vec).collect()
    }

    /// The narrowest counts.
    pub(super) fn narrowed(&self) -> HashMap<Vec<u8>, Visibility> {
        let mut found = HashMap::new();
        if self.flavour != Flavour::Elf {
            return found;
        }
        let modules = self.loaded().filter(|file| file.kind == InputKind::Bitcode);
        let symbols = modules.flat_map(|file| &file.symbols);
        for symbol in symbols.filter(|it| it.visibility != Visibility::Default) {
            let known = found.entry(symbol.name.clone()).or_default();
            *known = symbol.visibility.min(*known);
        }
        found
    }

    /// Only Apple's linkers tell these apart.
    pub(super) fn optional(&self) -> HashSet<Vec<u8>> {
        if self.flavour != Flavour::MachO {
            return HashSet::new();
        }
        let symbols = self.loaded().flat_map(|file| &file.symbols);
        let (optional, other): (Vec<_>, Vec<_>) =
            symbols.partition(|symbol| symbol.undefined && symbol.weak);
        let other: HashSet<&[u8]> = other.iter().map(|symbol| &symbol.name[..]).collect();
        let only = optional
            .into_iter()
            .filter(|symbol| !other.contains(&symbol.name[..]));
        only.map(|symbol| symbol.name.clone()).collect()
    }

    pub(super) fn claimed(&self) -> HashSet<Vec<u8>> {
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let mut claimed = HashSet::new();
        for file in self.loaded() {
            for group in &file.groups {
                if seen.insert(group) && file.kind == InputKind::Bitcode {
                    claimed.insert(group.clone());
                }
            }
        }
        claimed
    }
}
