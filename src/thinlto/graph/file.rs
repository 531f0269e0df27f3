//! The blocks and records of a bitcode file that holds one module.

use std::collections::{BTreeSet, HashMap};

use super::code::{block, metadata as metadata_code, module as code};
use super::encoder::{Encoder, Hash};
use super::own::OwnDigest;
use super::{Decoded, Opaque};
use crate::thinlto::bitcode::{self, MAGIC_BITS, block as outer};
use crate::thinlto::bitstream::{
    Abbrev, BitstreamEntry, BlockHeader, BlockInfo, BlockReader, Records, text,
};

/// The only code of an identification block's text, of tags, of scopes, of the string table.
const TEXT: u64 = 1;
const EPOCH: u64 = 2;
/// Releases of LLVM whose bitcode the differential tests cover.
const RELEASES: [u32; 4] = [21, 22, 23, 24];
/// Those with which they have compared as much as is asked for (`docs/slice-keys.md`), modules of
/// stable releases of rustc too.
pub const PROVED_RELEASES: [u32; 3] = [21, 22, 23];
/// What the name of such a producer begins with.
const LLVM: &str = "LLVM";
/// What follows where it is that of a release of rustc: `LLVM22.1.2-rust-1.95.0-stable`.
const RUST: &str = "-rust-";
const STABLE: &str = "-stable";
/// Record of a summary's flags.
const SUMMARY_FLAGS: u64 = 20;

/// Abbreviations that the module defines for blocks inside it.
pub(super) struct Abbrevs(BlockInfo);

impl Abbrevs {
    pub(super) fn of(&self, block: u64) -> Vec<Abbrev> {
        self.0.abbrevs_of(block)
    }
}

/// The blocks and records of a file.
pub(super) struct ModuleFile<'a> {
    pub(super) stream: &'a [u8],
    pub(super) abbrevs: Abbrevs,
    identification: Records,
    pub(super) strtab: Vec<u8>,
    blocks: HashMap<u64, BlockHeader>,
    pub(super) functions: Vec<BlockHeader>,
    /// The records of the module block itself.
    pub(super) records: Vec<Vec<u64>>,
    own: OwnDigest,
}

impl<'a> ModuleFile<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Decoded<Self> {
        let stream = bitcode::stream(bytes)?;
        let mut top = BlockReader::top_level(stream, MAGIC_BITS);
        let mut found: HashMap<u64, BlockHeader> = HashMap::new();
        while let Some(header) = top.next_block()? {
            match header.id {
                outer::MODULE | outer::IDENTIFICATION | outer::STRTAB | outer::SYMTAB => {}
                id => return Err(Opaque::Block(id)),
            }
            if found.insert(header.id, header).is_some() {
                return Err(Opaque::ModuleCount);
            }
        }
        let whole = |id: u64| match found.get(&id) {
            Some(header) => Ok(Records::read(stream, header, Vec::new())?),
            None => Err(Opaque::ModuleCount),
        };
        let strtab = whole(outer::STRTAB)?;
        let mut file = Self {
            stream,
            abbrevs: Abbrevs(BlockInfo::default()),
            identification: whole(outer::IDENTIFICATION)?,
            strtab: match strtab.iter().next() {
                Some(record) if record.code == TEXT && strtab.len() == 1 => text(record.operands),
                _ => return Err(Opaque::Damaged),
            },
            blocks: HashMap::new(),
            functions: Vec::new(),
            records: Vec::new(),
            own: OwnDigest::default(),
        };
        if let Some(identification) = found.get(&outer::IDENTIFICATION) {
            file.own.block(stream, identification);
        }
        file.module(found.get(&outer::MODULE).ok_or(Opaque::ModuleCount)?)?;
        file.own.names(&file.strtab, &file.records)?;
        file.check_symbol_table_place()?;
        Ok(file)
    }

    /// The digest of the module as its own job reads it.
    pub(super) fn own_digest(&self) -> Hash {
        let constants = self.blocks.get(&block::CONSTANTS);
        self.own.clone().finish(self.stream, constants)
    }

    /// The same without the values of the constants `left_out` ([`OwnDigest::finish_without`]).
    pub(super) fn own_digest_without(
        &self,
        base: u32,
        left_out: &BTreeSet<u32>,
        graph: &Hash,
    ) -> Decoded<Hash> {
        let constants = self.block(block::CONSTANTS)?;
        let constants = constants.ok_or(Opaque::Place(block::CONSTANTS))?;
        let own = self.own.clone();
        Ok(own.finish_without(&constants, base, left_out, graph))
    }

    /// A compiler finds the symbol table, and by it the bodies of functions, at the place that a
    /// record names.
    fn check_symbol_table_place(&self) -> Decoded<()> {
        let table = self.blocks.get(&block::VALUE_SYMTAB);
        let mut named = self.records.iter().filter_map(|record| match record[..] {
            [code::VSTOFFSET, place, ..] => Some(place),
            _ => None,
        });
        match (table, named.next(), named.next()) {
            (None, None, None) => Ok(()),
            (Some(table), Some(place), None) if Some(place) == place_of(table) => Ok(()),
            _ => Err(Opaque::Place(block::VALUE_SYMTAB)),
        }
    }

    fn module(&mut self, header: &BlockHeader) -> Decoded<()> {
        let mut entries = BlockReader::enter(self.stream, header, Vec::new());
        let mut values = Vec::new();
        loop {
            values.clear();
            match entries.next(&mut values)? {
                BitstreamEntry::End => return Ok(()),
                BitstreamEntry::Definition => {}
                BitstreamEntry::Record(_) => {
                    let late = self.blocks.contains_key(&block::CONSTANTS);
                    if late && values[0] != code::HASH {
                        return Err(Opaque::Place(outer::MODULE));
                    }
                    self.own.record(&values)?;
                    self.records.push(values.clone());
                }
                BitstreamEntry::Block(inner) => self.inner(inner)?,
            }
        }
    }

    fn inner(&mut self, inner: BlockHeader) -> Decoded<()> {
        self.own.block(self.stream, &inner);
        match inner.id {
            outer::BLOCKINFO => self.abbrevs.0.read(self.stream, &inner)?,
            block::FUNCTION => self.functions.push(inner),
            block::PARAMATTR
            | block::PARAMATTR_GROUP
            | block::CONSTANTS
            | block::VALUE_SYMTAB
            | block::METADATA
            | block::TYPE
            | block::OPERAND_BUNDLE_TAGS
            | block::METADATA_KIND
            | block::SYNC_SCOPE_NAMES
            | outer::GLOBALVAL_SUMMARY => {
                let id = inner.id;
                if self.blocks.insert(id, inner).is_some() {
                    return Err(Opaque::Place(id));
                }
            }
            id => return Err(Opaque::Block(id)),
        }
        Ok(())
    }

    /// The records of a block, if it is there.
    pub(super) fn block(&self, id: u64) -> Decoded<Option<Records>> {
        let Some(header) = self.blocks.get(&id) else {
            return Ok(None);
        };
        let records = Records::read(self.stream, header, self.abbrevs.of(id))?;
        match records.nested() {
            Some(_) => Err(Opaque::Place(id)),
            None => Ok(Some(records)),
        }
    }

    /// Texts of a block that has nothing else.
    pub(super) fn texts(&self, id: u64) -> Decoded<Vec<Vec<u8>>> {
        let records = self.block(id)?;
        let records = records.iter().flat_map(Records::iter);
        records
            .map(|record| match record.code {
                TEXT => Ok(text(record.operands)),
                code => Err(Opaque::Record { block: id, code }),
            })
            .collect()
    }

    pub(super) fn kinds(&self) -> Decoded<HashMap<u64, Vec<u8>>> {
        let records = self.block(block::METADATA_KIND)?;
        let records = records.iter().flat_map(Records::iter);
        records
            .map(|record| match (record.code, record.operands) {
                (metadata_code::KIND, [id, name @ ..]) => Ok((*id, text(name))),
                (code, _) => Err(Opaque::Record {
                    block: block::METADATA_KIND,
                    code,
                }),
            })
            .collect()
    }

    /// Checks the producer, and adds it with the epoch to the head. Returns its release.
    pub(super) fn identification(&self, head: &mut Encoder) -> Decoded<u32> {
        let mut release = None;
        for record in self.identification.iter() {
            head.number(record.code);
            head.numbers(record.operands);
            match record.code {
                TEXT => {
                    let name = lossy(&text(record.operands));
                    release = release_of(&name);
                    if release.is_none() {
                        return Err(Opaque::Producer(name));
                    }
                }
                EPOCH => {}
                code => {
                    return Err(Opaque::Record {
                        block: outer::IDENTIFICATION,
                        code,
                    });
                }
            }
        }
        let release = match self.identification.iter().next() {
            Some(record) if record.code == TEXT => release,
            _ => None,
        };
        release.ok_or_else(|| Opaque::Producer(String::new()))
    }

    /// The flags of the module's summary, and that it has one: else no backend imports from it.
    pub(super) fn summary(&self, head: &mut Encoder) -> Decoded<()> {
        let Some(header) = self.blocks.get(&outer::GLOBALVAL_SUMMARY) else {
            return Err(Opaque::Block(outer::GLOBALVAL_SUMMARY));
        };
        let inherited = self.abbrevs.of(outer::GLOBALVAL_SUMMARY);
        let mut entries = BlockReader::enter(self.stream, header, inherited);
        let mut values = Vec::new();
        loop {
            values.clear();
            match entries.next(&mut values)? {
                BitstreamEntry::End => return Ok(()),
                BitstreamEntry::Record(_) if values.first() == Some(&SUMMARY_FLAGS) => {
                    head.numbers(&values);
                    return Ok(());
                }
                _ => {}
            }
        }
    }
}

/// The one of [`RELEASES`] that the producer of a module is of, if it is that, or what a release of
/// rustc has of it, and nothing else.
fn release_of(producer: &str) -> Option<u32> {
    let (release, rest) = producer.strip_prefix(LLVM)?.split_once('.')?;
    let release = release.parse().ok()?;
    let is_number = |text: &str| {
        let mut bytes = text.bytes();
        bytes.all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let is_release = match rest.split_once(RUST) {
        Some((of_llvm, of_rust)) => {
            let is_stable = of_rust.strip_suffix(STABLE).is_some_and(is_number);
            PROVED_RELEASES.contains(&release) && is_number(of_llvm) && is_stable
        }
        None => is_number(rest),
    };
    (is_release && RELEASES.contains(&release)).then_some(release)
}

/// Where records say that a block is: in words from the magic number to the word before its length.
pub(super) fn place_of(header: &BlockHeader) -> Option<u64> {
    (header.length_at as u64 / 4).checked_sub(1)
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::release_of;

    #[test]
    fn only_plain_producers_of_releases_that_were_compared_are_known() {
        assert_eq!(release_of("LLVM22.1.8"), Some(22));
        assert_eq!(release_of("LLVM24.0.0"), Some(24));
        assert_eq!(release_of("LLVM21.1.3-rust-1.92.0-stable"), Some(21));
        assert_eq!(release_of("LLVM22.1.2-rust-1.95.0-stable"), Some(22));
        assert_eq!(release_of("LLVM23.1.1-rust-1.99.1-stable"), Some(23));
        for producer in [
            "LLVM20.1.0",
            "LLVM25.1.0",
            "LLVM22.1.8git",
            "LLVM22.1.2-rust-1.96.0-nightly",
            "LLVM24.1.0-rust-1.103.0-stable",
            "APPLE_1_22",
            "LLVM22",
        ] {
            assert_eq!(release_of(producer), None, "{producer}");
        }
    }
}
