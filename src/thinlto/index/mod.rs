//! Reads an index shard, as `--thinlto-index-only` or a DTLTO link writes it: the modules that it
//! names, their hashes, and its summary records as numbers.
//!
//! [`rewrite`](super::rewrite) and [`canonical`](super::canonical) rename the modules and reorder
//! the summary.

use std::fmt;

use super::bitcode::{self, MAGIC_BITS, NotBitcode, block};
use super::bitstream::{
    BitstreamEntry, BitstreamError, BlockHeader, BlockInfo, BlockReader, Records, text,
};
use crate::error::Hinted;

#[cfg(test)]
mod tests;

/// Record codes in `MODULE_STRTAB`.
pub(super) mod strtab {
    /// `[id, path byte...]`
    pub(in crate::thinlto) const ENTRY: u64 = 1;
    /// `[5 x 32 bits]`, for the entry before it.
    pub(in crate::thinlto) const HASH: u64 = 2;
}

/// SHA-1 of a module's bitcode as five words, as `MODULE_STRTAB` and the module itself hold it.
pub type ModuleHash = [u32; 5];

/// A shard that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error(transparent)]
    NotBitcode(#[from] NotBitcode),
    #[error(transparent)]
    Bitstream(#[from] BitstreamError),
    #[error("bitcode, but not a ThinLTO index: {0}")]
    NotAnIndex(&'static str),
    #[error("malformed ThinLTO index: {0}")]
    Malformed(&'static str),
}

impl Hinted for IndexError {
    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::NotAnIndex(_) => "give the `.thinlto.bc` file of the module, not the module",
            _ => "run the thin link again: the compiler would treat this index as empty and still succeed",
        }
        .to_owned()]
    }
}

/// A module that the shard names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleEntry {
    /// How summary records name the module.
    pub id: u64,
    /// The path at which the backend opens the module, and with which it compares the name of its
    /// input.
    pub path: Vec<u8>,
    /// `None` if the module was compiled without a hash.
    pub hash: Option<ModuleHash>,
    /// The path cannot be the one that the linker was given. LLVM before 23 sign-extends bytes over
    /// 127, which turns the following bytes of the same word into 0xFF, and those of the hash too
    /// if such a byte is among the last three.
    pub damaged: bool,
}

/// Index-wide flags (`ModuleSummaryIndex::getFlags`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IndexFlags(pub u64);

impl IndexFlags {
    const SKIP_MODULE: u64 = 1 << 1;

    /// The backend writes an empty object for this module: it was not extracted from its archive or
    /// `--start-lib` group.
    #[must_use]
    pub fn skip_module(self) -> bool {
        self.0 & Self::SKIP_MODULE != 0
    }
}

impl fmt::Debug for IndexFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexFlags({:#x})", self.0)
    }
}

/// A parsed shard.
#[derive(Debug)]
pub struct Index<'a> {
    /// Begins with the magic number; without the wrapper.
    pub(super) stream: &'a [u8],
    /// Headers of the module block and of the two blocks in it that make up the index.
    pub(super) module_block: BlockHeader,
    pub(super) strtab_block: BlockHeader,
    pub(super) summary_block: BlockHeader,
    pub(super) strtab: Records,
    pub(super) summary: Records,
    /// Id of a block that no known writer emits; it may refer to value ids.
    pub(super) foreign_block: Option<u64>,
    modules: Vec<ModuleEntry>,
    flags: IndexFlags,
    version: u64,
}

impl<'a> Index<'a> {
    /// Reads a shard.
    ///
    /// # Errors
    /// The bytes are not a bitstream that a compiler would read as an index, or a module is named
    /// twice.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IndexError> {
        let stream = bitcode::stream(bytes)?;
        let mut blocks = Blocks::default();
        blocks.find(stream)?;
        let module_block = blocks
            .module
            .ok_or(IndexError::NotAnIndex("it has no module block"))?;
        let strtab_block = blocks
            .strtab
            .ok_or(IndexError::NotAnIndex("it has no module paths"))?;
        let summary_block = blocks
            .summary
            .ok_or(IndexError::NotAnIndex("it has no summary"))?;

        let inherited = blocks.info.abbrevs_of(block::MODULE_STRTAB);
        let strtab = Records::read(stream, &strtab_block, inherited)?;
        let inherited = blocks.info.abbrevs_of(block::GLOBALVAL_SUMMARY);
        let summary = Records::read(stream, &summary_block, inherited)?;
        let modules = modules(&strtab)?;
        Ok(Self {
            flags: IndexFlags(first_operand(&summary, summary_code::FLAGS).unwrap_or_default()),
            version: first_operand(&summary, summary_code::VERSION)
                .ok_or(IndexError::Malformed("a summary without a version"))?,
            foreign_block: blocks.foreign,
            stream,
            module_block,
            strtab_block,
            summary_block,
            strtab,
            summary,
            modules,
        })
    }

    /// The modules, in the order of the shard: LLVM sorts them by path and numbers them from 0.
    #[must_use]
    pub fn modules(&self) -> &[ModuleEntry] {
        &self.modules
    }

    #[must_use]
    pub fn flags(&self) -> IndexFlags {
        self.flags
    }

    /// Version of the summary records: 9 up to LLVM 18, 12 in LLVM 22.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// Record codes in `GLOBALVAL_SUMMARY` that parsing needs.
mod summary_code {
    pub(super) const VERSION: u64 = 10;
    pub(super) const FLAGS: u64 = 20;
}

fn first_operand(records: &Records, code: u64) -> Option<u64> {
    let mut of_code = records.iter().filter(|record| record.code == code);
    of_code.next()?.operands.first().copied()
}

/// The blocks of a shard, collected in one pass.
#[derive(Default)]
struct Blocks {
    module: Option<BlockHeader>,
    strtab: Option<BlockHeader>,
    summary: Option<BlockHeader>,
    foreign: Option<u64>,
    info: BlockInfo,
}

impl Blocks {
    fn find(&mut self, stream: &[u8]) -> Result<(), IndexError> {
        if !stream.len().is_multiple_of(4) {
            return Err(IndexError::Malformed("its size is not a multiple of four"));
        }
        let mut top = BlockReader::top_level(stream, MAGIC_BITS);
        while let Some(header) = top.next_block()? {
            match header.id {
                block::MODULE => {
                    self.find_in_module(stream, &header)?;
                    once(&mut self.module, header)?;
                }
                block::BLOCKINFO => self.info.read(stream, &header)?,
                block::IDENTIFICATION | block::STRTAB | block::SYMTAB => {}
                id => self.foreign = Some(id),
            }
        }
        Ok(())
    }

    fn find_in_module(&mut self, stream: &[u8], header: &BlockHeader) -> Result<(), IndexError> {
        let inherited = self.info.abbrevs_of(block::MODULE);
        let mut entries = BlockReader::enter(stream, header, inherited);
        let mut values = Vec::new();
        loop {
            values.clear();
            match entries.next(&mut values)? {
                BitstreamEntry::End => return Ok(()),
                BitstreamEntry::Definition | BitstreamEntry::Record(_) => {}
                BitstreamEntry::Block(header) => match header.id {
                    block::MODULE_STRTAB => once(&mut self.strtab, header)?,
                    block::GLOBALVAL_SUMMARY => once(&mut self.summary, header)?,
                    block::BLOCKINFO => self.info.read(stream, &header)?,
                    id => self.foreign = Some(id),
                },
            }
        }
    }
}

fn once(slot: &mut Option<BlockHeader>, header: BlockHeader) -> Result<(), IndexError> {
    match slot.replace(header) {
        None => Ok(()),
        Some(_) => Err(IndexError::Malformed("a block appears twice")),
    }
}

fn modules(strtab: &Records) -> Result<Vec<ModuleEntry>, IndexError> {
    if strtab.nested().is_some() {
        return Err(IndexError::Malformed("a block among the module paths"));
    }
    let mut modules: Vec<ModuleEntry> = Vec::new();
    for record in strtab.iter() {
        match (record.code, record.operands) {
            (strtab::ENTRY, [id, path @ ..]) if !path.is_empty() => modules.push(entry(*id, path)),
            (strtab::HASH, operands) => match (modules.last_mut(), hash(operands)) {
                (Some(module), Some(hash)) if module.hash.is_none() => module.hash = Some(hash),
                _ => return Err(IndexError::Malformed("a hash that belongs to no module")),
            },
            _ => {
                return Err(IndexError::Malformed(
                    "an unknown record among the module paths",
                ));
            }
        }
    }
    check_unique(&modules)?;
    Ok(modules)
}

fn entry(id: u64, path: &[u64]) -> ModuleEntry {
    ModuleEntry {
        id,
        path: text(path),
        hash: None,
        damaged: path.iter().any(|value| *value >= 0xFF),
    }
}

/// Five words of 32 bits.
pub(super) fn hash(operands: &[u64]) -> Option<ModuleHash> {
    let operands: &[u64; 5] = operands.try_into().ok()?;
    let mut hash = ModuleHash::default();
    for (word, operand) in hash.iter_mut().zip(operands) {
        *word = u32::try_from(*operand).ok()?;
    }
    Some(hash)
}

fn check_unique(modules: &[ModuleEntry]) -> Result<(), IndexError> {
    let sorted = modules
        .windows(2)
        .all(|pair| pair[0].path < pair[1].path && pair[0].id < pair[1].id);
    if sorted {
        return Ok(());
    }
    let mut paths: Vec<&[u8]> = modules.iter().map(|module| &module.path[..]).collect();
    let mut ids: Vec<u64> = modules.iter().map(|module| module.id).collect();
    paths.sort_unstable();
    ids.sort_unstable();
    if paths.windows(2).any(|pair| pair[0] == pair[1]) || ids.windows(2).any(|p| p[0] == p[1]) {
        return Err(IndexError::Malformed("a module is named twice"));
    }
    Ok(())
}
