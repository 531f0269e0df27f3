//! What `/dev/null` is for, also in a root directory without devices.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use rustix::io::Errno;

const PATH: &str = "/dev/null";

/// A file that is empty and takes what is written to it: `/dev/null`, or a file in memory where that
/// does not exist.
///
/// # Errors
/// The system's own.
pub fn null_device() -> io::Result<File> {
    null_device_at(PATH)
}

fn null_device_at(path: &str) -> io::Result<File> {
    let file = match rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => memfd_create("null", MemfdFlags::CLOEXEC),
        opened => opened,
    };
    Ok(file?.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn it_is_empty_and_writable_whether_it_exists_or_not() {
        for path in [PATH, "/nonexistent/null"] {
            let mut file = null_device_at(path).expect("opened");
            let mut read = Vec::new();
            file.read_to_end(&mut read).expect("read");
            assert!(read.is_empty());
            file.write_all(b"text").expect("written");
        }
    }
}
