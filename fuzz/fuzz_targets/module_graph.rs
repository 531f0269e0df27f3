//! Arbitrary bytes are a module's graph or an error; a graph has slices, the same ones each time and
//! after it was stored.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::thinlto::{ModuleGraph, name_hash};

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = ModuleGraph::read(bytes) else {
        return;
    };
    let stored = postcard::to_stdvec(&graph).expect("encoded");
    let again: ModuleGraph = postcard::from_bytes(&stored).expect("decoded");
    assert_eq!(again, graph);
    let odd = |guid: u64| guid & 1 == 1;
    let named = |name: u64| name == name_hash("main");
    for roots in [&(|_| true) as &dyn Fn(u64) -> bool, &(|_| false), &odd] {
        assert_eq!(graph.slice(roots, &named), again.slice(roots, &named));
    }
});
