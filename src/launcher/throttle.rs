//! Remembers warnings and failures between the many processes of a build: a warning is shown once,
//! and a failure is not repeated by the next process at once.
//!
//! Each is an empty file in relto's own directory, named after the text, whose age is the time
//! since it last happened. If the file cannot be kept, everything counts as new.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Access, OFlags};

use crate::digest::{DigestFunction, is_hex};
use crate::fs::{OwnDir, create_private_dir, modified};

/// Name of the directory in relto's own.
const DIR: &str = "throttle";

/// Length of the files' names: hexadecimal digits.
const NAME_LENGTH: usize = 32;

/// How long a warning is not repeated.
const WARNING_WINDOW: Duration = Duration::from_mins(10);

/// How long a failure is not repeated: long enough to be cheap, short enough that a build notices
/// when a farm is back.
const FAILURE_WINDOW: Duration = Duration::from_secs(30);

/// Older files have no meaning, and are removed when a new one is created.
const RETENTION: Duration = Duration::from_hours(24);

/// Remembers across processes what was shown and what failed recently.
#[derive(Debug, Clone)]
pub struct Throttle {
    /// The directory that holds [`DIR`].
    root: Option<PathBuf>,
}

impl Throttle {
    /// Remembers in `dir`, which is created when needed.
    #[must_use]
    pub fn new(dir: Option<&Path>) -> Self {
        Self {
            root: dir.map(Path::to_owned),
        }
    }

    /// Remembers in `dir` or in `runtime_dir`, the user's own, whichever is there and takes files, or else
    /// in a directory of this user alone among the temporary files of `temporary`.
    #[must_use]
    pub fn of_user(dir: Option<&Path>, runtime_dir: Option<&Path>, temporary: &Path) -> Self {
        let mut dirs = [dir, runtime_dir].into_iter().flatten();
        match dirs.find(|dir| takes_files(dir)) {
            Some(dir) => Self::new(Some(dir)),
            None => Self::new(among_temporary(temporary).as_deref()),
        }
    }

    /// Whether `text` was not shown recently. Marks it as shown.
    pub fn first_time(&self, text: &str) -> bool {
        self.note(text).unwrap_or(true)
    }

    /// Remembers that `what` has failed.
    pub fn mark_failed(&self, what: &str) {
        // Without a memory it is tried again.
        let _ = self.touch(what);
    }

    /// Whether `what` failed too recently for another attempt.
    pub fn recently_failed(&self, what: &str) -> bool {
        self.age(what).is_some_and(|age| age < FAILURE_WINDOW)
    }

    fn touch(&self, text: &str) -> io::Result<()> {
        let Some(root) = &self.root else {
            return Ok(());
        };
        let dir = OwnDir::make_below(root, Path::new(DIR))?;
        let file = dir.open_file(&name(text), OFlags::CREATE)?;
        remove_old(&dir);
        file.file().set_modified(SystemTime::now())
    }

    fn age(&self, text: &str) -> Option<Duration> {
        let dir = OwnDir::open_below(self.root.as_ref()?, Path::new(DIR)).ok()?;
        modified(&dir.regular(&name(text))?).elapsed().ok()
    }

    fn note(&self, text: &str) -> io::Result<bool> {
        let Some(root) = &self.root else {
            return Ok(true);
        };
        let lately = |found: std::fs::Metadata| {
            let age = found.modified().ok().and_then(|time| time.elapsed().ok());
            age.is_some_and(|age| age < WARNING_WINDOW)
        };
        if self.age(text).is_some_and(|age| age < WARNING_WINDOW) {
            return Ok(false);
        }
        let (dir, name) = (OwnDir::make_below(root, Path::new(DIR))?, name(text));
        match dir.open_file(&name, OFlags::CREATE | OFlags::EXCL) {
            Ok(_) => {
                remove_old(&dir);
                Ok(true)
            }
            // Old, or made by another process at this moment, which then shows it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = dir.open_file(&name, OFlags::empty())?;
                let is_first = !file.metadata().is_ok_and(lately);
                file.file().set_modified(SystemTime::now())?;
                Ok(is_first)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether `dir` can be made or written. Nothing is made before there is something to remember.
fn takes_files(dir: &Path) -> bool {
    let nearest = dir.ancestors().find(|it| it.symlink_metadata().is_ok());
    nearest.is_some_and(|it| it.is_dir() && rustix::fs::access(it, Access::WRITE_OK).is_ok())
}

/// `None` where another user has made, or may write, what has the name.
fn among_temporary(temporary: &Path) -> Option<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let dir = temporary.join(format!("relto-warnings-{user}"));
    create_private_dir(&dir).ok()?;
    let found = fs_err::symlink_metadata(&dir).ok()?;
    let is_open = found.mode() & 0o077 != 0;
    (found.is_dir() && found.uid() == user && !is_open).then_some(dir)
}

/// There is one file for each text that was shown; one that cannot be removed stays.
fn remove_old(dir: &OwnDir) {
    let _ = dir.remove_older(RETENTION, is_name);
}

fn name(text: &str) -> String {
    let digest = DigestFunction::Sha256.digest(text.as_bytes());
    digest.hex()[..NAME_LENGTH].to_owned()
}

fn is_name(name: &str) -> bool {
    name.len() == NAME_LENGTH && is_hex(name)
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn a_warning_is_shown_once_and_again_when_it_is_old() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let throttle = Throttle::new(Some(dir.path()));
        assert!(throttle.first_time("a"));
        assert!(!throttle.first_time("a"));
        assert!(throttle.first_time("b"));
        let long_ago = SystemTime::now() - WARNING_WINDOW * 2;
        for entry in fs::read_dir(dir.path().join(DIR)).expect("a directory") {
            let file = fs::File::options()
                .write(true)
                .open(entry.expect("an entry").path())
                .expect("opened");
            file.set_modified(long_ago).expect("aged");
        }
        assert!(throttle.first_time("a"));
        assert!(!throttle.first_time("a"));
    }

    #[test]
    fn a_failure_is_not_repeated_for_a_while() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let throttle = Throttle::new(Some(dir.path()));
        assert!(!throttle.recently_failed("farm"));
        throttle.mark_failed("farm");
        assert!(throttle.recently_failed("farm"));
        let file = fs::File::options()
            .write(true)
            .open(dir.path().join(DIR).join(name("farm")))
            .expect("opened");
        file.set_modified(SystemTime::now() - FAILURE_WINDOW * 2)
            .expect("aged");
        assert!(!throttle.recently_failed("farm"));
    }

    #[test]
    fn old_texts_are_forgotten_when_a_new_one_is_shown() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let throttle = Throttle::new(Some(dir.path()));
        assert!(throttle.first_time("old") && throttle.first_time("lately"));
        let file = |text: &str| dir.path().join(DIR).join(name(text));
        let age = |text: &str, age: Duration| {
            let file = fs::File::options()
                .write(true)
                .open(file(text))
                .expect("opened");
            file.set_modified(SystemTime::now() - age).expect("aged");
        };
        age("old", RETENTION * 2);
        age("lately", WARNING_WINDOW * 2);
        assert!(throttle.first_time("new"));
        assert!(!file("old").exists());
        assert!(file("lately").exists() && file("new").exists());
        age("lately", RETENTION * 2);
        throttle.mark_failed("farm");
        assert!(!file("lately").exists());
    }

    #[test]
    fn neither_a_file_of_another_name_nor_what_a_link_leads_to_is_removed() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let home = top.path().join("home");
        let old = |dir: &Path, name: &str| {
            fs::create_dir_all(dir).expect("made");
            let file = fs::File::create(dir.join(name)).expect("written");
            file.set_modified(SystemTime::now() - RETENTION * 2)
                .expect("aged");
        };
        old(&home, &name("mine"));
        fs_err::os::unix::fs::symlink(&home, top.path().join(DIR)).expect("linked");
        let throttle = Throttle::new(Some(top.path()));
        assert!(throttle.first_time("a") && throttle.first_time("a"));
        throttle.mark_failed("farm");
        assert_eq!(fs::read_dir(&home).expect("listed").count(), 1);

        fs::remove_file(top.path().join(DIR)).expect("removed");
        old(&top.path().join(DIR), "thesis.tex");
        assert!(throttle.first_time("a") && !throttle.first_time("a"));
        assert!(top.path().join(DIR).join("thesis.tex").exists());
    }

    #[test]
    fn without_a_directory_everything_is_shown() {
        let throttle = Throttle::new(None);
        assert!(throttle.first_time("a") && throttle.first_time("a"));
    }

    #[test]
    fn without_a_home_a_warning_is_shown_once_if_a_directory_is_of_this_user_alone() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let throttle = || Throttle::of_user(None, None, temporary.path());
        assert!(throttle().first_time("a") && !throttle().first_time("a"));
        let entry = fs::read_dir(temporary.path()).expect("listed").next();
        let dir = entry.expect("made").expect("read").path();
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&dir, everybody).expect("changed");
        assert!(throttle().first_time("a") && throttle().first_time("a"));
        fs::remove_dir_all(&dir).expect("removed");
        let elsewhere = tempfile::tempdir().expect("a temporary directory");
        fs_err::os::unix::fs::symlink(elsewhere.path(), &dir).expect("linked");
        assert!(throttle().first_time("a") && throttle().first_time("a"));
        assert_eq!(fs::read_dir(elsewhere.path()).expect("listed").count(), 0);

        let own =
            |dir: Option<&Path>| Throttle::of_user(dir, Some(elsewhere.path()), temporary.path());
        assert!(own(None).first_time("b") && !own(None).first_time("b"));
        // It cannot be made there, as in a home that is mounted read-only.
        let unusable = Some(Path::new("/dev/null/relto"));
        assert!(!own(unusable).first_time("b"));
        let home = tempfile::tempdir().expect("a directory");
        let usable = Some(home.path());
        assert!(own(usable).first_time("b") && !own(usable).first_time("b"));
        // Nor is there another place for it.
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let nowhere = || Throttle::of_user(unusable, unusable, temporary.path());
        assert!(nowhere().first_time("b") && !nowhere().first_time("b"));
    }
}
