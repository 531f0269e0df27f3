//! The canonical order of a shard's summary: pure, records in, records out.
//!
//! LLVM 21 to 23 number values in the order of a hash table whose history depends on the module
//! paths, and so on lld's PID; nothing else differs. In canonical order the id of a value is 1 +
//! the rank of its GUID (0 stays "none"). Functions and variables are sorted by (module id, value
//! id), then aliases likewise. Records before a function belong to it and move with it.
//!
//! The layouts are those of `BitcodeReader.cpp` for summary versions 9 to 14. Whatever deviates
//! from them is an [`Obstacle`]: a cache miss is better than a misread record.

use std::ops::{Range, RangeInclusive};

use self::values::ValueIds;
use super::bitstream::{Record, Records};
use super::summary_code as code;

mod values;

#[cfg(test)]
mod tests;

/// Summary versions whose layouts were checked against the compiler.
const VERSIONS: RangeInclusive<u64> = 9..=14;

/// Why a summary cannot be put into canonical order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Obstacle {
    #[error("an unknown summary record of code {code}")]
    UnknownCode { code: u64 },
    #[error("unknown summary version {version}")]
    UnknownVersion { version: u64 },
    #[error("an unknown block with id {id}")]
    UnknownBlock { id: u64 },
    #[error("a summary record of code {code} with an unexpected layout")]
    Shape { code: u64 },
    #[error("a record of code {code} in an unexpected place")]
    Place { code: u64 },
    #[error("two ids for one value, or one id for two values")]
    AmbiguousValue,
    #[error("summaries of one value that are not in module order")]
    ModuleOrder,
}

/// The records of a summary in canonical order.
pub(super) fn canonical(records: &Records) -> Result<Records, Obstacle> {
    if let Some(id) = records.nested() {
        return Err(Obstacle::UnknownBlock { id });
    }
    let sections = Sections::of(records)?;
    let values = ValueIds::read(records, sections.guids.clone())?;
    let groups = groups(records, sections.summaries.clone(), &values)?;

    let mut out = records.emptied();
    for position in 0..sections.guids.start {
        out.push_copy(records.get(position));
    }
    values.write(&mut out);
    for position in groups.iter().flat_map(|group| group.first..=group.last) {
        let record = records.get(position);
        let operands = out.push_copy(record);
        let code = record.code;
        renumber(code, operands, &values).ok_or(Obstacle::Shape { code })?;
    }
    for position in sections.summaries.end..records.len() {
        out.push_copy(records.get(position));
    }
    Ok(out)
}

/// Ranges of the parts of a summary block, in this order.
struct Sections {
    guids: Range<usize>,
    /// Functions, variables and aliases.
    summaries: Range<usize>,
}

impl Sections {
    fn of(records: &Records) -> Result<Self, Obstacle> {
        let mut ends = [0; 4];
        let mut part = 0;
        for (position, record) in records.iter().enumerate() {
            let own = part_of(record)?;
            if own < part {
                return Err(Obstacle::Place { code: record.code });
            }
            part = own;
            ends[part..].fill(position + 1);
        }
        let [head, guids, summaries, _] = ends;
        // Moved records could come before the definition of their abbreviation.
        let moves = |at: usize| (head < at && at < guids) || (guids < at && at < summaries);
        if records.definition_positions().any(moves) {
            return Err(Obstacle::Place {
                code: code::VALUE_GUID,
            });
        }
        Ok(Self {
            guids: head..guids,
            summaries: guids..summaries,
        })
    }
}

/// The number of the part that a record belongs to: head, GUIDs, summaries or tail.
fn part_of(record: Record<'_>) -> Result<usize, Obstacle> {
    match record.code {
        code::VERSION => match record.operands.first().copied().unwrap_or_default() {
            version if VERSIONS.contains(&version) => Ok(0),
            version => Err(Obstacle::UnknownVersion { version }),
        },
        code::FLAGS => Ok(0),
        code::VALUE_GUID => Ok(1),
        code::COMBINED
        | code::COMBINED_PROFILE
        | code::COMBINED_GLOBALVAR_INIT_REFS
        | code::COMBINED_ALIAS
        | code::TYPE_TESTS..=code::TYPE_CHECKED_LOAD_CONST_VCALL
        | code::PARAM_ACCESS => Ok(2),
        code::CFI_FUNCTION_DEFS | code::CFI_FUNCTION_DECLS | code::TYPE_ID | code::BLOCK_COUNT => {
            Ok(3)
        }
        code => Err(Obstacle::UnknownCode { code }),
    }
}

/// A summary and the records before it that belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SummaryGroup {
    /// Alias or not, module and new id in one number, because the sort compares it often.
    key: u64,
    first: usize,
    last: usize,
}

impl SummaryGroup {
    const ALIAS: u64 = 1 << 63;
    const ID_BITS: u32 = 32;

    fn key(is_alias: bool, module: u64, id: u32) -> Option<u64> {
        let alias = if is_alias { Self::ALIAS } else { 0 };
        let module = u32::try_from(module)
            .ok()
            .filter(|module| module >> 31 == 0)?;
        Some(alias | u64::from(module) << Self::ID_BITS | u64::from(id))
    }
}

/// The summaries in canonical order.
fn groups(
    records: &Records,
    positions: Range<usize>,
    values: &ValueIds,
) -> Result<Vec<SummaryGroup>, Obstacle> {
    let mut groups = Vec::with_capacity(positions.len());
    // The last key of each value. A GUID may be defined in several modules, and a compiler takes
    // the first suitable one, so their order must be kept.
    let mut latest = vec![0; values.len() + 1];
    let mut first = positions.start;
    for position in positions.clone() {
        let record = records.get(position);
        let code = record.code;
        let is_alias = match code {
            code::COMBINED | code::COMBINED_PROFILE => false,
            // Only functions have records before them.
            _ if precedes_function(code) => continue,
            _ if first != position => return Err(Obstacle::Place { code }),
            code => code == code::COMBINED_ALIAS,
        };
        let (key, id) = key_of(record, is_alias, values).ok_or(Obstacle::Shape { code })?;
        if std::mem::replace(&mut latest[id], key) > key {
            return Err(Obstacle::ModuleOrder);
        }
        groups.push(SummaryGroup {
            key,
            first,
            last: position,
        });
        first = position + 1;
    }
    if first != positions.end {
        let code = records.get(first).code;
        return Err(Obstacle::Place { code });
    }
    groups.sort_unstable();
    Ok(groups)
}

/// The sort key of a summary, and the new id of its value.
fn key_of(record: Record<'_>, is_alias: bool, values: &ValueIds) -> Option<(u64, usize)> {
    let [id, module, ..] = *record.operands else {
        return None;
    };
    let id = values.new_id(id)?;
    Some((SummaryGroup::key(is_alias, module, id)?, id as usize))
}

/// Whether a record belongs to the function after it.
fn precedes_function(code: u64) -> bool {
    matches!(
        code,
        code::TYPE_TESTS..=code::TYPE_CHECKED_LOAD_CONST_VCALL | code::PARAM_ACCESS
    )
}

/// Replaces the value ids in a record's operands. Returns `None` if the record does not have the
/// expected layout.
fn renumber(code: u64, operands: &mut [u64], values: &ValueIds) -> Option<()> {
    let own_id = operands.first_mut();
    match code {
        code::COMBINED => {
            values.renumber(own_id?)?;
            let calls = renumber_refs(operands, values)?;
            calls.iter_mut().try_for_each(|id| values.renumber(id))
        }
        code::COMBINED_PROFILE => {
            values.renumber(own_id?)?;
            let calls = renumber_refs(operands, values)?;
            let (pairs, odd) = calls.as_chunks_mut::<2>();
            pairs
                .iter_mut()
                .try_for_each(|[id, _]| values.renumber(id))?;
            odd.is_empty().then_some(())
        }
        code::COMBINED_GLOBALVAR_INIT_REFS => {
            const FIXED: usize = 4;
            values.renumber(own_id?)?;
            let (_, refs) = operands.split_at_mut_checked(FIXED)?;
            refs.iter_mut().try_for_each(|id| values.renumber(id))
        }
        code::COMBINED_ALIAS => match operands {
            [id, _, _, aliasee] => [id, aliasee]
                .into_iter()
                .try_for_each(|id| values.renumber(id)),
            _ => None,
        },
        code::PARAM_ACCESS => renumber_param_access(operands, values),
        _ => Some(()),
    }
}

/// The references of a function, renumbered; returns its calls, which are not.
fn renumber_refs<'a>(operands: &'a mut [u64], values: &ValueIds) -> Option<&'a mut [u64]> {
    const REFS: usize = 6;
    const FIXED: usize = 9;
    let (fixed, rest) = operands.split_at_mut_checked(FIXED)?;
    let (refs, calls) = rest.split_at_mut_checked(usize::try_from(fixed[REFS]).ok()?)?;
    refs.iter_mut().try_for_each(|id| values.renumber(id))?;
    Some(calls)
}

fn renumber_param_access(mut operands: &mut [u64], values: &ValueIds) -> Option<()> {
    while !operands.is_empty() {
        let (head, rest) = operands.split_at_mut_checked(4)?;
        let calls = usize::try_from(head[3]).ok()?.checked_mul(4)?;
        let (calls, rest) = rest.split_at_mut_checked(calls)?;
        let (calls, _) = calls.as_chunks_mut::<4>();
        calls
            .iter_mut()
            .try_for_each(|[_, callee, _, _]| values.renumber(callee))?;
        operands = rest;
    }
    Some(())
}
