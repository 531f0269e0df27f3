//! relto's own directories and files, which no other user may read, write or lock.
//!
//! Every path below the cache, state, runtime and scratch directories is created here, so that the
//! umask of whichever process comes first does not matter.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;

use super::create_dirs;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const SHARED_FILE_MODE: u32 = 0o666;
/// For [`write_whole_for`](super::write_whole_for): only the user may read the file.
pub const PRIVATE_UMASK: u32 = 0o077;

/// Creates `dir` and its missing parents, each with mode 0700. Directories that exist keep
/// their mode.
///
/// # Errors
/// The system's own, with the path.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    create_dirs(dir, &|dir| {
        DirBuilder::new().mode(DIR_MODE).create(dir)?;
        undo_umask(dir, DIR_MODE)
    })
}

/// Opens a file of relto's own for writing and makes it with mode 0600 if it is missing. A symbolic
/// link, a pipe or a device in its place is an error.
///
/// # Errors
/// The system's own, with the path; the path is not a regular file.
pub fn open_private_file(path: &Path) -> io::Result<fs::File> {
    let (file, found) = open_for_writing(path, FILE_MODE)?;
    Ok(private(file, &found))
}

/// Makes a file of this user private. What was opened at `path` must be a regular file.
pub(super) fn checked(file: std::fs::File, path: PathBuf) -> io::Result<fs::File> {
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(super::not_regular(&path));
    }
    Ok(private(fs::File::from_parts(file, path), &found))
}

fn private(file: fs::File, found: &Metadata) -> fs::File {
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if ours && found.mode() & 0o777 != FILE_MODE {
        // Made under another umask, or by an earlier relto.
        let _ = file.set_permissions(std::fs::Permissions::from_mode(FILE_MODE));
    }
    file
}

/// The same in a directory that the user shares with others: the umask says who may write it.
///
/// # Errors
/// Like [`open_private_file`].
pub fn open_shared_file(path: &Path) -> io::Result<fs::File> {
    open_for_writing(path, SHARED_FILE_MODE).map(|(file, _)| file)
}

fn open_for_writing(path: &Path, mode: u32) -> io::Result<(fs::File, Metadata)> {
    let mut options = fs::OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(super::not_regular(path));
    }
    Ok((file, found))
}

fn undo_umask(path: &Path, mode: u32) -> io::Result<()> {
    if fs::symlink_metadata(path)?.mode() & 0o777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("there").mode() & 0o777
    }

    #[test]
    fn every_directory_and_file_is_private() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = parent.path().join("a/b");
        create_private_dir(&dir).expect("made");
        create_private_dir(&dir).expect("there already");
        let file = dir.join("lock");
        fs::write(&file, "").expect("written");
        fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
        open_private_file(&file).expect("opened");
        assert_eq!(mode(&parent.path().join("a")), 0o700);
        assert_eq!((mode(&dir), mode(&file)), (0o700, 0o600));
    }

    #[test]
    fn a_link_or_a_pipe_in_the_place_of_a_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let (link, pipe) = (dir.path().join("link"), dir.path().join("pipe"));
        fs_err::os::unix::fs::symlink(dir.path().join("target"), &link).expect("linked");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).expect("made");
        assert!(open_private_file(&link).is_err());
        assert!(open_private_file(&pipe).is_err());
        assert!(!dir.path().join("target").exists());
    }
}
