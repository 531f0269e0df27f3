//! A digest of a module as the job reads it that compiles it: of everything but the directory of
//! its source file, the locations of inline assembly, and what follows from those.
//!
//! The name of the source file is a part of the GUIDs of local values, which stand in the shard,
//! and its last component is the name of the object's file symbol. Nothing else of it reaches an
//! object. The hash of the module, positions in the file, and the symbol table for linkers depend
//! on it too; no backend reads the last, and the first two are checked where they are used.
//!
//! Locations ([`ModuleView::cookies`]) and the GUIDs of local values, where a module holds these,
//! are constants of the module, in the order of the constants' table. Their values are left out, and
//! the digest of the module's graph is added, which has locations by identity, GUIDs as what follows
//! from names, and either by value wherever such a number is used for something else too.

use std::collections::BTreeSet;

#[cfg(doc)]
use super::ModuleView;
use super::code::{block, constant, module as code};
use super::encoder::Hash;
use super::{Decoded, Opaque};
use crate::thinlto::bitcode::block as outer;
use crate::thinlto::bitstream::{BlockHeader, Records, text};

/// The digest so far. It takes what the file holds in the order of the file, constants at the end.
#[derive(Debug, Default, Clone)]
pub(super) struct OwnDigest {
    hasher: blake3::Hasher,
    has_source_filename: bool,
}

impl OwnDigest {
    /// Takes a block with all that it holds.
    pub(super) fn block(&mut self, stream: &[u8], header: &BlockHeader) {
        if !matches!(header.id, block::VALUE_SYMTAB | block::CONSTANTS) {
            self.whole(stream, header);
        }
    }

    fn whole(&mut self, stream: &[u8], header: &BlockHeader) {
        self.number(header.id);
        self.number(u64::from(header.width));
        self.bytes(&stream[header.body.clone()]);
    }

    /// Takes a record of the module block, code first.
    pub(super) fn record(&mut self, record: &[u64]) -> Decoded<()> {
        match record {
            [code::HASH | code::VSTOFFSET, ..] => {}
            // They follow from the names; which of them are there does not.
            [code::GUIDLIST, halves @ ..] => {
                self.number(code::GUIDLIST);
                for guid in halves.chunks(2) {
                    self.number(u64::from(guid.iter().any(|half| *half != 0)));
                }
            }
            [code::SOURCE_FILENAME, characters @ ..] => {
                if std::mem::replace(&mut self.has_source_filename, true) {
                    return Err(Opaque::Place(outer::MODULE));
                }
                self.number(code::SOURCE_FILENAME);
                self.bytes(file_symbol(&text(characters)));
            }
            _ => {
                self.number(outer::MODULE);
                self.number(record.len() as u64);
                for value in record {
                    self.number(*value);
                }
            }
        }
        Ok(())
    }

    /// Takes the names to which the records refer.
    pub(super) fn names(&mut self, strtab: &[u8], records: &[Vec<u64>]) -> Decoded<()> {
        let ends = records.iter().filter_map(|record| names_end(record));
        let end = usize::try_from(ends.max().unwrap_or_default()).map_err(|_| Opaque::Damaged)?;
        self.bytes(strtab.get(..end).ok_or(Opaque::Damaged)?);
        Ok(())
    }

    /// The digest of a module whose constants, those of the block `constants`, all count.
    pub(super) fn finish(mut self, stream: &[u8], constants: Option<&BlockHeader>) -> Hash {
        if let Some(header) = constants {
            self.whole(stream, header);
        }
        self.hasher.finalize().into()
    }

    /// The digest without the values of the constants `left_out`. Constants are numbered from
    /// `base`; `graph` is the digest of all that the module's graph has.
    pub(super) fn finish_without(
        mut self,
        constants: &Records,
        base: u32,
        left_out: &BTreeSet<u32>,
        graph: &Hash,
    ) -> Hash {
        self.number(left_out.len() as u64);
        let mut id = base;
        for record in constants.iter() {
            self.number(record.code);
            let is_left_out = record.code == constant::INTEGER && left_out.contains(&id);
            if record.code != constant::SETTYPE {
                id = id.saturating_add(1);
            }
            if is_left_out {
                continue;
            }
            self.number(record.operands.len() as u64);
            for operand in record.operands {
                self.number(*operand);
            }
        }
        self.bytes(graph);
        self.hasher.finalize().into()
    }

    fn number(&mut self, number: u64) {
        self.hasher.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.hasher.update(bytes);
    }
}

/// Where the last name ends that a record refers to: its own, or that of its partition.
fn names_end(record: &[u64]) -> Option<u64> {
    let (code, operands) = record.split_first()?;
    let partition = match *code {
        code::GLOBALVAR => 16,
        code::FUNCTION => 19,
        code::ALIAS => 11,
        code::IFUNC => 8,
        code::COMDAT => usize::MAX,
        _ => return None,
    };
    let end = |at: usize| match operands.get(at..)? {
        // A name of no bytes may be said to start anywhere.
        [_, 0, ..] => None,
        [start, size, ..] => Some(start.saturating_add(*size)),
        _ => None,
    };
    end(0).max(end(partition))
}

/// The last component of a path, as LLVM takes it for the name of the file symbol; the whole of a
/// path of an unusual form.
fn file_symbol(path: &[u8]) -> &[u8] {
    match path.rsplit(|byte| *byte == b'/').next() {
        Some(name) if !name.is_empty() && !path.starts_with(b"//") => name,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_symbol_is_the_last_component() {
        assert_eq!(file_symbol(b"/one/two/x.c"), b"x.c");
        assert_eq!(file_symbol(b"x.c"), b"x.c");
        assert_eq!(file_symbol(b""), b"");
        assert_eq!(file_symbol(b"/one/"), b"/one/");
        assert_eq!(file_symbol(b"//net"), b"//net");
    }
}
