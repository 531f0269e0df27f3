//! A digest of a module as the job reads it that compiles it: of everything but the directory of
//! its source file, and what follows from that.
//!
//! The name of the source file is a part of the GUIDs of local values, which stand in the shard,
//! and its last component is the name of the object's file symbol. Nothing else of it reaches an
//! object. The hash of the module, positions in the file, and the symbol table for linkers depend
//! on it too; no backend reads the last, and the first two are checked where they are used.

use super::code::{block, module as code};
use super::encoder::Hash;
use super::{Decoded, Opaque};
use crate::thinlto::bitcode::block as outer;
use crate::thinlto::bitstream::{BlockHeader, text};

/// The digest so far. It takes what the file holds in the order of the file.
#[derive(Debug, Default)]
pub(super) struct OwnDigest {
    hasher: blake3::Hasher,
    has_source_filename: bool,
}

impl OwnDigest {
    /// Takes a block with all that it holds.
    pub(super) fn block(&mut self, stream: &[u8], header: &BlockHeader) {
        if header.id != block::VALUE_SYMTAB {
            self.number(header.id);
            self.number(u64::from(header.width));
            self.bytes(&stream[header.body.clone()]);
        }
    }

    /// Takes a record of the module block, code first.
    pub(super) fn record(&mut self, record: &[u64]) -> Decoded<()> {
        match record {
            [code::HASH | code::VSTOFFSET, ..] => {}
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

    pub(super) fn finish(&self) -> Hash {
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
