//! The body of one function: its instructions with their attachments, independent of all tables.

mod slots;

use std::collections::{HashMap, HashSet};

use self::slots::Slot;
use super::code::{block, constant, metadata as metadata_code};
use super::constants::{ConstantContext, Constants};
use super::encoder::{Encoder, is_left_out};
use super::file::Abbrevs;
use super::metadata::{Guid, Metadata, MetadataBlock};
use super::tables::{LOCATION_KIND, Tables};
use super::types::Signature;
use super::{Decoded, Opaque, Part};
use crate::thinlto::bitstream::{BitstreamEntry, BlockHeader, BlockReader, Records};

/// Records of a symbol table inside a function.
const VST_ENTRY: u64 = 1;
const VST_BLOCK_ENTRY: u64 = 2;

/// The function block at a place of the stream.
pub(super) struct Body<'a> {
    pub(super) stream: &'a [u8],
    pub(super) header: &'a BlockHeader,
    pub(super) abbrevs: &'a Abbrevs,
    pub(super) signature: &'a Signature,
    /// The GUID that the function must have, if the module holds GUIDs.
    pub(super) guid: Option<Guid>,
}

impl Body<'_> {
    /// Reads the body. The metadata of the function is `metadata`'s only meanwhile.
    pub(super) fn read(
        &self,
        tables: &Tables<'_>,
        metadata: &mut Metadata,
        texts: &mut dyn FnMut(&[u8]),
    ) -> Decoded<Part> {
        let mut writer = FunctionWriter::new(tables, metadata, self.signature, self.guid)?;
        let read = self.read_into(&mut writer, texts);
        let part = read.map(|()| writer.finish());
        metadata.set_function(None);
        part
    }

    fn read_into(
        &self,
        writer: &mut FunctionWriter<'_>,
        texts: &mut dyn FnMut(&[u8]),
    ) -> Decoded<()> {
        let mut entries =
            BlockReader::enter(self.stream, self.header, self.abbrevs.of(block::FUNCTION));
        let mut values = Vec::new();
        loop {
            values.clear();
            match entries.next(&mut values)? {
                BitstreamEntry::End => return Ok(()),
                BitstreamEntry::Definition => {}
                BitstreamEntry::Block(inner) => self.block(&inner, writer, texts)?,
                BitstreamEntry::Record(_) => {
                    let (code, operands) = values.split_first().ok_or(Opaque::Damaged)?;
                    writer.instruction(*code, operands)?;
                }
            }
        }
    }

    fn block(
        &self,
        header: &BlockHeader,
        writer: &mut FunctionWriter<'_>,
        texts: &mut dyn FnMut(&[u8]),
    ) -> Decoded<()> {
        let records = Records::read(self.stream, header, self.abbrevs.of(header.id))?;
        if records.nested().is_some() {
            return Err(Opaque::Place(header.id));
        }
        match header.id {
            block::CONSTANTS => {
                super::reader::constant_texts(&records, texts);
                writer.constants(&records)
            }
            block::METADATA => {
                writer.metadata(&records)?;
                texts(writer.metadata.function_text());
                Ok(())
            }
            block::METADATA_ATTACHMENT => writer.attachments(&records),
            block::VALUE_SYMTAB => writer.symbols(&records),
            id => Err(Opaque::Block(id)),
        }
    }
}

/// The digest of a body as it grows.
pub(super) struct FunctionWriter<'a> {
    pub(super) tables: &'a Tables<'a>,
    metadata: &'a mut Metadata,
    local: Option<Constants>,
    encoder: Encoder,
    /// The meaning of the slots.
    trailer: Encoder,
    slots: HashMap<Slot, u32>,
    seen: HashSet<u32>,
    part: Part,
    /// Value numbers: of the first argument, of the first local constant, of the first instruction,
    /// and the next one.
    first_argument: u32,
    first_local: u32,
    first_instruction: u32,
    pub(super) next_value: u32,
    /// How many instructions there were so far.
    pub(super) instructions: u64,
    /// Those of them that are calls of inline assembly, counted from zero.
    assembly_calls: HashSet<u64>,
    guid: Option<Guid>,
}

impl<'a> FunctionWriter<'a> {
    fn new(
        tables: &'a Tables<'a>,
        metadata: &'a mut Metadata,
        signature: &Signature,
        guid: Option<Guid>,
    ) -> Decoded<Self> {
        let first_argument = tables.values()?;
        let arguments = u32::try_from(signature.parameters.len()).map_err(|_| Opaque::Damaged)?;
        let first_local = first_argument
            .checked_add(arguments)
            .ok_or(Opaque::Damaged)?;
        Ok(Self {
            tables,
            metadata,
            local: None,
            encoder: Encoder::default(),
            trailer: Encoder::default(),
            slots: HashMap::new(),
            seen: HashSet::new(),
            part: Part::default(),
            first_argument,
            first_local,
            first_instruction: first_local,
            next_value: first_local,
            instructions: 0,
            assembly_calls: HashSet::new(),
            guid,
        })
    }

    fn finish(mut self) -> Part {
        self.part.digest = self.encoder.finish_with(&self.trailer);
        self.part
    }

    fn constants(&mut self, records: &Records) -> Decoded<()> {
        if self.local.is_some() || self.next_value != self.first_local {
            return Err(Opaque::Place(block::CONSTANTS));
        }
        let context = ConstantContext {
            types: &self.tables.types,
            names: &self.tables.names,
            outer: Some(&self.tables.constants),
        };
        let constants = Constants::read(records, self.first_local, &context)?;
        let count = u32::try_from(constants.len()).map_err(|_| Opaque::Damaged)?;
        self.next_value = self.first_local.checked_add(count).ok_or(Opaque::Damaged)?;
        self.first_instruction = self.next_value;
        self.local = Some(constants);
        Ok(())
    }

    fn metadata(&mut self, records: &Records) -> Decoded<()> {
        if self.metadata.has_function() {
            return Err(Opaque::Place(block::METADATA));
        }
        let table = MetadataBlock::read(records, self.metadata.function_base()?)?;
        if !table.named.is_empty() || !table.attachments.is_empty() {
            return Err(Opaque::Place(block::METADATA));
        }
        self.metadata.set_function(Some(table));
        Ok(())
    }

    fn attachments(&mut self, records: &Records) -> Decoded<()> {
        for record in records.iter() {
            if record.code != metadata_code::ATTACHMENT {
                return Err(Opaque::Record {
                    block: block::METADATA_ATTACHMENT,
                    code: record.code,
                });
            }
            let (instruction, pairs) = match record.operands {
                pairs if pairs.len() % 2 == 0 => (0, pairs),
                [instruction, pairs @ ..] => {
                    let number = instruction.checked_add(1).ok_or(Opaque::Damaged)?;
                    (number, pairs)
                }
                [] => (0, record.operands),
            };
            self.record(block::METADATA_ATTACHMENT, record.code);
            self.number(instruction);
            self.encoder.tag(pairs.len() as u64);
            for pair in pairs.as_chunks::<2>().0 {
                if self.is_guid(instruction, pair)? {
                    self.slot(Slot::Guid)?;
                    continue;
                }
                self.slot(Slot::MetadataKind(pair[0]))?;
                match self.cookie(instruction, pair)? {
                    Some(cookie) => self.slot(Slot::Cookie(cookie))?,
                    None => self.slot(Slot::Metadata(pair[1]))?,
                }
            }
        }
        Ok(())
    }

    /// Whether an attachment of this kind and node is the GUID that the function must have.
    fn is_guid(&mut self, instruction: u64, pair: &[u64; 2]) -> Decoded<bool> {
        match self.guid {
            Some(guid) if instruction == 0 && self.tables.is_guid(pair[0]) => {
                let context = self.tables.metadata_context();
                self.metadata.is_guid(pair[1], guid, &context)
            }
            _ => Ok(false),
        }
    }

    /// The location cookie that an attachment of this kind and node is, if it is the one of a call
    /// of inline assembly. That of another call says where a function is used that the source warns
    /// of; it stays what it is.
    fn cookie(&mut self, instruction: u64, pair: &[u64; 2]) -> Decoded<Option<u64>> {
        let is_assembly = instruction
            .checked_sub(1)
            .is_some_and(|number| self.assembly_calls.contains(&number));
        if !is_assembly || self.tables.metadata_kind(pair[0])? != LOCATION_KIND {
            return Ok(None);
        }
        let context = self.tables.metadata_context();
        self.metadata.cookie(pair[1], &context)
    }

    /// Notes that the next instruction calls the value `id`.
    pub(super) fn callee(&mut self, id: u32) {
        if self.constants_of(id).code(id) == Some(constant::INLINEASM) {
            self.assembly_calls.insert(self.instructions);
        }
    }

    /// The function's own constants, or those of the module: whichever a value number is of.
    fn constants_of(&self, id: u32) -> &Constants {
        let local = self.local.as_ref().filter(|_| id >= self.first_local);
        local.unwrap_or(&self.tables.constants)
    }

    fn symbols(&mut self, records: &Records) -> Decoded<()> {
        for record in records.iter() {
            self.record(block::VALUE_SYMTAB, record.code);
            match (record.code, record.operands) {
                (VST_ENTRY, [id, name @ ..]) => {
                    let id = u32::try_from(*id).map_err(|_| Opaque::Damaged)?;
                    self.value(id)?;
                    self.encoder.numbers(name);
                }
                (VST_BLOCK_ENTRY, _) => self.encoder.numbers(record.operands),
                (code, _) => {
                    return Err(Opaque::Record {
                        block: block::VALUE_SYMTAB,
                        code,
                    });
                }
            }
        }
        Ok(())
    }

    /// Begins a record.
    pub(super) fn record(&mut self, block: u64, code: u64) {
        self.encoder.tag(block);
        self.encoder.number(code);
    }

    /// How many of something follow.
    pub(super) fn count(&mut self, count: u64) {
        self.encoder.tag(count);
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn number(&mut self, number: u64) {
        self.encoder.number(number);
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn type_id(&mut self, id: u64) -> Decoded<()> {
        self.slot(Slot::Type(id))
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn attributes(&mut self, id: u64) -> Decoded<()> {
        self.slot(Slot::Attributes(id))
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn bundle(&mut self, id: u64) -> Decoded<()> {
        self.slot(Slot::Bundle(id))
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn scope(&mut self, id: u64) -> Decoded<()> {
        self.slot(Slot::Scope(id))
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn metadata_id(&mut self, id: u64) -> Decoded<()> {
        self.slot(Slot::Metadata(id))
    }

    /// A value by its number: arguments and instructions by their position in the function, which
    /// constants before them shift.
    #[cfg_attr(test, track_caller)]
    pub(super) fn value(&mut self, id: u32) -> Decoded<()> {
        if is_left_out() {
            return Ok(());
        }
        if id >= self.first_instruction {
            self.encoder.tag(2);
            self.encoder.tag(u64::from(id - self.first_instruction));
            Ok(())
        } else if (self.first_argument..self.first_local).contains(&id) {
            self.encoder.tag(1);
            self.encoder.tag(u64::from(id - self.first_argument));
            Ok(())
        } else {
            self.encoder.tag(0);
            self.slot(Slot::Value(id))
        }
    }
}
