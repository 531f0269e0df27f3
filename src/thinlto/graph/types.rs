//! The type table: each type by its content, with its name.

use super::code::block;
use super::encoder::{Encoder, Hash};
use super::{Decoded, Opaque};
use crate::thinlto::bitstream::{Record, Records};

/// Records of a type table.
mod code {
    pub(super) const NUMENTRY: u64 = 1;
    pub(super) const VOID: u64 = 2;
    pub(super) const FLOAT: u64 = 3;
    pub(super) const DOUBLE: u64 = 4;
    pub(super) const LABEL: u64 = 5;
    pub(super) const OPAQUE: u64 = 6;
    pub(super) const INTEGER: u64 = 7;
    pub(super) const HALF: u64 = 10;
    pub(super) const ARRAY: u64 = 11;
    pub(super) const VECTOR: u64 = 12;
    pub(super) const X86_FP80: u64 = 13;
    pub(super) const FP128: u64 = 14;
    pub(super) const PPC_FP128: u64 = 15;
    pub(super) const METADATA: u64 = 16;
    pub(super) const STRUCT_ANON: u64 = 18;
    pub(super) const STRUCT_NAME: u64 = 19;
    pub(super) const STRUCT_NAMED: u64 = 20;
    pub(super) const FUNCTION: u64 = 21;
    pub(super) const TOKEN: u64 = 22;
    pub(super) const BFLOAT: u64 = 23;
    pub(super) const X86_AMX: u64 = 24;
    pub(super) const OPAQUE_POINTER: u64 = 25;
    pub(super) const TARGET_TYPE: u64 = 26;
    pub(super) const BYTE: u64 = 27;
}

/// What the decoding of operands depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TypeShape {
    Void,
    Label,
    Metadata,
    Function(Signature),
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) variadic: bool,
    pub(super) result: u32,
    pub(super) parameters: Vec<u32>,
}

/// The types of a module, by number.
#[derive(Debug, Default)]
pub(super) struct Types {
    hashes: Vec<Hash>,
    shapes: Vec<TypeShape>,
}

impl Types {
    pub(super) fn read(records: &Records) -> Decoded<Self> {
        let mut types = Self::default();
        let mut name: Option<Vec<u64>> = None;
        for record in records.iter() {
            match record.code {
                code::NUMENTRY => {}
                code::STRUCT_NAME => name = Some(record.operands.to_vec()),
                _ => types.add(record, name.take())?,
            }
        }
        Ok(types)
    }

    #[expect(clippy::too_many_lines, reason = "a table of records")]
    fn add(&mut self, record: Record<'_>, name: Option<Vec<u64>>) -> Decoded<()> {
        let shape_error = || unknown(record.code);
        let operands = record.operands;
        let mut encoder = Encoder::default();
        encoder.number(record.code);
        let takes_name = matches!(
            record.code,
            code::OPAQUE | code::STRUCT_NAMED | code::TARGET_TYPE
        );
        if name.is_some() && !takes_name {
            return Err(shape_error());
        }
        if takes_name {
            encoder.tag(u64::from(name.is_some()));
            encoder.numbers(&name.unwrap_or_default());
        }
        let mut shape = TypeShape::Other;
        match (record.code, operands) {
            (code::VOID, []) => shape = TypeShape::Void,
            (code::LABEL, []) => shape = TypeShape::Label,
            (code::METADATA, []) => shape = TypeShape::Metadata,
            (
                code::FLOAT
                | code::DOUBLE
                | code::HALF
                | code::BFLOAT
                | code::X86_FP80
                | code::FP128
                | code::PPC_FP128
                | code::TOKEN
                | code::X86_AMX,
                [],
            ) => {}
            (code::OPAQUE | code::INTEGER | code::OPAQUE_POINTER | code::BYTE, [value]) => {
                encoder.number(*value);
            }
            (code::ARRAY, [count, element]) => {
                encoder.number(*count);
                encoder.hash(self.hash(*element)?);
            }
            (code::VECTOR, [count, element, rest @ ..]) if rest.len() <= 1 => {
                encoder.number(*count);
                encoder.hash(self.hash(*element)?);
                encoder.numbers(rest);
            }
            (code::STRUCT_ANON | code::STRUCT_NAMED, [packed, elements @ ..]) => {
                encoder.number(*packed);
                self.encode_all(elements, &mut encoder)?;
            }
            (code::FUNCTION, [variadic, rest @ ..]) => {
                encoder.number(*variadic);
                self.encode_all(rest, &mut encoder)?;
                let (result, parameters) = rest.split_first().ok_or_else(shape_error)?;
                let narrow = |id: &u64| u32::try_from(*id).map_err(|_| shape_error());
                shape = TypeShape::Function(Signature {
                    variadic: *variadic != 0,
                    result: narrow(result)?,
                    parameters: parameters.iter().map(narrow).collect::<Decoded<_>>()?,
                });
            }
            (code::TARGET_TYPE, [count, rest @ ..]) => {
                let count = usize::try_from(*count).map_err(|_| shape_error())?;
                let (inner, numbers) = rest.split_at_checked(count).ok_or_else(shape_error)?;
                self.encode_all(inner, &mut encoder)?;
                encoder.numbers(numbers);
            }
            _ => return Err(shape_error()),
        }
        self.hashes.push(encoder.finish());
        self.shapes.push(shape);
        Ok(())
    }

    /// The hash of the type of whole numbers of so many bits.
    pub(super) fn integer(width: u64) -> Hash {
        let mut encoder = Encoder::default();
        encoder.tag(code::INTEGER);
        encoder.tag(width);
        encoder.finish()
    }

    fn encode_all(&self, ids: &[u64], encoder: &mut Encoder) -> Decoded<()> {
        encoder.tag(ids.len() as u64);
        for id in ids {
            encoder.hash(self.hash(*id)?);
        }
        Ok(())
    }

    /// The hash of a type that was defined before. Pointers are opaque, so no type needs one that
    /// follows it.
    pub(super) fn hash(&self, id: u64) -> Decoded<&Hash> {
        let index = usize::try_from(id).map_err(|_| Opaque::Damaged)?;
        self.hashes.get(index).ok_or(Opaque::Damaged)
    }

    pub(super) fn shape(&self, id: u64) -> Decoded<&TypeShape> {
        let index = usize::try_from(id).map_err(|_| Opaque::Damaged)?;
        self.shapes.get(index).ok_or(Opaque::Damaged)
    }

    pub(super) fn signature(&self, id: u64) -> Decoded<&Signature> {
        match self.shape(id)? {
            TypeShape::Function(signature) => Ok(signature),
            _ => Err(Opaque::Damaged),
        }
    }
}

fn unknown(code: u64) -> Opaque {
    Opaque::Record {
        block: block::TYPE,
        code,
    }
}
