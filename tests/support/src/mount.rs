//! File systems of a few pages, to fill up or to make read-only. They need root.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::skip::skip;

/// A small file system in memory; gone when dropped.
#[derive(Debug)]
pub struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// Returns `None` after recording the test as skipped, where nothing can be mounted.
    #[track_caller]
    pub fn new(size: &str) -> Option<Self> {
        Self::of("tmpfs", size)
    }

    /// The directory `lower` under another one, which takes the changes, as containers have it.
    /// `None` as of [`Mount::new`].
    #[track_caller]
    pub fn overlay(lower: &Path, changes: &Path) -> Option<Self> {
        let [upper, work] = ["upper", "work"].map(|name| changes.join(name));
        for dir in [&upper, &work] {
            fs::create_dir_all(dir).expect("made");
        }
        let [lower, upper, work] = [lower, &upper, &work].map(Path::display);
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        Self::of("overlay", &options)
    }

    #[track_caller]
    fn of(kind: &str, options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", kind, "-o", options, "relto-test"]);
        let done = mount.arg(dir.path()).output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self { dir });
        }
        skip("it mounts a file system, which needs root");
        None
    }

    /// The directory that it is mounted at.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("relto")
    }

    pub fn set_read_only(&self) {
        self.remount("remount,ro");
    }

    /// Gives it this size from now on.
    pub fn set_size(&self, size: &str) {
        self.remount(&format!("remount,size={size}"));
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", options]).arg(self.dir.path());
        assert!(mount.status().expect("mount runs").success());
    }

    /// Takes all the space that is left.
    pub fn fill(&self) {
        let error = fs::write(self.dir.path().join("filler"), vec![1; 8 << 20]);
        error.expect_err("there is less space");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.dir.path())
            .status();
    }
}
