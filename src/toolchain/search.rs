//! Finds a library where a dynamic loader would look for it.
//!
//! The rules are those of `ld.so(8)` (glibc's `elf/dl-load.c`) and of musl's `ldso/dynlink.c`.
//! [`closure`](super::closure) decides which libraries are needed. `/etc/ld.so.conf` is read
//! instead of the cache that `ldconfig` builds from it, and the directories for hardware
//! capabilities that glibc 2.37 dropped (`tls`, `haswell`) are ignored.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::elf::{self, Image, Machine, ReadError};
use super::tokens::dir_of;
use super::{conf, tokens};

/// What besides a compiler decides which files it loads: everything that discovery knows of the
/// machine.
#[derive(Debug, Clone)]
pub struct SearchEnvironment {
    /// `PATH`, for a compiler without a directory in its name.
    pub path: Option<OsString>,
    /// `LD_LIBRARY_PATH`.
    pub library_path: Option<OsString>,
    /// Relative entries of both are relative to this directory.
    pub current_dir: PathBuf,
    /// The machine that will run the compiler; `None` accepts any.
    pub machine: Option<Machine>,
    /// The directory of `ld.so.conf` and `ld-musl-*.path`: `/etc`.
    pub configuration: PathBuf,
}

impl SearchEnvironment {
    /// The environment of a compiler that runs on this machine in `current_dir`.
    #[must_use]
    pub fn new(
        path: Option<OsString>,
        library_path: Option<OsString>,
        current_dir: PathBuf,
    ) -> Self {
        Self {
            path,
            library_path,
            current_dir,
            machine: Machine::host(),
            configuration: PathBuf::from("/etc"),
        }
    }

    /// The directories of `PATH`, in order; an empty entry is the current one.
    pub(super) fn program_dirs(&self) -> impl Iterator<Item = PathBuf> {
        let entries = self.path.as_deref().unwrap_or_default().as_bytes();
        entries
            .split(|&byte| byte == b':')
            .map(|entry| self.current_dir.join(OsStr::from_bytes(entry)))
    }
}

/// The C library whose loader it is: the two search in different orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Libc {
    Glibc,
    Musl,
}

/// A loaded file and the search path that it adds.
#[derive(Debug)]
pub(super) struct LoadedObject {
    /// The path that the loader opens, symbolic links not resolved: `$ORIGIN` is its directory.
    pub(super) path: PathBuf,
    pub(super) image: Image,
    /// Index of the file that needs it in the list of loaded files; `None` for the program.
    pub(super) needed_by: Option<usize>,
    rpath: Vec<PathBuf>,
    runpath: Vec<PathBuf>,
}

/// A search with one program's loader.
#[derive(Debug)]
pub(super) struct Search<'a> {
    environment: &'a SearchEnvironment,
    libc: Libc,
    machine: Machine,
    loader: Option<PathBuf>,
    library_path: Vec<PathBuf>,
    system: OnceCell<Vec<PathBuf>>,
    /// The variant directories in each directory that was searched already.
    variants: HashMap<PathBuf, Vec<Variant>>,
}

/// A directory of libraries for newer processors.
#[derive(Debug, Clone)]
struct Variant {
    /// The best is 0.
    rank: usize,
    level: &'static str,
    dir: PathBuf,
}

/// The result of a search: the plain file, and variants of it for newer processors.
#[derive(Debug, Default)]
pub(super) struct SearchResult {
    pub(super) files: Vec<(PathBuf, Image, Option<&'static str>)>,
    /// Files of that name that the loader cannot use, and why.
    pub(super) passed_over: Vec<String>,
}

impl<'a> Search<'a> {
    /// `program` is the compiler with symbolic links resolved, `loader` its `PT_INTERP`.
    pub(super) fn new(
        environment: &'a SearchEnvironment,
        program: &Path,
        machine: Machine,
        loader: Option<&Path>,
    ) -> Self {
        let musl = loader
            .and_then(Path::file_name)
            .is_some_and(|name| name.as_bytes().starts_with(b"ld-musl-"));
        let mut search = Self {
            environment,
            libc: if musl { Libc::Musl } else { Libc::Glibc },
            machine,
            loader: loader.map(Path::to_owned),
            library_path: Vec::new(),
            system: OnceCell::new(),
            variants: HashMap::new(),
        };
        let entries = environment.library_path.as_deref().unwrap_or_default();
        if !entries.is_empty() {
            search.library_path = search.expand(entries.as_bytes(), b":;", dir_of(program));
        }
        search
    }

    pub(super) fn libc(&self) -> Libc {
        self.libc
    }

    /// Makes the list entry of a file, with its own search paths expanded.
    pub(super) fn loaded(
        &self,
        path: PathBuf,
        image: Image,
        needed_by: Option<usize>,
    ) -> LoadedObject {
        let expand = |list: &Option<Vec<u8>>| match list.as_deref() {
            None | Some([]) => Vec::new(),
            Some(list) => self.expand(list, b":", dir_of(&path)),
        };
        let (rpath, runpath) = (expand(&image.rpath), expand(&image.runpath));
        LoadedObject {
            path,
            image,
            needed_by,
            rpath,
            runpath,
        }
    }

    /// Finds the library `name` that `loaded[needed_by]` needs.
    ///
    /// Variants for newer processors are taken along with the plain file, whatever this processor
    /// is: the loader on the worker chooses, and the result does not depend on this machine.
    pub(super) fn find(
        &mut self,
        name: &[u8],
        needed_by: usize,
        loaded: &[LoadedObject],
    ) -> SearchResult {
        let mut found = SearchResult::default();
        // A better variant in a later directory would win in the tree, but not on this machine.
        let mut next_rank = 0;
        for dir in self.dirs(needed_by, loaded) {
            for variant in self.variants_in(&dir) {
                let Variant { rank, level, dir } = &variant;
                if *rank >= next_rank && self.try_file(dir, name, Some(level), &mut found) {
                    next_rank = rank + 1;
                }
            }
            if self.try_file(&dir, name, None, &mut found) {
                break;
            }
        }
        found
    }

    fn try_file(
        &self,
        dir: &Path,
        name: &[u8],
        level: Option<&'static str>,
        found: &mut SearchResult,
    ) -> bool {
        let path = dir.join(OsStr::from_bytes(name));
        match elf::read(&path) {
            Ok(image) if image.machine == self.machine => {
                found.files.push((path, image, level));
                return true;
            }
            Ok(image) => {
                let other = format!("`{}` is for {}", path.display(), image.machine);
                found.passed_over.push(other);
            }
            Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotADirectory => {}
            Err(error) => found.passed_over.push(error.to_string()),
        }
        false
    }

    /// All directories in the loader's order.
    fn dirs(&self, needed_by: usize, loaded: &[LoadedObject]) -> Vec<PathBuf> {
        let chain = std::iter::successors(Some(needed_by), |&index| loaded[index].needed_by);
        let own = &loaded[needed_by];
        let mut dirs = Vec::new();
        match self.libc {
            Libc::Glibc => {
                if own.image.runpath.is_none() {
                    dirs.extend(chain.flat_map(|index| &loaded[index].rpath).cloned());
                }
                dirs.extend(self.library_path.iter().cloned());
                dirs.extend(own.runpath.iter().cloned());
            }
            Libc::Musl => {
                dirs.extend(self.library_path.iter().cloned());
                for index in chain {
                    dirs.extend(loaded[index].rpath.iter().cloned());
                    dirs.extend(loaded[index].runpath.iter().cloned());
                }
            }
        }
        if !own.image.no_default_dirs {
            dirs.extend(self.system().iter().cloned());
        }
        dirs
    }

    fn system(&self) -> &[PathBuf] {
        self.system.get_or_init(|| {
            let configuration = &self.environment.configuration;
            let mut dirs = match self.libc {
                Libc::Glibc => {
                    let mut dirs = conf::ld_so_conf(&configuration.join("ld.so.conf"));
                    dirs.extend(tokens::default_dirs(self.machine));
                    dirs
                }
                Libc::Musl => conf::musl_path(configuration, self.loader.as_deref()),
            };
            // A loader that is not part of the system (Nix, a relocated sysroot) has its libraries
            // in its own directory.
            dirs.extend(self.loader.as_deref().map(|it| dir_of(it).to_owned()));
            dirs
        })
    }

    /// The `glibc-hwcaps` subdirectories of `dir`, best first.
    fn variants_in(&mut self, dir: &Path) -> Vec<Variant> {
        let levels = match (self.libc, self.machine.platform()) {
            (Libc::Musl, _) => return Vec::new(),
            (_, "x86_64") => ["x86-64-v4", "x86-64-v3", "x86-64-v2"].as_slice(),
            (_, "powerpc64le") => &["power11", "power10", "power9"],
            (_, "s390x") => &["z17", "z16", "z15", "z14", "z13"],
            _ => return Vec::new(),
        };
        if let Some(known) = self.variants.get(dir) {
            return known.clone();
        }
        let parent = dir.join("glibc-hwcaps");
        let mut there = Vec::new();
        if parent.is_dir() {
            for (rank, level) in levels.iter().copied().enumerate() {
                let dir = parent.join(level);
                there.push(Variant { rank, level, dir });
            }
        }
        self.variants.insert(dir.to_owned(), there.clone());
        there
    }

    fn expand(&self, list: &[u8], separators: &[u8], origin: &Path) -> Vec<PathBuf> {
        let dirs = tokens::expand(list, separators, origin, self.machine);
        let current = &self.environment.current_dir;
        dirs.map(|dir| current.join(dir)).collect()
    }
}
