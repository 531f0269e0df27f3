//! All records of one block in flat storage, and the block's body written from them.

use super::abbrev::Abbrev;
use super::reader::{BitstreamEntry, BlockHeader, BlockReader};
use super::writer::BitWriter;
use super::{BitstreamError, FIRST_APPLICATION, Result, id, width};

/// A record: its code, its operands, and the id of the abbreviation that it is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::thinlto) struct Record<'a> {
    pub(in crate::thinlto) code: u64,
    pub(in crate::thinlto) operands: &'a [u64],
    pub(in crate::thinlto) abbrev: u32,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    abbrev: u32,
}

/// An abbreviation and the number of records before its definition.
#[derive(Debug, Clone)]
struct Definition {
    before: usize,
    abbrev: Abbrev,
}

/// The records of a block. There is no allocation per record: all values are in one vector, code
/// first.
#[derive(Debug, Clone, Default)]
pub(in crate::thinlto) struct Records {
    values: Vec<u64>,
    spans: Vec<Span>,
    inherited: Vec<Abbrev>,
    definitions: Vec<Definition>,
    width: u32,
    nested: Option<u64>,
}

impl Records {
    /// Reads the block at `header`. Nested blocks are skipped and remembered.
    pub(in crate::thinlto) fn read(
        stream: &[u8],
        header: &BlockHeader,
        inherited: Vec<Abbrev>,
    ) -> Result<Self> {
        let bits = header.body.len() * 8;
        let mut block = BlockReader::enter(stream, header, inherited.clone());
        let mut records = Self {
            // LLVM's records take about eight bits per value.
            values: Vec::with_capacity(header.body.len()),
            inherited,
            width: header.width,
            ..Self::default()
        };
        loop {
            let start = records.values.len();
            match block.next(&mut records.values)? {
                BitstreamEntry::End => return Ok(records),
                BitstreamEntry::Block(nested) => records.nested = Some(nested.id),
                BitstreamEntry::Definition => {
                    let before = records.spans.len();
                    let defined = block.abbrevs().last().cloned();
                    let definition = defined.map(|abbrev| Definition { before, abbrev });
                    records.definitions.extend(definition);
                }
                BitstreamEntry::Record(abbrev) => {
                    // Literals take no bits: without this check a small block could expand without
                    // limit.
                    if records.values.len() > bits || !records.close(start, abbrev) {
                        return Err(BitstreamError::Malformed {
                            at: block.position(),
                            what: "more values than bits",
                        });
                    }
                }
            }
        }
    }

    /// No records; all of `abbrevs` are defined at the start.
    #[cfg(test)]
    pub(in crate::thinlto) fn with(width: u32, abbrevs: Vec<Abbrev>) -> Self {
        let definitions = abbrevs.into_iter();
        let definitions = definitions.map(|abbrev| Definition { before: 0, abbrev });
        Self {
            definitions: definitions.collect(),
            width,
            ..Self::default()
        }
    }

    /// The same records with abbreviations from BLOCKINFO.
    #[cfg(test)]
    pub(in crate::thinlto) fn with_inherited(mut self, abbrevs: Vec<Abbrev>) -> Self {
        self.inherited = abbrevs;
        self
    }

    /// Width of an abbreviation id.
    #[cfg(test)]
    pub(in crate::thinlto) fn width(&self) -> u32 {
        self.width
    }

    /// No records, but the same abbreviations, defined at the same positions.
    pub(in crate::thinlto) fn emptied(&self) -> Self {
        Self {
            values: Vec::with_capacity(self.values.len()),
            spans: Vec::with_capacity(self.spans.len()),
            inherited: self.inherited.clone(),
            definitions: self.definitions.clone(),
            ..*self
        }
    }

    /// Appends a record, code first. It is written with `abbrev` if the abbreviation is defined by
    /// then and fits.
    pub(in crate::thinlto) fn push(&mut self, values: impl IntoIterator<Item = u64>, abbrev: u32) {
        let start = self.values.len();
        self.values.extend(values);
        let closed = self.close(start, abbrev);
        debug_assert!(closed, "as many values as a block that was read");
    }

    /// Appends a copy of a record and returns its operands for editing.
    #[inline]
    pub(in crate::thinlto) fn push_copy(&mut self, record: Record<'_>) -> &mut [u64] {
        let start = self.values.len();
        self.values.push(record.code);
        self.values.extend_from_slice(record.operands);
        let closed = self.close(start, record.abbrev);
        debug_assert!(closed, "as many values as a block that was read");
        &mut self.values[start + 1..]
    }

    fn close(&mut self, start: usize, abbrev: u32) -> bool {
        let (start, end) = (u32::try_from(start), u32::try_from(self.values.len()));
        let (Ok(start), Ok(end)) = (start, end) else {
            return false;
        };
        self.spans.push(Span { start, end, abbrev });
        true
    }

    pub(in crate::thinlto) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The record at a position below `len`.
    #[inline]
    pub(in crate::thinlto) fn get(&self, position: usize) -> Record<'_> {
        let span = self.spans[position];
        let values = &self.values[span.start as usize..span.end as usize];
        // The reader and [`push`](Self::push) put the code first.
        let (code, operands) = values.split_first().unwrap_or((&0, &[]));
        Record {
            code: *code,
            operands,
            abbrev: span.abbrev,
        }
    }

    pub(in crate::thinlto) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map(|position| self.get(position))
    }

    /// Id of a block nested in this one, if any; its contents were not read.
    pub(in crate::thinlto) fn nested(&self) -> Option<u64> {
        self.nested
    }

    /// The positions before which abbreviations are defined.
    pub(in crate::thinlto) fn definition_positions(&self) -> impl Iterator<Item = usize> {
        self.definitions.iter().map(|definition| definition.before)
    }

    /// Abbreviations with their ids, in order of definition.
    pub(in crate::thinlto) fn abbrevs(&self) -> impl Iterator<Item = (u32, &Abbrev)> {
        let defined = self.definitions.iter().map(|definition| &definition.abbrev);
        (FIRST_APPLICATION..).zip(self.inherited.iter().chain(defined))
    }

    /// The body of the block including `END_BLOCK`, padded to whole words.
    pub(in crate::thinlto) fn body(&self) -> Vec<u8> {
        let mut bits = BitWriter::with_capacity(self.values.len() * 2);
        let mut known: Vec<&Abbrev> = self.inherited.iter().collect();
        let mut definitions = self.definitions.iter().peekable();
        for (position, span) in self.spans.iter().enumerate() {
            while let Some(next) = definitions.next_if(|next| next.before <= position) {
                self.define(&mut bits, &next.abbrev);
                known.push(&next.abbrev);
            }
            let values = &self.values[span.start as usize..span.end as usize];
            self.write(&mut bits, &known, span.abbrev, values);
        }
        for last in definitions {
            self.define(&mut bits, &last.abbrev);
        }
        bits.fixed(id::END_BLOCK, self.width);
        bits.finish()
    }

    fn define(&self, bits: &mut BitWriter, abbrev: &Abbrev) {
        bits.fixed(id::DEFINE_ABBREV, self.width);
        abbrev.write_definition(bits);
    }

    #[inline]
    fn write(&self, bits: &mut BitWriter, known: &[&Abbrev], abbrev_id: u32, values: &[u64]) {
        let number = abbrev_id.checked_sub(FIRST_APPLICATION);
        let abbrev = number.and_then(|number| known.get(number as usize));
        match abbrev {
            Some(abbrev) if abbrev.fits(values) => {
                bits.fixed(u64::from(abbrev_id), self.width);
                abbrev.write_record(bits, values);
            }
            _ => {
                let (code, operands) = values.split_first().unwrap_or((&0, &[]));
                bits.fixed(id::UNABBREV_RECORD, self.width);
                bits.vbr(*code, width::OPERAND);
                bits.vbr(operands.len() as u64, width::LENGTH);
                for operand in operands {
                    bits.vbr(*operand, width::OPERAND);
                }
            }
        }
    }
}
