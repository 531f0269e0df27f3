//! Facts of a real module, and of files that are not modules.

use proptest::prelude::*;

use super::{ModuleError, ModuleFacts, facts};
use crate::error::Hinted as _;
use crate::thinlto::bitcode::{FileType, NotBitcode};
use crate::thinlto::bitcode::{MAGIC, block};
use crate::thinlto::bitstream::BitWriter;
use crate::thinlto::testing::{MODULE_WIDTH, records, wrapped};

const MODULE: &[u8] = include_bytes!("../testdata/module.bc");
/// As `llvm-bcanalyzer --dump` shows it.
const HASH: [u32; 5] = [
    1_302_308_977,
    3_602_902_924,
    405_169_118,
    2_469_061_930,
    703_785_532,
];

#[test]
fn a_module_has_a_hash_and_a_target() {
    let found = facts(MODULE).expect("a module");
    let expected = ModuleFacts {
        hashes: vec![HASH],
        modules: 1,
        triple: "x86_64-pc-linux-gnu".to_owned(),
        sourceless: found.sourceless,
        codeview: false,
        random_tokens: false,
        lacks_processors: true,
    };
    assert_eq!(found, expected);
    assert_eq!(facts(&wrapped(MODULE)), Ok(expected));
}

#[test]
fn a_module_cut_short_anywhere_is_an_error() {
    // The module block ends where the symbol table begins, in the last third of this file.
    for length in (0..MODULE.len() / 2).step_by(4) {
        assert!(facts(&MODULE[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_file_that_is_not_a_module_is_reported_by_its_type_with_a_hint() {
    let error = facts(b"\x7fELF\x02\x01\x01").expect_err("an object");
    assert_eq!(error, ModuleError::NotBitcode(NotBitcode(FileType::Elf)));
    assert!(error.hints()[0].contains("-flto=thin"));
    assert_eq!(facts(b"BC\xc0\xde"), Err(ModuleError::NoModule));
}

#[test]
fn a_truncated_compact_form_or_one_of_another_version_is_not_read() {
    let encoded = facts(MODULE).expect("a module").encode();
    assert!(ModuleFacts::decode(&encoded).is_some());
    for length in 0..encoded.len() {
        assert_eq!(ModuleFacts::decode(&encoded[..length]), None, "{length}");
    }
    let mut other = encoded.clone();
    other[0] += 1;
    assert_eq!(ModuleFacts::decode(&other), None);
    let mut swollen = encoded;
    swollen[1..5].fill(0xFF);
    assert_eq!(ModuleFacts::decode(&swollen), None);
}

proptest! {
    #[test]
    fn facts_are_read_back_from_their_compact_form(
        hashes in proptest::collection::vec(any::<[u32; 5]>(), 0..4),
        modules in any::<u32>(),
        triple in ".*",
    ) {
        let facts = ModuleFacts {
            hashes,
            modules,
            triple,
            sourceless: [7; 16],
            codeview: modules % 2 == 1,
            random_tokens: modules % 5 == 1,
            lacks_processors: modules % 3 == 1,
        };
        prop_assert_eq!(ModuleFacts::decode(&facts.encode()), Some(facts));
    }

    #[test]
    fn a_damaged_module_is_an_error_or_another_module(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = MODULE.to_vec();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let _ = facts(&bytes);
    }
}

#[test]
fn a_name_of_another_source_file_changes_the_module_but_not_its_sourceless_digest() {
    let module = |name: &str, code: u64| {
        let mut module = BitWriter::default();
        let rows = records(
            MODULE_WIDTH,
            &[
                &[code, 2],
                &[
                    &[16],
                    name.bytes().map(u64::from).collect::<Vec<_>>().as_slice(),
                ]
                .concat(),
                &[17, 1, 2, name.len() as u64, 4, 5],
            ],
        )
        .body();
        module.block(2, block::MODULE, MODULE_WIDTH, &rows);
        [&MAGIC[..], &module.finish()].concat()
    };
    let digest = |name, code| facts(&module(name, code)).expect("a module").sourceless;
    assert_eq!(digest("/a/x.c", 1), digest("/another/x.c", 1));
    assert_ne!(digest("/a/x.c", 1), digest("/a/x.c", 3));
}
