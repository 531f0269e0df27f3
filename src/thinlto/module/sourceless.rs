//! A digest of a bitcode file that does not depend on the name of its source file.
//!
//! clang writes the name as it was spelled into the module, so two checkouts in different
//! directories give different modules where the build spells absolute paths. `relto explain` tells
//! such modules from changed ones.

use crate::thinlto::bitcode::block;
use crate::thinlto::bitstream::{BitstreamError, BlockHeader, text};
use crate::thinlto::symbols::blob;

/// Record codes in a module block that depend on the name: itself, the hash of the whole module,
/// and positions in the file.
mod code {
    pub(super) const VSTOFFSET: u64 = 13;
    pub(super) const SOURCE_FILENAME: u64 = 16;
    pub(super) const HASH: u64 = 17;
}

/// Holds positions of functions in the file.
const VALUE_SYMTAB: u64 = 14;

/// The digest so far.
#[derive(Default)]
pub(super) struct SourcelessDigest {
    hasher: blake3::Hasher,
    names: Vec<Vec<u8>>,
}

impl SourcelessDigest {
    /// Takes a block of the top level that holds no records of interest.
    pub(super) fn outer(
        &mut self,
        stream: &[u8],
        header: &BlockHeader,
    ) -> Result<(), BitstreamError> {
        match header.id {
            // Read by linkers alone; it holds positions in the string table.
            block::SYMTAB => {}
            block::STRTAB => {
                let strings = blob(stream, header)?.unwrap_or_default();
                self.strings(&strings);
            }
            _ => self.inner(stream, header),
        }
        Ok(())
    }

    /// Takes a block inside the module.
    pub(super) fn inner(&mut self, stream: &[u8], header: &BlockHeader) {
        if header.id != VALUE_SYMTAB {
            self.hasher.update(&header.id.to_le_bytes());
            self.hasher.update(&stream[header.body.clone()]);
        }
    }

    /// Takes a record of the module.
    pub(super) fn record(&mut self, record: &[u64]) {
        match record {
            [code::SOURCE_FILENAME, characters @ ..] => {
                self.names.push(text(characters));
            }
            [code::HASH | code::VSTOFFSET, ..] => {}
            _ => {
                for value in record {
                    self.hasher.update(&value.to_le_bytes());
                }
            }
        }
    }

    /// The string table names the source file once more, behind the symbols.
    fn strings(&mut self, strings: &[u8]) {
        let mut rest = strings;
        for name in self.names.iter().filter(|name| !name.is_empty()) {
            let found = rest.windows(name.len()).rposition(|part| part == name);
            if let Some(at) = found {
                self.hasher.update(&rest[at + name.len()..]);
                rest = &rest[..at];
            }
        }
        self.hasher.update(rest);
    }

    pub(super) fn finish(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        digest.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        digest
    }
}
