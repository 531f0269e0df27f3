//! Writes files whole or not at all.
//!
//! An output of a link must never be seen half-written, even after a crash, so it is written under
//! no name or a temporary one and put in place by one system call. A path that names something else
//! (`/dev/null`, a pipe) is written through and stays what it is.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::{dir_of, is_in_devices, is_special, open_files, special, with_path};

/// Readable and writable for all; the kernel applies the umask.
const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

/// Writes `bytes` to `path`, replacing a regular file.
///
/// # Errors
/// The system's own, with the path in the message. Nothing is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole_for(None, path, bytes)
}

/// Like [`write_whole`], for a process with another `umask`.
///
/// # Errors
/// The same.
pub fn write_whole_for(umask: Option<u32>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole_until(&|| false, umask, path, bytes)
}

/// Like [`write_whole_for`]; waiting for the reader of a pipe ends once `give_up` says so.
///
/// # Errors
/// The same; `Interrupted` after `give_up`.
pub fn write_whole_until(
    give_up: &dyn Fn() -> bool,
    umask: Option<u32>,
    path: &Path,
    bytes: &[u8],
) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if is_special(&found) => special::write(give_up, &found, path, bytes),
        Ok(found) if found.is_symlink() => write_through_link(give_up, umask, path, bytes),
        Ok(_) => replace(umask, path, bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(umask, path, bytes),
        Err(error) => Err(error),
    }
}

/// A link to a device is a device; a link to a file is replaced, as a compiler's own rename would,
/// but for `/dev/stdout`, which leads to whatever this process writes to. What this process has
/// opened for itself, such as its database, is nobody's output.
fn write_through_link(
    give_up: &dyn Fn() -> bool,
    umask: Option<u32>,
    path: &Path,
    bytes: &[u8],
) -> io::Result<()> {
    if open_files::is_opened_here(path) {
        return if is_in_devices(path) {
            Err(with_path(&io::ErrorKind::NotFound.into(), path))
        } else {
            replace(umask, path, bytes)
        };
    }
    match fs::metadata(path) {
        Ok(found) if is_special(&found) => special::write(give_up, &found, path, bytes),
        Ok(_) if is_of_process(path) => fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(path)?
            .write_all(bytes),
        _ => replace(umask, path, bytes),
    }
}

/// Whether a link leads to what this process writes to.
fn is_of_process(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target.starts_with("/proc/self/fd"))
        || path.starts_with("/proc")
}

/// Whether [`write_whole`] writes into what `path` names, which another process may be reading,
/// instead of replacing it.
#[must_use]
pub fn is_written_through(path: &Path) -> bool {
    let is_special_there = || fs::metadata(path).is_ok_and(|found| is_special(&found));
    fs::symlink_metadata(path).is_ok_and(|found| {
        is_special(&found) || found.is_symlink() && (is_special_there() || is_of_process(path))
    })
}

/// The fast path: an unnamed file gets its name when it is complete, so not even a crash leaves
/// half a file.
fn create(umask: Option<u32>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match unnamed(umask, path, bytes) {
        Ok(Some(file)) => match name(&file, path) {
            // The name is taken, or the system forbids to link by descriptor: without `/proc`, or
            // in a sandbox without `linkat`.
            Err(_) => replace(umask, path, bytes),
            named => named,
        },
        Ok(None) => replace(umask, path, bytes),
        Err(error) => Err(error),
    }
}

/// `None` where the file system has no unnamed files.
fn unnamed(umask: Option<u32>, path: &Path, bytes: &[u8]) -> io::Result<Option<OwnedFd>> {
    let dir = dir_of(path);
    match rustix::fs::openat(
        CWD,
        dir,
        OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC,
        NEW_FILE,
    ) {
        Ok(file) => {
            let mut file = std::fs::File::from(file);
            set_mode(&file, dir, umask)?;
            file.write_all(bytes)
                .map_err(|error| with_path(&error, path))?;
            Ok(Some(file.into()))
        }
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(with_path(&error.into(), path)),
    }
}

fn name(file: &OwnedFd, path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let open_file = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let linked = rustix::fs::linkat(CWD, open_file.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW);
    Ok(linked?)
}

/// The kernel has applied this process's own umask, which may not be the right one; or none, where `dir`
/// says what new files may have. Some file systems forbid to change a mode.
fn set_mode(file: &std::fs::File, dir: &Path, umask: Option<u32>) -> io::Result<()> {
    let Some(umask) = umask else {
        return Ok(());
    };
    let wanted = NEW_FILE - Mode::from_raw_mode(umask);
    let found = Mode::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    if found == wanted || has_default_access_list(dir) {
        return Ok(());
    }
    Ok(rustix::fs::fchmod(file, wanted)?)
}

/// Whether an access control list takes the place of the umask for what is made in `dir`.
pub(super) fn has_default_access_list(dir: &Path) -> bool {
    rustix::fs::getxattr(dir, "system.posix_acl_default", &mut [0_u8; 0]).is_ok()
}

pub(super) fn replace(umask: Option<u32>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = tempfile::Builder::new()
        .prefix(".relto-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(dir_of(path));
    let mut temporary = match temporary {
        Ok(temporary) => temporary,
        Err(error) => return overwrite(path, bytes).unwrap_or(Err(error)),
    };
    set_mode(temporary.as_file(), dir_of(path), umask)?;
    temporary
        .write_all(bytes)
        .map_err(|error| with_path(&error, path))?;
    match temporary.persist(path) {
        Ok(_) => Ok(()),
        Err(error) if is_mounted(&error.error, path) => {
            overwrite(path, bytes).unwrap_or_else(|| Err(with_path(&error.error, path)))
        }
        Err(error) => Err(with_path(&error.error, path)),
    }
}

/// Whether `error` says that something is mounted at `path`, which is a file then, as in a container that
/// is given the file alone.
fn is_mounted(error: &io::Error, path: &Path) -> bool {
    error.kind() == io::ErrorKind::ResourceBusy
        && fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// Writes a file whose name takes no other, as compilers do: in a directory that must not be written
/// or is that of a process's open files, or a mount point. `None` if the file cannot be written either.
fn overwrite(path: &Path, bytes: &[u8]) -> Option<io::Result<()>> {
    // Links there lead to what the user has opened; elsewhere another user may have made them.
    let links = if is_in_devices(path) {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NONBLOCK | links;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut file = std::fs::File::from(file);
    let written = file.write_all(bytes);
    Some(written.map_err(|error| with_path(&error, path)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
    use std::path::PathBuf;

    use super::*;
    use crate::fs::remove_if_there;

    #[test]
    fn a_new_file_and_a_replaced_one_are_whole_and_private() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a (b).o");
        for contents in [b"first".as_slice(), b"second"] {
            write_whole(&path, contents).expect("written");
            assert_eq!(fs::read(&path).expect("read"), contents);
        }
        let found = fs::metadata(&path).expect("there");
        assert_eq!(found.nlink(), 1);
        assert_eq!(found.permissions().mode() & 0o111, 0);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn both_ways_of_writing_set_the_same_mode() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (fast, slow) = (dir.path().join("fast"), dir.path().join("slow"));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        for umask in [None, Some(0o027), Some(0)] {
            for path in [&fast, &slow] {
                let _ = remove_if_there(path);
            }
            create(umask, &fast, b"x").expect("written");
            replace(umask, &slow, b"x").expect("written");
            assert_eq!(mode(&fast), mode(&slow));
            if let Some(umask) = umask {
                assert_eq!(mode(&fast) & 0o777, 0o666 & !umask);
            }
        }
    }

    #[test]
    fn what_a_process_has_open_is_written_through_its_link_and_never_removed() {
        use std::os::fd::AsRawFd as _;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = fs::File::create(dir.path().join("open")).expect("made");
        rustix::io::fcntl_setfd(file.file(), rustix::io::FdFlags::empty()).expect("as inherited");
        let number = file.as_raw_fd();
        let link = dir.path().join("stdout");
        fs::os::unix::fs::symlink(format!("/proc/self/fd/{number}"), &link).expect("linked");
        let direct = PathBuf::from(format!("/dev/fd/{number}"));
        for (path, text) in [(&link, "linked"), (&direct, "direct")] {
            write_whole(path, text.as_bytes()).expect("written");
            let written = fs::read_to_string(dir.path().join("open")).expect("read");
            assert_eq!(written, text);
        }
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        remove_if_there(&direct).expect("left alone");
        let null = dir.path().join("null");
        fs::os::unix::fs::symlink("/dev/null", &null).expect("linked");
        remove_if_there(&null).expect("left alone");
        assert!(fs::symlink_metadata(&null).is_ok());
    }

    #[test]
    fn a_device_stays_a_device() {
        write_whole(Path::new("/dev/null"), b"x").expect("written through");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let link = dir.path().join("sink");
        fs_err::os::unix::fs::symlink("/dev/null", &link).expect("linked");
        write_whole(&link, b"x").expect("written through");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert!(
            fs::metadata("/dev/null")
                .expect("there")
                .file_type()
                .is_char_device()
        );
    }

    #[test]
    fn an_error_names_the_path() {
        let error =
            write_whole(Path::new("/proc/nonexistent/x.o"), b"x").expect_err("no such directory");
        assert!(
            error.to_string().contains("/proc/nonexistent/x.o"),
            "{error}"
        );
    }
}
