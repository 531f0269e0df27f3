//! Directories below those of relto's own, held open.
//!
//! A cache may have been restored from an archive that anybody made, or be shared with others. A
//! symbolic link in it would lead what relto writes and removes to any place that the user may
//! write. So each directory is opened from the one above it, and never through a link; files are
//! then named from the open directory, whatever takes its place meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{create_private_dir, is_trusted_owner, named};

/// To find files from, not to be read: of that many may be open at once.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const DIR_MODE: Mode = Mode::RWXU;

/// An open directory.
#[derive(Debug)]
pub struct OwnDir {
    file: OwnedFd,
    /// For messages, and for programs that want a path.
    path: PathBuf,
}

impl AsFd for OwnDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl OwnDir {
    /// Opens `root`, which may be a symbolic link if the user or root has made it.
    ///
    /// # Errors
    /// It is no directory, or the link is another user's.
    pub fn open(root: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(root)?;
        if found.is_symlink() && !is_trusted_owner(found.uid()) {
            let error = io::Error::from(io::ErrorKind::PermissionDenied);
            return Err(named(&error, "follow another user's link", root));
        }
        Self::named_by_user(root)
    }

    /// Opens a directory that the user has chosen, whatever links lead to it.
    ///
    /// # Errors
    /// It is no directory.
    pub fn named_by_user(root: &Path) -> io::Result<Self> {
        Self::at(CWD, root.as_os_str(), OFlags::empty(), root.to_owned())
    }

    /// Opens the directory `below`, a relative path, of `root`. No part of `below` may be a symbolic
    /// link.
    ///
    /// # Errors
    /// As [`open`](Self::open); a part of `below` is missing or no directory.
    pub fn open_below(root: &Path, below: &Path) -> io::Result<Self> {
        parts(below).try_fold(Self::open(root)?, |dir, part| dir.child(part?))
    }

    /// The same, and makes what is missing, with mode 0700.
    ///
    /// # Errors
    /// As [`open_below`](Self::open_below); something cannot be made.
    pub fn make_below(root: &Path, below: &Path) -> io::Result<Self> {
        // Most often it is there.
        Self::open_below(root, below).or_else(|_| {
            create_private_dir(root)?;
            parts(below).try_fold(Self::open(root)?, |dir, part| dir.make_child(part?))
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory `name` in it.
    ///
    /// # Errors
    /// It is missing, a symbolic link or no directory.
    pub fn child(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        Self::at(self, name, OFlags::NOFOLLOW, self.path.join(name))
    }

    /// The same, and makes it if it is missing, with mode 0700 whatever the umask.
    fn make_child(&self, name: &OsStr) -> io::Result<Self> {
        let opened = self.child(name);
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        if !opened.as_ref().is_err_and(is_missing) {
            return opened;
        }
        match rustix::fs::mkdirat(self, name, DIR_MODE) {
            Ok(()) => self.undo_umask(name),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(named(&error.into(), "make", &self.path.join(name))),
        }
        self.child(name)
    }

    /// What cannot be mended is seen when the directory is used.
    fn undo_umask(&self, name: &OsStr) {
        let found = rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| Mode::from_raw_mode(found.st_mode) != DIR_MODE) {
            let _ = rustix::fs::chmodat(self, name, DIR_MODE, AtFlags::empty());
        }
    }

    fn at(from: impl AsFd, name: &OsStr, extra: OFlags, path: PathBuf) -> io::Result<Self> {
        match rustix::fs::openat(from, name, PLACE | extra, Mode::empty()) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => Err(named(&error.into(), "open the directory", &path)),
        }
    }

    /// The names in it that are text, as all that relto gives are.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn names(&self) -> io::Result<impl Iterator<Item = String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat(self, ".", flags, Mode::empty()).and_then(Dir::new);
        let listed = listed.map_err(|error| named(&error.into(), "read", &self.path))?;
        let names =
            listed.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
        Ok(names.filter(|name| name != "." && name != ".."))
    }

    /// What is known of the file `name`, if it is a regular one.
    #[must_use]
    pub fn regular(&self, name: &str) -> Option<Stat> {
        let found = rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (FileType::from_raw_mode(found.st_mode) == FileType::RegularFile).then_some(found)
    }

    /// Opens a regular file in it for reading and writing, with `more` flags. One that is made has mode 0600.
    ///
    /// # Errors
    /// The system's own, with the path; it is something else.
    pub fn open_file(&self, name: &str, more: OFlags) -> io::Result<fs::File> {
        let path = self.path.join(name);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self, name, flags | more, Mode::RUSR | Mode::WUSR)
            .map_err(|error| named(&error.into(), "open", &path))?;
        super::private::checked(File::from(file), path)
    }

    /// Reads the regular file `name`, of at most `longest` bytes.
    ///
    /// # Errors
    /// The system's own, with the path; it is something else.
    pub fn read(&self, name: &str, longest: u64) -> io::Result<Vec<u8>> {
        let path = self.path.join(name);
        if self
            .regular(name)
            .is_none_or(|found| found.st_size.unsigned_abs() > longest)
        {
            return Err(super::not_regular(&path));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self, name, flags, Mode::empty());
        let file = file.map_err(|error| named(&error.into(), "open", &path))?;
        let mut bytes = Vec::new();
        File::from(file).take(longest).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Moves the file at `from` to `name` in this directory, in the place of another.
    ///
    /// # Errors
    /// The system's own, with the path.
    pub fn take_in(&self, from: &Path, name: &str) -> io::Result<()> {
        let moved = rustix::fs::renameat(CWD, from, self, name);
        moved.map_err(|error| named(&error.into(), "write", &self.path.join(name)))
    }

    /// Removes the file `name`, which may be missing.
    ///
    /// # Errors
    /// The system's own, with the path.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(self, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(named(&error.into(), "remove", &self.path.join(name))),
        }
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    /// The system's own, with the path.
    pub fn remove_dir(&self, name: &str) -> io::Result<()> {
        let removed = rustix::fs::unlinkat(self, name, AtFlags::REMOVEDIR);
        removed.map_err(|error| named(&error.into(), "remove", &self.path.join(name)))
    }

    /// When something was last made or removed in it.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        rustix::fs::fstat(self).map_or(SystemTime::UNIX_EPOCH, |found| modified(&found))
    }

    /// Removes the regular files that were last written longer than `age` ago and whose names
    /// relto gives, as `is_ours` says. One that cannot be removed stays.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn remove_older(&self, age: Duration, is_ours: fn(&str) -> bool) -> io::Result<()> {
        for name in self.names()?.filter(|name| is_ours(name)) {
            let found = self.regular(&name);
            let since = found.and_then(|found| modified(&found).elapsed().ok());
            if since.is_some_and(|since| since > age) {
                let _ = self.remove(&name);
            }
        }
        Ok(())
    }
}

/// When a file was last written.
#[must_use]
pub fn modified(found: &Stat) -> SystemTime {
    let nanos = Duration::from_nanos(found.st_mtime_nsec);
    let seconds = Duration::from_secs(found.st_mtime.unsigned_abs());
    let whole = if found.st_mtime < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    let time = whole.and_then(|time| time.checked_add(nanos));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The names in `below`; anything but a name, such as `..`, is an error.
fn parts(below: &Path) -> impl Iterator<Item = io::Result<&OsStr>> {
    below.components().map(|part| match part {
        Component::Normal(name) => Ok(name),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use fs_err::os::unix::fs::symlink;

    use relto_testing::skip::skip;

    use super::*;

    fn is_digit(name: &str) -> bool {
        name.bytes().all(|byte| byte.is_ascii_digit())
    }

    #[test]
    fn a_link_is_followed_at_the_root_and_nowhere_below() {
        let top = tempfile::tempdir().expect("a directory");
        let (root, link) = (top.path().join("root"), top.path().join("link"));
        fs::create_dir(&root).expect("made");
        symlink(&root, &link).expect("linked");
        OwnDir::make_below(&link, Path::new("a/b")).expect("made");
        assert!(root.join("a/b").is_dir());
        symlink(top.path(), root.join("c")).expect("linked");
        symlink(top.path(), root.join("a/d")).expect("linked");
        for below in ["c", "c/d", "a/d", "a/d/e", "..", "a/../../e"] {
            let below = Path::new(below);
            OwnDir::make_below(&link, below).expect_err("not below the root");
            OwnDir::open_below(&link, below).expect_err("not below the root");
        }
        assert_eq!(fs::read_dir(top.path()).expect("listed").count(), 2);
    }

    #[test]
    fn a_link_of_another_user_is_not_followed_at_the_root_either() {
        if !rustix::process::geteuid().is_root() {
            return skip("only root gives links away");
        }
        let top = tempfile::tempdir().expect("a directory");
        let link = top.path().join("link");
        symlink(top.path(), &link).expect("linked");
        OwnDir::open(&link).expect("the user's own");
        std::os::unix::fs::lchown(&link, Some(12345), None).expect("given away");
        OwnDir::open(&link).expect_err("another user's");
    }

    #[test]
    fn old_files_with_relto_s_names_are_removed_and_nothing_else() {
        let top = tempfile::tempdir().expect("a directory");
        let dir = OwnDir::open(top.path()).expect("opened");
        for name in ["1", "2", "thesis.tex"] {
            let file = dir.open_file(name, OFlags::CREATE).expect("made");
            let age = Duration::from_hours(if name == "2" { 1 } else { 50 });
            let time = SystemTime::now() - age;
            file.file().set_modified(time).expect("aged");
        }
        fs::create_dir(top.path().join("3")).expect("made");
        dir.remove_older(Duration::from_hours(24), is_digit)
            .expect("read");
        let left = dir
            .names()
            .expect("read")
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!(
            left.into_iter().collect::<Vec<_>>(),
            ["2", "3", "thesis.tex"]
        );
    }

    #[test]
    fn what_takes_the_place_of_an_open_directory_is_left_alone() {
        let top = tempfile::tempdir().expect("a directory");
        let (home, root) = (top.path().join("home"), top.path().join("root"));
        fs::create_dir(&home).expect("made");
        fs::write(home.join("1"), "mine").expect("written");
        let dir = OwnDir::make_below(&root, Path::new("told")).expect("made");
        dir.open_file("1", OFlags::CREATE).expect("made");
        fs::rename(root.join("told"), root.join("old")).expect("moved");
        symlink(&home, root.join("told")).expect("linked");
        dir.remove("1").expect("removed");
        assert!(home.join("1").exists() && !root.join("old/1").exists());
        let mode = fs::metadata(root.join("old")).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o700);
    }
}
