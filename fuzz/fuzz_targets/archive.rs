//! Arbitrary bytes are an archive or an error, and what its headers claim takes no memory.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use relto::internals::wrapper::Archive;

static PATH: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/relto-fuzz-{}.a", std::process::id())));

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*PATH, bytes).expect("written");
    if let Ok(archive) = Archive::read(&PATH) {
        for member in &archive.members {
            assert!(member.offset < bytes.len() as u64);
            let _ = member.start(&archive.file, 64);
        }
    }
});
