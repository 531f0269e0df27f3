//! All files that a program needs in order to start.
//!
//! Enters: a program that was read, and its client_context. Leaves: the list of files with their
//! places in the toolchain tree. Where a library may lie is the business of `search`; nothing is
//! run and nothing is hashed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::elf::{self, Image};
use super::search::{Libc, Loaded, Search, SearchEnvironment};
use super::{ToolchainError, ToolchainFile};

/// Directory of the libraries in the tree, as the loader gets it by `--library-path`.
pub(super) const LIBRARIES: &str = "lib";

/// Names that musl's loader takes for itself, whatever follows the dot.
const INSIDE_MUSL: [&[u8]; 7] = [
    b"libc.",
    b"libpthread.",
    b"librt.",
    b"libm.",
    b"libdl.",
    b"libutil.",
    b"libxnet.",
];

/// A growing set of files, as a loader's list of what it has mapped.
#[derive(Debug)]
pub(super) struct Closure<'a> {
    search: Search<'a>,
    all: Vec<Loaded>,
    /// Names that need no search any more: what was asked for, and what the found ones call
    /// themselves.
    names: HashSet<Vec<u8>>,
    files: BTreeMap<String, ToolchainFile>,
    loader: Option<String>,
    inhibit_rpath: Vec<String>,
    /// The first of `all` whose needs are not looked up yet.
    next: usize,
}

/// A closure that lacks nothing.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) files: Vec<ToolchainFile>,
    pub(super) loader: Option<String>,
    pub(super) inhibit_rpath: Vec<String>,
}

impl<'a> Closure<'a> {
    /// Begins with the program itself, which goes into the tree as `tree_path`, and its loader.
    pub(super) fn of_program(
        environment: &'a SearchEnvironment,
        program: &Path,
        image: Image,
        tree_path: String,
    ) -> Result<Self, ToolchainError> {
        let interpreter = image.interpreter.as_deref().map(|path| {
            environment
                .current_dir
                .join(Path::new(OsStr::from_bytes(path)))
        });
        let mut closure = Self {
            search: Search::new(environment, program, image.machine, interpreter.as_deref()),
            all: Vec::new(),
            names: HashSet::new(),
            files: BTreeMap::new(),
            loader: None,
            inhibit_rpath: Vec::new(),
            next: 0,
        };
        if let Some(path) = interpreter {
            closure.take_loader(program, &path, &image)?;
        }
        closure.file(tree_path, program, true)?;
        // The loader does not name the program: its entry is the empty one.
        closure.load(program.to_owned(), image, None, String::new());
        Ok(closure)
    }

    fn take_loader(
        &mut self,
        program: &Path,
        path: &Path,
        image: &Image,
    ) -> Result<(), ToolchainError> {
        let unusable = |reason: String| ToolchainError::NoLoader {
            path: program.to_owned(),
            loader: path.to_owned(),
            reason,
        };
        let loader = elf::read(path).map_err(|error| unusable(error.to_string()))?;
        if loader.machine != image.machine {
            return Err(unusable(format!("it is for {}", loader.machine)));
        }
        let name = path
            .file_name()
            .ok_or_else(|| unusable("it is no file".to_owned()))?;
        self.names.insert(name.as_bytes().to_vec());
        self.names.extend(loader.soname);
        let tree_path = tree_path(LIBRARIES, name.as_bytes(), path)?;
        self.loader = Some(tree_path.clone());
        self.file(tree_path, path, true)
    }

    /// Adds a library that is not looked up, and all that it needs, as `dlopen` with a path does.
    pub(super) fn add(
        &mut self,
        path: &Path,
        image: Image,
        tree_path: String,
    ) -> Result<(), ToolchainError> {
        self.file(tree_path.clone(), path, false)?;
        self.load(path.to_owned(), image, Some(0), tree_path);
        self.follow()
    }

    /// Follows what is needed, breadth first as loaders do, until nothing is missing.
    pub(super) fn follow(&mut self) -> Result<(), ToolchainError> {
        while self.next < self.all.len() {
            for name in self.all[self.next].image.needed.clone() {
                if !self.is_provided(&name) {
                    self.take_library(&name, self.next)?;
                }
            }
            self.next += 1;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Complete {
        self.inhibit_rpath.sort();
        Complete {
            files: self.files.into_values().collect(),
            loader: self.loader,
            inhibit_rpath: self.inhibit_rpath,
        }
    }

    /// Loaded already, part of the kernel, or part of the loader.
    fn is_provided(&self, name: &[u8]) -> bool {
        self.names.contains(name)
            || name.starts_with(b"linux-vdso")
            || name.starts_with(b"linux-gate")
            || self.search.libc() == Libc::Musl
                && INSIDE_MUSL.iter().any(|own| name.starts_with(own))
    }

    fn take_library(&mut self, name: &[u8], asker: usize) -> Result<(), ToolchainError> {
        let needed_by = self.all[asker].path.clone();
        if name.contains(&b'/') {
            return Err(ToolchainError::NeededByPath {
                name: String::from_utf8_lossy(name).into_owned(),
                needed_by,
            });
        }
        let found = self.search.find(name, asker, &self.all);
        if found.files.is_empty() {
            return Err(ToolchainError::MissingLibrary {
                name: String::from_utf8_lossy(name).into_owned(),
                needed_by,
                passed_over: found.passed_over,
            });
        }
        self.names.insert(name.to_vec());
        for (path, image, level) in found.files {
            let dir = match level {
                None => LIBRARIES.to_owned(),
                Some(level) => format!("{LIBRARIES}/glibc-hwcaps/{level}"),
            };
            let tree_path = tree_path(&dir, name, &path)?;
            self.file(tree_path.clone(), &path, false)?;
            self.names.extend(image.soname.clone());
            self.load(path, image, Some(asker), tree_path);
        }
        Ok(())
    }

    fn load(&mut self, path: PathBuf, image: Image, asker: Option<usize>, tree_path: String) {
        if image.rpath.is_some() && self.search.libc() == Libc::Glibc {
            self.inhibit_rpath.push(tree_path);
        }
        let loaded = self.search.loaded(path, image, asker);
        self.all.push(loaded);
    }

    fn file(
        &mut self,
        tree_path: String,
        host: &Path,
        executable: bool,
    ) -> Result<(), ToolchainError> {
        let file = ToolchainFile {
            tree_path: tree_path.clone(),
            host: host.to_owned(),
            executable,
        };
        match self.files.insert(tree_path.clone(), file) {
            Some(other) if other.host != host => Err(ToolchainError::NameConflict {
                tree_path,
                first: other.host,
                second: host.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

fn tree_path(dir: &str, name: &[u8], path: &Path) -> Result<String, ToolchainError> {
    match std::str::from_utf8(name) {
        Ok(name) if !matches!(name, "" | "." | "..") => Ok(format!("{dir}/{name}")),
        _ => Err(ToolchainError::NotUtf8 {
            path: PathBuf::from(path),
        }),
    }
}
