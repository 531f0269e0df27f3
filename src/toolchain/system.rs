//! What a loader knows without a search path: the system's cache and the default directories.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use memchr::memmem;

use super::conf;
use super::elf::Machine;
use super::ld_so_cache::LdSoCache;
use super::tokens::{default_dirs, dir_of};
use crate::fs::{open_regular, read_open_at_most};

/// Maximum size of a cache. Real ones have some hundred kilobytes.
const MAX_CACHE: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct System {
    /// Whether the loader is in a directory of the system, and so has the system's cache.
    pub(super) is_own_loader: bool,
    pub(super) cache: Cache,
    /// For musl in its order; otherwise those of all systems, of which a loader has some.
    pub(super) dirs: Vec<PathBuf>,
    /// The directory of its files.
    configuration: PathBuf,
}

/// `ld.so.cache`.
#[derive(Debug)]
pub(super) enum Cache {
    /// There is none, or the loader does not take it for one.
    None,
    Known(LdSoCache),
    /// The loader may use it, and relto cannot, for that reason.
    Unknown(String),
}

impl System {
    pub(super) fn glibc(configuration: &Path, loader: Option<&Path>, machine: Machine) -> Self {
        let is_own_loader = loader.is_none_or(|loader| is_in_system(loader, machine));
        let mut dirs: Vec<PathBuf> = default_dirs(machine).collect();
        if !is_own_loader {
            // It has its libraries beside it (Nix, a relocated sysroot).
            dirs.splice(0..0, loader.map(|loader| dir_of(loader).to_owned()));
        }
        Self {
            is_own_loader,
            cache: Cache::read(configuration, loader.filter(|_| is_own_loader)),
            dirs,
            configuration: configuration.to_owned(),
        }
    }

    pub(super) fn musl(configuration: &Path, loader: Option<&Path>) -> Self {
        let mut dirs = conf::musl_path(configuration, loader);
        dirs.extend(loader.map(|loader| dir_of(loader).to_owned()));
        Self {
            is_own_loader: true,
            cache: Cache::None,
            dirs,
            configuration: configuration.to_owned(),
        }
    }

    /// The directories of which `ldconfig` makes a cache.
    pub(super) fn configured_dirs(&self) -> Vec<PathBuf> {
        conf::ld_so_conf(&self.configuration.join("ld.so.conf"))
    }
}

impl Cache {
    /// `loader` is the system's own, which has one cache built in.
    fn read(configuration: &Path, loader: Option<&Path>) -> Self {
        let path = configuration.join("ld.so.cache");
        let unknown = |why: &dyn std::fmt::Display| {
            Self::Unknown(format!("`{}` cannot be used: {why}", path.display()))
        };
        let bytes = match read_limited(&path) {
            Ok(bytes) => bytes,
            Err(error) if cannot_be_opened(&error) => {
                return match loader.filter(|loader| !names_usual_cache(loader)) {
                    None => Self::None,
                    Some(loader) => unknown(&format!("`{}` has another", loader.display())),
                };
            }
            Err(error) => return unknown(&error),
        };
        match LdSoCache::parse(bytes) {
            Ok(Some(cache)) => Self::Known(cache),
            Ok(None) => Self::None,
            Err(error) => unknown(&error),
        }
    }
}

/// Whether a loader has the path of the cache in it; some systems have theirs below `/var`.
fn names_usual_cache(loader: &Path) -> bool {
    let path = b"\0/etc/ld.so.cache\0";
    let bytes = read_limited(loader).unwrap_or_default();
    memmem::find(&bytes, path).is_some()
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    read_open_at_most(open_regular(path)?, path, MAX_CACHE)
}

/// Whether a loader cannot open the file either.
pub(super) fn cannot_be_opened(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

/// By its own name, or by that of the file that it is a link to.
fn is_in_system(loader: &Path, machine: Machine) -> bool {
    let is_default = |path: &Path| default_dirs(machine).any(|dir| dir == dir_of(path));
    is_default(loader) || fs::canonicalize(loader).is_ok_and(|real| is_default(&real))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_cache_only_a_loader_with_the_usual_one_has_none() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let loader = dir.path().join("ld.so");
        for (text, is_known) in [
            ("x\0/etc/ld.so.cache\0", true),
            ("x\0/var/cache/ldconfig/ld.so.cache\0", false),
            ("x\0/usr/etc/ld.so.cache\0", false),
        ] {
            fs::write(&loader, text).expect("written");
            let cache = Cache::read(dir.path(), Some(&loader));
            assert_eq!(matches!(cache, Cache::None), is_known, "{text}");
        }
        assert!(matches!(Cache::read(dir.path(), None), Cache::None));
    }

    /// Without the string that is looked for, each job of a system without a cache would run in place.
    #[test]
    fn the_loader_of_this_system_names_its_cache() {
        let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
        assert!(!loader.exists() || names_usual_cache(loader));
    }
}
