//! All files that a program loads in order to start, with their paths in the toolchain tree.
//!
//! [`search`](super::search) decides where a library may be. Nothing is run or hashed here.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::elf::{self, Image};
use super::search::{Libc, LoadedObject, Search, SearchEnvironment};
use super::{ToolchainError, ToolchainFile};

/// Directory of the libraries in the tree; `--library-path` names it to the loader.
const LIBRARIES: &str = "lib";

/// Names that musl's loader provides itself, whatever follows the dot.
const INSIDE_MUSL: [&[u8]; 7] = [
    b"libc.",
    b"libpthread.",
    b"librt.",
    b"libm.",
    b"libdl.",
    b"libutil.",
    b"libxnet.",
];

/// Every file that a program loads in order to start.
#[derive(Debug)]
pub(super) struct Closure {
    /// Sorted by `tree_path`.
    pub(super) files: Vec<ToolchainFile>,
    pub(super) loader: Option<String>,
    pub(super) inhibit_rpath: Vec<String>,
    pub(super) doubt: Option<String>,
}

/// Finds the closure of a program that goes into the tree as `tree_path`.
pub(super) fn of_program(
    environment: &SearchEnvironment,
    program: &Path,
    image: Image,
    tree_path: String,
) -> Result<Closure, ToolchainError> {
    let interpreter = image.interpreter.as_deref().map(|path| {
        environment
            .current_dir
            .join(Path::new(OsStr::from_bytes(path)))
    });
    let mut walk = LibraryWalk {
        search: Search::new(environment, program, image.machine, interpreter.as_deref()),
        loaded: Vec::new(),
        names: HashSet::new(),
        files: BTreeMap::new(),
        loader: None,
        inhibit_rpath: Vec::new(),
        doubt: None,
    };
    if let Some(path) = interpreter {
        walk.take_loader(program, &path, &image)?;
    }
    walk.file(tree_path, program, true)?;
    // The loader does not name the program: its entry is the empty one.
    walk.load(program.to_owned(), image, None, String::new());
    walk.load_needed()?;
    walk.inhibit_rpath.sort();
    Ok(Closure {
        files: walk.files.into_values().collect(),
        loader: walk.loader,
        inhibit_rpath: walk.inhibit_rpath,
        doubt: walk.doubt,
    })
}

/// The walk over all needed libraries: what a loader keeps as its list of mapped files.
#[derive(Debug)]
struct LibraryWalk<'a> {
    search: Search<'a>,
    loaded: Vec<LoadedObject>,
    /// Names that need no further search: those already looked up, and the sonames of the files
    /// that were found.
    names: HashSet<Vec<u8>>,
    files: BTreeMap<String, ToolchainFile>,
    loader: Option<String>,
    inhibit_rpath: Vec<String>,
    /// The first of several.
    doubt: Option<String>,
}

impl LibraryWalk<'_> {
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
            .ok_or_else(|| unusable("the path has no file name".to_owned()))?;
        self.names.insert(name.as_bytes().to_vec());
        self.names.extend(loader.soname);
        let tree_path = tree_path(LIBRARIES, name.as_bytes(), path)?;
        self.loader = Some(tree_path.clone());
        self.file(tree_path, path, true)
    }

    /// Loads needed libraries breadth first, as loaders do, until none is missing.
    fn load_needed(&mut self) -> Result<(), ToolchainError> {
        let mut next = 0;
        while next < self.loaded.len() {
            for name in self.loaded[next].image.needed.clone() {
                if !self.is_provided(&name) {
                    self.take_library(&name, next)?;
                }
            }
            next += 1;
        }
        Ok(())
    }

    /// Whether a library is already loaded, or part of the kernel or of the loader.
    fn is_provided(&self, name: &[u8]) -> bool {
        self.names.contains(name)
            || name.starts_with(b"linux-vdso")
            || name.starts_with(b"linux-gate")
            || self.search.libc() == Libc::Musl
                && INSIDE_MUSL.iter().any(|own| name.starts_with(own))
    }

    fn take_library(&mut self, name: &[u8], needed_by: usize) -> Result<(), ToolchainError> {
        let needing = self.loaded[needed_by].path.clone();
        if name.contains(&b'/') {
            return Err(ToolchainError::NeededByPath {
                name: String::from_utf8_lossy(name).into_owned(),
                needed_by: needing,
            });
        }
        let found = self.search.find(name, needed_by, &self.loaded);
        if found.files.is_empty() {
            return Err(ToolchainError::MissingLibrary {
                name: String::from_utf8_lossy(name).into_owned(),
                needed_by: needing,
                passed_over: found.passed_over,
            });
        }
        if let Some(reason) = found.doubt {
            let name = String::from_utf8_lossy(name);
            let text = format!("the dynamic loader may take another `{name}`: {reason}");
            self.doubt.get_or_insert(text);
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
            self.load(path, image, Some(needed_by), tree_path);
        }
        Ok(())
    }

    fn load(&mut self, path: PathBuf, image: Image, needed_by: Option<usize>, tree_path: String) {
        if image.rpath.is_some() && self.search.libc() == Libc::Glibc {
            self.inhibit_rpath.push(tree_path);
        }
        let loaded = self.search.loaded(path, image, needed_by);
        self.loaded.push(loaded);
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
