//! Metadata that says where the source is: location cookies, and the GUIDs of globals.

use super::{Metadata, MetadataContext, MetadataEntry};
use crate::thinlto::graph::code::constant;
use crate::thinlto::graph::constants::Constants;
use crate::thinlto::graph::encoder::short_hash;
use crate::thinlto::graph::{Decoded, Opaque};

/// The GUID that a global must have.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Guid {
    pub(in super::super) value: u64,
    pub(in super::super) local: bool,
}

impl Metadata {
    /// The hash of a location cookie as clang makes it: a uniqued node of whole numbers, one for
    /// each line of the assembly. `None` for other metadata.
    pub(in super::super) fn cookie(
        &mut self,
        id: u64,
        context: &MetadataContext<'_>,
    ) -> Decoded<Option<u64>> {
        let id = u32::try_from(id).map_err(|_| Opaque::Damaged)?;
        let values = self.numbers(id, context)?.unwrap_or_default();
        if values.is_empty() {
            return Ok(None);
        }
        let mut hashes = Vec::new();
        for value in &values {
            hashes.extend_from_slice(context.constants.hash(*value)?);
        }
        self.source_values.extend(values);
        Ok(Some(short_hash(&hashes)))
    }

    /// Whether metadata `id` is the GUID `guid` of a global as LLVM attaches it: a uniqued node of
    /// one number. That of a local value follows from the name of the source file.
    pub(in super::super) fn is_guid(
        &mut self,
        id: u64,
        guid: Guid,
        context: &MetadataContext<'_>,
    ) -> Decoded<bool> {
        let id = u32::try_from(id).map_err(|_| Opaque::Damaged)?;
        let Some(&[value]) = self.numbers(id, context)?.as_deref() else {
            return Ok(false);
        };
        let is_equal = *context.constants.hash(value)? == Constants::number(guid.value);
        if is_equal && guid.local {
            self.source_values.insert(value);
        }
        Ok(is_equal)
    }

    /// The constants, by their value numbers, of a uniqued node of whole numbers; `None` for other
    /// metadata.
    fn numbers(&self, id: u32, context: &MetadataContext<'_>) -> Decoded<Option<Vec<u32>>> {
        let (table, index) = self.table(id)?;
        let MetadataEntry::Node {
            distinct: false,
            start,
            end,
        } = table.entries[index]
        else {
            return Ok(None);
        };
        let mut values = Vec::new();
        for operand in &table.operands[start as usize..end as usize] {
            let inner = operand.checked_sub(1).and_then(|id| u32::try_from(id).ok());
            let Some(inner) = inner else {
                return Ok(None);
            };
            let (table, index) = self.table(inner)?;
            let MetadataEntry::Value(_, value) = table.entries[index] else {
                return Ok(None);
            };
            let value = u32::try_from(value).map_err(|_| Opaque::Damaged)?;
            if context.constants.code(value) != Some(constant::INTEGER) {
                return Ok(None);
            }
            values.push(value);
        }
        Ok(Some(values))
    }
}
