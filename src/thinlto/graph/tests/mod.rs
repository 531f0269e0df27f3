//! Bytes of any kind, a real module, and every field of the digest (`fields`).

mod fields;
pub(super) mod omission;

use memchr::memmem;
use proptest::prelude::*;

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
