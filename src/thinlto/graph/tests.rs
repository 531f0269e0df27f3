//! Bytes of any kind, and a real module. What the digest holds is tested with a compiler, in
//! `tests/it/slices.rs`.

use proptest::prelude::*;

use super::{ModuleGraph, Opaque};

const MODULE: &[u8] = include_bytes!("../testdata/module.bc");

#[test]
fn a_file_of_two_modules_is_opaque() {
    assert_eq!(ModuleGraph::read(MODULE), Err(Opaque::ModuleCount));
}

#[test]
fn what_is_not_bitcode_is_opaque() {
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
