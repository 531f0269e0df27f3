//! Ends the reading of files that nobody waits for any more.
//!
//! A thread that reads cannot be stopped from outside, and a file may keep it for hours: a sparse one
//! has terabytes, and a network may be slow. So whoever leaves work to a thread says what cancels it,
//! and whatever reads there asks between two pieces.

use std::fs::File;
use std::io::{self, Read};

use tokio_util::sync::CancellationToken;

/// Bytes between two questions. Even a slow disk reads them at once.
const PIECE: u64 = 4 << 20;

tokio::task_local! {
    static CANCEL: CancellationToken;
}

/// Does `work`, in which reading fails once `cancel` has fired.
pub fn cancellable<T>(cancel: &CancellationToken, work: impl FnOnce() -> T) -> T {
    CANCEL.sync_scope(cancel.clone(), work)
}

/// What cancels the reading of this thread, for others that do a part of its work.
#[must_use]
pub fn cancelled_by() -> Option<CancellationToken> {
    CANCEL.try_with(CancellationToken::clone).ok()
}

/// To be asked between two pieces of what may take long.
///
/// # Errors
/// What this thread does was cancelled.
pub fn check_cancelled() -> io::Result<()> {
    match CANCEL.try_with(CancellationToken::is_cancelled) {
        // Not `Interrupted`, after which readers try again.
        Ok(true) => Err(io::Error::other("cancelled while it was read")),
        _ => Ok(()),
    }
}

/// Appends the rest of `file` to `bytes`.
///
/// # Errors
/// The system's own; the reading was cancelled.
pub fn read_to_end(file: &File, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        check_cancelled()?;
        let read = file.take(PIECE).read_to_end(bytes)?;
        if (read as u64) < PIECE {
            return Ok(());
        }
    }
}

/// A reader that fails once the work of its thread was cancelled.
#[derive(Debug)]
pub struct Cancellable<R>(pub R);

impl<R: Read> Read for Cancellable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        check_cancelled()?;
        self.0.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn a_file_of_many_pieces_is_read_whole_and_one_that_nobody_wants_not_to_its_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let contents: Vec<u8> = (0..PIECE * 2 + 5).map(|at| at.to_le_bytes()[1]).collect();
        for length in [0, 3, contents.len() - 5, contents.len()] {
            fs::write(&path, &contents[..length]).expect("written");
            let file = || fs::File::open(&path).expect("opened").into_file();
            let cancel = CancellationToken::new();
            let mut bytes = Vec::new();
            cancellable(&cancel, || read_to_end(&file(), &mut bytes)).expect("read");
            assert!(bytes == contents[..length]);
            cancel.cancel();
            let ended = cancellable(&cancel, || read_to_end(&file(), &mut bytes));
            assert!(ended.is_err());
            let hashed = cancellable(&cancel, || {
                Cancellable(file()).read(&mut [0; 16]).map(|_| ())
            });
            assert!(hashed.is_err());
            assert_eq!(bytes.len(), length);
        }
        check_cancelled().expect("other work goes on");
    }
}
