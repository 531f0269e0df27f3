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
    (
        "attached instruction",
        "%h2 = load i32, ptr %p, align 4, !noundef !30\n  %h3 = load i32, ptr %p, align 4\n",
        "%h2 = load i32, ptr %p, align 4\n  %h3 = load i32, ptr %p, align 4, !noundef !30\n",
    ),
    (
        "metadata of a call",
        "scope.decl(metadata !41)",
        "scope.decl(metadata !43)",
    ),
    ("distinct metadata", "!41 = !{!40}", "!41 = distinct !{!40}"),
    (
        "which of two equal nodes",
        "@owned_c = external global i32, !own !80",
        "@owned_c = external global i32, !own !81",
    ),
];
