//! Where a dynamic loader looks for a library.
//!
//! Enters: a name, who needs it, and what of the surroundings matters (`SearchEnvironment`). Leaves: the files that the
//! loader would take. The rules are those of `ld.so(8)` (glibc's `elf/dl-load.c`) and of musl's `ldso/dynlink.c`. Who
//! needs what is the business of `closure`. `/etc/ld.so.conf` is read instead of the cache that `ldconfig` makes of it, and
//! the folders for kinds of hardware that glibc 2.37 gave up (`tls`, `haswell`) are passed over.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::elf::{self, Image, Machine, ReadError};
use super::{conf, tokens};

/// What around a compiler decides which files it is made of. Everything that discovery knows of the machine.
#[derive(Debug, Clone)]
pub struct SearchEnvironment {
    /// `PATH`: where a compiler without a folder in its name is looked up.
    pub path: Option<OsString>,
    /// `LD_LIBRARY_PATH`.
    pub library_path: Option<OsString>,
    /// What relative entries of both are relative to.
    pub current_folder: PathBuf,
    /// The machine that is to run the compiler; `None` takes any.
    pub machine: Option<Machine>,
    /// The folder of `ld.so.conf` and `ld-musl-*.path`: `/etc`.
    pub configuration: PathBuf,
}

impl SearchEnvironment {
    /// The surroundings of a compiler that runs on this machine in `current_folder`.
    #[must_use]
    pub fn new(
        path: Option<OsString>,
        library_path: Option<OsString>,
        current_folder: PathBuf,
    ) -> Self {
        Self {
            path,
            library_path,
            current_folder,
            machine: Machine::host(),
            configuration: PathBuf::from("/etc"),
        }
    }

    /// The folders of `PATH`, in order; an empty entry is the current one.
    pub(super) fn program_folders(&self) -> impl Iterator<Item = PathBuf> {
        let entries = self.path.as_deref().unwrap_or_default().as_bytes();
        entries
            .split(|&byte| byte == b':')
            .map(|entry| self.current_folder.join(OsStr::from_bytes(entry)))
    }
}

/// Whose loader it is: the two search in different orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Libc {
    Glibc,
    Musl,
}

/// A file that is loaded, and the search path that it brings along.
#[derive(Debug)]
pub(super) struct Loaded {
    /// As the loader opens it, links not resolved: `$ORIGIN` is its folder.
    pub(super) path: PathBuf,
    pub(super) image: Image,
    /// Who needs it: an index into the list of loaded files. The program has none.
    pub(super) asker: Option<usize>,
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
    /// Folders already looked at, with the variant folders in them.
    variants: HashMap<PathBuf, Vec<Variant>>,
}

/// A folder of libraries for newer processors.
#[derive(Debug, Clone)]
struct Variant {
    /// The best is 0.
    rank: usize,
    level: &'static str,
    folder: PathBuf,
}

/// What a search gives: the plain file, and variants of it for newer processors.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<(PathBuf, Image, Option<&'static str>)>,
    /// Files of that name which the loader cannot use, and why.
    pub(super) passed_over: Vec<String>,
}

impl<'a> Search<'a> {
    /// `program` is the compiler with links resolved, `loader` its `PT_INTERP`.
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
            search.library_path = search.expand(entries.as_bytes(), b":;", folder_of(program));
        }
        search
    }

    pub(super) fn libc(&self) -> Libc {
        self.libc
    }

    /// Takes a file into the list, with its own search paths expanded.
    pub(super) fn loaded(&self, path: PathBuf, image: Image, asker: Option<usize>) -> Loaded {
        let expand = |list: &Option<Vec<u8>>| match list.as_deref() {
            None | Some([]) => Vec::new(),
            Some(list) => self.expand(list, b":", folder_of(&path)),
        };
        let (rpath, runpath) = (expand(&image.rpath), expand(&image.runpath));
        Loaded {
            path,
            image,
            asker,
            rpath,
            runpath,
        }
    }

    /// Finds the library `name` that `all[asker]` needs.
    ///
    /// Variants for newer processors are taken whatever this processor is, next to the plain file: the loader on the
    /// worker chooses, and the result does not depend on the machine that asks.
    pub(super) fn find(&mut self, name: &[u8], asker: usize, all: &[Loaded]) -> Found {
        let mut found = Found::default();
        // A better variant in a later folder would win in the tree, but not here.
        let mut next_rank = 0;
        for folder in self.folders(asker, all) {
            for variant in self.variants_in(&folder) {
                let Variant {
                    rank,
                    level,
                    folder,
                } = &variant;
                if *rank >= next_rank && self.try_file(folder, name, Some(level), &mut found) {
                    next_rank = rank + 1;
                }
            }
            if self.try_file(&folder, name, None, &mut found) {
                break;
            }
        }
        found
    }

    fn try_file(
        &self,
        folder: &Path,
        name: &[u8],
        level: Option<&'static str>,
        found: &mut Found,
    ) -> bool {
        let path = folder.join(OsStr::from_bytes(name));
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

    /// All folders in the order of the loader.
    fn folders(&self, asker: usize, all: &[Loaded]) -> Vec<PathBuf> {
        let chain = std::iter::successors(Some(asker), |&index| all[index].asker);
        let own = &all[asker];
        let mut folders = Vec::new();
        match self.libc {
            Libc::Glibc => {
                if own.image.runpath.is_none() {
                    folders.extend(chain.flat_map(|index| &all[index].rpath).cloned());
                }
                folders.extend(self.library_path.iter().cloned());
                folders.extend(own.runpath.iter().cloned());
            }
            Libc::Musl => {
                folders.extend(self.library_path.iter().cloned());
                for index in chain {
                    folders.extend(all[index].rpath.iter().cloned());
                    folders.extend(all[index].runpath.iter().cloned());
                }
            }
        }
        if !own.image.no_default_folders {
            folders.extend(self.system().iter().cloned());
        }
        folders
    }

    fn system(&self) -> &[PathBuf] {
        self.system.get_or_init(|| {
            let configuration = &self.environment.configuration;
            let mut folders = match self.libc {
                Libc::Glibc => {
                    let mut folders = conf::ld_so_conf(&configuration.join("ld.so.conf"));
                    folders.extend(tokens::default_folders(self.machine));
                    folders
                }
                Libc::Musl => conf::musl_path(configuration, self.loader.as_deref()),
            };
            // A loader that is no part of the system (Nix, a relocated sysroot) has its libraries beside it.
            folders.extend(self.loader.as_deref().map(|it| folder_of(it).to_owned()));
            folders
        })
    }

    /// The `glibc-hwcaps` subfolders of `folder`, best first.
    fn variants_in(&mut self, folder: &Path) -> Vec<Variant> {
        let levels = match (self.libc, self.machine.platform()) {
            (Libc::Musl, _) => return Vec::new(),
            (_, "x86_64") => ["x86-64-v4", "x86-64-v3", "x86-64-v2"].as_slice(),
            (_, "powerpc64le") => &["power11", "power10", "power9"],
            (_, "s390x") => &["z17", "z16", "z15", "z14", "z13"],
            _ => return Vec::new(),
        };
        if let Some(known) = self.variants.get(folder) {
            return known.clone();
        }
        let parent = folder.join("glibc-hwcaps");
        let mut there = Vec::new();
        if parent.is_dir() {
            for (rank, level) in levels.iter().copied().enumerate() {
                let folder = parent.join(level);
                there.push(Variant {
                    rank,
                    level,
                    folder,
                });
            }
        }
        self.variants.insert(folder.to_owned(), there.clone());
        there
    }

    fn expand(&self, list: &[u8], separators: &[u8], origin: &Path) -> Vec<PathBuf> {
        let folders = tokens::expand(list, separators, origin, self.machine);
        let current = &self.environment.current_folder;
        folders.map(|folder| current.join(folder)).collect()
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
