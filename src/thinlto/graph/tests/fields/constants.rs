//! Constants.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "function of blockaddress",
        "ptr blockaddress(@jump_a, %there)]",
        "ptr blockaddress(@jump_b, %there)]",
    ),
    ("null and undefined", "store ptr null", "store ptr undef"),
    ("null and poison", "store ptr null", "store ptr poison"),
    (
        "wide constant",
        "i128 1234567890123456789012",
        "i128 1234567890123456789013",
    ),
    ("floating-point constant", "%f, 1.5", "%f, 2.5"),
    (
        "vector constant",
        "<4 x i32> <i32 1, i32 2, i32 3, i32 4>",
        "<4 x i32> <i32 1, i32 2, i32 3, i32 5>",
    ),
    (
        "block of blockaddress",
        "blockaddress(@shared, %first)",
        "blockaddress(@shared, %second)",
    ),
    (
        "dso_local_equivalent",
        "dso_local_equivalent @helper",
        "@helper",
    ),
    (
        "index of a constant address",
        "i64 1, i32 1)",
        "i64 2, i32 1)",
    ),
    (
        "element type of a constant address",
        "(%Pair, ptr @twin",
        "({ i32, i32 }, ptr @twin",
    ),
    (
        "flags of a constant address",
        "getelementptr inbounds (%Pair",
        "getelementptr nuw (%Pair",
    ),
    (
        "base of a constant address",
        "(%Pair, ptr @twin",
        "(%Pair, ptr @first",
    ),
    (
        "index type of a constant address",
        "ptr @twin, i64 1, i32 1",
        "ptr @twin, i32 1, i32 1",
    ),
    (
        "constant cast",
        "ptrtoint (ptr @shared to i64)",
        "ptrtoint (ptr @gone to i64)",
    ),
    (
        "type of a constant cast",
        "inttoptr (i64 ptrtoint (ptr @shared to i64) to ptr)",
        "inttoptr (i32 ptrtoint (ptr @shared to i32) to ptr)",
    ),
    ("no_cfi", "no_cfi @gone", "@gone"),
    ("value of no_cfi", "no_cfi @gone", "no_cfi @stub"),
    ("constant sum", "i64 5)", "i64 6)"),
    (
        "operation of a constant sum",
        "add (i64 ptrtoint",
        "sub (i64 ptrtoint",
    ),
    (
        "flags of a constant sum",
        "add (i64 ptrtoint",
        "add nuw (i64 ptrtoint",
    ),
    (
        "operand of a constant sum",
        "(ptr @first to i64), i64 5",
        "(ptr @last to i64), i64 5",
    ),
    ("lower bound", "inrange(-8, 8)", "inrange(-4, 8)"),
    ("upper bound", "inrange(-8, 8)", "inrange(-8, 9)"),
    (
        "element type within bounds",
        "(i8, ptr @twin",
        "(i16, ptr @twin",
    ),
    (
        "flags within bounds",
        "getelementptr inbounds inrange",
        "getelementptr nuw inrange",
    ),
    (
        "index within bounds",
        "ptr @twin, i64 8)",
        "ptr @twin, i64 9)",
    ),
    ("width of bounds", "p270:32", "p270:64"),
    ("half", "0xH3C00", "0xH3C01"),
    ("bfloat", "0xR3F80", "0xR3F81"),
    (
        "x86_fp80",
        "0xK3FFF8000000000000000",
        "0xK3FFF8000000000000001",
    ),
    (
        "fp128",
        "0xL00000000000000003FFF000000000000",
        "0xL00000000000000003FFF000000000001",
    ),
    ("array of numbers", "[i16 1, i16 2]", "[i16 1, i16 3]"),
    ("vector of numbers", "<i64 3, i64 4>", "<i64 3, i64 5>"),
    ("text", "c\"abc\"", "c\"abd\""),
    (
        "type of a constant",
        "store i8 0, ptr @absolute",
        "store i16 0, ptr @absolute, align 1",
    ),
];
