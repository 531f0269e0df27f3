//! Finds a library where a dynamic loader would look for it.
//!
//! The rules are those of `ld.so(8)` (glibc's `elf/dl-load.c`) and of musl's `ldso/dynlink.c`.
//! [`closure`](super::closure) decides which libraries are needed, [`system`](super::system) knows
//! what no search path names. Where loaders differ in a way that their files do not tell, the result
//! is a guess, and says so.

mod in_system;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::elf::{self, Image, Machine, ReadError};
use super::ld_so_cache::CacheError;
use super::subdirs::Subdirs;
use super::system::{System, cannot_be_opened};
use super::tokens::{self, SearchDir, dir_of};

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
    /// The directory of `ld.so.cache`, `ld.so.conf` and `ld-musl-*.path`: `/etc`.
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
    rpath: Vec<SearchDir>,
    runpath: Vec<SearchDir>,
}

/// A search with one program's loader.
#[derive(Debug)]
pub(super) struct Search<'a> {
    environment: &'a SearchEnvironment,
    libc: Libc,
    machine: Machine,
    loader: Option<PathBuf>,
    library_path: Vec<SearchDir>,
    system: OnceCell<Rc<System>>,
    /// What is below each directory that was searched already.
    subdirs: HashMap<PathBuf, Rc<Subdirs>>,
}

/// The result of a search: the plain file, and variants of it for newer processors.
#[derive(Debug, Default)]
pub(super) struct SearchResult {
    pub(super) files: Vec<(PathBuf, Image, Option<&'static str>)>,
    /// Files of that name that the loader cannot use, and why.
    pub(super) passed_over: Vec<String>,
    /// Why the loader may take other files; the first of several reasons.
    pub(super) doubt: Option<String>,
    /// A better variant in a later directory would win in the tree, but not on this machine.
    next_rank: usize,
}

impl SearchResult {
    fn doubt(&mut self, reason: impl Into<String>) {
        self.doubt.get_or_insert(reason.into());
    }

    fn doubt_cache(&mut self, error: CacheError) {
        self.doubt(format!("`ld.so.cache` cannot be used: {error}"));
    }
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
            subdirs: HashMap::new(),
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
        for dir in self.dirs(needed_by, loaded) {
            let before = found.files.len();
            let is_complete = self.look_in(&dir.path, name, &mut found);
            if dir.is_guess && found.files.len() > before {
                let dir = dir.path.display();
                found.doubt(format!("`{dir}` has `$LIB` or `$PLATFORM` in its name"));
            }
            if is_complete {
                return found;
            }
        }
        match self.libc {
            Libc::Musl => {}
            Libc::Glibc if loaded[needed_by].image.no_default_dirs => {
                self.look_only_in_cache(name, &mut found);
            }
            Libc::Glibc => self.look_in_system(name, &mut found),
        }
        found
    }

    /// Takes what there is in `dir`, and returns whether the loader goes no further.
    fn look_in(&mut self, dir: &Path, name: &[u8], found: &mut SearchResult) -> bool {
        let file = OsStr::from_bytes(name);
        if self.libc == Libc::Glibc {
            let subdirs = self.subdirs(dir);
            for variant in &subdirs.variants {
                let path = variant.dir.join(file);
                let is_better = variant.rank >= found.next_rank;
                if is_better && self.try_file(path, Some(variant.level), found) {
                    found.next_rank = variant.rank + 1;
                }
            }
            for dir in &subdirs.legacy {
                if self.try_file(dir.join(file), None, found) {
                    let dir = dir.display();
                    found.doubt(format!("only some loaders look into `{dir}`"));
                    return true;
                }
            }
        }
        self.try_file(dir.join(file), None, found)
    }

    fn try_file(
        &self,
        path: PathBuf,
        level: Option<&'static str>,
        found: &mut SearchResult,
    ) -> bool {
        match elf::read(&path) {
            Ok(image) if image.machine == self.machine => {
                found.files.push((path, image, level));
                return true;
            }
            Ok(image) => {
                let other = format!("`{}` is for {}", path.display(), image.machine);
                found.passed_over.push(other);
            }
            Err(ReadError::Io(error)) if error.kind() == ErrorKind::NotFound => {}
            Err(ReadError::Io(error)) if error.kind() == ErrorKind::NotADirectory => {}
            Err(error) => {
                let reason = error.to_string();
                let goes_on = matches!(error, ReadError::Io(error) if cannot_be_opened(&error));
                if !goes_on {
                    // The loader ends at a damaged file, and can open what relto could not for a
                    // lack of descriptors.
                    found.doubt(reason.clone());
                }
                found.passed_over.push(reason);
            }
        }
        false
    }

    /// The directories of search paths, in the loader's order; for musl all directories.
    fn dirs(&self, needed_by: usize, loaded: &[LoadedObject]) -> Vec<SearchDir> {
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
        if self.libc == Libc::Musl && !own.image.no_default_dirs {
            dirs.extend(self.system().dirs.iter().cloned().map(SearchDir::certain));
        }
        dirs
    }

    fn system(&self) -> Rc<System> {
        let system = self.system.get_or_init(|| {
            let configuration = &self.environment.configuration;
            let loader = self.loader.as_deref();
            Rc::new(match self.libc {
                Libc::Glibc => System::glibc(configuration, loader, self.machine),
                Libc::Musl => System::musl(configuration, loader),
            })
        });
        Rc::clone(system)
    }

    fn subdirs(&mut self, dir: &Path) -> Rc<Subdirs> {
        if let Some(known) = self.subdirs.get(dir) {
            return Rc::clone(known);
        }
        let subdirs = Rc::new(Subdirs::of(dir, self.machine));
        self.subdirs.insert(dir.to_owned(), Rc::clone(&subdirs));
        subdirs
    }

    fn expand(&self, list: &[u8], separators: &[u8], origin: &Path) -> Vec<SearchDir> {
        let mut dirs = tokens::expand(list, separators, origin, self.machine);
        for dir in &mut dirs {
            dir.path = self.environment.current_dir.join(&dir.path);
        }
        dirs
    }
}
