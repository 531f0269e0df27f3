//! New names for modules, and what does not change.

use super::{Form, Obstacle, RewriteError};
use crate::thinlto::Index;
use crate::thinlto::bitcode::block;
use crate::thinlto::bitstream::Records;
use crate::thinlto::testing::{
    CFI, DEVIRTUALIZED, MODULE_WIDTH, entry_abbrevs, records, shard, stream, summary, wrapped,
};

/// `index` with other names, its summary as it was written.
fn renamed<N: AsRef<[u8]>>(index: &Index<'_>, names: &[N]) -> Vec<u8> {
    let strtab = index.renamed(names).expect("one-to-one");
    index.with_blocks(&strtab, None).expect("small enough")
}

fn names_of(index: &Index<'_>) -> Vec<Vec<u8>> {
    let modules = index.modules().iter();
    modules.map(|module| module.path.clone()).collect()
}

fn bytes_of(names: &[String]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn numbered(index: &Index<'_>) -> Vec<String> {
    let ranks = 0..index.modules().len();
    ranks.map(|rank| format!("relto/m/{rank:04}.bc")).collect()
}

#[test]
fn renaming_back_restores_the_original_shard() {
    for bytes in [DEVIRTUALIZED, CFI] {
        let index = Index::parse(bytes).expect("a shard");
        let bytes_renamed = renamed(&index, &numbered(&index));
        let again = Index::parse(&bytes_renamed).expect("a shard");
        assert_eq!(names_of(&again), bytes_of(&numbered(&index)));
        assert_eq!(again.modules()[1].hash, index.modules()[1].hash);
        assert!(renamed(&again, &names_of(&index)) == bytes);
    }
}

#[test]
fn rewriting_a_canonical_shard_changes_nothing() {
    for bytes in [DEVIRTUALIZED, CFI] {
        let index = Index::parse(bytes).expect("a shard");
        let once = index.rewrite(&numbered(&index));
        let once = once.expect("one-to-one");
        assert_eq!(once.form, Form::Canonical);
        assert!(once.bytes != bytes);
        let index = Index::parse(&once.bytes).expect("a shard");
        let twice = index.rewrite(&numbered(&index));
        assert!(twice.expect("one-to-one") == once);
    }
}

#[test]
fn a_name_uses_the_narrowest_encoding_that_fits() {
    let mut strtab = Records::with(MODULE_WIDTH, entry_abbrevs());
    for id in 0..3 {
        strtab.push([1, id, 97 + id], 6);
    }
    let bytes = shard(&strtab, &summary());
    let index = Index::parse(&bytes).expect("a shard");
    let names = ["m0.bc", "m/1.bc", "m/\u{e9}.bc"];
    let rewritten = renamed(&index, &names);
    let index = Index::parse(&rewritten).expect("a shard");
    assert_eq!(names_of(&index), names.map(|name| name.as_bytes().to_vec()));
    let chosen: Vec<u32> = index.strtab.iter().map(|record| record.abbrev).collect();
    assert_eq!(chosen, [6, 5, 4]);
}

#[test]
fn names_must_be_one_to_one() {
    let index = Index::parse(DEVIRTUALIZED).expect("a shard");
    let error = |names: &[String]| {
        let rewritten = index.rewrite(names);
        rewritten.expect_err("unusable names")
    };
    let mut names = numbered(&index);
    let modules = names.len();
    assert_eq!(
        error(&names[1..]),
        RewriteError::Count {
            names: modules - 1,
            modules
        }
    );
    names[1] = String::new();
    let path = String::from_utf8_lossy(&index.modules()[1].path).into_owned();
    assert_eq!(error(&names), RewriteError::Empty { path });
    names[1] = names[5].clone();
    assert_eq!(
        error(&names),
        RewriteError::Twice {
            name: names[5].clone()
        }
    );
}

#[test]
fn an_unknown_record_or_block_keeps_the_order_while_names_change() {
    let strtab = records(MODULE_WIDTH, &[&[1, 0, 97]]);
    let odd = records(4, &[&[10, 12], &[20, 0], &[28, 1, 0, 0]]);
    let with_block = stream(&[
        (block::MODULE_STRTAB, MODULE_WIDTH, strtab.body()),
        (77, MODULE_WIDTH, vec![0; 4]),
        (block::GLOBALVAL_SUMMARY, 4, summary().body()),
    ]);
    for (bytes, obstacle) in [
        (shard(&strtab, &odd), Obstacle::UnknownCode { code: 28 }),
        (with_block, Obstacle::UnknownBlock { id: 77 }),
    ] {
        let index = Index::parse(&bytes).expect("a shard");
        let renamed = index.rewrite(&["m/0.bc"]);
        let renamed = renamed.expect("one name");
        assert_eq!(renamed.form, Form::NamesOnly(obstacle));
        let read = Index::parse(&renamed.bytes).expect("a shard");
        assert_eq!(read.modules()[0].path, b"m/0.bc");
        let summary = read.summary_block.body.clone();
        assert!(renamed.bytes[summary] == bytes[index.summary_block.body.clone()]);
    }
}

#[test]
fn the_wrapper_is_removed() {
    let file = wrapped(DEVIRTUALIZED);
    let index = Index::parse(&file).expect("a shard");
    assert!(renamed(&index, &names_of(&index)) == DEVIRTUALIZED);
}
