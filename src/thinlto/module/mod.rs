//! What a bitcode module contains besides code: its content hash and its target.
//!
//! Function bodies, constants and metadata are digested, not read. Callers compare the hash with
//! the one that a shard expects.

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::bitcode::{self, FileType, MAGIC_BITS, NotBitcode, block};
use super::bitstream::{BitstreamEntry, BitstreamError, BlockHeader, BlockInfo, BlockReader, text};
use super::index::{ModuleHash, hash};
use super::processor::{is_aarch64, names_processors};
use crate::error::Hinted;
use sourceless::SourcelessDigest;

mod sourceless;
#[cfg(test)]
mod tests;

/// Record codes in a module block.
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
    #[error("the bitcode has no module")]
    NoModule,
}

impl Hinted for ModuleError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotBitcode(NotBitcode(FileType::Elf)) => vec![
                "compile with `-flto=thin`; from a FatLTO object take the section `.llvm.lto`"
                    .to_owned(),
            ],
            Self::NotBitcode(_) => vec!["compile with `-flto=thin`".to_owned()],
            _ => vec!["compile the module again".to_owned()],
        }
    }
}

/// The facts of a bitcode file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModuleFacts {
    /// Hash records of all modules in the file, in order; a module may have none. With
    /// `-fsplit-lto-unit` a file has two modules, and the first one is the `ThinLTO` one.
    pub hashes: Vec<ModuleHash>,
    /// Number of modules in the file.
    pub modules: u32,
    /// Target triple of the first module that has one, or empty.
    pub triple: String,
    /// Equal for files that differ in the names of their source files only.
    pub sourceless: [u8; 16],
    /// It may hold debug information in the form of Windows.
    pub codeview: bool,
    /// The backend may make random tokens, which depend on the name of the module's file.
    pub random_tokens: bool,
    /// Some of its functions may not say for which processor they are, so clang's driver does. That is
    /// looked at where it matters, in modules for `AArch64`.
    pub lacks_processors: bool,
}

/// Reads the facts of the bitcode file `bytes`.
///
/// # Errors
/// The file is not bitcode, is damaged, or has no module.
pub fn facts(bytes: &[u8]) -> Result<ModuleFacts, ModuleError> {
    let stream = bitcode::stream(bytes)?;
    let mut found = ModuleFacts::default();
    let mut info = BlockInfo::default();
    let mut sourceless = SourcelessDigest::default();
    let mut top = BlockReader::top_level(stream, MAGIC_BITS);
    while let Some(header) = top.next_block()? {
        match header.id {
            block::MODULE => found.read(stream, &header, &mut info, &mut sourceless)?,
            block::BLOCKINFO => info.read(stream, &header)?,
            _ => sourceless.outer(stream, &header)?,
        }
    }
    found.sourceless = sourceless.finish();
    // Strings of metadata are stored as they are, aligned to bytes.
    let has = |flag: &[u8]| memmem::find(stream, flag).is_some();
    found.codeview = has(CODEVIEW_FLAG);
    found.random_tokens = has(TOKEN_MODE_FLAG) && has(b"random");
    found.lacks_processors = !is_aarch64(&found.triple) || !names_processors(bytes);
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
        sourceless: &mut SourcelessDigest,
    ) -> Result<(), BitstreamError> {
        self.modules += 1;
        let mut entries = BlockReader::enter(stream, header, info.abbrevs_of(block::MODULE));
        let mut values = Vec::new();
        loop {
            values.clear();
            match entries.next(&mut values)? {
                BitstreamEntry::End => return Ok(()),
                BitstreamEntry::Block(inner) if inner.id == block::BLOCKINFO => {
                    info.read(stream, &inner)?;
                }
                BitstreamEntry::Block(inner) => sourceless.inner(stream, &inner),
                BitstreamEntry::Definition => {}
                BitstreamEntry::Record(_) => {
                    self.note(&values);
                    sourceless.record(&values);
                }
            }
        }
    }

    fn note(&mut self, record: &[u64]) {
        match record {
            [code::HASH, words @ ..] => self.hashes.extend(hash(words)),
            [code::TRIPLE, characters @ ..] if self.triple.is_empty() => {
                self.triple = String::from_utf8_lossy(&text(characters)).into_owned();
            }
            _ => {}
        }
    }

    /// The compact form, for a database: a version byte and what postcard makes of the facts.
    ///
    /// # Panics
    /// Never: numbers and strings always have a postcard form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![ENCODING_VERSION])
            .expect("numbers and strings have a postcard form")
    }

    /// Reads the compact form. Returns `None` for anything that [`encode`](Self::encode) of this
    /// version did not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[ENCODING_VERSION], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        match postcard::take_from_bytes(rest) {
            Ok((facts, [])) => Some(facts),
            _ => None,
        }
    }
}

/// The module flag that asks for `CodeView`.
const CODEVIEW_FLAG: &[u8] = b"CodeView";

/// The module flag that says how tokens of allocations are made, by `-fsanitize=alloc-token`.
const TOKEN_MODE_FLAG: &[u8] = b"alloc-token-mode";

/// The first byte of the compact form; it changes with the form.
const ENCODING_VERSION: u8 = 7;
