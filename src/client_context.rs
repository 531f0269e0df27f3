//! The directory, environment and umask in which a link runs: those of this process, or of the
//! client that it works for.
//!
//! A daemon serves processes in other directories, so names from a job file become paths in one
//! place only ([`ClientContext::resolve`]), and messages that contain such paths are translated
//! back to the client's own names.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, PoisonError, RwLock};

/// Where the work of a link happens. The default is this process's own context.
#[derive(Debug, Clone, Default)]
pub struct ClientContext(Option<Arc<ClientProcess>>);

/// What is known about another process.
#[derive(Debug)]
struct ClientProcess {
    dir: PathBuf,
    environment: Vec<(OsString, OsString)>,
    umask: u32,
    /// Names that it gave as absolute paths below its directory: these stay as they are.
    absolute_names: RwLock<BTreeSet<String>>,
}

impl ClientContext {
    /// The context of a process in `dir`, which must be absolute.
    #[must_use]
    pub fn of(dir: &Path, environment: Vec<(OsString, OsString)>, umask: u32) -> Self {
        Self(Some(Arc::new(ClientProcess {
            dir: dir.to_owned(),
            environment,
            umask,
            absolute_names: RwLock::default(),
        })))
    }

    /// The path of the file that the client calls `name`.
    #[must_use]
    pub fn resolve(&self, name: impl AsRef<Path>) -> PathBuf {
        let name = name.as_ref();
        match &self.0 {
            Some(client) => {
                client.note(name);
                client.dir.join(name)
            }
            None => name.to_owned(),
        }
    }

    /// The directory of the link, absolute; `.` where it has been removed, and where it has no name
    /// that the system could tell.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        match &self.0 {
            Some(client) => client.dir.clone(),
            None => std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        }
    }

    /// The client's variables; `None` if it is this process.
    #[must_use]
    pub fn environment(&self) -> Option<&[(OsString, OsString)]> {
        self.0.as_ref().map(|client| &client.environment[..])
    }

    /// The mode bits that the client's new files do not have; `None` if it is this process.
    #[must_use]
    pub fn umask(&self) -> Option<u32> {
        self.0.as_ref().map(|client| client.umask)
    }

    /// A command in the client's directory, with its variables.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(client) = &self.0 {
            command
                .current_dir(&client.dir)
                .env_clear()
                .envs(client.environment.iter().map(|(name, value)| (name, value)));
        }
        command
    }

    /// `text` with the names that the client gave in the place of the paths that were made of them.
    #[must_use]
    pub fn relativize_messages(&self, text: &str) -> String {
        match &self.0 {
            Some(client) => client.relativized(text),
            None => text.to_owned(),
        }
    }
}

impl ClientProcess {
    fn note(&self, name: &Path) {
        if let Some(text) = name.to_str().filter(|_| name.starts_with(&self.dir)) {
            let names = &self.absolute_names;
            let known = names.read().unwrap_or_else(PoisonError::into_inner);
            if known.contains(text) {
                return;
            }
            drop(known);
            let mut names = names.write().unwrap_or_else(PoisonError::into_inner);
            names.insert(text.to_owned());
        }
    }

    fn relativized(&self, text: &str) -> String {
        let mut dir = self.dir.display().to_string();
        if !dir.ends_with('/') {
            dir.push('/');
        }
        let names = self
            .absolute_names
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(&dir) {
            let (before, path) = rest.split_at(at);
            shown.push_str(before);
            // The dir may also be the end of a longer path.
            let is_path = !before.ends_with(|c: char| c.is_alphanumeric() || "/._-".contains(c));
            let given = names.iter().any(|name| path.starts_with(name.as_str()));
            if given || !is_path {
                shown.push_str(&dir);
            }
            rest = &path[dir.len()..];
        }
        shown + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_path_and_a_name_again() {
        let context = ClientContext::of(Path::new("/home/u"), Vec::new(), 0o22);
        let path = context.resolve("sub/a.o");
        assert_eq!(path, Path::new("/home/u/sub/a.o"));
        assert_eq!(context.resolve("/home/u/b.o"), Path::new("/home/u/b.o"));
        let text = format!(
            "cannot read `{}`, `/home/u/b.o`, `/mnt/home/u/c.o`",
            path.display()
        );
        assert_eq!(
            context.relativize_messages(&text),
            "cannot read `sub/a.o`, `/home/u/b.o`, `/mnt/home/u/c.o`"
        );
        assert_eq!(context.resolve("/c.o"), Path::new("/c.o"));
        assert_eq!(ClientContext::default().resolve("a.o"), Path::new("a.o"));
    }
}
