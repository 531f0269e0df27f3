//! Instructions that compute a value of others.

use super::Case;

pub(super) const CASES: &[Case] = &[
    ("operation", "%a = add nsw", "%a = sub nsw"),
    ("flag of an operation", "%a = add nsw", "%a = add"),
    ("constant in a body", "mul i32 %a, 77", "mul i32 %a, 78"),
    (
        "element of getelementptr",
        "getelementptr inbounds %Pair, ptr %q, i32 0, i32 1",
        "getelementptr inbounds %Pair, ptr %q, i32 0, i32 0",
    ),
    (
        "flags of getelementptr",
        "getelementptr inbounds %Pair, ptr %q",
        "getelementptr %Pair, ptr %q",
    ),
    ("predicate", "icmp sgt i32 %b", "icmp sge i32 %b"),
    ("fast-math flags", "fadd fast double", "fadd double"),
    ("name of a value", "%named", "%other"),
    ("operand of a cast", "zext i32 %x", "zext i32 %y"),
    ("type of a cast", "to i64\n  %m2", "to i128\n  %m2"),
    ("operation of a cast", "zext i32", "sext i32"),
    ("flags of a cast", "zext i32", "zext nneg i32"),
    ("left operand", "mul i32 %x, %y", "mul i32 %y, %y"),
    ("right operand", "mul i32 %x, %y", "mul i32 %x, %x"),
    ("operation", "mul i32 %x, %y", "sub i32 %x, %y"),
    (
        "operand of a comparison",
        "icmp eq i32 %x, %y",
        "icmp eq i32 %y, %y",
    ),
    ("flags of a comparison", "fcmp oeq", "fcmp nnan oeq"),
    ("operand of a negation", "fneg double %d", "fneg double %g"),
    ("flags of a negation", "fneg double", "fneg nnan double"),
    (
        "vector of an extraction",
        "extractelement <4 x i32> %v",
        "extractelement <4 x i32> %w",
    ),
    ("index of an extraction", "%v, i32 %x\n", "%v, i32 %y\n"),
    (
        "vector of an insertion",
        "insertelement <4 x i32> %v",
        "insertelement <4 x i32> %w",
    ),
    (
        "element of an insertion",
        "insertelement <4 x i32> %v, i32 %x",
        "insertelement <4 x i32> %v, i32 %y",
    ),
    (
        "index of an insertion",
        "i32 %x, i32 %y\n  %m8",
        "i32 %x, i32 %x\n  %m8",
    ),
    (
        "first vector of a shuffle",
        "shufflevector <4 x i32> %v",
        "shufflevector <4 x i32> %w",
    ),
    (
        "mask of a shuffle",
        "<i32 0, i32 1, i32 2, i32 3>",
        "<i32 3, i32 2, i32 1, i32 0>",
    ),
    ("condition of a select", "select i1 %c", "select i1 %k"),
    (
        "first value of a select",
        "double %d, double %g\n  %m10",
        "double %g, double %g\n  %m10",
    ),
    (
        "second value of a select",
        "double %d, double %g\n  %m10",
        "double %d, double %d\n  %m10",
    ),
    ("flags of a select", "select i1 %c", "select nnan i1 %c"),
    (
        "index of extractvalue",
        "extractvalue { i32, i32 } %s, 0",
        "extractvalue { i32, i32 } %s, 1",
    ),
    (
        "aggregate of extractvalue",
        "extractvalue { i32, i32 } %s",
        "extractvalue { i32, i32 } %t",
    ),
    (
        "aggregate of insertvalue",
        "insertvalue { i32, i32 } %s",
        "insertvalue { i32, i32 } %t",
    ),
    ("value of insertvalue", "i32 %x, 0\n", "i32 %y, 0\n"),
    ("index of insertvalue", "i32 %x, 0\n", "i32 %x, 1\n"),
    (
        "list of va_arg",
        "%m12 = va_arg ptr %p",
        "%m12 = va_arg ptr %o",
    ),
    ("type of va_arg", "va_arg ptr %p, i32", "va_arg ptr %p, i64"),
    ("operand of freeze", "freeze i32 %x", "freeze i32 %y"),
    (
        "operand of getelementptr",
        "getelementptr i8, ptr %p, i32 %x",
        "getelementptr i8, ptr %p, i32 %y",
    ),
    (
        "element type of getelementptr",
        "getelementptr i8, ptr %p",
        "getelementptr i16, ptr %p",
    ),
    (
        "kind of an instruction",
        "fcmp oeq double %d, %g",
        "fsub double %d, %g",
    ),
    ("other flag of an operation", "%a = add nsw", "%a = add nuw"),
    (
        "other flag of a select",
        "select nnan i1 true",
        "select ninf i1 true",
    ),
    (
        "global in a body",
        "store i32 %d, ptr @first\n",
        "store i32 %d, ptr @last\n",
    ),
    ("name of the only value", "%only", "%alone"),
    (
        "value of a name",
        "%ha = add i32 %x, 1\n  %hb = add",
        "%hb = add i32 %x, 1\n  %ha = add",
    ),
];
