//! Bytes of any kind, a real module, and every field of the digest (`fields`).

mod fields;
pub(super) mod omission;

use memchr::memmem;
use proptest::prelude::*;

use relto_testing::llvm::Llvm;

use super::{ModuleGraph, Opaque};

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
