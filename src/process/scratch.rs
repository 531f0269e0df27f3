//! A private directory for one link that vanishes with relto, however relto ends.
//!
//! A tiny process, the janitor, waits for the end of relto and then removes what relto itself had
//! no time to. It is relto again, as a hidden subcommand. It has a process group of its own from
//! its first moment on, so nothing that is meant for the link reaches it (a session of its own
//! would come a moment later), ignores the signals of a terminal, and holds none of the linker's
//! standard streams: its stdin is a pipe from relto, whose end shows that relto has exited.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use fs_err as fs;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::reached_limit;
use super::self_exe::{JANITOR, Relto};
use crate::error::ExitCode;
use crate::fs::{create_private_dir, null_device, shared_with};

/// Start of the names of scratch directories. The janitor removes nothing else.
const PREFIX: &str = "relto-";
/// A compiler that is just being killed may still write.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
const RETRIES: usize = 100;

/// Where to go when `TMPDIR` is missing, full, or cannot hold symbolic links.
const ALTERNATIVES: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// The space that a directory must have to be usable: enough for the files of some jobs.
const PROBE_SIZE: usize = 64 << 10;

/// A directory that only this user may enter.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    janitor: Child,
}

impl Scratch {
    /// Makes a directory in `parent`, or in another directory for temporary files if that one is of
    /// no use, and starts its janitor. This costs a process, so it should be called only when the
    /// directory is needed.
    ///
    /// # Errors
    /// The system's own for `parent`, naming the directory or the janitor.
    pub fn create(relto: &Relto, parent: &Path) -> io::Result<Self> {
        let others = ALTERNATIVES.iter().map(Path::new);
        let mut first = None;
        for dir in [parent].into_iter().chain(others) {
            match check(dir).and_then(|()| Self::create_in(relto, dir)) {
                Ok(scratch) => return Ok(scratch),
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        Err(first.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn create_in(relto: &Relto, parent: &Path) -> io::Result<Self> {
        let name = format!("{PREFIX}{}", Uuid::new_v4().simple());
        let dir = std::path::absolute(parent)?.join(name);
        // The janitor comes first: a killed relto never leaves this directory behind.
        let janitor = start_janitor(relto, &dir)
            .map_err(|error| with_context(&error, "cannot start the janitor of", &dir))?;
        let scratch = Self { dir, janitor };
        create_private_dir(&scratch.dir)
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
            // It may have ended already.
            let _ = self.janitor.kill();
            let _ = self.janitor.wait();
        } else {
            // Something still writes there: the janitor tries for longer.
            drop(self.janitor.stdin.take());
        }
    }
}

/// Whether jobs can run in `parent`: they need symbolic links and some space, and no other user may
/// put a directory in the place of theirs. What it makes to see that has no janitor: a relto that is
/// killed just then leaves one directory.
fn check(parent: &Path) -> io::Result<()> {
    let probe = || {
        if let Some(reason) = shared_with(parent)? {
            return Err(io::Error::other(reason));
        }
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        match fs::write(&file, vec![0; PROBE_SIZE]) {
            // `ulimit -f` is the same everywhere, and an object may be smaller.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {}
            written => written?,
        }
        // Some take links and follow none, or none to absolute paths, as compilers have them.
        fs::os::unix::fs::symlink(std::path::absolute(&file)?, &link)?;
        fs::metadata(&link).map(drop)
    };
    probe().map_err(|error| {
        let text = format!(
            "cannot use the directory `{}` for temporary files: {error}; set `TMPDIR` to one with free space that can hold symbolic links",
            parent.display()
        );
        io::Error::new(error.kind(), text)
    })
}

fn start_janitor(relto: &Relto, dir: &Path) -> io::Result<Child> {
    relto
        .command(JANITOR)
        .arg(dir)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(null_device()?)
        .stderr(null_device()?)
        .spawn()
}

fn with_context(error: &io::Error, what: &str, dir: &Path) -> io::Error {
    let mut message = format!("{what} the scratch directory `{}`: {error}", dir.display());
    if let Some(limit) = reached_limit(error) {
        message = format!("{message}; {limit}");
    }
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

/// A signal that has a handler does not end the process. The handlers need the runtime, which must
/// be kept.
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

/// Whether `dir` is the full path of a directory of this user, with a name that relto gives.
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

    #[test]
    fn a_directory_where_others_may_replace_files_is_not_used() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = parent.path().join("shared");
        fs::create_dir(&dir).expect("made");
        for (mode, usable) in [(0o777, false), (0o1777, true), (0o700, true)] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(&dir, mode).expect("set");
            assert_eq!(check(&dir).is_ok(), usable, "{:?}", fs::metadata(&dir));
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&dir, Some(12345), None).expect("given away");
            let error = check(&dir).expect_err("another user's");
            assert!(error.to_string().contains("another user"), "{error}");
            let inner = dir.join("inner");
            fs::create_dir(&inner).expect("made");
            let error = check(&inner).expect_err("another user may replace it");
            assert!(error.to_string().contains("above it"), "{error}");
        }
    }

    #[test]
    fn a_missing_directory_is_replaced_by_another_one() {
        let relto = Relto::at("/bin/true");
        let scratch = Scratch::create(&relto, Path::new("/nonexistent")).expect("made elsewhere");
        assert!(scratch.path().is_dir());
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }
}
