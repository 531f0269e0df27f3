//! Arbitrary bytes are an index shard or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::thinlto::Index;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = Index::parse(bytes) {
        assert!(index.modules().iter().all(|module| !module.path.is_empty()));
    }
});
