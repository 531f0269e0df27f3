//! The working directory, environment and umask of the process that a link works for: this one or a
//! client of the daemon.
//!
//! It resolves the names that the client gave, runs commands as if the client had started them, and
//! restores the client's names in texts that it will see.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Where the work of a link happens. By default in this process's own context.
#[derive(Debug, Clone, Default)]
pub struct ClientContext(Option<Arc<Theirs>>);

/// What is known of the other process.
#[derive(Debug)]
struct Theirs {
    /// Ends in `/.`, so that a name that was made a path here is told from one that was given as a
    /// path.
    dir: PathBuf,
    environment: Vec<(OsString, OsString)>,
    umask: u32,
}

impl ClientContext {
    /// Those of a process in `dir`, which must be absolute.
    #[must_use]
    pub fn of(dir: &Path, environment: Vec<(OsString, OsString)>, umask: u32) -> Self {
        Self(Some(Arc::new(Theirs {
            dir: dir.join("."),
            environment,
            umask,
        })))
    }

    /// The path of the file that is called `name` there.
    #[must_use]
    pub fn resolve(&self, name: impl AsRef<Path>) -> PathBuf {
        match &self.0 {
            Some(theirs) => theirs.dir.join(name),
            None => name.as_ref().to_owned(),
        }
    }

    /// # Errors
    /// This process has no current directory.
    pub fn dir(&self) -> std::io::Result<PathBuf> {
        match &self.0 {
            Some(theirs) => Ok(theirs.dir.clone()),
            None => std::env::current_dir(),
        }
    }

    /// The other process's variables; `None` if it is this one.
    #[must_use]
    pub fn environment(&self) -> Option<&[(OsString, OsString)]> {
        self.0.as_ref().map(|theirs| &theirs.environment[..])
    }

    /// The bits that new files of the other process do not have; `None` if it is this one.
    #[must_use]
    pub fn umask(&self) -> Option<u32> {
        self.0.as_ref().map(|theirs| theirs.umask)
    }

    /// A command in that directory, with those variables.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(theirs) = &self.0 {
            command
                .current_dir(&theirs.dir)
                .env_clear()
                .envs(theirs.environment.iter().map(|(name, value)| (name, value)));
        }
        command
    }

    /// `text` with the names that were given, where it has paths that were made of them.
    #[must_use]
    pub fn relativize_messages(&self, text: &str) -> String {
        match &self.0 {
            Some(theirs) => text.replace(&format!("{}/", theirs.dir.display()), ""),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_path_and_a_name_again() {
        let theirs = ClientContext::of(Path::new("/home/u"), Vec::new(), 0o22);
        let path = theirs.resolve("sub/a.o");
        assert_eq!(path, Path::new("/home/u/sub/a.o"));
        let text = format!("cannot read `{}`, `/home/u/b.o`", path.display());
        assert_eq!(
            theirs.relativize_messages(&text),
            "cannot read `sub/a.o`, `/home/u/b.o`"
        );
        assert_eq!(theirs.resolve("/c.o"), Path::new("/c.o"));
        assert_eq!(ClientContext::default().resolve("a.o"), Path::new("a.o"));
    }
}
