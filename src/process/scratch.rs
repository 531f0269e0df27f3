//! A private directory for one link that vanishes with relto, however relto ends.
//!
//! A tiny process, the janitor, waits for the end of relto and then removes what relto could not.
//! It is relto again, as a hidden subcommand. From its first moment it has a process group of its
//! own, so that signals for the link do not reach it (a session of its own would come a moment
//! later). It ignores the signals of a terminal and holds none of the linker's standard streams:
//! its stdin is a pipe from relto that ends when relto does.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use fs_err as fs;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::supervise::{JANITOR, Relto};
use crate::error::ExitCode;

/// Start of the names of scratch directories. The janitor removes nothing else.
const PREFIX: &str = "relto-";
/// A compiler that is just being killed may still write.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
const RETRIES: usize = 100;

/// A directory that only this user may enter.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    janitor: Child,
}

impl Scratch {
    /// Makes a directory in `parent`, which must exist, and starts its janitor. Costs a process: to
    /// be called when the directory is needed, not before.
    ///
    /// # Errors
    /// The system's own, naming the directory or the janitor.
    pub fn create(relto: &Relto, parent: &Path) -> io::Result<Self> {
        let name = format!("{PREFIX}{}", Uuid::new_v4().simple());
        let dir = std::path::absolute(parent)?.join(name);
        // The janitor comes first: at no moment would a killed relto leave the directory behind.
        let janitor = start_janitor(relto, &dir)
            .map_err(|error| with_context(&error, "cannot start the janitor of", &dir))?;
        let scratch = Self { dir, janitor };
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&scratch.dir)
            .map_err(|error| with_context(&error, "cannot make", &scratch.dir))?;
        Ok(scratch)
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if is_gone(&fs::remove_dir_all(&self.dir)) {
            // It may have ended by itself.
            let _ = self.janitor.kill();
            let _ = self.janitor.wait();
        } else {
            // Something still writes there: the janitor will wait and retry.
            drop(self.janitor.stdin.take());
        }
    }
}

fn start_janitor(relto: &Relto, dir: &Path) -> io::Result<Child> {
    relto
        .command(JANITOR)
        .arg(dir)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn with_context(error: &io::Error, what: &str, dir: &Path) -> io::Error {
    let message = format!("{what} the scratch directory `{}`: {error}", dir.display());
    io::Error::new(error.kind(), message)
}

/// Waits for the end of stdin, then removes `dir`.
pub(super) fn janitor(dir: &Path) -> ExitCode {
    let _handlers = outlive_signals();
    wait_for_the_end_of(io::stdin().lock());
    if fs::symlink_metadata(dir).is_err() {
        return ExitCode::Success;
    }
    if !is_scratch(dir) {
        return ExitCode::Usage;
    }
    if is_gone(&remove(dir)) {
        ExitCode::Success
    } else {
        ExitCode::Failure
    }
}

/// A signal that has a handler does not end the process; what the handlers note is ignored.
/// They need the runtime for as long as they are needed.
fn outlive_signals() -> Option<Runtime> {
    let runtime = Builder::new_current_thread().enable_io().build().ok()?;
    {
        let _inside = runtime.enter();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ] {
            // One that cannot be caught still leaves the others.
            let _ = signal(kind);
        }
    }
    Some(runtime)
}

fn wait_for_the_end_of(mut stream: impl io::Read) {
    let mut ignored = [0; 64];
    loop {
        match stream.read(&mut ignored) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// A directory of this user's, by its full path, and named as relto names them.
fn is_scratch(dir: &Path) -> bool {
    let named_so = dir
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    let user = rustix::process::geteuid().as_raw();
    let ours = fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir() && found.uid() == user);
    dir.is_absolute() && named_so && ours
}

fn remove(dir: &Path) -> io::Result<()> {
    for _ in 0..RETRIES {
        let removed = fs::remove_dir_all(dir);
        if is_gone(&removed) {
            return Ok(());
        }
        std::thread::sleep(RETRY_INTERVAL);
    }
    fs::remove_dir_all(dir)
}

fn is_gone(removed: &io::Result<()>) -> bool {
    match removed {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_directories_are_scratch_directories() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = |name: &str| parent.path().join(name);
        for name in ["relto-1", "precious"] {
            fs::create_dir(path(name)).expect("made");
        }
        fs::write(path("relto-file"), "").expect("written");
        fs_err::os::unix::fs::symlink("precious", path("relto-link")).expect("linked");
        assert!(is_scratch(&path("relto-1")));
        for name in ["precious", "relto-file", "relto-link", "relto-missing"] {
            assert!(!is_scratch(&path(name)), "{name}");
        }
        assert!(!is_scratch(Path::new("relto-1")));
    }

    #[test]
    fn a_helper_that_cannot_be_started_leaves_no_directory_and_is_named() {
        let parent = tempfile::tempdir().expect("a directory");
        let error =
            Scratch::create(&Relto::at("/nonexistent"), parent.path()).expect_err("no such helper");
        assert!(error.to_string().contains("janitor"), "{error}");
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0);
    }
}
