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
        "which of two equal nodes another one has",
        "!{!80, !81, !80}",
        "!{!80, !81, !81}",
    ),
    (
        "which of two equal nodes",
        "@owned_c = external global i32, !own !80",
        "@owned_c = external global i32, !own !81",
    ),
    (
        "which inline assembly of a function has one location",
        "\"nop #2\", \"\"(), !srcloc !96",
        "\"nop #2\", \"\"(), !srcloc !95",
    ),
    (
        "which inline assembly of two functions has one location",
        "\"nop #3\", \"\"(), !srcloc !95",
        "\"nop #3\", \"\"(), !srcloc !96",
    ),
    (
        "that inline assembly has a location",
        "\"nop #3\", \"\"(), !srcloc !95",
        "\"nop #3\", \"\"()",
    ),
    (
        "a number that is a location and a value",
        "i64 7001",
        "i64 7002",
    ),
    ("where a function is called", "i64 7020", "i64 7021"),
];

/// What no job sees, not even that of the module itself.
pub(super) const UNSEEN_BY_ALL: &[Case] = &[
    ("where inline assembly begins", "i64 7003", "i64 123456789"),
    ("where a line of it is", "i64 7010", "i64 7011"),
];
