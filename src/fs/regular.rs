//! Reads files whose names come from elsewhere: job files, indexes, modules, response files,
//! profiles, and what a compiler has written.
//!
//! Opening a pipe waits for its other end, reading a device may never end, and a sparse file can
//! claim more bytes than the machine has memory. None of them may stop or abort a link.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::sysinfo::sysinfo;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{check_cancelled, named, not_regular, read_to_end};

/// `/dev/null`, which reads as an empty file.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// How often a file that another process holds a lease on is tried, and for how long: twice the
/// time after which the kernel breaks a lease by default.
const LEASE_POLL: Duration = Duration::from_millis(5);
const LEASE_TIMEOUT: Duration = Duration::from_secs(90);

/// Opens a regular file, following symbolic links.
///
/// # Errors
/// The system's own, with the path; the path is not a regular file (`InvalidInput`).
pub fn open_regular(path: impl AsRef<Path>) -> io::Result<fs_err::File> {
    let path = path.as_ref();
    let (file, found) = open(path, OFlags::empty())?;
    if !found.is_file() {
        return Err(not_regular(path));
    }
    Ok(fs_err::File::from_parts(file, path))
}

/// Reads a regular file, following symbolic links. `/dev/null` is empty.
///
/// # Errors
/// Like [`open_regular`]; the file does not fit into memory.
pub fn read_regular(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let (file, found) = open(path, OFlags::empty())?;
    if is_null_device(&found) {
        return Ok(Vec::new());
    }
    read(&file, &found, path)
}

/// Like [`read_regular`], for text.
///
/// # Errors
/// The same; the text is not UTF-8.
pub fn read_regular_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    let bytes = read_regular(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        named(&error, "read", path)
    })
}

/// Reads a regular file that an untrusted program wrote. A symbolic link is an error: its target
/// may be a file that only this process can read.
///
/// # Errors
/// The system's own, with the path; the path is not a regular file; it does not fit into memory.
pub fn read_regular_no_follow(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let (file, found) = open(path, OFlags::NOFOLLOW).map_err(|error| {
        if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            not_regular(path)
        } else {
            error
        }
    })?;
    read(&file, &found, path)
}

/// Reads a regular file that an untrusted program wrote below `dir`, which it could not replace. A
/// symbolic link is an error anywhere in `name`, a relative path without `..`.
///
/// # Errors
/// Like [`read_regular_no_follow`].
pub fn read_regular_beneath(dir: &Path, name: &Path) -> io::Result<Vec<u8>> {
    let path = dir.join(name);
    let opened = (|| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(dir, flags, Mode::empty())?;
        let dirs = name.parent().unwrap_or(Path::new("")).components();
        for part in dirs {
            let part: &Path = part.as_ref();
            at = rustix::fs::openat(&at, part, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        let last = name.file_name().ok_or(Errno::NOENT)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::openat(&at, last, flags | OFlags::NOFOLLOW, Mode::empty())
    })();
    let file = File::from(opened.map_err(|error| named(&error.into(), "open", &path))?);
    read(&file, &file.metadata()?, &path)
}

fn open(path: &Path, extra: OFlags) -> io::Result<(File, Metadata)> {
    // A pipe that is opened and closed again has lost its writer, and whoever should read it waits.
    if fs_err::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        return Err(not_regular(path));
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | extra;
    let opened = open_past_leases(path, flags).map_err(io::Error::from);
    let found = opened.and_then(|file| {
        let file = File::from(file);
        let found = file.metadata()?;
        Ok((file, found))
    });
    found.map_err(|error| match error.raw_os_error() {
        // The kind alone would lose the number that callers compare.
        Some(number) if number == Errno::LOOP.raw_os_error() => error,
        _ => named(&error, "open", path),
    })
}

/// Opens without blocking on a pipe. A file server's lease makes such an open fail where a plain
/// one waits; the first try asks the holder to give the lease up, so a later one succeeds.
fn open_past_leases(path: &Path, flags: OFlags) -> rustix::io::Result<rustix::fd::OwnedFd> {
    let start = Instant::now();
    loop {
        match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::WOULDBLOCK)
                if start.elapsed() < LEASE_TIMEOUT && check_cancelled().is_ok() =>
            {
                std::thread::sleep(LEASE_POLL);
            }
            result => return result,
        }
    }
}

fn read(file: &File, found: &Metadata, path: &Path) -> io::Result<Vec<u8>> {
    if !found.is_file() {
        return Err(not_regular(path));
    }
    let unreadable = |error: io::Error| named(&error, "read", path);
    let mut bytes = buffer_for(found.len()).map_err(unreadable)?;
    read_to_end(file, &mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// An empty buffer with room for a file of `size` bytes, or an error where the process would abort
/// for lack of memory.
///
/// # Errors
/// `OutOfMemory`.
pub fn buffer_for(size: u64) -> io::Result<Vec<u8>> {
    let too_large = || {
        let text = format!("its {size} bytes do not fit into memory");
        io::Error::new(io::ErrorKind::OutOfMemory, text)
    };
    let memory = sysinfo().map(|machine| machine.ram_total());
    if memory.is_ok_and(|memory| size > memory) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // One byte more: the read that finds the end needs room, too.
    let room = usize::try_from(size).map_err(|_| too_large())?;
    bytes
        .try_reserve_exact(room.saturating_add(1))
        .map_err(|_| too_large())?;
    Ok(bytes)
}

pub(super) fn is_null_device(found: &Metadata) -> bool {
    let device = found.rdev();
    let numbers = (rustix::fs::major(device), rustix::fs::minor(device));
    found.file_type().is_char_device() && numbers == NULL_DEVICE
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nothing_else_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
        fs::write(&file, "text").expect("written");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::from_raw_mode(0o600)).expect("made");
        assert_eq!(read_regular(&file).expect("read"), b"text");
        assert_eq!(read_regular(Path::new("/dev/null")).expect("read"), b"");
        for path in [&pipe, Path::new("/dev/zero"), dir.path()] {
            let error = read_regular(path).expect_err("refused");
            assert!(error.to_string().contains("not a regular file"), "{error}");
            assert!(open_regular(path).is_err());
        }
    }

    /// A writer that waits for a reader goes on waiting: it is not for us that it writes.
    #[test]
    fn a_pipe_is_not_opened_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::from_raw_mode(0o600)).expect("made");
        let to = pipe.clone();
        let writer = std::thread::spawn(move || fs::write(to, "text"));
        for _ in 0..100 {
            assert!(read_regular(&pipe).is_err());
            assert!(open_regular(&pipe).is_err());
        }
        assert_eq!(fs::read_to_string(&pipe).expect("read"), "text");
        writer.join().expect("no panic").expect("written");
    }

    #[test]
    fn a_link_is_followed_only_where_the_user_made_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "secret").expect("written");
        fs_err::os::unix::fs::symlink(&file, &link).expect("linked");
        assert_eq!(read_regular(&link).expect("read"), b"secret");
        assert!(read_regular_no_follow(&link).is_err());
    }

    #[test]
    fn no_part_of_the_name_of_an_output_may_be_a_link() {
        let top = tempfile::tempdir().expect("a directory");
        let (dir, secret) = (top.path().join("dir"), top.path().join("secret"));
        fs::create_dir_all(dir.join("real")).expect("made");
        fs::create_dir(&secret).expect("made");
        for place in [&dir.join("real"), &secret] {
            fs::write(place.join("out.o"), "object").expect("written");
        }
        fs_err::os::unix::fs::symlink(&secret, dir.join("link")).expect("linked");
        fs_err::os::unix::fs::symlink("real/out.o", dir.join("last.o")).expect("linked");
        let read = |name: &str| read_regular_beneath(&dir, Path::new(name));
        assert_eq!(read("real/out.o").expect("read"), b"object");
        for name in [
            "link/out.o",
            "last.o",
            "real/../../secret/none.o",
            "real",
            "none",
        ] {
            assert!(read(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_file_larger_than_the_memory_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let giant = dir.path().join("giant");
        let file = fs::File::create(&giant).expect("made");
        // Where the file system refuses such a size there is nothing to try.
        if file.set_len(1 << 43).is_ok() {
            let error = read_regular(&giant).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        }
    }
}
