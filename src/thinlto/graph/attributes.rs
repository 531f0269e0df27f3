//! Attribute lists, by their content.

use std::collections::HashMap;

use super::code::block;
use super::encoder::{Encoder, Hash};
use super::types::Types;
use super::{Decoded, Opaque};
use crate::thinlto::bitstream::Records;

/// Records of the two attribute blocks.
const LIST: u64 = 2;
const GROUP: u64 = 3;

/// How an attribute is written inside a group.
mod form {
    pub(super) const ENUM: u64 = 0;
    pub(super) const INTEGER: u64 = 1;
    pub(super) const TEXT: u64 = 3;
    pub(super) const TEXT_WITH_VALUE: u64 = 4;
    pub(super) const TYPE_ABSENT: u64 = 5;
    pub(super) const TYPE: u64 = 6;
    pub(super) const RANGE: u64 = 7;
    pub(super) const RANGE_LIST: u64 = 8;
}

/// The attribute lists of a module, by number.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<Hash>);

impl Attributes {
    pub(super) fn read(
        groups: Option<&Records>,
        lists: Option<&Records>,
        types: &Types,
    ) -> Decoded<Self> {
        let mut by_id = HashMap::new();
        for record in groups.iter().flat_map(|records| records.iter()) {
            let [id, index, rest @ ..] = record.operands else {
                return Err(unknown(block::PARAMATTR_GROUP, record.code));
            };
            if record.code != GROUP {
                return Err(unknown(block::PARAMATTR_GROUP, record.code));
            }
            let mut encoder = Encoder::default();
            encoder.number(*index);
            group(rest, types, &mut encoder)
                .ok_or_else(|| unknown(block::PARAMATTR_GROUP, record.code))?;
            if by_id.insert(*id, encoder.finish()).is_some() {
                return Err(Opaque::Place(block::PARAMATTR_GROUP));
            }
        }
        let mut found = Vec::new();
        for record in lists.iter().flat_map(|records| records.iter()) {
            if record.code != LIST {
                return Err(unknown(block::PARAMATTR, record.code));
            }
            let mut encoder = Encoder::default();
            for id in record.operands {
                encoder.hash(by_id.get(id).ok_or(Opaque::Damaged)?);
            }
            found.push(encoder.finish());
        }
        Ok(Self(found))
    }

    /// The list that a record names by one more than its number, 0 for none.
    pub(super) fn hash(&self, number: u64) -> Decoded<Hash> {
        match number.checked_sub(1) {
            None => Ok(Hash::default()),
            Some(index) => {
                let index = usize::try_from(index).map_err(|_| Opaque::Damaged)?;
                self.0.get(index).copied().ok_or(Opaque::Damaged)
            }
        }
    }
}

/// Encodes the attributes of a group; `None` where they are not laid out as expected.
fn group(mut rest: &[u64], types: &Types, encoder: &mut Encoder) -> Option<()> {
    while let [form, key @ ..] = rest {
        encoder.number(*form);
        rest = match (*form, key) {
            (form::ENUM | form::TYPE_ABSENT, [kind, rest @ ..]) => {
                encoder.number(*kind);
                rest
            }
            (form::INTEGER, [kind, value, rest @ ..]) => {
                encoder.number(*kind);
                encoder.number(*value);
                rest
            }
            (form::TEXT | form::TEXT_WITH_VALUE, _) if is_of_signed_pointers(key) => return None,
            (form::TEXT, _) => text(key, encoder)?,
            (form::TEXT_WITH_VALUE, _) => text(text(key, encoder)?, encoder)?,
            (form::TYPE, [kind, id, rest @ ..]) => {
                encoder.number(*kind);
                encoder.hash(types.hash(*id).ok()?);
                rest
            }
            (form::RANGE, [kind, width, rest @ ..]) => {
                encoder.numbers(&[*kind, *width]);
                range(*width, rest, encoder)?
            }
            (form::RANGE_LIST, [kind, count, width, rest @ ..]) => {
                encoder.numbers(&[*kind, *count, *width]);
                let mut rest = rest;
                for _ in 0..*count {
                    rest = range(*width, rest, encoder)?;
                }
                rest
            }
            _ => return None,
        };
    }
    Some(())
}

/// Whether the name of an attribute is one of those that sign pointers: code has hashes of the names
/// of functions then.
fn is_of_signed_pointers(name: &[u64]) -> bool {
    let start = b"ptrauth".iter().map(|byte| u64::from(*byte));
    name.iter().copied().take(start.len()).eq(start)
}

/// Characters up to a zero.
fn text<'a>(values: &'a [u64], encoder: &mut Encoder) -> Option<&'a [u64]> {
    let end = values.iter().position(|value| *value == 0)?;
    encoder.numbers(&values[..end]);
    values.get(end + 1..)
}

/// A range of integers that fit into a word.
fn range<'a>(width: u64, values: &'a [u64], encoder: &mut Encoder) -> Option<&'a [u64]> {
    match values {
        [lower, upper, rest @ ..] if width <= 64 => {
            encoder.numbers(&[*lower, *upper]);
            Some(rest)
        }
        _ => None,
    }
}

fn unknown(block: u64, code: u64) -> Opaque {
    Opaque::Record { block, code }
}
