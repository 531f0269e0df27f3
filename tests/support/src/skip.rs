//! Tests that cannot run here are skipped and counted.
//!
//! `cargo test` has no third verdict, so a skipped test passes as far as libtest can see. It also
//! appends a line, `TEST<tab>REASON`, to the file that `RELTO_TEST_SKIPS` names: `tests/run.sh`
//! subtracts these tests from those that passed and lists them at the end.

use std::io::Write as _;
use std::panic::Location;
use std::path::Path;

/// Records that the running test is skipped. The test must return right after.
#[track_caller]
#[expect(
    clippy::print_stderr,
    reason = "a test that is run by hand shows why it did nothing"
)]
pub fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
    let Some(list) = std::env::var_os("RELTO_TEST_SKIPS") else {
        return;
    };
    let list = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(Path::new(&list));
    let line = format!("{}\t{reason}\n", test_name(Location::caller()));
    list.and_then(|mut list| list.write_all(line.as_bytes()))
        .expect("the list of skipped tests takes a line");
}

/// True in `tests/run.sh --long`; otherwise the test is skipped.
#[track_caller]
pub fn runs_long() -> bool {
    let long = is_long();
    if !long {
        skip("it takes minutes: `tests/run.sh --long` runs it");
    }
    long
}

/// Whether `tests/run.sh --long` asks for more of what a test does anyway.
pub fn is_long() -> bool {
    std::env::var_os("RELTO_TEST_LONG").is_some()
}

/// libtest names a test's thread after the test, unless it runs tests one by one on the main one.
fn test_name(caller: &Location<'_>) -> String {
    let thread = std::thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("{}:{}", caller.file(), caller.line()),
    }
}
