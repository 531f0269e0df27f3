//! Reads small files that options and arguments name, which may be anything: a sparse file, a device
//! without an end.

use std::io::{self, Read as _};
use std::path::Path;

use fs_err::File;

use super::{named, open_regular, regular::is_null_device};

/// Reads a file of at most `limit` bytes, also a pipe: a shell may put one in the place of a file.
///
/// # Errors
/// The system's own, with the path; the file is longer (`FileTooLarge`).
pub fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_open_at_most(File::open(path)?, path, limit)
}

/// Like [`read_at_most`], of a regular file. `/dev/null` is empty.
///
/// # Errors
/// The same; the path is not a regular file (`InvalidInput`).
pub fn read_regular_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if fs_err::metadata(path).is_ok_and(|found| is_null_device(&found)) {
        return Ok(Vec::new());
    }
    read_open_at_most(open_regular(path)?, path, limit)
}

/// Like [`read_at_most`], of a `file` that is open.
///
/// # Errors
/// The same.
pub fn read_open_at_most(file: File, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() > limit {
        return Err(too_long(path, limit));
    }
    let mut bytes = Vec::new();
    let mut file = file.take(limit + 1);
    file.read_to_end(&mut bytes)
        .map_err(|error| named(&error, "read", path))?;
    if bytes.len() as u64 > limit {
        return Err(too_long(path, limit));
    }
    Ok(bytes)
}

fn too_long(path: &Path, limit: u64) -> io::Error {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "bytes")];
    let unit = units.iter().find(|(bits, _)| limit >> bits > 0);
    let (bits, unit) = unit.unwrap_or(&(0, "bytes"));
    let number = limit >> bits;
    let text = format!("`{}` is longer than {number} {unit}", path.display());
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn a_file_that_is_too_long_is_not_read_and_the_error_says_how_long_it_may_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        fs::write(&path, [7; 1025]).expect("written");
        for read in [read_at_most, read_regular_at_most] {
            assert_eq!(read(&path, 1025).expect("read").len(), 1025);
            let error = read(&path, 1024).expect_err("refused");
            let expected = format!("`{}` is longer than 1 KiB", path.display());
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert_eq!(read(Path::new("/dev/null"), 0).expect("read"), b"");
        }
        let zeros = Path::new("/dev/zero");
        let said = |limit| {
            let error = read_at_most(zeros, limit).expect_err("refused");
            error.to_string()
        };
        assert!(said(64 << 10).ends_with("longer than 64 KiB"));
        assert!(said(2 << 20).ends_with("longer than 2 MiB"));
        let error = read_regular_at_most(zeros, 1).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
