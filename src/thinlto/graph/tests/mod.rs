//! Bytes of any kind, a real module, and every field of the digest (`fields`).

mod fields;
pub(super) mod omission;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use memchr::memmem;
use proptest::prelude::*;

use relto_testing::llvm::Llvm;

use super::{ModuleGraph, Opaque};
use crate::thinlto::guid;

const MODULE: &[u8] = include_bytes!("../../testdata/module.bc");

/// A module of LLVM 23, which holds the GUIDs of what it defines.
const WITH_GUIDS: &[u8] = include_bytes!("../../testdata/guids.bc");

/// GUID of the one function that `MODULE` defines.
const TWICE: u64 = 13_517_681_653_245_979_564;

#[test]
fn a_slice_holds_what_is_imported_and_nothing_else() {
    let graph = ModuleGraph::read(MODULE).expect("a module");
    assert_eq!(graph.names().count(), 2);
    let nothing = graph.slice(&|_| false, &|_| false);
    let function = graph.slice(&|guid| guid == TWICE, &|_| false);
    assert!(nothing.is_ok() && function.is_ok());
    assert_ne!(nothing, function);
    assert_eq!(nothing, graph.slice(&|guid| guid == 1, &|_| true));
}

#[test]
fn guids_that_a_module_holds_are_known_if_they_follow_from_its_names() {
    let graph = ModuleGraph::read(WITH_GUIDS).expect("a module");
    assert_eq!(graph.release(), 23);
    assert_eq!(graph.unknown().count(), 0);
    let at = memmem::find(WITH_GUIDS, b"counter").expect("a name");
    let mut renamed = WITH_GUIDS.to_vec();
    renamed[at] = b'C';
    assert_eq!(
        ModuleGraph::read(&renamed),
        Err(Opaque::Instrumented("guid".to_owned()))
    );
}

#[test]
fn a_graph_survives_its_storage() {
    let graph = ModuleGraph::read(MODULE).expect("a module");
    let stored = postcard::to_stdvec(&graph).expect("encoded");
    let read: ModuleGraph = postcard::from_bytes(&stored).expect("decoded");
    assert_eq!(read, graph);
}

#[test]
fn files_other_than_bitcode_are_opaque() {
    assert_eq!(ModuleGraph::read(b""), Err(Opaque::Damaged));
    assert_eq!(ModuleGraph::read(b"BC\xc0\xde"), Err(Opaque::ModuleCount));
}

/// A function, and what else the module holds.
fn read_with(more: &str) -> Result<ModuleGraph, Opaque> {
    let text = format!(
        "target triple = \"x86_64-pc-linux-gnu\"\n\
         define i32 @one() {{\n  ret i32 1\n}}\n{more}\n"
    );
    let module = Llvm::get().assemble(&text, &[]).expect("a module");
    ModuleGraph::read(&module)
}

#[test]
fn a_module_with_debug_information_is_opaque() {
    let unit = "!llvm.dbg.cu = !{!0}\n\
        !llvm.module.flags = !{!2}\n\
        !0 = distinct !DICompileUnit(language: DW_LANG_C11, file: !1, emissionKind: FullDebug)\n\
        !1 = !DIFile(filename: \"a.c\", directory: \"/\")\n\
        !2 = !{i32 2, !\"Debug Info Version\", i32 3}";
    assert_eq!(read_with(unit), Err(Opaque::DebugInfo));
    // What modules of some compilers have without it.
    let flag = "!llvm.module.flags = !{!0}\n!0 = !{i32 2, !\"Debug Info Version\", i32 3}";
    assert!(read_with(flag).is_ok());
}

/// Numbers of variable width, six bits at a time, one behind the other.
fn packed(numbers: &[u64]) -> Vec<u8> {
    let mut bits = Vec::new();
    for number in numbers {
        let mut rest = *number;
        loop {
            let more = rest >> 5 != 0;
            let piece = rest & 31 | u64::from(more) << 5;
            bits.extend((0..6).map(|bit| piece >> bit & 1));
            rest >>= 5;
            if !more {
                break;
            }
        }
    }
    let bytes = bits.chunks(8).map(|bits| {
        let bits = bits.iter().enumerate();
        bits.fold(0, |byte, (at, bit)| byte | u8::from(*bit == 1) << at)
    });
    bytes.collect()
}

#[test]
fn texts_whose_lengths_are_more_than_a_number_can_say_are_damaged() {
    let texts = (0..12).map(|it| format!("!\"{it:040}\""));
    let texts = texts.collect::<Vec<_>>().join(", ");
    let text =
        format!("target triple = \"x86_64-pc-linux-gnu\"\n!x = !{{!0}}\n!0 = !{{{texts}}}\n");
    let mut module = Llvm::get().assemble(&text, &[]).expect("a module");
    assert!(ModuleGraph::read(&module).is_ok());
    let lengths = packed(&[40; 12]);
    let at = memmem::find(&module, &lengths).expect("lengths of texts");
    let wrong = packed(&[5, u64::MAX - 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(wrong.len(), lengths.len());
    module[at..at + wrong.len()].copy_from_slice(&wrong);
    assert_eq!(ModuleGraph::read(&module), Err(Opaque::Damaged));
}

#[test]
fn constants_that_lead_to_more_globals_than_a_module_has_bytes_are_opaque() {
    let table = |count: usize, users: usize| {
        let globals = (0..count).map(|it| format!("ptr @v{it}"));
        let globals = globals.collect::<Vec<_>>().join(", ");
        let kind = format!("[{count} x ptr]");
        let mut text = String::new();
        for number in 0..count {
            let _ = writeln!(text, "@v{number} = global i8 0");
        }
        for number in 0..users {
            let value = format!("{{ {kind}, i32 }} {{ {kind} [{globals}], i32 {number} }}");
            let _ = writeln!(
                text,
                "!n{number} = !{{!{number}}}\n!{number} = !{{{value}}}"
            );
        }
        read_with(&text).map(drop)
    };
    assert_eq!(table(100, 3), Ok(()));
    assert_eq!(table(400, 400), Err(Opaque::References));
}

#[test]
fn what_may_depend_on_the_names_of_promoted_locals_is_told() {
    let depends = |more: &str| read_with(more).map(|graph| graph.depends_on_names());
    assert_eq!(depends("@x = global i32 0"), Ok(false));
    let assembly = |text: &str| {
        let call = format!("call void asm sideeffect \"{text}\", \"i\"(ptr @x)");
        depends(&format!(
            "@x = internal global i32 0\ndefine void @two() {{\n  {call}\n  ret void\n}}"
        ))
    };
    assert_eq!(assembly(".long ${0:c}"), Ok(false));
    assert_eq!(assembly(".irp x, ${0:c}\\0A.endr"), Ok(false));
    assert_eq!(assembly("nop; .irpc x, ${0:c}\\0A.endr"), Ok(true));
    assert_eq!(assembly(".IrpC x, ${0:c}\\0A.endr"), Ok(true));
    assert_eq!(depends("module asm \".irpc x, abc\\0A.endr\""), Ok(true));
    let profile = "!x = !{!0}\n!0 = !{!\"VP\", i32 0, i64 10, i64 5, i64 10}";
    assert_eq!(depends(profile), Ok(true));
    assert_eq!(depends(&profile.replace("VP", "VPN")), Ok(false));
}

#[test]
fn functions_that_sign_pointers_are_not_understood() {
    let attributed = |attribute: &str| {
        read_with(&format!(
            "define void @two() \"{attribute}\" {{\n  ret void\n}}"
        ))
        .map(drop)
    };
    assert_eq!(attributed("other-attribute"), Ok(()));
    for attribute in ["ptrauth-indirect-gotos", "ptrauth-returns\"=\"true"] {
        assert!(
            matches!(attributed(attribute), Err(Opaque::Record { .. })),
            "{attribute}"
        );
    }
}

/// Orders of uses are a block that clang never writes.
#[test]
fn a_body_with_a_block_that_is_not_known_makes_opaque_what_needs_it() {
    let text = "define i32 @one(i32 %x) {\n  %a = add i32 %x, 1\n  %b = mul i32 %x, %a\n\
        \x20 ret i32 %b\n  uselistorder i32 %x, { 1, 0 }\n}\n\
        define i32 @two(i32 %x) {\n  %a = call i32 @one(i32 %x)\n  ret i32 %a\n}\n";
    let flags = ["-preserve-bc-uselistorder"];
    let module = Llvm::get().assemble(text, &flags).expect("a module");
    let graph = ModuleGraph::read(&module).expect("only a body is unknown");
    let unknown: Vec<&Opaque> = graph.unknown().collect();
    assert_eq!(unknown, [&Opaque::Block(18)]);
    let slice = |name| graph.slice(&|it| it == guid(name), &|_| false);
    assert_eq!(slice("one"), Err(Opaque::Block(18)));
    assert!(slice("two").is_ok());
    // Such a module counts whole for a job that imports that body.
    let seen = |name| graph.seen(Some(&BTreeSet::from([guid(name)])), &[]);
    assert!(seen("one").is_none() && seen("two").is_some());
}

#[test]
fn a_module_with_anything_unknown_outside_of_bodies_is_opaque() {
    let mut reasons = BTreeSet::new();
    for bit in 0..MODULE.len() * 8 {
        let mut changed = MODULE.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        reasons.extend(match ModuleGraph::read(&changed) {
            Err(Opaque::Producer(_)) => Some("a producer"),
            Err(Opaque::Block(_)) => Some("a block"),
            Err(Opaque::Record { .. }) => Some("a record"),
            Err(Opaque::Place(_)) => Some("a place"),
            _ => None,
        });
    }
    let all = ["a block", "a place", "a producer", "a record"];
    assert_eq!(reasons, BTreeSet::from(all));
}

#[test]
fn a_module_with_data_that_a_compiler_makes_of_names_is_opaque() {
    assert!(read_with("@profile = global i32 0").is_ok());
    for name in [
        "__profn_one",
        "__profc_one",
        "__profd_one",
        "__profvp_one",
        "__llvm_prf_nm",
        "__llvm_coverage_mapping",
        "__sancov_gen_",
    ] {
        let variable = format!("@{name} = private global i32 0");
        let instrumented = Err(Opaque::Instrumented(name.to_owned()));
        assert_eq!(read_with(&variable), instrumented);
    }
    let probes = "!llvm.pseudo_probe_desc = !{!0}\n!0 = !{i64 1, i64 2, !\"one\"}";
    let instrumented = Err(Opaque::Instrumented("llvm.pseudo_probe_desc".to_owned()));
    assert_eq!(read_with(probes), instrumented);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(
        changes in prop::collection::vec((0..MODULE.len(), any::<u8>()), 0..8),
        length in 0..MODULE.len(),
    ) {
        let mut bytes = MODULE.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(length);
        if let Ok(graph) = ModuleGraph::read(&bytes) {
            let _ = graph.slice(&|_| true, &|_| true);
        }
    }
}
