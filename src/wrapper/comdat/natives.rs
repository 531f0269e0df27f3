//! What native files define, and what all files say of the symbols that they name.

use std::collections::{HashMap, HashSet};

use super::{Definitions, add_sections, wasm};
use crate::wrapper::{Flavour, Refusal};

/// What files say of a symbol that they name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NamedSymbol {
    /// Its type; `None` if it is hidden in some file and neither defined nor needed.
    pub(super) kind: Option<u8>,
    pub(super) hidden: bool,
    pub(super) defined: bool,
}

/// The symbols of several files. A name is copied once, however many of them have it.
#[derive(Debug, Default)]
pub(super) struct NamedSymbols {
    numbers: HashMap<Vec<u8>, usize>,
    symbols: Vec<NamedSymbol>,
}

impl NamedSymbols {
    /// Adds those of a file; `kind` makes one type of the one that is known and the file's own.
    pub(super) fn add(
        &mut self,
        found: &Definitions<'_>,
        kind: impl Fn(Option<u8>, Option<u8>) -> u8,
    ) {
        let own = |name: &[u8]| found.types.get(name).copied();
        for name in found.symbols() {
            let symbol = self.of(name);
            symbol.defined = true;
            symbol.kind = Some(kind(symbol.kind, own(name)));
        }
        for name in &found.undefined {
            let symbol = self.of(name);
            symbol.kind = Some(kind(symbol.kind, own(name)));
        }
        for name in &found.hidden {
            self.of(name).hidden = true;
        }
    }

    fn of(&mut self, name: &[u8]) -> &mut NamedSymbol {
        let next = self.symbols.len();
        let number = self.numbers.get(name).copied().unwrap_or(next);
        if number == next {
            self.numbers.insert(name.to_vec(), next);
            self.symbols.push(NamedSymbol::default());
        }
        &mut self.symbols[number]
    }

    /// The names of those that are hidden in some file.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.numbers.iter();
        let hidden = names.filter(|&(_, number)| self.symbols[*number].hidden);
        hidden.map(|(name, _)| &name[..])
    }

    /// The names of those that are needed and not defined.
    pub(super) fn needed(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.numbers.iter();
        let needed = names.filter(|&(_, number)| {
            let symbol = &self.symbols[*number];
            symbol.kind.is_some() && !symbol.defined
        });
        needed.map(|(name, _)| &name[..])
    }

    pub(super) fn get(&self, name: &[u8]) -> NamedSymbol {
        let number = self.numbers.get(name);
        number.map_or_else(NamedSymbol::default, |number| self.symbols[*number])
    }
}

/// Whether a symbol is hidden and no file of the program may define it. It belongs to the first
/// file that needs it, so no other may name it first.
pub(super) fn is_missing(files: [NamedSymbol; 2]) -> bool {
    files.iter().any(|it| it.hidden) && !files.iter().any(|it| it.defined)
}

/// What native files define that a module might define, too.
#[derive(Debug, Default)]
pub(in crate::wrapper) struct Natives {
    pub(super) groups: HashSet<Vec<u8>>,
    /// Whether a symbol may have several definitions, of which the first one counts.
    pub(super) several: bool,
    /// Symbols that a module's definition replaces, by the numbers of the files that have them.
    pub(super) weak: HashMap<Vec<u8>, Vec<usize>>,
    pub(super) common: HashMap<Vec<u8>, String>,
    pub(super) named: NamedSymbols,
    /// Of ELF files, those of which the linker may define the beginning and the end.
    pub(super) sections: HashSet<Vec<u8>>,
    /// For WebAssembly.
    pub(super) types: wasm::SymbolTypes,
    /// For WebAssembly: how many files define each symbol.
    pub(super) definers: HashMap<Vec<u8>, usize>,
    /// For WebAssembly: the files of which something stays as soon as they are linked.
    pub(super) rooted: Vec<RootedFile>,
}

/// A native file with constructors, or with variables that stay unused.
#[derive(Debug)]
pub(super) struct RootedFile {
    pub(super) number: usize,
    pub(super) name: String,
    /// The symbols that it defines.
    pub(super) symbols: Vec<Vec<u8>>,
}

impl Natives {
    pub(in crate::wrapper) fn new(several: bool) -> Self {
        Self {
            several,
            ..Self::default()
        }
    }

    /// Adds the native file `name`, which has a `number`.
    ///
    /// # Errors
    /// It is not understood.
    pub(in crate::wrapper) fn add(
        &mut self,
        flavour: Flavour,
        number: usize,
        name: &str,
        object: &[u8],
    ) -> Result<(), Refusal> {
        let found = Definitions::of(flavour, object, name)?;
        let first = |known: Option<u8>, own: Option<u8>| known.or(own).unwrap_or_default();
        self.named.add(&found, first);
        add_sections(&mut self.sections, &found);
        if flavour == Flavour::Wasm {
            self.types.add(object);
            for symbol in found.symbols() {
                *self.definers.entry(symbol.to_vec()).or_default() += 1;
            }
            if wasm::has_roots(object) == Some(true) {
                self.rooted.push(RootedFile {
                    number,
                    name: name.to_owned(),
                    symbols: found.symbols().map(<[u8]>::to_vec).collect(),
                });
            }
        }
        self.groups
            .extend(found.groups.iter().map(|name| name.to_vec()));
        let grouped = found.grouped.iter().map(|(symbol, _)| *symbol);
        let strong = found.strong.iter().filter(|_| self.several);
        let replaced = found.weak.iter().chain(strong).copied();
        for symbol in replaced.chain(grouped) {
            self.weak.entry(symbol.to_vec()).or_default().push(number);
        }
        for symbol in found.common {
            self.common.insert(symbol.to_vec(), name.to_owned());
        }
        Ok(())
    }
}
