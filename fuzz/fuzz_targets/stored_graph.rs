//! A graph that a cache gives back damaged is an error or has slices.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::thinlto::ModuleGraph;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(graph)) = postcard::from_bytes::<Option<ModuleGraph>>(bytes) {
        let _ = graph.slice(&|_| true, &|_| true);
        let _ = graph.slice(&|guid| guid & 1 == 1, &|_| false);
        assert!(graph.names().count() <= bytes.len() && graph.suffixes().len() <= bytes.len());
    }
});
