//! Decides which definition wins where both native files and modules have one.
//!
//! The linker's own LTO decides that while it reads its inputs in order; the objects come last and
//! their definitions are settled. In the final link they also come last, but as ordinary objects,
//! and a native file's copy of an inline function would win by coming first. So the objects lose
//! their claim to their groups (they are kept without one), and a stub that comes before everything
//! else claims the groups that native files must not win.

pub(super) mod elf;
pub(super) mod macho;
mod natives;
mod order;
pub(super) mod wasm;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::FileExt as _;

use self::natives::NamedSymbols;
use super::assigned::AssignedSymbols;
use super::resolution::Resolution;
use super::{Flavour, Refusal};

pub(super) use self::natives::Natives;

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
    /// Sections of which the linker may define the beginning and the end.
    sections: Vec<&'a [u8]>,
}

impl<'a> Definitions<'a> {
    /// Reads those of the object `name`.
    ///
    /// # Errors
    /// It is not understood.
    pub(super) fn of(flavour: Flavour, object: &'a [u8], name: &str) -> Result<Self, Refusal> {
        let read = match flavour {
            Flavour::Elf => elf::definitions(object),
            Flavour::Wasm => wasm::definitions(object),
            Flavour::MachO => macho::definitions(object),
        };
        read.ok_or_else(|| Refusal::new(format!("the symbols of `{name}` cannot be read")))
    }

    fn symbols(&self) -> impl Iterator<Item = &'a [u8]> {
        let grouped = self.grouped.iter().map(|(symbol, _)| *symbol);
        grouped
            .chain(self.weak.iter().copied())
            .chain(self.common.iter().copied())
            .chain(self.strong.iter().copied())
    }
}

/// What is linked in place of an object.
#[derive(Debug)]
pub(super) enum ObjectChange {
    /// The object with zeros in the words at these offsets.
    Zeros(Vec<usize>),
    Whole(Vec<u8>),
}

/// A word of an object.
const ZEROS: [u8; 4] = [0; 4];

impl ObjectChange {
    pub(super) fn applied(self, mut object: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Whole(object) => object,
            Self::Zeros(places) => {
                for place in places {
                    object[place..place + ZEROS.len()].copy_from_slice(&ZEROS);
                }
                object
            }
        }
    }

    /// Changes the file at `path`, which is the object.
    ///
    /// # Errors
    /// The system's own.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Whole(object) => fs::write(path, object),
            Self::Zeros(places) => {
                let file = fs::OpenOptions::new().write(true).open(path)?;
                let mut places = places.iter();
                places.try_for_each(|place| file.write_all_at(&ZEROS, *place as u64))
            }
        }
    }
}

/// Members of archives that are linked for a symbol of theirs.
#[derive(Debug, Default)]
pub(super) struct PulledMembers {
    pub(super) numbers: HashSet<usize>,
    symbols: BTreeSet<Vec<u8>>,
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
    named: NamedSymbols,
    /// Of ELF objects, those of which the linker may define the beginning and the end.
    sections: HashSet<Vec<u8>>,
    /// For WebAssembly.
    types: wasm::SymbolTypes,
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
            named: NamedSymbols::default(),
            sections: HashSet::new(),
            types: wasm::SymbolTypes::default(),
            first: None,
            overruled: BTreeMap::new(),
        }
    }

    /// Takes the object of the module `name`, in which `found` was found; returns what is to be
    /// linked in its place, if that is something else.
    ///
    /// # Errors
    /// It is in conflict with a native file.
    pub(super) fn add(
        &mut self,
        name: &str,
        object: &[u8],
        found: &Definitions<'_>,
    ) -> Result<Option<ObjectChange>, Refusal> {
        for symbol in found.symbols() {
            self.overrule(symbol, name)?;
        }
        if self.claimed.is_none() {
            let mut groups = found.groups.iter();
            if let Some(group) = groups.find(|it| self.natives.groups.contains(**it)) {
                return Err(conflict("the group", group, name));
            }
        }
        add_sections(&mut self.sections, found);
        // A module does not know the types of the others.
        self.named.add(found, |known, own| {
            let own = own.filter(|it| *it == elf::TLS);
            own.or(known).unwrap_or_default()
        });
        if self.flavour == Flavour::Wasm {
            self.types.add(object);
        }
        if self.first.is_none() {
            self.first = Some(object.to_vec());
        }
        let system = (self.flavour == Flavour::Elf).then(|| elf::system(object));
        let system = system.flatten();
        if self.relocatable {
            self.check_relocatable(found)?;
            return Ok(system.map(|place| ObjectChange::Zeros(vec![place])));
        }
        if found.groups.is_empty() {
            return Ok(system.map(|place| ObjectChange::Zeros(vec![place])));
        }
        Ok(match self.flavour {
            Flavour::Elf => {
                let claims = elf::claims(object);
                claims.map(|claims| ObjectChange::Zeros(claims.into_iter().chain(system).collect()))
            }
            Flavour::Wasm => wasm::without_claims(object).map(ObjectChange::Whole),
            Flavour::MachO => None,
        })
    }

    /// The linker has decided for the module's definition, or it would not be in its object.
    fn overrule(&mut self, symbol: &[u8], name: &str) -> Result<(), Refusal> {
        let common = self.natives.common.contains_key(symbol);
        let losers = self.natives.weak.get(symbol);
        if !common && losers.is_none() {
            return Ok(());
        }
        if self.of_modules.is_some_and(|names| !names.contains(symbol)) {
            return Ok(());
        }
        if common {
            return Err(conflict("the common symbol", symbol, name));
        }
        match (self.flavour, &self.claimed) {
            (Flavour::Elf, Some(_)) => {}
            (Flavour::Wasm, Some(_)) if self.is_claimed(symbol) => return Ok(()),
            _ if self.natives.several => return Err(conflict("the symbol", symbol, name)),
            _ => return Err(conflict("the weak symbol", symbol, name)),
        }
        for &native in losers.into_iter().flatten() {
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

    fn wasm_type(&self, name: &[u8]) -> Option<&wasm::SymbolType> {
        wasm::SymbolTypes::of([&self.natives.types, &self.types], name)
    }

    /// Chooses the members that must be linked because a symbol of theirs is asked for. Of a member
    /// that it links for `--whole-archive`, wasm-ld runs the constructors and keeps the variables that
    /// are marked as used, even if nothing else of it is used. Those of which the user does not want
    /// everything are members `by_need`.
    ///
    /// # Errors
    /// One of them has no symbol of its own.
    pub(super) fn pulled_members(
        &self,
        by_need: impl Fn(usize) -> bool,
    ) -> Result<PulledMembers, Refusal> {
        let mut pulled = PulledMembers::default();
        let members = self.natives.rooted.iter();
        for member in members.filter(|member| by_need(member.number)) {
            let own = member.symbols.iter().filter(|&symbol| {
                self.natives.definers.get(symbol) == Some(&1)
                    && !self.named.get(symbol).defined
                    && self.wasm_type(symbol).is_some()
            });
            let Some(symbol) = own.min() else {
                return Err(Refusal::new(format!(
                    "`{}` has constructors or used variables, and no symbol that no other file has",
                    member.name
                )));
            };
            pulled.numbers.insert(member.number);
            pulled.symbols.insert(symbol.clone());
        }
        Ok(pulled)
    }

    /// What is to be linked in place of the native file of that number, if that is something else.
    pub(super) fn loser(&self, number: usize, object: &[u8]) -> Option<Vec<u8>> {
        elf::without_symbols(object, self.overruled.get(&number)?)
    }

    /// The file that comes before all others, for ELF and WebAssembly: it claims what native files
    /// must not win, and names the symbols of the program in the order of its own symbol table. `None`
    /// if there is no need.
    pub(super) fn stub(
        &self,
        resolution: Option<&Resolution>,
        assigned: &AssignedSymbols,
        pulled: &PulledMembers,
    ) -> Option<Vec<u8>> {
        let claimed: Vec<&[u8]> = self.claimed.iter().flatten().copied().collect();
        let first = self.first.as_ref()?;
        match self.flavour {
            Flavour::Elf => {
                let named = resolution.map(|resolution| self.in_order(resolution, assigned));
                let named = named.unwrap_or_default();
                let needed = !(claimed.is_empty() && named.is_empty());
                let abi = resolution.and_then(|it| it.abi).unwrap_or_default();
                needed.then(|| elf::stub(first, abi, &claimed, &named, self.relocatable))?
            }
            Flavour::Wasm => {
                let order = resolution.into_iter().flat_map(Resolution::symbols);
                let ordered: HashSet<&[u8]> = order.clone().collect();
                let others = pulled.symbols.iter().map(|name| &name[..]);
                let others = others.filter(|name| !ordered.contains(name));
                let variable = |name| {
                    let is_variable = assigned.is_wasm_variable(name);
                    is_variable.then_some(&wasm::SymbolType::Data)
                };
                let named = order.chain(others).filter_map(|name| {
                    Some(wasm::Reference {
                        name,
                        kind: self.wasm_type(name).or_else(|| variable(name))?,
                        strong: pulled.symbols.contains(name),
                    })
                });
                let named: Vec<_> = named.collect();
                let needed = !(claimed.is_empty() && named.is_empty());
                needed.then(|| wasm::stub(first, &claimed, &named))
            }
            // Has one for each library.
            Flavour::MachO => None,
        }
    }
}

/// Copies the names that are new.
fn add_sections(known: &mut HashSet<Vec<u8>>, found: &Definitions<'_>) {
    for section in &found.sections {
        if !known.contains(*section) {
            known.insert(section.to_vec());
        }
    }
}

fn conflict(what: &str, symbol: &[u8], name: &str) -> Refusal {
    let symbol = String::from_utf8_lossy(symbol);
    Refusal::new(format!(
        "{what} `{symbol}` is in a native file and in `{name}`"
    ))
}
