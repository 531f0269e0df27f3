//! Instructions that read, write or allocate memory, or put such in order.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "alignment of a load",
        "load i32, ptr @counter, align 4",
        "load i32, ptr @counter, align 2",
    ),
    (
        "volatile",
        "load i32, ptr @counter",
        "load volatile i32, ptr @counter",
    ),
    (
        "order of an atomic",
        "syncscope(\"agent\") seq_cst",
        "syncscope(\"agent\") acq_rel",
    ),
    (
        "scope of an atomic",
        "syncscope(\"agent\")",
        "syncscope(\"workgroup\")",
    ),
    (
        "scope of a fence",
        "fence syncscope(\"singlethread\") acquire",
        "fence acquire",
    ),
    ("operation of an atomic", "atomicrmw add", "atomicrmw sub"),
    ("weak exchange", "cmpxchg weak", "cmpxchg"),
    (
        "type of an alloca",
        "alloca [3 x i32], align 4",
        "alloca [4 x i32], align 4",
    ),
    (
        "address of an atomic load",
        "load atomic i32, ptr %p",
        "load atomic i32, ptr %o",
    ),
    (
        "type of an atomic load",
        "load atomic i32",
        "load atomic i16",
    ),
    (
        "alignment of an atomic load",
        "acquire, align 4",
        "acquire, align 8",
    ),
    (
        "volatile atomic load",
        "load atomic i32",
        "load atomic volatile i32",
    ),
    (
        "order of an atomic load",
        "acquire, align 4",
        "monotonic, align 4",
    ),
    (
        "scope of an atomic load",
        "ptr %p syncscope(\"agent\") acquire",
        "ptr %p syncscope(\"workgroup\") acquire",
    ),
    (
        "address of an atomic store",
        "store atomic i32 %x, ptr %p",
        "store atomic i32 %x, ptr %o",
    ),
    (
        "value of an atomic store",
        "store atomic i32 %x",
        "store atomic i32 %y",
    ),
    (
        "alignment of an atomic store",
        "release, align 4",
        "release, align 8",
    ),
    (
        "volatile atomic store",
        "store atomic i32",
        "store atomic volatile i32",
    ),
    (
        "order of an atomic store",
        "release, align 4",
        "monotonic, align 4",
    ),
    (
        "scope of an atomic store",
        "syncscope(\"agent\") release",
        "syncscope(\"workgroup\") release",
    ),
    (
        "address of a load",
        "%m15 = load i32, ptr %p",
        "%m15 = load i32, ptr %o",
    ),
    ("type of a load", "%m15 = load i32", "%m15 = load i16"),
    (
        "address of a store",
        "store i32 %x, ptr %p",
        "store i32 %x, ptr %o",
    ),
    (
        "value of a store",
        "store i32 %x, ptr %p",
        "store i32 %y, ptr %p",
    ),
    (
        "alignment of a store",
        "store i32 %x, ptr %p, align 4",
        "store i32 %x, ptr %p, align 8",
    ),
    (
        "volatile store",
        "store i32 %x, ptr %p",
        "store volatile i32 %x, ptr %p",
    ),
    ("address of an exchange", "cmpxchg ptr %p", "cmpxchg ptr %o"),
    (
        "comparand of an exchange",
        "cmpxchg ptr %p, i32 %x",
        "cmpxchg ptr %p, i32 %y",
    ),
    (
        "new value of an exchange",
        "i32 %x, i32 %y syncscope",
        "i32 %x, i32 %x syncscope",
    ),
    (
        "volatile exchange",
        "cmpxchg ptr %p",
        "cmpxchg volatile ptr %p",
    ),
    (
        "order of an exchange",
        "acq_rel monotonic",
        "seq_cst monotonic",
    ),
    (
        "scope of an exchange",
        "%y syncscope(\"agent\")",
        "%y syncscope(\"workgroup\")",
    ),
    (
        "order of a failed exchange",
        "acq_rel monotonic",
        "acq_rel acquire",
    ),
    (
        "alignment of an exchange",
        "monotonic, align 4\n  %m17",
        "monotonic, align 8\n  %m17",
    ),
    (
        "weak exchange of %p",
        "cmpxchg ptr %p",
        "cmpxchg weak ptr %p",
    ),
    (
        "address of an atomic operation",
        "atomicrmw add ptr %p",
        "atomicrmw add ptr %o",
    ),
    (
        "value of an atomic operation",
        "atomicrmw add ptr %p, i32 %x",
        "atomicrmw add ptr %p, i32 %y",
    ),
    (
        "volatile atomic operation",
        "atomicrmw add ptr %p",
        "atomicrmw volatile add ptr %p",
    ),
    (
        "order of an atomic operation",
        "monotonic, align 4\n  fence",
        "acquire, align 4\n  fence",
    ),
    (
        "alignment of an atomic operation",
        "monotonic, align 4\n  fence",
        "monotonic, align 8\n  fence",
    ),
    (
        "scope of an atomic operation",
        "i32 %x syncscope(\"agent\") monotonic",
        "i32 %x syncscope(\"workgroup\") monotonic",
    ),
    (
        "order of a fence",
        "fence syncscope(\"agent\") acquire",
        "fence syncscope(\"agent\") release",
    ),
    (
        "size of an alloca",
        "alloca i32, i32 %x",
        "alloca i32, i32 %y",
    ),
    (
        "alignment of an alloca",
        "i32 %x, align 4\n  %m19",
        "i32 %x, align 8\n  %m19",
    ),
];
