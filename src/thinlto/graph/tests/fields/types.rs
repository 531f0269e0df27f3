//! Types and attributes, which other records name by their numbers.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "type of a value",
        "%Pair = type { i32, i64 }",
        "%Pair = type { i32, i32 }",
    ),
    ("name of a type", "Pair", "Couple"),
    (
        "packed type",
        "%Pair = type { i32, i64 }",
        "%Pair = type <{ i32, i64 }>",
    ),
    (
        "attribute of a call",
        "nounwind memory(read)",
        "nounwind memory(write)",
    ),
    (
        "form of an attribute",
        "\"mark\"=\"one\"",
        "\"mark\" \"one\"",
    ),
    ("attribute with a type", "sret(%Pair)", "sret(i64)"),
    (
        "attribute with a number",
        "dereferenceable(8)",
        "dereferenceable(16)",
    ),
    (
        "attribute with a range",
        "range(i32 0, 100)",
        "range(i32 0, 101)",
    ),
    (
        "attribute with text",
        "\"target-cpu\"=\"x86-64\"",
        "\"target-cpu\"=\"znver3\"",
    ),
    (
        "length of an array",
        "[3 x i32], align 4",
        "[5 x i32], align 4",
    ),
    (
        "element of an array",
        "[3 x i32], align 4",
        "[3 x i8], align 4",
    ),
    (
        "variadic type",
        "declare i32 @__CxxFrameHandler3(...)",
        "declare i32 @__CxxFrameHandler3()",
    ),
    (
        "place of an attribute",
        "signext %x, i32 %y",
        "%x, i32 signext %y",
    ),
    ("kind of an attribute", "signext %x", "zeroext %x"),
    (
        "kind of an attribute with a number",
        "dereferenceable(8)",
        "dereferenceable_or_null(8)",
    ),
    (
        "kind of an attribute with a type",
        "sret(%Pair)",
        "byval(%Pair)",
    ),
    ("width of a range", "range(i32 0, 100)", "range(i64 0, 100)"),
    (
        "kind of a type",
        "va_arg ptr %p, float",
        "va_arg ptr %p, half",
    ),
    (
        "length of a vector",
        "va_arg ptr %p, <4 x i32>",
        "va_arg ptr %p, <8 x i32>",
    ),
    (
        "element of a vector",
        "va_arg ptr %p, <4 x i32>",
        "va_arg ptr %p, <4 x i64>",
    ),
    (
        "scalable vector",
        "va_arg ptr %p, <4 x i32>",
        "va_arg ptr %p, <vscale x 4 x i32>",
    ),
];
