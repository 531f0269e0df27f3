//! Writes to what is no regular file, and stays what it is: devices, pipes and sockets.

use std::io::{self, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::with_path;

/// How often a pipe without a reader, or with one that does not read, is tried.
const PIPE_POLL: Duration = Duration::from_millis(5);

/// A compiler waits for the reader of a pipe, so this does too; but a link must be able to end.
pub(super) fn write(
    give_up: &dyn Fn() -> bool,
    found: &std::fs::Metadata,
    path: &Path,
    mut bytes: &[u8],
) -> io::Result<()> {
    if !found.file_type().is_fifo() {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        return file.write_all(bytes);
    }
    let wait = || {
        if give_up() {
            let error = io::Error::new(io::ErrorKind::Interrupted, "no process reads the pipe");
            return Err(with_path(&error, path));
        }
        std::thread::sleep(PIPE_POLL);
        Ok(())
    };
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = loop {
        match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NXIO) => wait()?,
            opened => break opened.map_err(|error| with_path(&error.into(), path))?,
        }
    };
    while !bytes.is_empty() {
        match rustix::io::write(&pipe, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::AGAIN) => wait()?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(with_path(&error.into(), path)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::super::{write_whole, write_whole_until};
    use super::*;

    #[test]
    fn a_pipe_gets_all_bytes_and_is_given_up_when_no_process_reads_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).expect("made");
        let error = write_whole_until(&|| true, None, &pipe, b"x").expect_err("no reader");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        let bytes = vec![7; 1 << 20];
        let from = pipe.clone();
        let reader = std::thread::spawn(move || fs::read(from).expect("read"));
        write_whole(&pipe, &bytes).expect("written");
        assert!(reader.join().expect("no panic") == bytes);
        // A reader that never reads.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let _idle = rustix::fs::open(&pipe, flags, Mode::empty()).expect("opened");
        let error = write_whole_until(&|| true, None, &pipe, &bytes).expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert!(
            fs::symlink_metadata(&pipe)
                .expect("there")
                .file_type()
                .is_fifo()
        );
    }
}
