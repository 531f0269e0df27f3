//! Calls, branches and what they lead to.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "second target of indirectbr",
        "[label %u, label %v]",
        "[label %u, label %w]",
    ),
    (
        "first handler of catchswitch",
        "[label %h1, label %h2]",
        "[label %h3, label %h2]",
    ),
    (
        "second handler of catchswitch",
        "[label %h1, label %h2]",
        "[label %h1, label %h3]",
    ),
    (
        "where catchswitch unwinds to",
        "unwind label %c1",
        "unwind label %c2",
    ),
    (
        "callee",
        "call i32 @helper(i32 %c)",
        "call i32 @external(i32 %c)",
    ),
    (
        "tail call",
        "tail call i32 @helper",
        "musttail call i32 @helper",
    ),
    (
        "calling convention of a call",
        "call fastcc void @fast",
        "call coldcc void @fast",
    ),
    (
        "operand bundle",
        "[ \"deopt\"(i32 7) ]",
        "[ \"deopt\"(i32 8) ]",
    ),
    (
        "tag of an operand bundle",
        "[ \"deopt\"(i32 7) ]",
        "[ \"custom\"(i32 7) ]",
    ),
    ("inline assembly", "\"nop #1\"", "\"nop #2\""),
    (
        "constraints of inline assembly",
        "\"~{memory}\"",
        "\"~{memory},~{cc}\"",
    ),
    (
        "side effect of inline assembly",
        "asm sideeffect \"nop #1\"",
        "asm \"nop #1\"",
    ),
    (
        "case of a switch",
        "i32 3, label %three",
        "i32 4, label %three",
    ),
    (
        "target of a switch",
        "i32 5, label %three",
        "i32 5, label %done",
    ),
    ("phi", "[ 11, %three ]", "[ 12, %three ]"),
    (
        "clause of a landing pad",
        "catch ptr @tag",
        "catch ptr null",
    ),
    (
        "cleanup",
        "landingpad { ptr, i32 }\n          cleanup",
        "landingpad { ptr, i32 }\n",
    ),
    (
        "variable arguments",
        "i32 (ptr, ...) @printf(ptr @text, i32 %c)",
        "i32 (ptr, ...) @printf(ptr @text, i32 %a)",
    ),
    (
        "called value",
        "call i32 %p(i32 %x)\n",
        "call i32 %o(i32 %x)\n",
    ),
    (
        "argument of a call",
        "call i32 %p(i32 %x)\n",
        "call i32 %p(i32 %y)\n",
    ),
    (
        "type of a callee",
        "%m20 = call i32 %p(i32 %x)",
        "%m20 = call i16 %p(i32 %x)",
    ),
    (
        "variable argument",
        "@varied(i32 %x, i32 %y)",
        "@varied(i32 %x, i32 %x)",
    ),
    (
        "fast-math flags of a call",
        "call fast double",
        "call nnan double",
    ),
    (
        "condition of a branch",
        "br i1 %c, label %one",
        "br i1 %k, label %one",
    ),
    (
        "targets of a branch",
        "br i1 %c, label %one, label %two",
        "br i1 %c, label %two, label %one",
    ),
    ("target of a branch", "br label %five", "br label %six"),
    (
        "address of indirectbr",
        "indirectbr ptr %p",
        "indirectbr ptr %o",
    ),
    (
        "targets of indirectbr",
        "[label %two, label %four]",
        "[label %four, label %two]",
    ),
    ("value of phi", "[ %x, %0 ]", "[ %y, %0 ]"),
    ("value of a switch", "switch i32 %x", "switch i32 %y"),
    ("case", "[ i32 1, label %five ]", "[ i32 2, label %five ]"),
    ("default of a switch", "label %four [", "label %five ["),
    ("flags of phi", "phi double", "phi nnan double"),
    (
        "block of phi",
        "[ %x, %0 ], [ %y, %one ]",
        "[ %x, %one ], [ %y, %0 ]",
    ),
    ("callee of invoke", "invoke i32 %p", "invoke i32 %o"),
    (
        "argument of invoke",
        "invoke i32 %p(i32 %x)",
        "invoke i32 %p(i32 %y)",
    ),
    ("type of invoke", "invoke i32 %p(", "invoke i16 %p("),
    (
        "continuation of invoke",
        "to label %six unwind",
        "to label %five unwind",
    ),
    (
        "pad of invoke",
        "to label %six unwind label %seven",
        "to label %six unwind label %six",
    ),
    (
        "attributes of invoke",
        "to label %six unwind",
        "nounwind to label %six unwind",
    ),
    (
        "convention of invoke",
        "invoke i32 %p",
        "invoke fastcc i32 %p",
    ),
    ("value of ret", "ret i32 %x\nseven", "ret i32 %y\nseven"),
    (
        "value of a clause",
        "landingpad { ptr, i32 } catch ptr @tag",
        "landingpad { ptr, i32 } catch ptr null",
    ),
    (
        "cleanup of a landing pad",
        "landingpad { ptr, i32 } catch",
        "landingpad { ptr, i32 } cleanup catch",
    ),
    (
        "handlers of catchswitch",
        "[label %handler, label %other]",
        "[label %other, label %handler]",
    ),
    (
        "unwinding of catchswitch",
        "%other] unwind label %clean",
        "%other] unwind label %more",
    ),
    (
        "argument of catchpad",
        "[ptr null, i32 64, ptr null]",
        "[ptr null, i32 65, ptr null]",
    ),
    (
        "target of catchret",
        "catchret from %n2 to label %done",
        "catchret from %n2 to label %more",
    ),
    ("pad of catchret", "catchret from %n3", "catchret from %n2"),
    (
        "argument of cleanuppad",
        "within none [i32 %x]",
        "within none [i32 1]",
    ),
    ("argument of callbr", "\"r,!i\"(i32 %x)", "\"r,!i\"(i32 2)"),
    (
        "target of callbr",
        "to label %done [label %last]",
        "to label %last [label %done]",
    ),
    (
        "indirect target of callbr",
        "[label %last]",
        "[label %done]",
    ),
    ("name of the only block", "alone:\n", "lonely:\n"),
    (
        "first target of a branch",
        "br i1 %c, label %one, label %two",
        "br i1 %c, label %four, label %two",
    ),
    (
        "second target of a branch",
        "br i1 %c, label %one, label %two",
        "br i1 %c, label %one, label %four",
    ),
    (
        "first target of indirectbr",
        "[label %two, label %four]",
        "[label %five, label %four]",
    ),
    (
        "second target of indirectbr",
        "[label %two, label %four]",
        "[label %two, label %five]",
    ),
    (
        "first handler of catchswitch",
        "[label %handler, label %other]",
        "[label %more, label %other]",
    ),
    (
        "second handler of catchswitch",
        "[label %handler, label %other]",
        "[label %handler, label %more]",
    ),
    (
        "type of a landing pad",
        "%m26 = landingpad { ptr, i32 } catch ptr @tag\n  resume { ptr, i32 } %m26",
        "%m26 = landingpad { ptr, i64 } catch ptr @tag\n  resume { ptr, i64 } %m26",
    ),
    (
        "pad around a pad",
        "cleanuppad within none [i32 %x]",
        "cleanuppad within %n2 [i32 %x]",
    ),
    (
        "default target of callbr",
        "to label %done [label %last]",
        "to label %more [label %last]",
    ),
];
