//! Whether the functions of a module say which processor they are for.

use std::collections::HashSet;

use memchr::memmem;

use super::bitcode::{self, MAGIC_BITS, block};
use super::bitstream::{BitstreamEntry, BlockHeader, BlockInfo, BlockReader, Records, text};

/// Blocks inside a module (`llvm/Bitcode/LLVMBitCodes.h`).
const LISTS: u64 = 9;
const GROUPS: u64 = 10;
const BODY: u64 = 12;

/// Records of a module block.
const VERSION: u64 = 1;
const FUNCTION: u64 = 8;
/// The version in which names are in a string table, which decides where a record has what.
const KNOWN_VERSION: u64 = 2;

/// The place of a group's attributes: the function itself.
const OF_FUNCTION: u64 = 0xffff_ffff;
/// What a function must say; a compiler's target counts for what is missing.
const NEEDED: [&[u8]; 2] = [b"target-cpu\0", b"target-features\0"];

/// Whether `triple` is one of 64-bit ARM: Apple's name for it is known everywhere.
#[must_use]
pub fn is_aarch64(triple: &str) -> bool {
    triple.starts_with("aarch64") || triple.starts_with("arm64")
}

/// Whether each function that is defined in the bitcode file `bytes` says which processor and which
/// features of it are meant. `false` also where the file is not understood.
#[must_use]
pub fn names_processors(bytes: &[u8]) -> bool {
    read(bytes).unwrap_or(false)
}

fn read(bytes: &[u8]) -> Option<bool> {
    let stream = bitcode::stream(bytes).ok()?;
    let mut info = BlockInfo::default();
    let mut top = BlockReader::top_level(stream, MAGIC_BITS);
    let mut names = None;
    while let Some(header) = top.next_block().ok()? {
        match header.id {
            block::MODULE => {
                let of_module = module(stream, &header, &mut info)?;
                names = Some(of_module && names != Some(false));
            }
            block::BLOCKINFO => info.read(stream, &header).ok()?,
            _ => {}
        }
    }
    names
}

fn module(stream: &[u8], header: &BlockHeader, info: &mut BlockInfo) -> Option<bool> {
    let mut entries = BlockReader::enter(stream, header, info.abbrevs_of(block::MODULE));
    let (mut groups, mut lists) = (HashSet::new(), Vec::new());
    let mut values = Vec::new();
    loop {
        values.clear();
        match entries.next(&mut values).ok()? {
            BitstreamEntry::Block(inner) => {
                let records = || Records::read(stream, &inner, info.abbrevs_of(inner.id)).ok();
                match inner.id {
                    block::BLOCKINFO => info.read(stream, &inner).ok()?,
                    GROUPS => groups = naming_groups(&records()?),
                    LISTS => lists = naming_lists(&records()?, &groups),
                    // All functions have been declared.
                    BODY => return Some(true),
                    _ => {}
                }
            }
            BitstreamEntry::Record(_) => match values[..] {
                [VERSION, version, ..] if version != KNOWN_VERSION => return Some(false),
                // Its name, type and calling convention come before.
                [FUNCTION, _, _, _, _, is_declaration, _, list, ..] => {
                    let list = usize::try_from(list).ok()?.checked_sub(1);
                    let names = list.and_then(|list| lists.get(list));
                    if is_declaration == 0 && names != Some(&true) {
                        return Some(false);
                    }
                }
                _ => {}
            },
            BitstreamEntry::Definition => {}
            BitstreamEntry::End => return Some(true),
        }
    }
}

/// The groups of attributes that say all of [`NEEDED`].
fn naming_groups(records: &Records) -> HashSet<u64> {
    let groups = records.iter().filter_map(|record| match record.operands {
        [group, OF_FUNCTION, attributes @ ..] => {
            let attributes = text(attributes);
            let said = |name: &&[u8]| memmem::find(&attributes, name).is_some();
            NEEDED.iter().all(said).then_some(*group)
        }
        _ => None,
    });
    groups.collect()
}

/// Of each list of groups, whether one is among `groups`.
fn naming_lists(records: &Records, groups: &HashSet<u64>) -> Vec<bool> {
    let lists = records.iter();
    let names = lists.map(|record| record.operands.iter().any(|group| groups.contains(group)));
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thinlto::testing::{records, stream};

    #[test]
    fn what_is_not_understood_names_no_processor() {
        assert!(!names_processors(b""));
        assert!(!names_processors(b"int main() {}\n"));
        let empty = stream(&[]);
        assert!(names_processors(&empty));
        assert!(!names_processors(&empty[..empty.len() / 2]));
    }

    #[test]
    fn a_group_of_a_function_names_processor_and_features() {
        let row = |group: u64, place: u64, said: &[u8]| {
            let head = [3, group, place].into_iter();
            head.chain(said.iter().map(|byte| u64::from(*byte)))
                .collect::<Vec<u64>>()
        };
        let all = b"\x04target-cpu\0x\0\x04target-features\0+y\0";
        let rows = [
            row(1, OF_FUNCTION, all),
            row(2, 1, all),
            row(3, OF_FUNCTION, b"\x04target-cpu\0x\0"),
        ];
        let rows: Vec<&[u64]> = rows.iter().map(|row| &row[..]).collect();
        let groups = naming_groups(&records(4, &rows));
        assert_eq!(groups, HashSet::from([1]));
        let lists = records(4, &[&[2, 2, 1], &[2, 2, 3], &[2]]);
        assert_eq!(naming_lists(&lists, &groups), [true, false, false]);
    }
}
