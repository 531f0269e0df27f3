//! Where the repository is, and what cargo has built of it for the running test or benchmark.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The repository's root directory.
pub fn root() -> &'static Path {
    let support = Path::new(env!("CARGO_MANIFEST_DIR"));
    support
        .ancestors()
        .nth(2)
        .expect("two levels below the root")
}

/// The program under test. Cargo puts it above the directory of the running test program.
pub fn relto() -> &'static Path {
    static RELTO: LazyLock<PathBuf> = LazyLock::new(|| profile_dir().join("relto"));
    &RELTO
}

/// A directory for what tests keep from one run to the next.
pub fn kept_dir() -> PathBuf {
    profile_dir().with_file_name("tmp")
}

/// `target/debug` of `target/debug/deps/it-HASH`.
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a running program");
    let dir = test.ancestors().nth(2).expect("below `target`");
    dir.to_owned()
}
