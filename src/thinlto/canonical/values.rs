//! The ids of values: which GUID has which, as written and in canonical order.

use std::ops::Range;

use super::code;
use super::{Obstacle, Records};
use crate::thinlto::bitstream::UNABBREVIATED;

/// The values of a shard with their old and new ids.
pub(super) struct ValueIds {
    /// Sorted; the new id is the rank plus one.
    guids: Vec<u64>,
    /// New id by old id; 0 where there is none.
    new_ids: Vec<u32>,
    /// Number of operands of a `VALUE_GUID` record, three or two, and the abbreviation that it is
    /// written with.
    operands: usize,
    abbrev: u32,
}

impl ValueIds {
    pub(super) fn read(records: &Records, positions: Range<usize>) -> Result<Self, Obstacle> {
        let shape = Obstacle::Shape {
            code: code::VALUE_GUID,
        };
        let first = positions
            .clone()
            .next()
            .map(|position| records.get(position));
        let operands = first.map_or(0, |record| record.operands.len());
        // LLVM assigns ids densely; memory is proportional to the largest id.
        let most = positions.len() as u64 * 4 + 64;
        let mut by_guid = Vec::with_capacity(positions.len());
        for position in positions {
            let record = records.get(position);
            let guid = match *record.operands {
                [_, upper, lower] if u32::try_from(upper | lower).is_ok() => upper << 32 | lower,
                [_, guid] => guid,
                _ => return Err(shape),
            };
            let id = record.operands[0];
            if record.operands.len() != operands || id == 0 || id > most {
                return Err(shape);
            }
            by_guid.push((guid, id));
        }
        by_guid.sort_unstable();
        if by_guid.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Obstacle::AmbiguousValue);
        }

        let largest = by_guid.iter().map(|(_, id)| *id).max().unwrap_or_default();
        let mut new_ids = vec![0; usize::try_from(largest).map_err(|_| shape)? + 1];
        for (new, (_, old)) in (1..).zip(&by_guid) {
            let slot = usize::try_from(*old).map_err(|_| shape)?;
            if std::mem::replace(&mut new_ids[slot], new) != 0 {
                return Err(Obstacle::AmbiguousValue);
            }
        }
        Ok(Self {
            guids: by_guid.into_iter().map(|(guid, _)| guid).collect(),
            new_ids,
            operands,
            abbrev: first.map_or(UNABBREVIATED, |record| record.abbrev),
        })
    }

    pub(super) fn write(&self, out: &mut Records) {
        for (id, guid) in (1..).zip(&self.guids) {
            let (upper, lower) = (guid >> 32, guid & u64::from(u32::MAX));
            let record = match self.operands {
                2 => &[code::VALUE_GUID, id, *guid][..],
                _ => &[code::VALUE_GUID, id, upper, lower],
            };
            out.push(record.iter().copied(), self.abbrev);
        }
    }

    /// The number of values; the new ids are 1 to this.
    pub(super) fn len(&self) -> usize {
        self.guids.len()
    }

    /// The new id of a value, if it has one.
    #[inline]
    pub(super) fn new_id(&self, old: u64) -> Option<u32> {
        let new = *self.new_ids.get(usize::try_from(old).ok()?)?;
        (new != 0).then_some(new)
    }

    /// Replaces an id; 0 ("none") stays.
    #[inline]
    pub(super) fn renumber(&self, id: &mut u64) -> Option<()> {
        if *id != 0 {
            *id = u64::from(self.new_id(*id)?);
        }
        Some(())
    }
}
