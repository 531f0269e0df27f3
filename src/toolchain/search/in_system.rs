//! Finds a library that no search path leads to, as glibc's loader does.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::super::ld_so_cache::{CachedLibrary, LdSoCache};
use super::super::subdirs::levels;
use super::super::system::Cache;
use super::{Search, SearchResult};

impl Search<'_> {
    /// Looks where no search path leads: in the cache, then in the directories that are built into
    /// the loader.
    pub(super) fn look_in_system(&mut self, name: &[u8], found: &mut SearchResult) {
        let system = self.system();
        match &system.cache {
            Cache::None => {}
            Cache::Known(cache) if system.is_own_loader => match cache.lookup(name, self.machine) {
                Ok(library) => {
                    if self.take_cached(library, found) {
                        return;
                    }
                }
                Err(error) => found.doubt_cache(error),
            },
            Cache::Known(cache) => {
                self.look_in_dirs(&system.dirs, name, found);
                self.compare_with_cache(cache, name, found);
                return;
            }
            Cache::Unknown(reason) => found.doubt(reason.clone()),
        }
        let mut dirs = Vec::new();
        // What the cache would have named.
        if found.doubt.is_some() {
            dirs = system.configured_dirs();
        }
        if !dirs.iter().any(|dir| self.look_in(dir, name, found)) {
            self.look_in_dirs(&system.dirs, name, found);
        }
    }

    /// Looks into directories of which the loader knows some, in an order of its own.
    fn look_in_dirs(&mut self, dirs: &[PathBuf], name: &[u8], found: &mut SearchResult) {
        let mut first: Option<&Path> = None;
        let mut places = Vec::new();
        for dir in dirs {
            // `/lib` is a link to `/usr/lib` as a rule.
            match fs::canonicalize(dir) {
                Ok(place) if !places.contains(&place) => places.push(place),
                _ => continue,
            }
            let mut here = SearchResult {
                next_rank: found.next_rank,
                ..SearchResult::default()
            };
            self.look_in(dir, name, &mut here);
            found.passed_over.extend(here.passed_over);
            let doubts = here.doubt.into_iter();
            doubts.for_each(|reason| found.doubt(reason));
            if here.files.is_empty() {
                continue;
            }
            if let Some(first) = first {
                let (first, dir) = (first.display(), dir.display());
                found.doubt(format!("it is in `{first}` and in `{dir}`"));
                return;
            }
            first = Some(dir);
            found.files.extend(here.files);
        }
    }

    /// Takes what the cache names, and returns whether the loader goes no further. It takes the best
    /// variant for its processor; where that is not there, it leaves the cache.
    fn take_cached(&self, library: CachedLibrary, found: &mut SearchResult) -> bool {
        let current = &self.environment.current_dir;
        let mut variants = Vec::new();
        for (level, path) in library.variants {
            match levels(self.machine)
                .iter()
                .position(|it| it.as_bytes() == level)
            {
                Some(rank) => variants.push((rank, path)),
                None => found.doubt(format!("`{}` is for some processors", path.display())),
            }
        }
        // The first of each level counts.
        variants.sort_by_key(|(rank, _)| *rank);
        for (rank, path) in variants {
            if rank < found.next_rank {
                continue;
            }
            let level = levels(self.machine)[rank];
            if !self.try_file(current.join(&path), Some(level), found) {
                let path = path.display();
                found.doubt(format!(
                    "`ld.so.cache` names `{path}`, which cannot be loaded"
                ));
            }
            found.next_rank = rank + 1;
        }
        if let Some(path) = library.doubtful {
            let name = path.display();
            found.doubt(format!(
                "only some loaders take `{name}` from `ld.so.cache`"
            ));
            if library.plain.is_none() {
                return self.try_file(current.join(path), None, found);
            }
        }
        let plain = library.plain.map(|path| current.join(path));
        plain.is_some_and(|path| self.try_file(path, None, found))
    }

    /// A file that may do without the default directories gets from the cache what lies elsewhere.
    pub(super) fn look_only_in_cache(&mut self, name: &[u8], found: &mut SearchResult) {
        match &self.system().cache {
            Cache::None => {}
            Cache::Unknown(reason) => found.doubt(reason.clone()),
            Cache::Known(cache) => match cache.lookup(name, self.machine) {
                Ok(library) if library == CachedLibrary::default() => {}
                Ok(library) => {
                    self.take_cached(library, found);
                    found.doubt("it is needed by a file without default directories");
                }
                Err(error) => found.doubt_cache(error),
            },
        }
    }

    /// A loader that is not the system's own may use the system's cache, or none.
    fn compare_with_cache(&self, cache: &LdSoCache, name: &[u8], found: &mut SearchResult) {
        let library = match cache.lookup(name, self.machine) {
            Ok(library) => library,
            Err(error) => return found.doubt_cache(error),
        };
        let mut cached = SearchResult::default();
        self.take_cached(library, &mut cached);
        let real = |path: &PathBuf| fs::canonicalize(path).ok();
        let known: Vec<_> = found.files.iter().map(|file| real(&file.0)).collect();
        if let Some((path, ..)) = cached
            .files
            .iter()
            .find(|file| !known.contains(&real(&file.0)))
        {
            found.doubt(format!("the system has `{}`", path.display()));
        }
        if found.files.is_empty() {
            found.files = cached.files;
        }
    }
}
