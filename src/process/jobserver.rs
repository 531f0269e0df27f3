//! The client side of GNU make's jobserver, as far as the recipe that started relto has one.
//!
//! A token allows one compiler and is returned on drop. The protocol is make's own (`info make`,
//! "POSIX Jobserver"): one byte per token, in a pipe whose ends are inherited
//! (`--jobserver-auth=3,4`, before make 4.2 `--jobserver-fds`) or have a name
//! (`--jobserver-auth=fifo:PATH`, from make 4.4 on).
//!
//! A recipe that make does not treat as a sub-make gets the descriptors' numbers all the same, but
//! the descriptors are closed or reused. So they count only if both are ends of one pipe. They are
//! reopened through `/proc`, because make's own ones must stay blocking.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;
use tokio::net::unix::pipe;

use crate::fs::FileId;

/// The pipe, before there is a runtime to wait on it.
#[derive(Debug)]
pub struct Jobserver {
    read: File,
    write: Arc<File>,
    waiting: OnceLock<pipe::Receiver>,
}

/// The right to run one more process.
#[derive(Debug)]
pub(super) struct Token {
    byte: u8,
    write: Arc<File>,
}

impl Jobserver {
    /// The jobserver that `makeflags` speaks of, if it is really there. To be called before the
    /// process opens files of its own: they would get the numbers of descriptors that make has
    /// closed.
    #[must_use]
    pub fn inherited(makeflags: &str) -> Option<Self> {
        let (read, write) = ends(makeflags)?;
        let (from, to) = (fs::metadata(&read).ok()?, fs::metadata(&write).ok()?);
        let one_pipe = from.file_type().is_fifo()
            && to.file_type().is_fifo()
            && FileId::of(&from) == FileId::of(&to);
        if !one_pipe {
            return None;
        }
        let mut options = fs::OpenOptions::new();
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let read = options.read(true).open(read).ok()?;
        // A named pipe can be opened for writing only while it is open for reading.
        let write = options.read(false).write(true).open(write).ok()?;
        Some(Self {
            read: read.into_parts().0,
            write: Arc::new(write.into_parts().0),
            waiting: OnceLock::new(),
        })
    }

    /// Waits for a token. Must be called on a tokio runtime with I/O.
    ///
    /// # Errors
    /// The pipe is broken: make is gone.
    pub(super) async fn token(&self) -> io::Result<Token> {
        let pipe = self.pipe()?;
        loop {
            pipe.readable().await?;
            let mut byte = [0];
            match pipe.try_read(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    return Ok(Token {
                        byte: byte[0],
                        write: Arc::clone(&self.write),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn pipe(&self) -> io::Result<&pipe::Receiver> {
        if let Some(pipe) = self.waiting.get() {
            return Ok(pipe);
        }
        let pipe = pipe::Receiver::from_file(self.read.try_clone()?)?;
        Ok(self.waiting.get_or_init(|| pipe))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        use std::io::Write as _;
        // A pipe that is broken or full belongs to no make that waits for this token.
        let _ = (&*self.write).write(&[self.byte]);
    }
}

/// Paths of the two ends. The last of several mentions counts.
fn ends(makeflags: &str) -> Option<(PathBuf, PathBuf)> {
    let forms = ["--jobserver-auth=", "--jobserver-fds="];
    let value = |word| forms.iter().find_map(|form| str::strip_prefix(word, form));
    let value = makeflags.split_whitespace().filter_map(value).next_back()?;
    if let Some(path) = value.strip_prefix("fifo:") {
        return Some((path.into(), path.into()));
    }
    let (read, write) = value.split_once(',')?;
    // Without a jobserver make says so by negative numbers.
    let descriptor = |number: &str| {
        let number: u32 = number.parse().ok()?;
        Some(PathBuf::from(format!("/proc/self/fd/{number}")))
    };
    Some((descriptor(read)?, descriptor(write)?))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn each_form_of_make_is_understood_and_the_last_one_counts() {
        let found = |text| {
            ends(text).map(|(read, write)| format!("{} {}", read.display(), write.display()))
        };
        let descriptors = Some("/proc/self/fd/3 /proc/self/fd/4".to_owned());
        assert_eq!(found(" -j8 --jobserver-auth=3,4"), descriptors);
        assert_eq!(found("k -j --jobserver-fds=3,4 -- A=b"), descriptors);
        assert_eq!(
            found("--jobserver-auth=5,6 --jobserver-auth=fifo:/tmp/f"),
            Some("/tmp/f /tmp/f".to_owned())
        );
        for none in ["", "-j8", "--jobserver-auth=-2,-2", "--jobserver-auth=3"] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn tokens_are_taken_from_an_inherited_pipe_and_returned_to_it() {
        let (read, write) = io::pipe().expect("a pipe");
        let flags = format!(
            "--jobserver-auth={},{}",
            read.as_raw_fd(),
            write.as_raw_fd()
        );
        let server = Jobserver::inherited(&flags).expect("it is there");
        io::Write::write_all(&mut &write, b"ab").expect("written");
        let (first, second) = (server.token().await, server.token().await);
        let (first, _second) = (first.expect("a token"), second.expect("a token"));
        {
            let mut third = std::pin::pin!(server.token());
            assert!(futures_util::poll!(third.as_mut()).is_pending());
            drop(first);
            assert_eq!(third.await.expect("given back").byte, b'a');
        }
    }

    #[test]
    fn closed_or_reused_descriptors_are_not_a_jobserver() {
        let (read, write) = io::pipe().expect("a pipe");
        let (other, _end) = io::pipe().expect("a pipe");
        let file = tempfile::tempfile().expect("a file");
        let [read, write, other, file] = [
            read.as_raw_fd(),
            write.as_raw_fd(),
            other.as_raw_fd(),
            file.as_raw_fd(),
        ];
        for (read, write) in [(1000, 1001), (file, file), (other, write), (read, file)] {
            let flags = format!("-j4 --jobserver-auth={read},{write}");
            assert!(Jobserver::inherited(&flags).is_none(), "{flags}");
        }
    }
}
