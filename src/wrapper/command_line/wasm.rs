//! The options that only `wasm-ld` has, LLVM 14 to 24 (`lld/wasm/Options.td`).

use super::Role::{Keep, PassThrough};
use super::common::{self};
use super::{OptionTable, Role};

pub(super) const TABLE: OptionTable = OptionTable {
    flags: &[common::FLAGS, FLAGS],
    values: &[common::VALUES, VALUES],
    short: &[common::SHORT],
    joined: &[common::JOINED],
    several: &[],
};

const FLAGS: &[(&str, Role)] = &[
    ("v", PassThrough),
    ("allow-undefined", Keep),
    ("check-features", Keep),
    ("no-check-features", Keep),
    ("compress-relocations", Keep),
    ("experimental-pic", Keep),
    ("export-all", Keep),
    ("export-memory", Keep),
    ("export-table", Keep),
    ("growable-table", Keep),
    ("import-memory", Keep),
    ("import-table", Keep),
    ("import-undefined", Keep),
    ("merge-data-segments", Keep),
    ("no-merge-data-segments", Keep),
    ("no-entry", Keep),
    ("no-growable-memory", Keep),
    ("no-shlib-sigcheck", Keep),
    ("no-stack-first", Keep),
    ("shared-memory", Keep),
    ("stack-first", Keep),
    ("unresolved-symbols", Keep),
];

const VALUES: &[(&str, Role)] = &[
    ("allow-undefined-file", Keep),
    ("export", Keep),
    ("export-if-defined", Keep),
    ("extra-features", Keep),
    ("features", Keep),
    ("global-base", Keep),
    ("initial-heap", Keep),
    ("initial-memory", Keep),
    ("keep-section", Keep),
    ("max-memory", Keep),
    ("page-size", Keep),
    ("table-base", Keep),
];
