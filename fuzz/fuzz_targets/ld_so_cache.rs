//! Arbitrary bytes in `/etc/ld.so.cache` are files for a name, no cache, or an error, and the search
//! ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::toolchain::LdSoCache;
use relto::internals::toolchain::elf::Machine;

fuzz_target!(|bytes: &[u8]| {
    let (Ok(Some(cache)), Some(machine)) = (LdSoCache::parse(bytes.to_vec()), Machine::host())
    else {
        return;
    };
    for name in ["libc.so.6", "libz.so.1", "libLLVM.so.22.1", "libx.so", ""] {
        if let Ok(library) = cache.lookup(name.as_bytes(), machine) {
            assert!(library.variants.len() <= bytes.len());
        }
    }
});
