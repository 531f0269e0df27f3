//! Files whose names stand for their contents, in a directory that the user named for them.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use fs_err as fs;
use rustix::fs::{Mode, OFlags};

use super::write::{has_default_access_list, replace};
use super::{create_dirs, dir_of, read_regular_no_follow};

/// Readable, writable and searchable for all; the kernel applies the umask.
const NEW_DIR: u32 = 0o777;

/// Writes `bytes` to `path`, whose missing directories are made, for a process with another
/// `umask`. A regular file that has these bytes already gets the current time instead, so that its
/// age tells when it was last needed. Anything else of that name, a link or a device too, is
/// replaced; nothing is written through it.
///
/// # Errors
/// The system's own, with the path in the message. No part of the file is left behind.
pub fn keep_file_for(umask: Option<u32>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    if has(path, bytes) {
        // Of another user, say: it only looks older than it is.
        let _ = touch(path);
        return Ok(());
    }
    match replace(umask, path, bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_dir(umask, dir_of(path))?;
            replace(umask, path, bytes)
        }
        replaced => replaced,
    }
}

fn has(path: &Path, bytes: &[u8]) -> bool {
    let size = fs::symlink_metadata(path).map(|found| found.len());
    size.is_ok_and(|size| size == bytes.len() as u64)
        && read_regular_no_follow(path).is_ok_and(|found| found == bytes)
}

fn touch(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    file.set_modified(std::time::SystemTime::now())
}

fn create_dir(umask: Option<u32>, dir: &Path) -> io::Result<()> {
    create_dirs(dir, &|dir| {
        DirBuilder::new().mode(NEW_DIR).create(dir)?;
        match umask {
            _ if has_default_access_list(dir_of(dir)) => Ok(()),
            Some(umask) => fs::set_permissions(dir, Permissions::from_mode(NEW_DIR & !umask)),
            None => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::time::{Duration, SystemTime};

    use relto_testing::skip::skip;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("there").mode() & 0o777
    }

    #[test]
    fn directories_and_files_have_the_modes_of_the_callers_umask() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("a/b/name");
        keep_file_for(Some(0o027), &path, b"x").expect("written");
        assert_eq!(mode(&parent.path().join("a")), 0o750);
        assert_eq!(mode(&parent.path().join("a/b")), 0o750);
        assert_eq!(mode(&path), 0o640);
    }

    /// `user::rwx, group::rwx, other::---` as the kernel has it: the umask does not count here.
    #[test]
    fn a_directory_may_say_what_modes_its_new_files_have() {
        let parent = tempfile::tempdir().expect("a directory");
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights) in [(1_u16, 7_u16), (4, 7), (32, 0)] {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(u32::MAX.to_le_bytes());
        }
        let flags = rustix::fs::XattrFlags::empty();
        let attribute = "system.posix_acl_default";
        if rustix::fs::setxattr(parent.path(), attribute, &list, flags).is_err() {
            return skip("this file system has no access control lists");
        }
        let path = parent.path().join("a/name");
        for _ in 0..2 {
            keep_file_for(Some(0o022), &path, b"x").expect("written");
            assert_eq!(mode(&path), 0o660);
            assert_eq!(mode(&parent.path().join("a")), 0o770);
            fs::remove_file(&path).expect("removed");
        }
    }

    #[test]
    fn a_file_that_is_as_it_should_be_is_not_written_again_but_looks_new() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("name");
        keep_file_for(None, &path, b"contents").expect("written");
        let inode = fs::metadata(&path).expect("there").ino();
        let old = SystemTime::now() - Duration::from_hours(1000);
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_modified(old).expect("set");
        keep_file_for(None, &path, b"contents").expect("kept");
        let found = fs::metadata(&path).expect("there");
        assert_eq!(found.ino(), inode);
        let age = found.modified().expect("a time").elapsed();
        assert!(age.is_ok_and(|age| age < Duration::from_hours(1)));
        fs::write(&path, b"CONTENTS").expect("damaged");
        keep_file_for(None, &path, b"contents").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"contents");
    }

    #[test]
    fn nothing_is_written_through_links_and_pipes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (target, name) = (dir.path().join("target"), dir.path().join("name"));
        for contents in [&b"other"[..], b"bytes"] {
            fs::write(&target, contents).expect("written");
            let _ = fs::remove_file(&name);
            fs_err::os::unix::fs::symlink(&target, &name).expect("linked");
            keep_file_for(None, &name, b"bytes").expect("replaced");
            assert!(fs::symlink_metadata(&name).expect("there").is_file());
            assert_eq!(fs::read(&target).expect("read"), contents);
        }
        fs::remove_file(&name).expect("removed");
        rustix::fs::mkfifoat(rustix::fs::CWD, &name, Mode::from_raw_mode(0o600)).expect("made");
        keep_file_for(None, &name, b"bytes").expect("replaced");
        assert_eq!(fs::read(&name).expect("read"), b"bytes");
    }
}
