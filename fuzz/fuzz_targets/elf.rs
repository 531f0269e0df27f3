//! Arbitrary bytes are an ELF file or an error, in memory proportional to them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::toolchain::elf;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = elf::parse(bytes) {
        let longest = image
            .needed
            .iter()
            .chain(&image.soname)
            .chain(&image.interpreter);
        assert!(
            longest
                .chain(&image.runpath)
                .all(|name| name.len() <= bytes.len())
        );
        assert!(image.rpath.is_none() || image.runpath.is_none());
    }
});
