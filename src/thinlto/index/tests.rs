//! What is an index, what is not, and what it contains.

use proptest::prelude::*;

use super::{Index, IndexError};
use crate::thinlto::bitcode::block;
use crate::thinlto::bitcode::{FileType, NotBitcode};
use crate::thinlto::bitstream::BitWriter;
use crate::thinlto::testing::{
    CFI, DEVIRTUALIZED, MODULE_WIDTH, entry_abbrevs, records, shard, stream, summary, wrapped,
};

#[test]
fn a_shard_names_its_modules_in_the_order_of_their_paths() {
    let index = Index::parse(DEVIRTUALIZED).expect("a shard");
    let modules = index.modules();
    assert!(modules.is_sorted_by(|a, b| a.path < b.path));
    assert!(modules.iter().zip(0..).all(|(module, id)| module.id == id));
    assert!(
        modules
            .iter()
            .all(|module| module.hash.is_some() && !module.damaged)
    );
    assert_eq!(modules[0].path, b"dev/part0.cpp.o");
    assert_eq!(index.version(), 12);
    assert!(!index.flags().skip_module());
}

#[test]
fn both_blocks_of_a_real_shard_are_written_as_llvm_wrote_them() {
    for bytes in [DEVIRTUALIZED, CFI] {
        let index = Index::parse(bytes).expect("a shard");
        assert!(index.strtab.body() == bytes[index.strtab_block.body.clone()]);
        assert!(index.summary.body() == bytes[index.summary_block.body.clone()]);
    }
}

#[test]
fn a_wrapped_shard_is_read_like_a_bare_one() {
    let file = wrapped(DEVIRTUALIZED);
    let (wrapped, bare) = (Index::parse(&file), Index::parse(DEVIRTUALIZED));
    let (wrapped, bare) = (wrapped.expect("a shard"), bare.expect("a shard"));
    assert_eq!(wrapped.modules(), bare.modules());
}

#[test]
fn a_file_that_is_not_a_shard_is_reported_by_its_type() {
    let empty = Index::parse(b"").expect_err("empty");
    assert_eq!(empty, IndexError::NotBitcode(NotBitcode(FileType::Empty)));
    let module = Index::parse(include_bytes!("../testdata/module.bc")).expect_err("a module");
    assert!(matches!(module, IndexError::NotAnIndex(_)), "{module:?}");
    let odd = [DEVIRTUALIZED, b"x"].concat();
    assert!(matches!(Index::parse(&odd), Err(IndexError::Malformed(_))));
}

#[test]
fn a_shard_cut_short_anywhere_is_an_error() {
    // The last block holds strings; the rest is complete without it.
    let index = Index::parse(DEVIRTUALIZED).expect("a shard");
    for length in (0..index.module_block.body.end).step_by(4) {
        assert!(Index::parse(&DEVIRTUALIZED[..length]).is_err(), "{length}");
    }
}

#[test]
fn abbreviations_of_blockinfo_apply_to_the_blocks_they_are_for() {
    let strtab = {
        let mut strtab = records(MODULE_WIDTH, &[]).with_inherited(entry_abbrevs());
        strtab.push([1, 0, 97, 46, 111], 6);
        strtab
    };
    let info = BitWriter::blockinfo(block::MODULE_STRTAB, MODULE_WIDTH, &entry_abbrevs());
    let bytes = stream(&[
        (block::BLOCKINFO, MODULE_WIDTH, info),
        (block::MODULE_STRTAB, MODULE_WIDTH, strtab.body()),
        (block::GLOBALVAL_SUMMARY, 4, summary().body()),
    ]);
    let index = Index::parse(&bytes).expect("a shard");
    assert_eq!(index.modules()[0].path, b"a.o");
    assert_eq!(index.strtab.body(), strtab.body());
}

#[test]
fn paths_that_cannot_be_right_are_refused_or_marked() {
    let parse = |rows: &[&[u64]]| {
        let bytes = shard(&records(MODULE_WIDTH, rows), &summary());
        Index::parse(&bytes).map(|index| index.modules().to_vec())
    };
    let hash = [2, 1, 2, 3, 4, 5];
    for rows in [
        &[&hash[..]][..],
        &[&[1, 0, 97], &hash, &hash],
        &[&[1, 0, 97], &hash[..4]],
        &[&[1, 0, 97], &[2, 1 << 32, 0, 0, 0, 0]],
        &[&[1, 0, 97], &[1, 1, 97]],
        &[&[1, 0, 97], &[1, 0, 98]],
        &[&[1, 0]],
        &[&[1]],
        &[&[3, 0]],
    ] {
        assert!(
            matches!(parse(rows), Err(IndexError::Malformed(_))),
            "{rows:?}"
        );
    }
    let sign_extended = 0xFFFF_FFFF_FFFF_FFC3;
    let modules = parse(&[
        &[1, 7, 98],
        &hash,
        &[1, 3, 97, sign_extended],
        &[1, 4, 0xC3, 0xA9],
    ]);
    let modules = modules.expect("a shard");
    assert_eq!(modules[0].hash, Some([1, 2, 3, 4, 5]));
    let damaged: Vec<bool> = modules.iter().map(|module| module.damaged).collect();
    assert_eq!(damaged, [false, true, false]);
}

#[test]
fn a_block_that_appears_twice_is_refused() {
    let strtab = (
        block::MODULE_STRTAB,
        MODULE_WIDTH,
        records(MODULE_WIDTH, &[]).body(),
    );
    let summary = (block::GLOBALVAL_SUMMARY, 4, summary().body());
    assert!(Index::parse(&stream(&[strtab.clone(), summary.clone()])).is_ok());
    for blocks in [
        [strtab.clone(), strtab.clone(), summary.clone()],
        [strtab, summary.clone(), summary],
    ] {
        assert!(matches!(
            Index::parse(&stream(&blocks)),
            Err(IndexError::Malformed(_))
        ));
    }
}

proptest! {
    #[test]
    fn a_damaged_shard_is_an_error_or_another_shard(
        real in prop_oneof![Just(DEVIRTUALIZED), Just(CFI)],
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
        length in proptest::option::of(any::<usize>()),
    ) {
        let mut bytes = real.to_vec();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(length.map_or(bytes.len(), |length| length % bytes.len()));
        if let Ok(index) = Index::parse(&bytes) {
            let ranks = 0..index.modules().len();
            let names: Vec<String> = ranks.map(|rank| format!("m/{rank}")).collect();
            let rewritten = index.rewrite(&names);
            prop_assert!(rewritten.is_ok());
        }
    }

    #[test]
    fn arbitrary_bytes_after_the_magic_number_never_panic_the_parser(
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = Index::parse(&[&b"BC\xc0\xde"[..], &rest].concat());
    }
}
