//! Repeats the symbol resolution that the linker does before LTO, and after it.
//!
//! The trace of a thin link shows which files were loaded, but not which of two members with the
//! same name, nor in which order symbols were first seen, which is the order of the program's
//! symbol table. Nor does it show which members of archives only the objects of LTO ask for. All of
//! that follows from the symbols of all inputs. The result counts only if it agrees with the trace;
//! it never decides what is linked.

mod read;
mod resolver;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::inputs::Library;
use super::natives::Native;
use crate::thinlto::{Symbol, Visibility};

pub(super) use read::of_object;
pub use resolver::SymbolResolver;

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
    /// The archive of a member, and the offset of its header there.
    member: Option<(Arc<Library>, u64)>,
    kind: InputKind,
    /// The system that it is for, as its header says; 0 for a module.
    abi: u8,
    lazy: bool,
    symbols: Vec<Symbol>,
    /// What it defines as the index of its archive has it, where that is in another order.
    indexed: Option<Vec<Symbol>>,
    /// The first of each name wins.
    groups: Vec<Vec<u8>>,
}

impl InputFile {
    fn offset(&self) -> Option<u64> {
        self.member.as_ref().map(|(_, offset)| *offset)
    }

    /// What identifies it: its archive or itself, and its offset there.
    fn place(&self) -> (&str, u64) {
        match &self.member {
            None => (&self.name, 0),
            Some((library, offset)) => (&library.path, *offset),
        }
    }

    /// `None` if it is a module.
    fn native(&self) -> Option<Native> {
        if self.kind != InputKind::Native {
            return None;
        }
        match &self.member {
            None => Some(Native::File(self.name.clone())),
            Some((library, offset)) => {
                let (member, _) = library.at(*offset)?;
                Some(Native::Member(Arc::clone(library), member.clone()))
            }
        }
    }
}

/// What the linker would do.
#[derive(Debug)]
pub(super) struct Resolution {
    /// The names of loaded files, with the places of members in their archives.
    loaded: Vec<(String, Option<u64>)>,
    /// The groups that modules had before any native file.
    pub(super) claimed: HashSet<Vec<u8>>,
    /// Symbols that modules define; their objects may define more, which nothing was decided about.
    pub(super) of_modules: HashSet<Vec<u8>>,
    /// Symbols that modules say fewer programs should see, for ELF.
    pub(super) narrowed: HashMap<Vec<u8>, Visibility>,
    /// Symbols that only references which may stay without a definition name, for Mach-O.
    pub(super) optional: HashSet<Vec<u8>>,
    /// The system that the first file is for, which counts before that of any other.
    pub(super) abi: Option<u8>,
    /// Symbols of modules for which `--wrap` asks for a replacement that no input has.
    pub(super) without_wrapper: Vec<String>,
    /// The linker's release.
    pub(super) major: u32,
    /// How many symbols the inputs have; objects add more.
    settled: usize,
    /// Goes on with the objects.
    resolver: SymbolResolver,
}

impl Resolution {
    /// Where the member is that was loaded as the one after `before` others of its name.
    pub(super) fn place(&self, name: &str, before: usize) -> Option<u64> {
        let mut of_name = self.loaded.iter().filter(|it| it.0 == name);
        of_name.nth(before)?.1
    }

    /// The places of the files of the program so far, in the order in which their sections come.
    pub(super) fn finished(&self) -> impl Iterator<Item = (&str, u64)> {
        self.resolver.finished()
    }

    /// All symbols, as they were first seen.
    pub(super) fn symbols(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.resolver.symbols()
    }

    /// The same symbols, for Mach-O: those before each library, those after the last one, and those
    /// that only objects have.
    pub(super) fn parts(&self) -> impl Iterator<Item = impl Iterator<Item = &[u8]>> {
        self.resolver.parts(self.settled)
    }

    /// Those of them that inputs have.
    pub(super) fn of_inputs(&self) -> impl Iterator<Item = &[u8]> {
        self.symbols().take(self.settled)
    }

    /// Whether an input has `name`.
    pub(super) fn is_settled(&self, name: &[u8]) -> bool {
        let place = self.resolver.place(name);
        place.is_some_and(|place| place < self.settled)
    }

    /// The others, which only objects have.
    pub(super) fn of_objects(&self) -> impl Iterator<Item = &[u8]> {
        self.symbols().skip(self.settled)
    }

    /// Whether only references that may stay without a definition name `name`, and none of the files
    /// that are linked defines it.
    pub(super) fn may_stay_undefined(&self, name: &[u8]) -> bool {
        self.resolver.may_stay_undefined(name)
    }

    /// Whether an input needs `name`, and none has a definition, be it linked or not.
    pub(super) fn is_undefined(&self, name: &[u8]) -> bool {
        self.is_settled(name) && self.resolver.is_undefined(name)
    }

    /// Whether only files that are not linked define `name`.
    pub(super) fn is_left_out(&self, name: &[u8]) -> bool {
        self.resolver.is_lazy(name)
    }

    /// Whether archives have anything left that an object could ask for.
    pub(super) fn has_more(&self) -> bool {
        self.resolver.has_lazy()
    }

    /// The symbols of an object of LTO that were not settled before it.
    pub(super) fn unsettled(&self, object: Vec<Symbol>) -> Vec<Symbol> {
        let mut symbols = object;
        symbols.retain(|symbol| self.resolver.is_unsettled(&symbol.name));
        symbols
    }

    /// Reads the objects of LTO after all inputs; `objects` are their symbols. Returns the native
    /// files that each one asks for.
    pub(super) fn go_on(&mut self, objects: Vec<Vec<Symbol>>) -> Vec<Vec<Native>> {
        let objects = objects.into_iter();
        objects
            .map(|symbols| self.resolver.object(symbols))
            .collect()
    }
}

/// What `--wrap` replaces `symbol` with.
pub(super) fn wrapper_of(symbol: &str) -> String {
    format!("__wrap_{symbol}")
}
