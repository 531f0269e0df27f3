//! Which GUIDs a job imports from each module, as its shard says, and what its backend sees of the
//! shard besides.

use std::collections::{BTreeSet, HashMap};

use super::bitstream::{Record, Records};
use super::canonical::{Obstacle, canonical};
use super::index::{Index, ModuleHash, strtab};
use super::summary_code as code;

/// The GUIDs of summaries by the number of their module. A compiler imports what has a summary of a
/// module that is not its own (`lto::initImportList`).
pub type Imports = HashMap<u64, BTreeSet<u64>>;

impl Index<'_> {
    /// The summaries of each module.
    ///
    /// # Errors
    /// The shard has records whose meaning is not known for certain.
    pub fn imports(&self) -> Result<Imports, Obstacle> {
        if let Some(id) = self.foreign_block.or(self.summary.nested()) {
            return Err(Obstacle::UnknownBlock { id });
        }
        let mut guids = HashMap::new();
        let mut imports = Imports::new();
        for record in self.summary.iter() {
            let code = record.code;
            let shape = Obstacle::Shape { code };
            match (code, record.operands) {
                (code::VALUE_GUID, [id, upper, lower]) => {
                    guids.insert(*id, upper << 32 | lower);
                }
                (
                    code::COMBINED_PROFILE
                    | code::COMBINED_GLOBALVAR_INIT_REFS
                    | code::COMBINED_ALIAS,
                    [id, module, ..],
                ) => {
                    let guid = *guids.get(id).ok_or(shape)?;
                    imports.entry(*module).or_default().insert(guid);
                }
                (
                    code::VERSION
                    | code::TYPE_TESTS..=code::TYPE_CHECKED_LOAD_CONST_VCALL
                    | code::FLAGS
                    | code::TYPE_ID
                    | code::BLOCK_COUNT
                    | code::PARAM_ACCESS,
                    _,
                ) => {}
                (code::VALUE_GUID, _) => return Err(shape),
                // Those of control-flow integrity and of heap profiles make data of names.
                _ => return Err(Obstacle::UnknownCode { code }),
            }
        }
        Ok(imports)
    }

    /// The GUIDs of all values that summaries mention; ascending.
    #[must_use]
    pub fn guids(&self) -> Vec<u64> {
        let guids = self.summary.iter().filter_map(|record| match record {
            Record {
                code: code::VALUE_GUID,
                operands: [_, upper, lower],
                ..
            } => Some(upper << 32 | lower),
            _ => None,
        });
        let mut guids: Vec<u64> = guids.collect();
        guids.sort_unstable();
        guids
    }

    /// What a backend sees of the shard, and no more: without the hashes of modules (whether one
    /// has a hash stays, and which have the same), and with `renamed` GUIDs in canonical order. It
    /// is to be hashed, not read.
    ///
    /// # Errors
    /// The summary has no canonical order.
    pub fn as_seen(&self, renamed: &dyn Fn(u64) -> u64) -> Result<Vec<u8>, Obstacle> {
        let summary = self.summary_with(renamed)?.body();
        let (strtab, hidden) = (&self.strtab_block, self.module_paths());
        let mut blocks = [
            (strtab.length_at..strtab.body.end, hidden),
            (
                self.summary_block.length_at..self.summary_block.body.end,
                summary,
            ),
        ];
        blocks.sort_by_key(|(place, _)| place.start);
        let module = &self.module_block;
        let mut out = Vec::with_capacity(self.stream.len());
        // The lengths of these blocks, and so that of the module, say nothing more.
        let mut rest = [0..module.length_at, module.body.start..self.stream.len()];
        out.extend_from_slice(&self.stream[rest[0].clone()]);
        for (place, contents) in blocks {
            out.extend_from_slice(&self.stream[rest[1].start..place.start]);
            out.extend((contents.len() as u64).to_le_bytes());
            out.extend(contents);
            rest[1].start = place.end;
        }
        out.extend_from_slice(&self.stream[rest[1].clone()]);
        Ok(out)
    }

    /// The summary in canonical order by these GUIDs.
    fn summary_with(&self, renamed: &dyn Fn(u64) -> u64) -> Result<Records, Obstacle> {
        let mut summary = self.summary.emptied();
        for record in self.summary.iter() {
            let operands = summary.push_copy(record);
            if let (code::VALUE_GUID, [_, upper, lower]) = (record.code, operands) {
                let guid = renamed(*upper << 32 | *lower);
                (*upper, *lower) = (guid >> 32, guid & u64::from(u32::MAX));
            }
        }
        canonical(&summary)
    }

    /// The records of the module paths, a hash as the place of its first occurrence.
    fn module_paths(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut seen: Vec<u64> = Vec::new();
        for record in self.strtab.iter() {
            out.extend(record.code.to_le_bytes());
            let number = (record.code == strtab::HASH)
                .then(|| super::index::hash(record.operands))
                .flatten()
                .map(|hash| suffix(Some(hash)));
            if let Some(number) = number {
                let rank = seen.iter().position(|known| *known == number);
                let rank = rank.unwrap_or(seen.len());
                if rank == seen.len() {
                    seen.push(number);
                }
                out.extend((rank as u64).to_le_bytes());
            } else {
                out.extend((record.operands.len() as u64).to_le_bytes());
                out.extend(record.operands.iter().flat_map(|it| it.to_le_bytes()));
            }
        }
        out
    }
}

/// What precedes the number in the name of a promoted local.
pub const PROMOTED: &[u8] = b".llvm.";

/// The number that follows [`PROMOTED`] in the names of a module's promoted locals
/// (`ModuleSummaryIndex::getGlobalNameForLocal`).
#[must_use]
pub fn suffix(hash: Option<ModuleHash>) -> u64 {
    let [upper, lower, ..] = hash.unwrap_or_default();
    u64::from(upper) << 32 | u64::from(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thinlto::testing::{CFI, DEVIRTUALIZED, MODULE_WIDTH, records, shard};

    #[test]
    fn imports_are_not_told_of_a_shard_with_control_flow_integrity_or_heap_profiles() {
        let imports = |bytes: &[u8]| Index::parse(bytes).expect("a shard").imports();
        assert!(imports(DEVIRTUALIZED).is_ok());
        let cfi = imports(CFI);
        assert_eq!(
            cfi,
            Err(Obstacle::UnknownCode {
                code: code::CFI_FUNCTION_DEFS
            })
        );
        let strtab = records(MODULE_WIDTH, &[&[1, 0, 97]]);
        for code in 26..=33 {
            let profile = records(4, &[&[10, 12], &[20, 0], &[code, 1, 0, 0]]);
            let imports = imports(&shard(&strtab, &profile));
            assert_eq!(imports, Err(Obstacle::UnknownCode { code }));
        }
    }
}
