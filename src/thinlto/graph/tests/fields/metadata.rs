//! Metadata and what attaches it.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "type-based aliases",
        "!\"omnipotent char\"",
        "!\"any char\"",
    ),
    (
        "loop metadata",
        "!\"llvm.loop.mustprogress\"",
        "!\"llvm.loop.unroll.disable\"",
    ),
    (
        "branch weights",
        "!\"branch_weights\", i32 1, i32 9",
        "!\"branch_weights\", i32 9, i32 1",
    ),
    (
        "kind of an attachment",
        "!noundef !30",
        "!invariant.load !30",
    ),
    ("kind of one's own", "!mine !31", "!yours !31"),
    (
        "identity of distinct metadata",
        "!alias.scope !41",
        "!alias.scope !43",
    ),
    (
        "entry count",
        "!\"function_entry_count\", i64 100",
        "!\"function_entry_count\", i64 101",
    ),
];
