//! Arbitrary bytes in `/etc/ld.so.conf` are directories, whatever they include, and reading ends.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use relto::internals::toolchain::ld_so_conf;

static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = PathBuf::from(format!("/dev/shm/relto-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(place.join("d")).expect("made");
    place
});

fuzz_target!(|bytes: &[u8]| {
    let half = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    std::fs::write(PLACE.join("c"), &bytes[..half]).expect("written");
    std::fs::write(PLACE.join("d/a.conf"), &bytes[half..]).expect("written");
    let dirs = ld_so_conf(&PLACE.join("c"));
    assert!(dirs.iter().all(|dir| dir.is_absolute()));
});
