//! The tables of a module that function bodies and globals refer to by number.

use std::cell::Cell;
use std::collections::HashMap;

use super::attributes::Attributes;
use super::constants::Constants;
use super::file::lossy;
use super::metadata::MetadataContext;
use super::types::Types;
use super::{Decoded, Opaque};

/// The kind of the attachment that says where the source has an instruction.
pub(super) const LOCATION_KIND: &[u8] = b"srcloc";
/// Metadata that holds numbers made of names. Since LLVM 23 each definition has one; it is known only
/// where it follows from the name that the module has now.
pub(super) const GUID_KIND: &[u8] = b"guid";

/// The tables that bodies are read with.
pub(super) struct Tables<'a> {
    pub(super) types: Types,
    pub(super) attributes: Attributes,
    /// Names of globals by value number.
    pub(super) names: Vec<&'a [u8]>,
    pub(super) constants: Constants,
    pub(super) kinds: HashMap<u64, Vec<u8>>,
    pub(super) tags: Vec<Vec<u8>>,
    pub(super) scopes: Vec<Vec<u8>>,
    pub(super) budget: Budget,
}

/// How many references of constants may still be followed. Each metadata node, initializer and body
/// lists all globals that its constants lead to, so without a limit a few large constants, used
/// everywhere, take memory with the square of the module's size.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    /// For a module of so many bytes: those that are written by hand have far fewer references.
    pub(super) fn of(bytes: usize) -> Self {
        Self(Cell::new(bytes))
    }

    pub(super) fn spend(&self, references: usize) -> Decoded<()> {
        let left = self.0.get().checked_sub(references);
        self.0.set(left.unwrap_or_default());
        left.map(drop).ok_or(Opaque::References)
    }
}

impl Tables<'_> {
    pub(super) fn metadata_context(&self) -> MetadataContext<'_> {
        MetadataContext {
            types: &self.types,
            names: &self.names,
            constants: &self.constants,
            budget: &self.budget,
        }
    }

    /// Values of the module: globals and constants.
    pub(super) fn values(&self) -> Decoded<u32> {
        u32::try_from(self.names.len() + self.constants.len()).map_err(|_| Opaque::Damaged)
    }

    pub(super) fn metadata_kind(&self, id: u64) -> Decoded<&[u8]> {
        match self.kinds.get(&id) {
            Some(name) if name == GUID_KIND => Err(Opaque::Instrumented(lossy(name))),
            Some(name) => Ok(name),
            None => Err(Opaque::Damaged),
        }
    }

    /// Whether attachments of this kind hold the GUID of what they are attached to.
    pub(super) fn is_guid(&self, kind: u64) -> bool {
        self.kinds.get(&kind).is_some_and(|name| name == GUID_KIND)
    }

    /// Whether an instruction may say where the source has it.
    pub(super) fn has_locations(&self) -> bool {
        self.kinds.values().any(|name| name == LOCATION_KIND)
    }

    pub(super) fn bundle_tag(&self, id: u64) -> Decoded<&[u8]> {
        nth(&self.tags, id)
    }

    pub(super) fn sync_scope(&self, id: u64) -> Decoded<&[u8]> {
        match (id, self.scopes.is_empty()) {
            (0, true) => Ok(b"singlethread"),
            (1, true) => Ok(b""),
            _ => nth(&self.scopes, id),
        }
    }
}

fn nth(names: &[Vec<u8>], id: u64) -> Decoded<&[u8]> {
    let index = usize::try_from(id).map_err(|_| Opaque::Damaged)?;
    names.get(index).map(Vec::as_slice).ok_or(Opaque::Damaged)
}
