//! What a module says of itself, and the order of its globals.

use super::Case;

pub(super) const CASES: &[Case] = &[
    ("triple", "x86_64-pc-linux-gnu", "x86_64-unknown-linux-gnu"),
    ("data layout", "S128\"", "S64\""),
    (
        "versions of symbols",
        ".globl marker",
        ".symver marker, marker@ONE",
    ),
    (
        "a macro in module assembly",
        ".globl marker",
        ".macro marker\\0A.endm",
    ),
    (
        "module flag",
        "!\"PIC Level\", i32 2",
        "!\"PIC Level\", i32 1",
    ),
    ("named metadata", "!\"clang\"", "!\"gcc\""),
    (
        "name of named metadata",
        "!llvm.ident =",
        "!llvm.commandline =",
    ),
    (
        "constructors",
        "i32 65535, ptr @start",
        "i32 65534, ptr @start",
    ),
    (
        "llvm.used",
        "[1 x ptr] [ptr @kept]",
        "[1 x ptr] [ptr @unused]",
    ),
    (
        "order of reached variables",
        "@first = external global i32\n@last = external global i32",
        "@last = external global i32\n@first = external global i32",
    ),
    (
        "order of namesakes",
        "@named_a = external global i32\n@named_b = external global i32",
        "@named_b = external global i32\n@named_a = external global i32",
    ),
    (
        "another namesake",
        "@named_b = external global i32",
        "@named_b = external global i32\n@named_c = global i8 0",
    ),
    (
        "record of llvm.used",
        "[ptr @kept], section \"llvm.metadata\"",
        "[ptr @kept], section \"other\"",
    ),
];
