//! The files that the jobs of a link name, each kept once: tens of thousands of jobs import from the
//! same modules.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::canonical::NamedFile;
use crate::client_context::ClientContext;
use crate::task::lock;

/// The names of files, and where the files are.
#[derive(Debug, Default)]
pub struct FileTable {
    context: ClientContext,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the name that jobs give it.
    hosts: HashMap<Arc<str>, Arc<Path>>,
    tree_paths: HashSet<Arc<str>>,
}

impl FileTable {
    /// A table of files that a process with this `context` names.
    #[must_use]
    pub fn new(context: ClientContext) -> Self {
        Self {
            context,
            known: Mutex::default(),
        }
    }

    /// Where names are paths.
    #[must_use]
    pub fn context(&self) -> &ClientContext {
        &self.context
    }

    /// The files with these canonical names and names of a job.
    pub(super) fn named<'n>(
        &self,
        files: impl IntoIterator<Item = (&'n str, Cow<'n, str>)>,
    ) -> Vec<NamedFile> {
        // Locked once for all files of a job: other planners wait.
        let mut known = lock(&self.known);
        let files = files.into_iter();
        files
            .map(|(tree_path, name)| known.named(tree_path, &name, &self.context))
            .collect()
    }
}

impl Known {
    fn named(&mut self, tree_path: &str, name: &str, context: &ClientContext) -> NamedFile {
        let (name, host) = if let Some((name, host)) = self.hosts.get_key_value(name) {
            (Arc::clone(name), Arc::clone(host))
        } else {
            let (name, host): (Arc<str>, Arc<Path>) = (name.into(), context.resolve(name).into());
            self.hosts.insert(Arc::clone(&name), Arc::clone(&host));
            (name, host)
        };
        NamedFile {
            tree_path: self.tree_path(tree_path),
            name,
            host,
        }
    }

    fn tree_path(&mut self, tree_path: &str) -> Arc<str> {
        if let Some(known) = self.tree_paths.get(tree_path) {
            return Arc::clone(known);
        }
        let tree_path: Arc<str> = tree_path.into();
        self.tree_paths.insert(Arc::clone(&tree_path));
        tree_path
    }
}
