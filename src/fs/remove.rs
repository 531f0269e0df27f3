//! Removes files, but for what a process has opened and does not own.

use std::io;
use std::path::Path;

use fs_err as fs;

use super::{is_in_devices, is_special};

/// Removes a file that may be missing. A device or a pipe stays, and a link to one: a program that
/// writes to `/dev/null` or `/dev/stdout` does not own it. So does everything in `/dev` and
/// `/proc`.
///
/// # Errors
/// The system's own, except for a missing file.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    let stays = is_in_devices(path) && !path.starts_with("/dev/shm");
    if stays || fs::metadata(path).is_ok_and(|found| is_special(&found)) {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_not_removed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let socket = dir.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        remove_if_there(&socket).expect("nothing to do");
        assert!(fs::symlink_metadata(&socket).is_ok());
        remove_if_there(&dir.path().join("missing")).expect("nothing to do");
    }
}
