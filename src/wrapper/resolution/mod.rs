//! Repeats the symbol resolution that the linker does before LTO.
//!
//! The trace of a thin link shows which files were loaded, but not which of two members with the
//! same name, nor in which order symbols were first seen, which is the order of the program's
//! symbol table. Both follow from the symbols of all inputs. The result counts only if it agrees
//! with the trace; it never decides what is linked.

mod read;

use std::collections::{HashMap, HashSet};

use memchr::memmem;

use super::inputs::LinkInputs;
use super::{Flavour, Refusal, Release, in_parallel};
use crate::thinlto::Symbol;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputKind {
    Native,
    Bitcode,
    Shared,
}

/// A file of the command line, or a member of an archive.
#[derive(Debug)]
struct InputFile {
    /// As the trace names it.
    name: String,
    /// The offset of its header, if it is a member.
    offset: Option<u64>,
    kind: InputKind,
    /// The system that it is for, as its header says; 0 for a module.
    abi: u8,
    lazy: bool,
    symbols: Vec<Symbol>,
    /// The first of each name wins.
    groups: Vec<Vec<u8>>,
}

/// What the linker would do.
#[derive(Debug, Default)]
pub struct Resolution {
    /// The names of loaded files, with the places of members in their archives.
    pub(super) loaded: Vec<(String, Option<u64>)>,
    /// The same files in the order in which the linker was done with them: after those that they
    /// asked for.
    pub(super) finished: Vec<(String, Option<u64>)>,
    /// All symbols, as they were first seen.
    pub(super) symbols: Vec<Vec<u8>>,
    /// The groups that modules had before any native file.
    pub(super) claimed: HashSet<Vec<u8>>,
    /// Symbols that modules define; their objects may define more, which nothing was decided about.
    pub(super) of_modules: HashSet<Vec<u8>>,
    /// Symbols that only references which may stay without a definition name, for Mach-O.
    pub(super) optional: HashSet<Vec<u8>>,
    /// The system that the first file is for, which counts before that of any other.
    pub(super) abi: Option<u8>,
    /// Symbols of modules for which `--wrap` asks for a replacement that no input has.
    pub(super) without_wrapper: Vec<String>,
}

impl Resolution {
    /// Resolves the symbols of `inputs`; `first` are undefined before any file is read, those in
    /// `wrapped` are to be replaced. The files called `last` are loaded after that, whatever asked
    /// for them.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn find(
        flavour: Flavour,
        inputs: &LinkInputs,
        first: &[&str],
        wrapped: &[&str],
        last: &[&str],
        release: &Release,
    ) -> Result<Self, Refusal> {
        let mut places = Vec::new();
        for piece in &inputs.pieces {
            read::places(piece, &mut places);
        }
        let files = in_parallel(&places, |place| place.read(flavour, inputs.fat))?;
        let mut table = SymbolResolver::new(&files, flavour, release);
        for name in first {
            let symbol = table.insert(name.as_bytes());
            table.undefined(symbol, false);
        }
        for file in 0..files.len() {
            table.parse(file);
        }
        for name in last {
            table.load_by_name(name);
        }
        let names = |numbers: &[usize]| {
            let files = numbers.iter().map(|&number| &files[number]);
            files.map(|file| (file.name.clone(), file.offset)).collect()
        };
        let of_modules = table.of_modules();
        let without_wrapper = wrapped.iter().filter(|name| {
            of_modules.contains(name.as_bytes()) && !table.is_defined_somewhere(&wrapper_of(name))
        });
        // Older linkers do not look into archives for it.
        let mut first = files.iter();
        let first = first.find(|file| file.offset.is_none() || release.major() > LAST_ONE_PASS);
        Ok(Self {
            abi: first.map(|file| file.abi),
            loaded: names(&table.loaded),
            finished: names(&table.finished),
            claimed: table.claimed(),
            without_wrapper: without_wrapper.map(|&name| name.to_owned()).collect(),
            of_modules,
            optional: table.optional(),
            symbols: table.names.iter().map(|name| name.to_vec()).collect(),
        })
    }

    /// Where the member is that was loaded as the one after `before` others of its name.
    pub(super) fn place(&self, name: &str, before: usize) -> Option<u64> {
        let mut of_name = self.loaded.iter().filter(|it| it.0 == name);
        of_name.nth(before)?.1
    }

    /// The files of `trace` after those found: the entry point is in them, or a function that the
    /// code generator calls.
    pub(super) fn more_in<'a>(&self, trace: &'a str) -> Vec<&'a str> {
        trace.lines().skip(self.loaded.len()).collect()
    }

    /// Whether the files of `trace` are the ones found, but for some at the end that the linker
    /// loads for other reasons than the inputs.
    pub(super) fn agrees_with(&self, trace: &str) -> bool {
        let mut lines = trace.lines();
        self.loaded
            .iter()
            .all(|(name, _)| lines.next() == Some(&name[..]))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SymbolState {
    New,
    Undefined { weak: bool },
    Defined,
    Lazy(usize),
    Shared,
}

/// What `--wrap` replaces `symbol` with.
pub(super) fn wrapper_of(symbol: &str) -> String {
    format!("__wrap_{symbol}")
}

/// The last release that takes the symbols of a module as they come.
const LAST_ONE_PASS: u32 = 14;

struct SymbolResolver<'a> {
    files: &'a [InputFile],
    /// A module's definitions count before what it needs.
    definitions_first: bool,
    flavour: Flavour,
    known: HashMap<&'a [u8], usize>,
    /// Where the members of archives are first, by their names and offsets.
    members: HashMap<(&'a String, u64), usize>,
    names: Vec<&'a [u8]>,
    states: Vec<SymbolState>,
    taken: Vec<bool>,
    loaded: Vec<usize>,
    finished: Vec<usize>,
}

impl<'a> SymbolResolver<'a> {
    fn new(files: &'a [InputFile], flavour: Flavour, release: &Release) -> Self {
        let mut members = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            if let Some(offset) = file.offset {
                members.entry((&file.name, offset)).or_insert(number);
            }
        }
        Self {
            files,
            members,
            flavour,
            definitions_first: release.major() > LAST_ONE_PASS,
            known: HashMap::new(),
            names: Vec::new(),
            states: Vec::new(),
            taken: vec![false; files.len()],
            loaded: Vec::new(),
            finished: Vec::new(),
        }
    }

    fn insert(&mut self, name: &'a [u8]) -> usize {
        // A default version is the name without it.
        let end = memmem::find(name, b"@@");
        let name = &name[..end.unwrap_or(name.len())];
        let next = self.names.len();
        let symbol = *self.known.entry(name).or_insert(next);
        if symbol == next {
            self.names.push(name);
            self.states.push(SymbolState::New);
        }
        symbol
    }

    /// Reads a file in its turn.
    fn parse(&mut self, number: usize) {
        if self.taken[number] {
            return;
        }
        let file = &self.files[number];
        if self.is_repeated(number) {
            return;
        }
        if file.lazy {
            self.offer(number);
        } else if file.kind == InputKind::Shared {
            self.loaded.push(number);
            self.taken[number] = true;
            for symbol in &file.symbols {
                let index = self.insert(&symbol.name);
                if symbol.undefined {
                    self.undefined(index, symbol.weak);
                } else {
                    self.shared(index);
                }
            }
        } else {
            self.load(number);
        }
    }

    /// Whether it is a member of an archive that was named before: `ld64.lld` reads each once, even
    /// if it is to be loaded whole later.
    fn is_repeated(&self, number: usize) -> bool {
        let file = &self.files[number];
        let first = file
            .offset
            .and_then(|offset| self.members.get(&(&file.name, offset)));
        self.flavour == Flavour::MachO && first.is_some_and(|first| *first < number)
    }

    /// A member says what it defines.
    fn offer(&mut self, number: usize) {
        for symbol in &self.files[number].symbols {
            if symbol.undefined {
                continue;
            }
            let index = self.insert(&symbol.name);
            match self.states[index] {
                SymbolState::New | SymbolState::Undefined { weak: true } => {
                    self.states[index] = SymbolState::Lazy(number);
                }
                SymbolState::Undefined { weak: false } => self.load(number),
                SymbolState::Defined | SymbolState::Lazy(_) | SymbolState::Shared => {}
            }
            if self.taken[number] {
                return;
            }
        }
    }

    fn load_by_name(&mut self, name: &str) {
        let mut files = self.files.iter().zip(&self.taken);
        if let Some(number) = files.position(|(file, taken)| !taken && file.name == name) {
            self.load(number);
        }
    }

    fn load(&mut self, number: usize) {
        if std::mem::replace(&mut self.taken[number], true) {
            return;
        }
        self.loaded.push(number);
        self.resolve(number);
        self.finished.push(number);
    }

    fn resolve(&mut self, number: usize) {
        let file = &self.files[number];
        let in_one_pass = self.flavour == Flavour::Wasm
            || file.kind == InputKind::Bitcode && !self.definitions_first;
        if in_one_pass {
            for symbol in &file.symbols {
                let index = self.insert(&symbol.name);
                if symbol.undefined {
                    self.undefined(index, symbol.weak);
                } else {
                    self.states[index] = SymbolState::Defined;
                }
            }
            return;
        }
        if file.kind == InputKind::Native && self.flavour != Flavour::MachO {
            for symbol in &file.symbols {
                self.insert(&symbol.name);
            }
        }
        for symbol in file.symbols.iter().filter(|it| !it.undefined) {
            let index = self.insert(&symbol.name);
            self.states[index] = SymbolState::Defined;
        }
        for symbol in file.symbols.iter().filter(|it| it.undefined) {
            let index = self.insert(&symbol.name);
            self.undefined(index, symbol.weak);
        }
    }

    fn undefined(&mut self, symbol: usize, weak: bool) {
        // Apple's linkers load a member for either.
        let weak = weak && self.flavour != Flavour::MachO;
        match self.states[symbol] {
            SymbolState::New => self.states[symbol] = SymbolState::Undefined { weak },
            SymbolState::Undefined { weak: before } => {
                self.states[symbol] = SymbolState::Undefined {
                    weak: before && weak,
                };
            }
            SymbolState::Lazy(file) if !weak => self.load(file),
            SymbolState::Defined | SymbolState::Lazy(_) | SymbolState::Shared => {}
        }
    }

    fn shared(&mut self, symbol: usize) {
        if self.states[symbol] != SymbolState::Defined {
            self.states[symbol] = SymbolState::Shared;
        }
    }

    /// Whether an input defines `name`, even a member of an archive that is not loaded yet.
    fn is_defined_somewhere(&self, name: &str) -> bool {
        let symbol = self.known.get(name.as_bytes());
        symbol.is_some_and(|&symbol| match self.states[symbol] {
            SymbolState::Defined | SymbolState::Lazy(_) | SymbolState::Shared => true,
            SymbolState::New | SymbolState::Undefined { .. } => false,
        })
    }

    fn of_modules(&self) -> HashSet<Vec<u8>> {
        let files = self.loaded.iter().map(|&file| &self.files[file]);
        let modules = files.filter(|file| file.kind == InputKind::Bitcode);
        let symbols = modules.flat_map(|file| &file.symbols);
        let defined = symbols.filter(|symbol| !symbol.undefined);
        // Most definitions of C++ are in many modules.
        let names: HashSet<&[u8]> = defined.map(|symbol| &symbol.name[..]).collect();
        names.into_iter().map(<[u8]>::to_vec).collect()
    }

    /// Only Apple's linkers tell these apart.
    fn optional(&self) -> HashSet<Vec<u8>> {
        if self.flavour != Flavour::MachO {
            return HashSet::new();
        }
        let files = self.loaded.iter().map(|&file| &self.files[file]);
        let symbols = files.flat_map(|file| &file.symbols);
        let (optional, other): (Vec<_>, Vec<_>) =
            symbols.partition(|symbol| symbol.undefined && symbol.weak);
        let other: HashSet<&[u8]> = other.iter().map(|symbol| &symbol.name[..]).collect();
        let only = optional
            .into_iter()
            .filter(|symbol| !other.contains(&symbol.name[..]));
        only.map(|symbol| symbol.name.clone()).collect()
    }

    fn claimed(&self) -> HashSet<Vec<u8>> {
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let mut claimed = HashSet::new();
        for &file in &self.loaded {
            let file = &self.files[file];
            for group in &file.groups {
                if seen.insert(group) && file.kind == InputKind::Bitcode {
                    claimed.insert(group.clone());
                }
            }
        }
        claimed
    }
}
