//! What a bitcode module says about itself: its content hash and its target.
//!
//! Enters: the bytes of a bitcode file. Leaves: `ModuleFacts`, and a compact form of them for a
//! database. Function bodies, constants and metadata are skipped by length. Whether a hash is the
//! one that a shard expects is for the caller to compare.

use super::bitcode::{self, Looks, MAGIC_BITS, NotBitcode, block};
use super::bitstream::{BitstreamError, BlockHeader, BlockInfo, BlockReader, Entry};
use super::index::{ModuleHash, hash};
use crate::error::Hinted;

#[cfg(test)]
mod tests;

/// Codes in a module block.
mod code {
    /// `[character...]`
    pub(super) const TRIPLE: u64 = 2;
    /// `[5 x 32 bits]`
    pub(super) const HASH: u64 = 17;
}

/// A file that is not a usable bitcode module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    #[error(transparent)]
    NotBitcode(#[from] NotBitcode),
    #[error(transparent)]
    Bitstream(#[from] BitstreamError),
    #[error("bitcode without a module in it")]
    NoModule,
}

impl Hinted for ModuleError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotBitcode(NotBitcode(Looks::Elf)) => vec![
                "compile with `-flto=thin`; from a FatLTO object take the section `.llvm.lto`"
                    .to_owned(),
            ],
            Self::NotBitcode(_) => vec!["compile with `-flto=thin`".to_owned()],
            _ => vec!["compile the module again".to_owned()],
        }
    }
}

/// The facts of a bitcode file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleFacts {
    /// Hash records of all modules in the file, in order; a module may have none.
    /// `-fsplit-lto-unit` makes files of two modules, of which the first is the ThinLTO one.
    pub hashes: Vec<ModuleHash>,
    /// Modules in the file.
    pub modules: u32,
    /// Target triple of the first module that names one, or empty.
    pub triple: String,
}

/// Reads the facts of the bitcode file `bytes`.
///
/// # Errors
/// It is no bitcode, damaged, or holds no module.
pub fn facts(bytes: &[u8]) -> Result<ModuleFacts, ModuleError> {
    let stream = bitcode::stream(bytes)?;
    let mut found = ModuleFacts::default();
    let mut info = BlockInfo::default();
    let mut top = BlockReader::top_level(stream, MAGIC_BITS);
    while let Some(header) = top.next_block()? {
        match header.id {
            block::MODULE => found.read(stream, &header, &mut info)?,
            block::BLOCKINFO => info.read(stream, &header)?,
            _ => {}
        }
    }
    if found.modules == 0 {
        return Err(ModuleError::NoModule);
    }
    Ok(found)
}

impl ModuleFacts {
    fn read(
        &mut self,
        stream: &[u8],
        header: &BlockHeader,
        info: &mut BlockInfo,
    ) -> Result<(), BitstreamError> {
        self.modules += 1;
        let mut entries = BlockReader::enter(stream, header, info.abbrevs_of(block::MODULE));
        let mut values = Vec::new();
        loop {
            values.clear();
            match entries.next(&mut values)? {
                Entry::End => return Ok(()),
                Entry::Block(inner) if inner.id == block::BLOCKINFO => info.read(stream, &inner)?,
                Entry::Block(_) | Entry::Definition => {}
                Entry::Record(_) => self.note(&values),
            }
        }
    }

    fn note(&mut self, record: &[u64]) {
        match record {
            [code::HASH, words @ ..] => self.hashes.extend(hash(words)),
            [code::TRIPLE, characters @ ..] if self.triple.is_empty() => {
                let bytes: Vec<u8> = characters
                    .iter()
                    .map(|value| value.to_le_bytes()[0])
                    .collect();
                self.triple = String::from_utf8_lossy(&bytes).into_owned();
            }
            _ => {}
        }
    }

    /// The compact form: version, module count, number of hashes, hashes, triple.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![ENCODING_VERSION];
        out.extend(self.modules.to_le_bytes());
        out.extend((self.hashes.len() as u64).to_le_bytes());
        for word in self.hashes.iter().flatten() {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.triple.as_bytes());
        out
    }

    /// Reads the compact form; `None` for anything that `encode` of this version has not made.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        const HASH_SIZE: usize = size_of::<ModuleHash>();
        let (&[ENCODING_VERSION], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (modules, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let (hashes, triple) = rest.split_at_checked(count.checked_mul(HASH_SIZE)?)?;
        let (words, _) = hashes.as_chunks::<4>();
        let (hashes, _) = words.as_chunks::<5>();
        let hashes = hashes.iter().map(|words| words.map(u32::from_le_bytes));
        Some(Self {
            modules: u32::from_le_bytes(*modules),
            hashes: hashes.collect(),
            triple: String::from_utf8(triple.to_vec()).ok()?,
        })
    }
}

/// First byte of the compact form; a change of meaning changes it.
const ENCODING_VERSION: u8 = 1;
