//! Files: written whole or not at all, read only if they are regular, private where they are ours.

mod cancel;
mod file_id;
mod host_name;
mod kept;
mod limited;
mod medium;
mod null_device;
mod open_files;
mod own_dir;
mod ownership;
mod private;
mod regular;
mod remove;
mod special;
mod write;

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

pub use cancel::{Cancellable, cancellable, cancelled_by, check_cancelled, read_to_end};
pub use file_id::FileId;
pub use host_name::host_name;
pub use kept::keep_file_for;
pub use limited::{read_at_most, read_open_at_most, read_regular_at_most};
pub use medium::{Medium, is_remote, unstamped_name};
pub use null_device::null_device;
pub use own_dir::{OwnDir, modified};
pub use ownership::{file_writable_by_others, is_trusted_owner, shared_with};
pub use private::{PRIVATE_UMASK, create_private_dir, open_private_file, open_shared_file};
pub use regular::{
    buffer_for, open_regular, read_regular, read_regular_beneath, read_regular_no_follow,
    read_regular_to_string,
};
pub use remove::remove_if_there;
pub use write::{is_written_through, write_whole, write_whole_for, write_whole_until};

fn is_special(found: &std::fs::Metadata) -> bool {
    let kind = found.file_type();
    kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || kind.is_socket()
}

fn is_in_devices(path: &Path) -> bool {
    path.starts_with("/dev") || path.starts_with("/proc")
}

/// Whether `path` is a program, as a shell sees it in `PATH`.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    let found = fs_err::metadata(path);
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The directory that holds `path`.
#[must_use]
pub fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Makes `dir` and its missing parents, each with `create`. Another process may make one at the same
/// time.
fn create_dirs(dir: &Path, create: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let made = match create(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = dir.parent().filter(|it| !it.as_os_str().is_empty());
            create_dirs(parent.ok_or(error)?, create)?;
            create(dir)
        }
        made => made,
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made.map_err(|error| named(&error, "make", dir)),
    }
}

fn with_path(error: &io::Error, path: &Path) -> io::Error {
    named(error, "write", path)
}

/// `error` with what was to be done to which path.
fn named(error: &io::Error, what: &str, path: &Path) -> io::Error {
    let text = format!("cannot {what} `{}`: {error}", path.display());
    io::Error::new(error.kind(), text)
}

fn not_regular(path: &Path) -> io::Error {
    let text = format!("`{}` is not a regular file", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// `path` seen from the root, without asking the file system and without resolving links.
///
/// # Errors
/// The current directory is gone.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}
