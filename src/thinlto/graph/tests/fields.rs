//! Every field of a slice's digest: a module that differs in it alone has another digest.
//!
//! One module in LLVM's textual form holds every construct; a case replaces one text by another.
//! That each field of the digest has a case is tested too: with the field left out
//! ([`omission`](super::omission)), some case must have the digest of the base.

use std::io::Write as _;
use std::process::{Command, Stdio};

use relto_testing::llvm::Llvm;
use relto_testing::skip::{runs_long, skip};

use super::super::{Decoded, Hash, ModuleGraph, guid, name_hash};
use super::omission;

const BASE: &str = include_str!("base.ll");

/// What the job imports.
const ROOTS: [&str; 10] = [
    "root", "shared", "twin", "misc", "pads", "table", "number", "middle", "kinds", "raw",
];

/// Fields that no case changes alone: what a record is, for one, shows in its operands too.
const WITHOUT_CASE: usize = 57;

/// Texts of the base and what replaces them: each is visible to the job.
const SEEN: &[(&str, &str, &str)] = &[
    ("triple", "x86_64-pc-linux-gnu", "x86_64-unknown-linux-gnu"),
    ("data layout", "S128\"", "S64\""),
    ("source file name", "\"base.c\"", "\"other.c\""),
    ("module assembly", ".globl marker", ".globl marker2"),
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
    ("operation", "%a = add nsw", "%a = sub nsw"),
    ("flag of an operation", "%a = add nsw", "%a = add"),
    ("constant in a body", "mul i32 %a, 77", "mul i32 %a, 78"),
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
        "attribute of a call",
        "nounwind memory(read)",
        "nounwind memory(write)",
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
        "block of blockaddress",
        "blockaddress(@shared, %first)",
        "blockaddress(@shared, %second)",
    ),
    (
        "type of an alloca",
        "alloca [3 x i32], align 4",
        "alloca [4 x i32], align 4",
    ),
    (
        "dso_local_equivalent",
        "dso_local_equivalent @helper",
        "@helper",
    ),
    (
        "variable arguments",
        "i32 (ptr, ...) @printf(ptr @text, i32 %c)",
        "i32 (ptr, ...) @printf(ptr @text, i32 %a)",
    ),
    ("name of a value", "%named", "%other"),
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
        "reached variable's constness",
        "@text = private unnamed_addr constant",
        "@text = private unnamed_addr global",
    ),
    (
        "reached variable's alignment",
        "global i32 3, align 4",
        "global i32 3, align 8",
    ),
    (
        "reached variable's section",
        "section \".mine\"",
        "section \".yours\"",
    ),
    (
        "reached variable's threads",
        "thread_local(initialexec)",
        "thread_local(localexec)",
    ),
    (
        "reached variable's visibility",
        "@visible = hidden",
        "@visible = protected",
    ),
    (
        "reached variable's partition",
        "partition \"one\"",
        "partition \"two\"",
    ),
    (
        "reached variable's linkage",
        "@counter = internal",
        "@counter = weak",
    ),
    (
        "reached variable's address",
        "@text = private unnamed_addr",
        "@text = private local_unnamed_addr",
    ),
    (
        "reached variable's code model",
        "code_model \"large\"",
        "code_model \"medium\"",
    ),
    (
        "reached variable's attachment",
        "!absolute_symbol !50",
        "!associated !51",
    ),
    (
        "externally initialized",
        "externally_initialized global i32",
        "global i32",
    ),
    (
        "reached declaration's attributes",
        "declare i32 @external(i32) #1",
        "declare i32 @external(i32)",
    ),
    (
        "reached definition turned into a declaration",
        "define i32 @gone(i32 %x) {\n  ret i32 7\n}",
        "declare i32 @gone(i32)",
    ),
    (
        "reached definition's attributes",
        "@helper(i32 %x) noinline {",
        "@helper(i32 %x) noinline cold {",
    ),
    (
        "dso_local",
        "declare dso_local i32 @near",
        "declare i32 @near",
    ),
    (
        "DLL class",
        "@imported = external dllimport",
        "@imported = external",
    ),
    (
        "kind of a comdat",
        "$group = comdat any",
        "$group = comdat nodeduplicate",
    ),
    (
        "comdat",
        "@grouped = linkonce_odr global i32 0, comdat($group)",
        "@grouped = linkonce_odr global i32 0",
    ),
    (
        "leader of a comdat",
        "@group = internal global i32 0",
        "@group = global i32 0",
    ),
    (
        "aliasee",
        "alias i32 (i32), ptr @helper",
        "alias i32 (i32), ptr @stub",
    ),
    (
        "resolver",
        "ifunc i32 (i32), ptr @resolve",
        "ifunc i32 (i32), ptr @resolve2",
    ),
    (
        "personality",
        "personality ptr @__gxx_personality_v0",
        "personality ptr @external",
    ),
    ("prefix data", "prefix i32 123", "prefix i32 124"),
    ("prologue data", "prologue i8 -112", "prologue i8 -111"),
    ("collector", "gc \"statepoint-example\"", "gc \"coreclr\""),
    (
        "section of a function",
        "section \".text.root\"",
        "section \".text.other\"",
    ),
    ("alignment of a function", "align 32 ", "align 64 "),
    (
        "initializer of an imported variable",
        "@twin = global [2 x i32] [i32 1, i32 2]",
        "@twin = global [2 x i32] [i32 1, i32 3]",
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
        "linkage of a variable",
        "@visible = hidden global",
        "@visible = weak hidden global",
    ),
    (
        "definition of a variable",
        "@visible = hidden global i32 0, partition \"one\"",
        "@visible = external hidden global i32, partition \"one\"",
    ),
    (
        "attributes of a variable",
        "\"mark\"=\"one\"",
        "\"mark\"=\"two\"",
    ),
    (
        "dso_local of a variable",
        "@close = external dso_local global",
        "@close = external global",
    ),
    (
        "sanitizers of a variable",
        "no_sanitize_address",
        "no_sanitize_hwaddress",
    ),
    (
        "calling convention of a function",
        "declare fastcc void @fast",
        "declare coldcc void @fast",
    ),
    (
        "linkage of a function",
        "define i32 @gone",
        "define weak i32 @gone",
    ),
    (
        "visibility of a function",
        "declare dso_local i32 @near",
        "declare hidden i32 @near",
    ),
    (
        "address of a function",
        "@gone(i32 %x) {",
        "@gone(i32 %x) unnamed_addr {",
    ),
    (
        "DLL class of a function",
        "declare i32 @external",
        "declare dllimport i32 @external",
    ),
    (
        "partition of a function",
        "@gone(i32 %x) {",
        "@gone(i32 %x) partition \"one\" {",
    ),
    ("name of a function", "@near", "@nigh"),
    (
        "linkage of an alias",
        "@nick = dso_local alias",
        "@nick = weak dso_local alias",
    ),
    (
        "visibility of an alias",
        "@nick = dso_local alias",
        "@nick = hidden alias",
    ),
    (
        "threads of an alias",
        "@nick = dso_local alias",
        "@nick = dso_local thread_local alias",
    ),
    (
        "address of an alias",
        "@nick = dso_local alias",
        "@nick = dso_local unnamed_addr alias",
    ),
    (
        "locality of an alias",
        "@nick = dso_local alias",
        "@nick = alias",
    ),
    (
        "partition of an alias",
        "ptr @helper\n@chosen",
        "ptr @helper, partition \"one\"\n@chosen",
    ),
    (
        "type of an alias",
        "alias i32 (i32), ptr @helper",
        "alias i32 (i64), ptr @helper",
    ),
    (
        "linkage of an ifunc",
        "@chosen = dso_local ifunc",
        "@chosen = weak dso_local ifunc",
    ),
    (
        "visibility of an ifunc",
        "@chosen = dso_local ifunc",
        "@chosen = hidden ifunc",
    ),
    (
        "locality of an ifunc",
        "@chosen = dso_local ifunc",
        "@chosen = ifunc",
    ),
    (
        "partition of an ifunc",
        "ptr @resolve\n",
        "ptr @resolve, partition \"one\"\n",
    ),
    (
        "type of an ifunc",
        "ifunc i32 (i32), ptr @resolve",
        "ifunc i32 (i64), ptr @resolve",
    ),
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
    ("list of va_arg", "va_arg ptr %p", "va_arg ptr %o"),
    ("type of va_arg", "va_arg ptr %p, i32", "va_arg ptr %p, i64"),
    ("operand of freeze", "freeze i32 %x", "freeze i32 %y"),
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
        "another namesake",
        "@named_b = external global i32",
        "@named_b = external global i32\n@named_c = global i8 0",
    ),
];

/// What the job does not see.
const UNSEEN: &[(&str, &str, &str)] = &[
    (
        "body of a stub",
        "define internal i32 @helper(i32 %x) noinline {\n  ret i32 %x",
        "define internal i32 @helper(i32 %x) noinline {\n  ret i32 9",
    ),
    (
        "initializer of a stub",
        "global i32 3, align 4",
        "global i32 4, align 4",
    ),
    ("text of a stub", "c\"%d\\0A\\00\"", "c\"%x\\0A\\00\""),
    ("a function that nothing needs", "i32 4242", "i32 4243"),
    (
        "a type that nothing needs",
        "%Unused = type { i8 }",
        "%Unused = type { i16, i32, float }",
    ),
    (
        "a new function",
        "; more\n",
        "define i32 @new(i32 %x) {\n  %y = call i32 @unused(i32 %x)\n  ret i32 %y\n}\n",
    ),
    (
        "a new variable, constant and attribute",
        "; more\n",
        "@fresh = global [2 x i64] [i64 77, i64 5], align 32\ndeclare void @far() cold\ndefine void @n() alignstack(32) {\n  call void @far()\n  ret void\n}\n",
    ),
    (
        "metadata that nothing needs",
        "; more\n",
        "define void @m() {\n  ret void, !fresh !90\n}\n!90 = distinct !{!90, !\"text of nothing\"}\n",
    ),
];

/// A module's bitcode, as a compiler of ThinLTO modules leaves it.
fn assemble(text: &str) -> Option<Vec<u8>> {
    let mut opt = Command::new(Llvm::get().tool("opt"))
        .args([
            "-module-summary",
            "-o",
            "-",
            "-disable-verify",
            "-preserve-bc-uselistorder=false",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("opt starts");
    let mut input = opt.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("opt reads");
    drop(input);
    let output = opt.wait_with_output().expect("opt ends");
    output.status.success().then_some(output.stdout)
}

fn digest(text: &str) -> Result<Hash, String> {
    let module = assemble(text).ok_or("opt refuses it")?;
    slice(&module).map_err(|opaque| opaque.to_string())
}

fn slice(module: &[u8]) -> Decoded<Hash> {
    let guids = ROOTS.map(guid);
    let namesakes = ["named_a", "named_b", "named_c"].map(name_hash);
    ModuleGraph::read(module)?.slice(&|guid| guids.contains(&guid), &|name| {
        namesakes.contains(&name)
    })
}

#[test]
fn a_change_of_any_field_changes_the_digest() {
    if Llvm::get().major() != 22 {
        return skip("slice keys are known for LLVM 22 alone");
    }
    let base = digest(BASE).expect("the base is understood");
    let mut wrong = Vec::new();
    for (name, from, to) in SEEN {
        if !BASE.contains(from) {
            wrong.push(format!("{name}: the base has no {from:?}"));
            continue;
        }
        match digest(&BASE.replace(from, to)) {
            Ok(digest) if digest != base => {}
            Ok(_) => wrong.push(format!("{name}: not in the digest")),
            Err(reason) => wrong.push(format!("{name}: {reason}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_job_does_not_see_leaves_the_digest_alone() {
    if Llvm::get().major() != 22 {
        return skip("slice keys are known for LLVM 22 alone");
    }
    let base = digest(BASE).expect("the base is understood");
    for (name, from, to) in UNSEEN {
        assert!(BASE.contains(from), "{name}: the base has no {from:?}");
        assert_eq!(digest(&BASE.replace(from, to)), Ok(base), "{name}");
    }
}

#[test]
fn each_field_that_is_left_out_makes_a_case_fail() {
    if !runs_long() {
        return;
    }
    if Llvm::get().major() != 22 {
        return skip("slice keys are known for LLVM 22 alone");
    }
    let base = assemble(BASE).expect("the base");
    let whole = slice(&base).expect("the base is understood");
    let cases: Vec<Vec<u8>> = SEEN
        .iter()
        .filter_map(|(_, from, to)| assemble(&BASE.replace(from, to)))
        .filter(|case| slice(case).is_ok_and(|digest| digest != whole))
        .collect();
    let fields = omission::written(|| {
        slice(&base).expect("understood");
    });
    let mut untested = Vec::new();
    for field in fields {
        let fails = omission::without(field, || {
            let base = slice(&base);
            cases.iter().any(|case| slice(case) == base)
        });
        if !fails {
            untested.push(field.to_string());
        }
    }
    assert!(
        untested.len() <= WITHOUT_CASE,
        "{} fields have no case:\n{}",
        untested.len(),
        untested.join("\n")
    );
}
