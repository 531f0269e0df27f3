//! Every field of a slice's digest: a module that differs in it alone has another digest.
//!
//! One module in LLVM's textual form holds every construct; a case replaces one text by another.
//! That each field of the digest has a case is tested too: with the field left out
//! ([`omission`](super::omission)), some case must have the digest of the base.

mod constants;
mod control;
mod globals;
mod memory;
mod metadata;
mod module;
mod types;
mod values;

use relto_testing::llvm::Llvm;
use relto_testing::skip::{runs_long, skip};

use super::super::{Decoded, Hash, ModuleGraph, ModuleView, guid, name_hash};
use super::omission;
use crate::thinlto::bitcode::{MAGIC_BITS, block as outer};
use crate::thinlto::bitstream::{BitstreamEntry, BlockReader};

const BASE: &str = include_str!("../base.ll");

/// What the job imports.
const ROOTS: [&str; 21] = [
    "root",
    "shared",
    "twin",
    "misc",
    "pads",
    "table",
    "number",
    "middle",
    "kinds",
    "raw",
    "extra",
    "solo",
    "block",
    "located",
    "relocated",
    "spaced",
    "jump_a",
    "jump_b",
    "jumps",
    "hops",
    "switched",
];

/// Fields that no case can change alone: file, source line, how many of its kinds and parts, and
/// what else says the same.
const REDUNDANT: [(&str, &str, usize, &str); 7] = [
    (
        "file.rs",
        "head.number(record.code);",
        1,
        "an identification block has one text and then one epoch",
    ),
    (
        "globals.rs",
        "self.encoder.number(record.kind as u64);",
        1,
        "each kind of global has a number of operands of its own",
    ),
    (
        "globals.rs",
        "_ => self.encoder.number(*operand),",
        2,
        "an alias and an ifunc are in the address space of the value that they lead to",
    ),
    (
        "instruction.rs",
        "self.numbers(operands, 1)?;",
        3,
        "as many blocks as terminators; `fneg` is the only unary operation; only `filter` has an array",
    ),
    (
        "instruction.rs",
        "self.type_operand(operands)?;",
        5,
        "the operands of `va_arg`, `phi`, `switch`, `indirectbr` and `alloca` are of that type",
    ),
    (
        "metadata.rs",
        "encoder.hash(context.types.hash(kind)?);",
        1,
        "the value is of that type",
    ),
    (
        "reader.rs",
        "head.number(*code);",
        1,
        "a data layout is no name of a target",
    ),
];

/// A name, a text of the base, and what replaces it.
type Case = (&'static str, &'static str, &'static str);

/// Cases that are visible to the job, by the kind of record.
const SEEN: [&[Case]; 8] = [
    constants::CASES,
    control::CASES,
    globals::CASES,
    memory::CASES,
    metadata::CASES,
    module::CASES,
    types::CASES,
    values::CASES,
];

/// What the job does not see.
const UNSEEN: &[Case] = &[
    ("source file name", "\"base.c\"", "\"other.c\""),
    ("module assembly", ".globl marker", ".globl marker2"),
    (
        "llvm.compiler.used",
        "[1 x ptr] [ptr @counter]",
        "[1 x ptr] [ptr @unneeded]",
    ),
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
    let flags = ["-disable-verify", "-preserve-bc-uselistorder=false"];
    Llvm::get().assemble(text, &flags)
}

fn digest(text: &str) -> Result<Hash, String> {
    let module = assemble(text).ok_or("opt refuses it")?;
    slice(&module).map_err(|opaque| opaque.to_string())
}

fn slice(module: &[u8]) -> Decoded<Hash> {
    let guids = ROOTS.map(guid);
    let namesakes = ["named_a", "named_b", "named_c"].map(name_hash);
    let graph = ModuleGraph::read(module)?;
    let view = graph.slice(&|guid| guids.contains(&guid), &|name| {
        namesakes.contains(&name)
    });
    view.map(|view| view.digest)
}

#[test]
fn a_change_of_any_field_changes_the_digest() {
    if Llvm::get().major() != 22 {
        return skip("the cases are of LLVM 22");
    }
    let base = digest(BASE).expect("the base is understood");
    let mut wrong = Vec::new();
    for (name, from, to) in SEEN.into_iter().flatten() {
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
        return skip("the cases are of LLVM 22");
    }
    let base = digest(BASE).expect("the base is understood");
    for (name, from, to) in UNSEEN.iter().chain(metadata::UNSEEN_BY_ALL) {
        assert!(BASE.contains(from), "{name}: the base has no {from:?}");
        assert_eq!(digest(&BASE.replace(from, to)), Ok(base), "{name}");
    }
}

#[test]
fn each_version_of_a_symbol_in_module_assembly_is_seen() {
    if Llvm::get().major() != 22 {
        return skip("the cases are of LLVM 22");
    }
    let versions = ["ONE", "TWO"].map(|version| {
        let directive = format!(".symver marker, marker@{version}");
        digest(&BASE.replace(".globl marker", &directive)).expect("understood")
    });
    assert_ne!(versions[0], versions[1]);
}

/// A module as its own job sees it.
fn own(text: &str) -> Option<ModuleView> {
    ModuleGraph::read(&assemble(text)?).ok()?.seen(None, &[])
}

#[test]
fn a_job_sees_all_of_its_own_module_but_where_the_source_is() {
    if Llvm::get().major() != 22 {
        return skip("the cases are of LLVM 22");
    }
    let base = own(BASE).expect("the base is understood");
    for (name, from, to) in SEEN.into_iter().flatten().chain(UNSEEN) {
        let own = own(&BASE.replace(from, to));
        assert_ne!(own.map(|own| own.digest), Some(base.digest), "{name}");
    }
    let elsewhere = BASE.replace("\"base.c\"", "\"/some/where/base.c\"");
    assert_eq!(own(&elsewhere), Some(base.clone()));
    for (name, from, to) in metadata::UNSEEN_BY_ALL {
        let own = own(&BASE.replace(from, to)).expect("understood");
        assert_eq!(own.digest, base.digest, "{name}");
        assert_eq!(own.cookies.len(), base.cookies.len(), "{name}");
        assert_ne!(own.cookies, base.cookies, "{name}");
    }
}

#[test]
fn each_field_that_is_left_out_makes_a_case_fail() {
    if !runs_long() {
        return;
    }
    if Llvm::get().major() != 22 {
        return skip("the cases are of LLVM 22");
    }
    let base = assemble(BASE).expect("the base");
    let whole = slice(&base).expect("the base is understood");
    let texts = SEEN.into_iter().flatten();
    let texts = texts.filter_map(|(_, from, to)| assemble(&BASE.replace(from, to)));
    let cases: Vec<Vec<u8>> = texts
        .chain(flipped(&base))
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
            untested.push(field);
        }
    }
    for (file, line, count, reason) in REDUNDANT {
        let before = untested.len();
        untested.retain(|field| !field.is_at(file, line));
        assert_eq!(before - untested.len(), count, "{file}: {line}: {reason}");
    }
    let untested: Vec<String> = untested.iter().map(ToString::to_string).collect();
    assert!(
        untested.is_empty(),
        "{} fields have no case:\n{}",
        untested.len(),
        untested.join("\n")
    );
}

/// The module with another producer, and with other flags in its summary, which `opt` always writes
/// alike: each with one bit changed.
fn flipped(module: &[u8]) -> Vec<Vec<u8>> {
    let whole = slice(module);
    let mut top = BlockReader::top_level(module, MAGIC_BITS);
    let mut places = Vec::new();
    while let Some(header) = top.next_block().expect("a module") {
        if header.id == outer::IDENTIFICATION {
            places.push(header.body.clone());
        }
        if header.id != outer::MODULE {
            continue;
        }
        let mut entries = BlockReader::enter(module, &header, Vec::new());
        let mut values = Vec::new();
        loop {
            values.clear();
            match entries.next(&mut values).expect("a module") {
                BitstreamEntry::End => break,
                BitstreamEntry::Block(inner) if inner.id == outer::GLOBALVAL_SUMMARY => {
                    places.push(inner.body.start..inner.body.start + 16);
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    for place in places {
        let bits = place.flat_map(|at| (0..8).map(move |bit| (at, bit)));
        let changed = bits.map(|(at, bit)| {
            let mut changed = module.to_vec();
            changed[at] ^= 1 << bit;
            changed
        });
        let readable = changed.filter(|it| slice(it).is_ok_and(|hash| Ok(hash) != whole));
        found.extend(readable.take(2));
    }
    found
}
