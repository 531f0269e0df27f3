//! The memory of an upload does not depend on the size of the blobs.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use fs_err as fs;

use crate::support::compiler::CompilerCopy;
use crate::support::farm::{Farm, Profile};
use crate::support::link::Home;
use crate::support::program::generated;
use crate::support::saved::Saved;
use crate::support::skip::is_long;

/// Bytes beyond what the link takes anyway.
const MOST_MEMORY: u64 = 256 << 20;

/// The most memory, in bytes, that relto has while it uploads a compiler that is followed by
/// `padding` bytes.
fn peak(padding: u64) -> u64 {
    let farm = Farm::start(Profile::plain());
    let compiler = CompilerCopy::new();
    let program = fs::OpenOptions::new()
        .append(true)
        .open(compiler.file("clang"));
    let program = program.expect("a compiler");
    let size = program.metadata().expect("a size").len();
    // A hole: nothing loads what follows a program's sections.
    program.set_len(size + padding).expect("longer");
    drop(program);
    let mut saved = Saved::new(&generated(3));
    saved.compile_with(&compiler.file("clang"));
    let home = Home::new();
    let mut command = saved.command();
    home.apply(&mut command);
    command
        .envs(farm.environment())
        .env("RELTO_DISK_CACHE", "off");
    command.env("RELTO_REMOTE_LOCAL_FALLBACK", "false");
    command.stdout(Stdio::null());
    let mut relto = command.spawn().expect("relto starts");
    let mut peak = 0;
    let status = loop {
        if let Some(status) = relto.try_wait().expect("a child of ours") {
            break status;
        }
        peak = peak.max(crate::support::memory::most(relto.id()).unwrap_or(0));
        thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
    assert!(farm.record().uploaded_bytes() > padding);
    peak
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn an_upload_of_two_gigabytes_needs_no_more_memory_than_an_empty_one() {
    let size = if is_long() { 2 << 30 } else { 300 << 20 };
    let (plain, padded) = (peak(0), peak(size));
    println!(
        "{} MB while {} MB more are uploaded, {} MB else",
        padded >> 20,
        size >> 20,
        plain >> 20
    );
    assert!(
        padded <= plain + MOST_MEMORY,
        "{padded} bytes of memory, else {plain}"
    );
}
