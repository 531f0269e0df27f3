//! Decides which definition wins where both native files and modules have one.
//!
//! The linker's own LTO decides that while it reads its inputs in order; the objects come last and
//! their definitions are settled. In the final link they also come last, but as ordinary objects,
//! and a native file's copy of an inline function would win by coming first. So the objects lose
//! their claim to their groups (they are kept without one), and a stub that comes before everything
//! else claims the groups that native files must not win.

pub(super) mod elf;
pub(super) mod macho;
pub(super) mod wasm;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::resolution::Resolution;
use super::{Flavour, Refusal};

/// What an object defines for other files. Names are bytes of the object.
#[derive(Debug, Default)]
pub(super) struct Definitions<'a> {
    /// Names of its groups, of which the first one read wins.
    pub(super) groups: Vec<&'a [u8]>,
    /// Symbols of such groups, and the group's name.
    grouped: Vec<(&'a [u8], &'a [u8])>,
    /// Symbols that another definition may replace; those of groups may be, too.
    weak: Vec<&'a [u8]>,
    /// Variables without a value, of which the largest is taken.
    common: Vec<&'a [u8]>,
    strong: Vec<&'a [u8]>,
    undefined: Vec<&'a [u8]>,
    /// The types of all symbols that have one: the linker keeps the first that it sees of each.
    types: HashMap<&'a [u8], u8>,
    /// Those that other programs do not see.
    hidden: Vec<&'a [u8]>,
}

impl<'a> Definitions<'a> {
    fn of(flavour: Flavour, object: &'a [u8], name: &str) -> Result<Self, Refusal> {
        let read = match flavour {
            Flavour::Elf => elf::definitions(object),
            Flavour::Wasm => wasm::definitions(object),
            Flavour::MachO => macho::definitions(object),
        };
        read.ok_or_else(|| Refusal::new(format!("the symbols of `{name}` cannot be read")))
    }

    /// What it defines and what it needs.
    fn named(&self) -> impl Iterator<Item = &'a [u8]> {
        self.symbols().chain(self.undefined.iter().copied())
    }

    fn symbols(&self) -> impl Iterator<Item = &'a [u8]> {
        let grouped = self.grouped.iter().map(|(symbol, _)| *symbol);
        grouped
            .chain(self.weak.iter().copied())
            .chain(self.common.iter().copied())
            .chain(self.strong.iter().copied())
    }
}

/// Hidden symbols that no file of the program may define. They belong to the first file that needs
/// them, so no other may name them first.
#[derive(Debug, Default)]
struct Missing {
    hidden: HashSet<Vec<u8>>,
    defined: HashSet<Vec<u8>>,
}

impl Missing {
    fn note(&mut self, found: &Definitions<'_>) {
        self.hidden
            .extend(found.hidden.iter().map(|name| name.to_vec()));
        self.defined.extend(found.symbols().map(<[u8]>::to_vec));
    }

    fn in_all(files: [&Self; 2], name: &[u8]) -> bool {
        let hidden = files.iter().any(|it| it.hidden.contains(name));
        hidden && !files.iter().any(|it| it.defined.contains(name))
    }
}

/// What native files define that a module might define, too.
#[derive(Debug, Default)]
pub(super) struct Natives {
    groups: HashSet<Vec<u8>>,
    /// Whether a symbol may have several definitions, of which the first one counts.
    several: bool,
    /// Symbols that a module's definition replaces, by the numbers of the files that have them.
    weak: HashMap<Vec<u8>, Vec<usize>>,
    common: HashMap<Vec<u8>, String>,
    /// All symbols that they name, and their types.
    named: HashMap<Vec<u8>, u8>,
    missing: Missing,
}

impl Natives {
    pub(super) fn new(several: bool) -> Self {
        Self {
            several,
            ..Self::default()
        }
    }

    /// Adds the native file `name`, which has a `number`.
    ///
    /// # Errors
    /// It is not understood.
    pub(super) fn add(
        &mut self,
        flavour: Flavour,
        number: usize,
        name: &str,
        object: &[u8],
    ) -> Result<(), Refusal> {
        let found = Definitions::of(flavour, object, name)?;
        for name in found.named() {
            let kind = found.types.get(name).copied().unwrap_or_default();
            self.named.entry(name.to_vec()).or_insert(kind);
        }
        self.missing.note(&found);
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

/// What has been seen of the modules' objects.
#[derive(Debug)]
pub(super) struct Objects<'a> {
    flavour: Flavour,
    natives: &'a Natives,
    relocatable: bool,
    of_modules: Option<&'a HashSet<Vec<u8>>>,
    /// Groups of native files that a module had first; unknown where resolution could not be
    /// played again.
    claimed: Option<BTreeSet<&'a [u8]>>,
    groups: HashSet<Vec<u8>>,
    named: HashMap<Vec<u8>, u8>,
    missing: Missing,
    first: Option<Vec<u8>>,
    /// Symbols of native files that lose against a module's.
    overruled: BTreeMap<usize, HashSet<Vec<u8>>>,
}

impl<'a> Objects<'a> {
    pub(super) fn new(
        flavour: Flavour,
        natives: &'a Natives,
        resolution: Option<&'a Resolution>,
        relocatable: bool,
    ) -> Self {
        let claimed = resolution.map(|resolution| {
            let both = resolution
                .claimed
                .iter()
                .filter(|name| natives.groups.contains(*name));
            both.map(|name| &name[..]).collect()
        });
        Self {
            flavour,
            natives,
            relocatable,
            of_modules: resolution.map(|it| &it.of_modules),
            claimed,
            groups: HashSet::new(),
            named: HashMap::new(),
            missing: Missing::default(),
            first: None,
            overruled: BTreeMap::new(),
        }
    }

    /// Takes the object of the module `name`; returns what is to be linked in its place, if that is
    /// something else.
    ///
    /// # Errors
    /// It is not understood, or in conflict with a native file.
    pub(super) fn add(&mut self, name: &str, object: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let found = Definitions::of(self.flavour, object, name)?;
        for symbol in found.symbols() {
            self.overrule(symbol, name)?;
        }
        let unknown = found
            .groups
            .iter()
            .find(|it| self.natives.groups.contains(**it));
        if let (None, Some(group)) = (&self.claimed, unknown) {
            return Err(conflict("the group", group, name));
        }
        for name in found.named() {
            // A module does not know the types of the others.
            let kind = found.types.get(name).copied().filter(|it| *it == elf::TLS);
            let known = self.named.entry(name.to_vec()).or_default();
            *known = kind.unwrap_or(*known);
        }
        self.missing.note(&found);
        if self.first.is_none() {
            self.first = Some(object.to_vec());
        }
        if self.relocatable {
            return self.check_relocatable(&found).map(|()| None);
        }
        if found.groups.is_empty() {
            return Ok(None);
        }
        Ok(match self.flavour {
            Flavour::Elf => elf::without_claims(object),
            Flavour::Wasm => wasm::without_claims(object),
            Flavour::MachO => None,
        })
    }

    /// The linker has decided for the module's definition, or it would not be in its object.
    fn overrule(&mut self, symbol: &[u8], name: &str) -> Result<(), Refusal> {
        if self.of_modules.is_some_and(|names| !names.contains(symbol)) {
            return Ok(());
        }
        if self.natives.common.contains_key(symbol) {
            return Err(conflict("the common symbol", symbol, name));
        }
        let Some(losers) = self.natives.weak.get(symbol) else {
            return Ok(());
        };
        match (self.flavour, &self.claimed) {
            (Flavour::Elf, Some(_)) => {}
            (Flavour::Wasm, Some(_)) if self.is_claimed(symbol) => return Ok(()),
            _ if self.natives.several => return Err(conflict("the symbol", symbol, name)),
            _ => return Err(conflict("the weak symbol", symbol, name)),
        }
        for &native in losers {
            let overruled = self.overruled.entry(native).or_default();
            overruled.insert(symbol.to_vec());
        }
        Ok(())
    }

    /// Whether there is a claimed group of the symbol's own name.
    fn is_claimed(&self, symbol: &[u8]) -> bool {
        let claimed = self.claimed.as_ref();
        claimed.is_some_and(|claimed| claimed.contains(symbol))
    }

    /// The output keeps groups, so they must stay as they are.
    fn check_relocatable(&mut self, found: &Definitions<'_>) -> Result<(), Refusal> {
        let mut groups = found.groups.iter();
        let twice = groups.find(|name| !self.groups.insert(name.to_vec()));
        let claimed = self.claimed.as_ref().and_then(|claimed| claimed.first());
        match twice.or(claimed) {
            None => Ok(()),
            Some(group) => Err(Refusal::new(format!(
                "`-r` with several copies of the group `{}`",
                String::from_utf8_lossy(group)
            ))),
        }
    }

    /// Whether a module's symbols replace some of the native file of that number.
    pub(super) fn overrules(&self, number: usize) -> bool {
        self.overruled.contains_key(&number)
    }

    /// What is to be linked in place of the native file of that number, if that is something else.
    pub(super) fn loser(&self, number: usize, object: &[u8]) -> Option<Vec<u8>> {
        elf::without_symbols(object, self.overruled.get(&number)?)
    }

    /// The file that comes before all others: it claims what native files must not win, and, for
    /// the order of the symbol table, names the symbols of the program as `order` has them. `None`
    /// if there is no need.
    pub(super) fn stub(&self, resolution: Option<&Resolution>) -> Option<Vec<u8>> {
        let claimed: Vec<&[u8]> = self.claimed.iter().flatten().copied().collect();
        let first = self.first.as_ref()?;
        let order = resolution.map_or(&[][..], |it| &it.symbols);
        match self.flavour {
            Flavour::Elf => {
                let plain = order.iter().filter(|&name| {
                    let files = [&self.missing, &self.natives.missing];
                    !name.contains(&b'@') && !Missing::in_all(files, name)
                });
                let named = plain.filter_map(|name| {
                    let (own, native) = (self.named.get(name), self.natives.named.get(name));
                    let kind = own.filter(|it| **it == elf::TLS).or(native).or(own)?;
                    Some((&name[..], *kind))
                });
                let named: Vec<(&[u8], u8)> = named.collect();
                let needed = !(claimed.is_empty() && named.is_empty());
                needed.then(|| elf::stub(first, &claimed, &named, self.relocatable))?
            }
            Flavour::Wasm if claimed.is_empty() => None,
            Flavour::Wasm => Some(wasm::stub(first, &claimed)),
            Flavour::MachO => {
                let resolution = resolution?;
                let needed = order.iter().filter(|&name| {
                    let kept =
                        self.named.contains_key(name) || self.natives.named.contains_key(name);
                    // A library's; it counts as used though optimization may have removed the use.
                    let elsewhere = !resolution.of_modules.contains(name);
                    kept || elsewhere
                });
                let needed = needed.map(|name| (&name[..], resolution.optional.contains(name)));
                let needed: Vec<(&[u8], bool)> = needed.collect();
                macho::stub(first, &needed)
            }
        }
    }
}

fn conflict(what: &str, symbol: &[u8], name: &str) -> Refusal {
    let symbol = String::from_utf8_lossy(symbol);
    Refusal::new(format!(
        "{what} `{symbol}` is in a native file and in `{name}`"
    ))
}
