//! Reads files as a linker does, one by one, and loads the members of archives that they ask for.

mod found;

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use memchr::memmem;

use super::{InputFile, InputKind, Resolution, read, wrapper_of};
use crate::thinlto::Symbol;
use crate::wrapper::inputs::{LinkInputs, Piece};
use crate::wrapper::natives::Native;
use crate::wrapper::{Flavour, Refusal, Release, in_parallel};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SymbolState {
    New,
    Undefined { weak: bool },
    Defined,
    Lazy(usize),
    Shared,
}

/// The last release that takes the symbols of a module as they come, and all definitions of an object
/// between `--start-lib` and `--end-lib` before any of them is needed.
const LAST_ONE_PASS: u32 = 14;

/// The files of a link and what is known of their symbols.
#[derive(Debug)]
pub struct SymbolResolver {
    files: Vec<Arc<InputFile>>,
    /// A module's definitions count before what it needs.
    definitions_first: bool,
    flavour: Flavour,
    /// In the order in which they were first seen.
    symbols: IndexMap<Vec<u8>, SymbolState>,
    /// Where the members of archives are first, by their names and offsets.
    members: HashMap<(String, u64), usize>,
    taken: Vec<bool>,
    /// In the order of the trace.
    loaded: Vec<usize>,
    /// In the order in which their sections come; of objects that are linked when they are needed,
    /// those of `ld64.lld` have their places even if nothing needs them.
    finished: Vec<usize>,
    /// How many symbols there were before each library that is not read here.
    before_libraries: Vec<usize>,
}

impl SymbolResolver {
    /// Resolves the symbols of `inputs`; `first` are undefined before any file is read.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(in crate::wrapper) fn find(
        flavour: Flavour,
        inputs: &LinkInputs,
        first: &[String],
        release: &Release,
    ) -> Result<Self, Refusal> {
        let mut places = Vec::new();
        let mut libraries = Vec::new();
        for piece in &inputs.pieces {
            if matches!(piece, Piece::Library { .. }) {
                libraries.push(places.len());
            }
            read::places(piece, &mut places);
        }
        let files = in_parallel(&places, |place| {
            Ok(Arc::new(place.read(flavour, inputs.fat)?))
        })?;
        let mut members = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            if let Some(offset) = file.offset() {
                members.entry((file.name.clone(), offset)).or_insert(number);
            }
        }
        let mut resolver = Self {
            taken: vec![false; files.len()],
            files,
            members,
            flavour,
            definitions_first: release.major() > LAST_ONE_PASS,
            symbols: IndexMap::new(),
            loaded: Vec::new(),
            finished: Vec::new(),
            before_libraries: Vec::new(),
        };
        for name in first {
            let symbol = resolver.insert(name.as_bytes());
            resolver.undefined(symbol, false);
        }
        let mut parsed = 0;
        for library in libraries {
            (parsed..library).for_each(|file| resolver.parse(file));
            resolver.before_libraries.push(resolver.symbols.len());
            parsed = library;
        }
        (parsed..resolver.files.len()).for_each(|file| resolver.parse(file));
        Ok(resolver)
    }

    /// Loads what `trace` has after the files found: the entry point is in it, or a function that
    /// the code generator calls. `false` if the trace has other files than those found.
    pub(in crate::wrapper) fn follow(&mut self, trace: &str) -> bool {
        if self.agrees_with(trace) {
            for name in trace.lines().skip(self.loaded.len()) {
                self.load_by_name(name);
            }
        }
        self.agrees_with(trace)
    }

    /// Whether the files of `trace` are the ones found, but for some at the end that the linker
    /// loads for other reasons than the inputs.
    fn agrees_with(&self, trace: &str) -> bool {
        let mut lines = trace.lines();
        let mut loaded = self.loaded.iter();
        loaded.all(|&file| lines.next() == Some(&self.files[file].name[..]))
    }

    /// What was found; `wrapped` are to be replaced.
    pub(in crate::wrapper) fn resolution(
        mut self,
        wrapped: &[&str],
        release: &Release,
    ) -> Resolution {
        let loaded = self.loaded();
        let loaded = loaded.map(|file| (file.name.clone(), file.offset()));
        let loaded = loaded.collect();
        let of_modules = self.of_modules();
        let without_wrapper = wrapped.iter().filter(|name| {
            of_modules.contains(name.as_bytes()) && !self.is_defined_somewhere(&wrapper_of(name))
        });
        let without_wrapper = without_wrapper.map(|&name| name.to_owned()).collect();
        // Older linkers do not look into archives for it.
        let mut first = self.files.iter();
        let first = first.find(|file| file.member.is_none() || release.major() > LAST_ONE_PASS);
        Resolution {
            abi: first.map(|file| file.abi),
            loaded,
            claimed: self.claimed(),
            without_wrapper,
            of_modules,
            optional: self.optional(),
            narrowed: self.narrowed(),
            major: release.major(),
            settled: self.symbols.len(),
            resolver: {
                self.forget_loaded();
                self
            },
        }
    }

    /// What is loaded has said all that it has to say, and large programs have many symbols.
    fn forget_loaded(&mut self) {
        for &number in &self.loaded {
            let file = &self.files[number];
            self.files[number] = Arc::new(InputFile {
                name: file.name.clone(),
                member: file.member.clone(),
                symbols: Vec::new(),
                indexed: None,
                groups: Vec::new(),
                ..**file
            });
        }
    }

    /// The places of the files that are linked, in the order in which their sections come.
    pub(super) fn finished(&self) -> impl Iterator<Item = (&str, u64)> {
        let linked = self.finished.iter().filter(|&&number| self.taken[number]);
        linked.map(|&number| self.files[number].place())
    }

    pub(super) fn symbols(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.symbols.keys().map(|name| &name[..])
    }

    /// The symbols before each library, those after the last one as far as there are `settled`, and
    /// the others.
    pub(super) fn parts(
        &self,
        settled: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = &[u8]>> {
        let ends = self.before_libraries.iter().copied();
        let ends = ends.chain([settled, self.symbols.len()]);
        ends.scan(0, |start, end| {
            let part = self.symbols.get_range(*start..end);
            *start = end;
            Some(part.into_iter().flat_map(|part| part.keys()))
        })
        .map(|part| part.map(|name| &name[..]))
    }

    /// Whether there is a file left that only some symbol would load.
    pub(super) fn has_lazy(&self) -> bool {
        let mut states = self.symbols.values();
        states.any(|state| matches!(state, SymbolState::Lazy(_)))
    }

    pub(super) fn is_lazy(&self, name: &[u8]) -> bool {
        matches!(self.symbols.get(name), Some(SymbolState::Lazy(_)))
    }

    pub(super) fn may_stay_undefined(&self, name: &[u8]) -> bool {
        let state = self.symbols.get(name);
        matches!(state, Some(SymbolState::Undefined { weak: true }))
    }

    /// Whether some file needs `name`, and none has a definition, be it linked or not.
    pub(super) fn is_undefined(&self, name: &[u8]) -> bool {
        let state = self.symbols.get(name);
        matches!(state, Some(SymbolState::Undefined { weak: false }))
    }

    /// Where `name` is among all symbols.
    pub(super) fn place(&self, name: &[u8]) -> Option<usize> {
        self.symbols.get_index_of(name)
    }

    /// Whether `name` is new, or a file that is not loaded defines it.
    pub(super) fn is_unsettled(&self, name: &[u8]) -> bool {
        matches!(
            self.symbols.get(name),
            None | Some(SymbolState::New | SymbolState::Lazy(_))
        )
    }

    /// Reads an object of LTO, which has `symbols`. Returns the native files that it asks for, in
    /// the order in which they are linked.
    pub(super) fn object(&mut self, symbols: Vec<Symbol>) -> Vec<Native> {
        let number = self.files.len();
        self.files.push(Arc::new(InputFile {
            name: String::new(),
            member: None,
            kind: InputKind::Native,
            abi: 0,
            lazy: false,
            symbols,
            indexed: None,
            groups: Vec::new(),
        }));
        self.taken.push(false);
        let (loaded, finished) = (self.loaded.len(), self.finished.len());
        self.load(number);
        let asked = match self.flavour {
            Flavour::Elf | Flavour::MachO => &self.loaded[loaded..],
            Flavour::Wasm => &self.finished[finished..],
        };
        let asked = asked.iter().filter(|&&file| file != number);
        asked
            .filter_map(|&file| self.files[file].native())
            .collect()
    }

    /// The number of the symbol `name`.
    fn insert(&mut self, name: &[u8]) -> usize {
        // A default version is the name without it.
        let end = memmem::find(name, b"@@");
        let name = &name[..end.unwrap_or(name.len())];
        match self.symbols.get_index_of(name) {
            Some(symbol) => symbol,
            None => self.symbols.insert_full(name.to_vec(), SymbolState::New).0,
        }
    }

    /// Reads a file in its turn.
    fn parse(&mut self, number: usize) {
        if self.taken[number] || self.is_repeated(number) {
            return;
        }
        let file = Arc::clone(&self.files[number]);
        if file.lazy {
            self.offer(number);
            if self.has_own_place(number) {
                self.finished.push(number);
            }
        } else if file.kind == InputKind::Shared {
            self.loaded.push(number);
            self.taken[number] = true;
            for symbol in &file.symbols {
                let index = self.insert(&symbol.name);
                if symbol.undefined {
                    self.undefined(index, symbol.weak);
                } else if self.symbols[index] != SymbolState::Defined {
                    self.symbols[index] = SymbolState::Shared;
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
        self.flavour == Flavour::MachO
            && file.offset().is_some_and(|offset| {
                let first = self.members.get(&(file.name.clone(), offset));
                first.is_some_and(|first| *first < number)
            })
    }

    /// A member says what it defines.
    fn offer(&mut self, number: usize) {
        let file = Arc::clone(&self.files[number]);
        let offered = file.indexed.as_ref().unwrap_or(&file.symbols);
        if !self.definitions_first && file.kind == InputKind::Native && file.member.is_none() {
            for symbol in offered.iter().filter(|it| !it.undefined) {
                self.insert(&symbol.name);
            }
        }
        for symbol in offered.iter().filter(|it| !it.undefined) {
            let index = self.insert(&symbol.name);
            match self.symbols[index] {
                SymbolState::New | SymbolState::Undefined { weak: true } => {
                    self.symbols[index] = SymbolState::Lazy(number);
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
        let has_own_place = self.has_own_place(number);
        // `ld64.lld` shows files when it has read them.
        let traced_late = self.flavour == Flavour::MachO && !has_own_place;
        if !traced_late {
            self.loaded.push(number);
        }
        self.resolve(number);
        if traced_late {
            self.loaded.push(number);
        }
        if !has_own_place {
            self.finished.push(number);
        }
    }

    /// Whether `ld64.lld` has a place for the file before something needs it.
    fn has_own_place(&self, number: usize) -> bool {
        let file = &self.files[number];
        self.flavour == Flavour::MachO && file.lazy && file.member.is_none()
    }

    fn resolve(&mut self, number: usize) {
        let file = Arc::clone(&self.files[number]);
        let in_one_pass = self.flavour == Flavour::Wasm
            || file.kind == InputKind::Bitcode && !self.definitions_first;
        if in_one_pass {
            for symbol in &file.symbols {
                let index = self.insert(&symbol.name);
                if symbol.undefined {
                    self.undefined(index, symbol.weak);
                } else {
                    self.symbols[index] = SymbolState::Defined;
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
            self.symbols[index] = SymbolState::Defined;
        }
        for symbol in file.symbols.iter().filter(|it| it.undefined) {
            let index = self.insert(&symbol.name);
            self.undefined(index, symbol.weak);
        }
    }

    fn undefined(&mut self, symbol: usize, weak: bool) {
        // Apple's linkers load a member for either.
        let weak = weak && self.flavour != Flavour::MachO;
        match self.symbols[symbol] {
            SymbolState::New => self.symbols[symbol] = SymbolState::Undefined { weak },
            SymbolState::Undefined { weak: before } => {
                self.symbols[symbol] = SymbolState::Undefined {
                    weak: before && weak,
                };
            }
            SymbolState::Lazy(file) if !weak => self.load(file),
            SymbolState::Defined | SymbolState::Lazy(_) | SymbolState::Shared => {}
        }
    }

    /// Whether an input defines `name`, even a member of an archive that is not loaded yet.
    fn is_defined_somewhere(&self, name: &str) -> bool {
        match self.symbols.get(name.as_bytes()) {
            Some(SymbolState::Defined | SymbolState::Lazy(_) | SymbolState::Shared) => true,
            None | Some(SymbolState::New | SymbolState::Undefined { .. }) => false,
        }
    }
}
