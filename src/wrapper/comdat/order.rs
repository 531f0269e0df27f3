//! The symbols of the program that the stub of an ELF link names, in the order in which the linker's
//! own LTO meets them.

use std::collections::HashSet;

use super::natives::is_missing;
use super::{Objects, elf};
use crate::thinlto::Visibility;
use crate::wrapper::Refusal;
use crate::wrapper::assigned::AssignedSymbols;
use crate::wrapper::resolution::Resolution;

/// What files may name that the linker defines for itself.
const TABLE: &[u8] = b"_GLOBAL_OFFSET_TABLE_";
/// The last release that counts a module's use of it as the program's.
const LAST_WITH_TABLE: u32 = 14;

/// A weak reference, or a definition.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedReference<'a> {
    pub(super) name: &'a [u8],
    /// The type of the symbol.
    pub(super) kind: u8,
    pub(super) visibility: Visibility,
    pub(super) defined: bool,
}

impl Objects<'_> {
    /// What scripts define comes between the symbols of the inputs and those that only the objects
    /// of LTO have.
    pub(super) fn in_order<'a>(
        &self,
        resolution: &'a Resolution,
        assigned: &'a AssignedSymbols,
    ) -> Vec<NamedReference<'a>> {
        let always: HashSet<&[u8]> = assigned.always.iter().map(String::as_bytes).collect();
        let scripts = assigned.always.iter().map(String::as_bytes);
        let scripts = scripts.filter(|name| !resolution.is_settled(name));
        let mut used: Vec<&[u8]> = assigned.used.iter().map(String::as_bytes).collect();
        used.retain(|name| !resolution.is_settled(name));
        let objects = resolution.of_objects();
        let objects = objects.filter(|name| !always.contains(name));
        let all = resolution.of_inputs().chain(used).chain(scripts);
        let all = all.chain(objects);
        let plain = all.filter(|name| !name.contains(&b'@'));
        let references = plain.filter_map(|name| {
            let kind = if always.contains(name) {
                self.kind(name).unwrap_or_default()
            } else {
                self.kind_of_use(name, assigned, resolution.major)?
            };
            Some(self.reference(name, kind, resolution))
        });
        references.collect()
    }

    /// The type of `name` in the program, unless nothing of the program names it.
    fn kind_of_use(&self, name: &[u8], assigned: &AssignedSymbols, major: u32) -> Option<u8> {
        let (own, native) = (self.named.get(name), self.natives.named.get(name));
        if self.is_defined_by_linker(name, assigned, major) {
            return Some(own.kind.or(native.kind).unwrap_or_default());
        }
        if is_missing([own, native]) {
            return None;
        }
        self.kind(name)
    }

    fn kind(&self, name: &[u8]) -> Option<u8> {
        let (own, native) = (self.named.get(name), self.natives.named.get(name));
        let thread_local = own.kind.filter(|it| *it == elf::TLS);
        thread_local.or(native.kind).or(own.kind)
    }

    /// A module that lost its definition against a native file's still says who sees the symbol.
    fn reference<'a>(
        &self,
        name: &'a [u8],
        kind: u8,
        resolution: &Resolution,
    ) -> NamedReference<'a> {
        let narrowed = resolution.narrowed.get(name).copied();
        let visibility = narrowed.filter(|_| self.natives.named.get(name).defined);
        NamedReference {
            name,
            kind,
            visibility: visibility.unwrap_or_default(),
            defined: false,
        }
    }

    /// Whether the linker itself defines `name`, as soon as a module has named it: optimization may
    /// have removed the use.
    fn is_defined_by_linker(&self, name: &[u8], assigned: &AssignedSymbols, major: u32) -> bool {
        let section = name.strip_prefix(b"__start_");
        let section = section.or_else(|| name.strip_prefix(b"__stop_"));
        let has_section = section.is_some_and(|section| {
            self.sections.contains(section) || self.natives.sections.contains(section)
        });
        let of_table = name == TABLE && major <= LAST_WITH_TABLE;
        !self.relocatable && (has_section || of_table || assigned.follows_name(name))
    }

    /// A file for `--start-lib`: the linker makes the table of a symbol that any file names, but has
    /// the symbol in the program only if an object names it. A definition that is not linked names it.
    pub(in crate::wrapper) fn table_stub(&self, resolution: &Resolution) -> Option<Vec<u8>> {
        let only_modules = resolution.is_settled(TABLE) && self.kind(TABLE).is_none();
        let needed = only_modules && !self.relocatable && resolution.major > LAST_WITH_TABLE;
        let model = self.first.as_ref().filter(|_| needed)?;
        elf::definition(model, TABLE)
    }

    /// A linker remembers of the definition that LTO removed who sees the symbol.
    ///
    /// # Errors
    /// LTO removed the definition of a symbol that is needed; `is_elsewhere` knows those that
    /// something else defines.
    pub(in crate::wrapper) fn check_removed(
        &self,
        is_elsewhere: impl Fn(&[u8]) -> bool,
    ) -> Result<(), Refusal> {
        let Some(of_modules) = self.of_modules else {
            return Ok(());
        };
        let mut removed = self.named.needed().filter(|name| {
            of_modules.contains(*name)
                && !self.natives.named.get(name).defined
                && !is_elsewhere(name)
        });
        match removed.next() {
            None => Ok(()),
            Some(name) => Err(Refusal::new(format!(
                "LTO removed the definition of `{}`, which is needed",
                String::from_utf8_lossy(name)
            ))),
        }
    }
}
