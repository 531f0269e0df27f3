//! Programs that tests write, always by another process.
//!
//! A test that has a file open for writing shares it with every process that another test starts at
//! that moment, and no system runs a program that is open for writing anywhere (`ETXTBSY`).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::llvm::run;

/// Writes a program to `path`, in place of what is there.
pub fn write(path: impl AsRef<Path>, program: impl AsRef<[u8]>) {
    const WRITE: &str = "cat >\"$0\" && chmod 755 \"$0\"";
    let mut writer = Command::new("sh");
    writer.args(["-c", WRITE]).arg(path.as_ref());
    let mut child = writer.stdin(Stdio::piped()).spawn().expect("sh starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(program.as_ref()).expect("sent");
    drop(stdin);
    let status = child.wait().expect("a child of ours");
    assert!(status.success(), "`{}` is written", path.as_ref().display());
}

/// Copies the program `from`, in place of what is there.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    run(Command::new("cp").arg(from.as_ref()).arg(to.as_ref()));
}
