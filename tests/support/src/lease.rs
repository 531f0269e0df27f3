//! Files whose readers wait until the test lets them go on: regular files, which relto reads,
//! unlike pipes, held by leases.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Leases of a helper process, given up when dropped.
pub struct Leases {
    holder: Child,
    release: Option<ChildStdin>,
    waiting: BufReader<ChildStdout>,
}

impl Leases {
    pub fn hold<P: AsRef<Path>>(files: &[P]) -> Self {
        let mut command = Command::new("python3");
        command.arg(crate::built::root().join("tests/support/lease.py"));
        command.args(files.iter().map(AsRef::as_ref));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("python3 starts");
        let mut leases = Self {
            release: holder.stdin.take(),
            waiting: BufReader::new(holder.stdout.take().expect("a pipe")),
            holder,
        };
        assert_eq!(leases.line(), "held");
        leases
    }

    /// Blocks until another file has a reader that waits; returns the file's number.
    pub fn next_reader(&mut self) -> usize {
        self.line().parse().expect("a number")
    }

    /// Lets the readers of a file go on.
    pub fn release(&mut self, number: usize) {
        let pipe = self.release.as_mut().expect("open");
        writeln!(pipe, "{number}").expect("the holder reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.waiting.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        drop(self.release.take());
        let _ = self.holder.wait();
    }
}
