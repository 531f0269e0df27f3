//! Warnings that a build hears once, though it starts relto a thousand times.
//!
//! Enters: the text of a warning. Leaves: whether to show it. An empty file of relto's own
//! directory, named after the text, is as old as the last time that it was shown. Where that cannot
//! be kept, everything is news.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;

use crate::digest::DigestFunction;

/// How long a warning is no news.
const SILENCE: Duration = Duration::from_mins(10);

/// How long nobody tries what has just failed: as long as a build needs to notice that a farm is
/// back.
const RESPITE: Duration = Duration::from_secs(30);

/// What is older says nothing to anybody, and is removed when something new is noted.
const MEMORY: Duration = Duration::from_hours(24);

/// What was told lately.
#[derive(Debug, Clone)]
pub struct Told {
    dir: Option<PathBuf>,
}

impl Told {
    /// Remembers in `dir`, which is made when it is needed.
    #[must_use]
    pub fn new(dir: Option<&Path>) -> Self {
        Self {
            dir: dir.map(|dir| dir.join("told")),
        }
    }

    /// Whether `text` has not been told lately; from now on it has.
    pub fn is_news(&self, text: &str) -> bool {
        self.note(text).unwrap_or(true)
    }

    /// Notes that `what` has failed.
    pub fn failed(&self, what: &str) {
        // Without a memory it is tried again.
        let _ = self.touch(what);
    }

    /// Whether `what` has failed so shortly ago that it is not worth another try.
    pub fn has_failed(&self, what: &str) -> bool {
        self.age(what).is_some_and(|age| age < RESPITE)
    }

    fn touch(&self, text: &str) -> io::Result<()> {
        let Some(dir) = &self.dir else {
            return Ok(());
        };
        fs::create_dir_all(dir)?;
        let file = fs::File::create(file(dir, text))?;
        forget_the_old(dir);
        file.set_modified(SystemTime::now())
    }

    fn age(&self, text: &str) -> Option<Duration> {
        let found = fs::metadata(file(self.dir.as_ref()?, text)).ok()?;
        found.modified().ok()?.elapsed().ok()
    }

    fn note(&self, text: &str) -> io::Result<bool> {
        let Some(dir) = &self.dir else {
            return Ok(true);
        };
        let path = file(dir, text);
        let lately = |found: std::fs::Metadata| {
            let age = found.modified().ok().and_then(|time| time.elapsed().ok());
            age.is_some_and(|age| age < SILENCE)
        };
        if self.age(text).is_some_and(|age| age < SILENCE) {
            return Ok(false);
        }
        fs::create_dir_all(dir)?;
        match fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
        {
            Ok(_) => {
                forget_the_old(dir);
                Ok(true)
            }
            // Old, or made by another process at this moment, which then tells it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = fs::OpenOptions::new().write(true).open(&path)?;
                let news = !file.metadata().is_ok_and(lately);
                file.set_modified(SystemTime::now())?;
                Ok(news)
            }
            Err(error) => Err(error),
        }
    }
}

/// There is a file for each text that was ever told; what cannot be removed stays.
fn forget_the_old(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|found| found.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > MEMORY) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn file(dir: &Path, text: &str) -> PathBuf {
    let digest = DigestFunction::Sha256.digest(text.as_bytes());
    dir.join(&digest.hex()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_news_once_and_again_when_it_is_old() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let told = Told::new(Some(dir.path()));
        assert!(told.is_news("a"));
        assert!(!told.is_news("a"));
        assert!(told.is_news("b"));
        let long_ago = SystemTime::now() - SILENCE * 2;
        for entry in fs::read_dir(dir.path().join("told")).expect("a directory") {
            let file = fs::File::options()
                .write(true)
                .open(entry.expect("an entry").path())
                .expect("opened");
            file.set_modified(long_ago).expect("aged");
        }
        assert!(told.is_news("a"));
        assert!(!told.is_news("a"));
    }

    #[test]
    fn what_failed_is_left_alone_for_a_while() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let told = Told::new(Some(dir.path()));
        assert!(!told.has_failed("farm"));
        told.failed("farm");
        assert!(told.has_failed("farm"));
        let file = fs::File::options()
            .write(true)
            .open(file(&dir.path().join("told"), "farm"))
            .expect("opened");
        file.set_modified(SystemTime::now() - RESPITE * 2)
            .expect("aged");
        assert!(!told.has_failed("farm"));
    }

    #[test]
    fn what_was_told_long_ago_is_forgotten_when_something_new_is_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let told = Told::new(Some(dir.path()));
        assert!(told.is_news("old") && told.is_news("lately"));
        let place = dir.path().join("told");
        let age = |text: &str, age: Duration| {
            let file = fs::File::options()
                .write(true)
                .open(file(&place, text))
                .expect("opened");
            file.set_modified(SystemTime::now() - age).expect("aged");
        };
        age("old", MEMORY * 2);
        age("lately", SILENCE * 2);
        assert!(told.is_news("new"));
        assert!(!file(&place, "old").exists());
        assert!(file(&place, "lately").exists() && file(&place, "new").exists());
        age("lately", MEMORY * 2);
        told.failed("farm");
        assert!(!file(&place, "lately").exists());
    }

    #[test]
    fn without_a_memory_everything_is_news() {
        let told = Told::new(None);
        assert!(told.is_news("a") && told.is_news("a"));
    }
}
