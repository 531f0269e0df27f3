//! Every field of a slice's digest: a module that differs in it alone has another digest.
//!
//! One module in LLVM's textual form holds every construct; a case replaces one text by another. A
//! field that were left out of the digest would make its case fail.

use std::io::Write as _;
use std::process::{Command, Stdio};

use relto::internals::thinlto::ModuleGraph;

use crate::support::llvm::Llvm;
use crate::support::skip::skip;

const BASE: &str = include_str!("base.ll");

/// What a job imports that imports `@root` and `@shared`.
const ROOTS: [&str; 3] = ["root", "shared", "twin"];

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
        "@nick = alias i32 (i32), ptr @helper",
        "@nick = alias i32 (i32), ptr @stub",
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
        .args(["-module-summary", "-o", "-", "-disable-verify", "-"])
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

fn digest(text: &str) -> Result<[u8; 32], String> {
    let module = assemble(text).ok_or("opt refuses it")?;
    let graph = ModuleGraph::read(&module).map_err(|opaque| opaque.to_string())?;
    let guids = ROOTS.map(relto::internals::thinlto::guid);
    let namesakes = ["named_a", "named_b", "named_c"].map(relto::internals::thinlto::name_hash);
    graph
        .slice(&|guid| guids.contains(&guid), &|name| {
            namesakes.contains(&name)
        })
        .map_err(|opaque| opaque.to_string())
}

#[test]
fn a_change_of_any_field_changes_the_digest() {
    if Llvm::get().major() != 22 {
        return skip("slice keys are known for LLVM 22 alone");
    }
    let base = digest(BASE).expect("the base is understood");
    let mut wrong = Vec::new();
    for (name, from, to) in SEEN {
        assert!(BASE.contains(from), "{name}: the base has no {from:?}");
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
