//! Makes absolute paths below the user's base directory relative before the compiler sees them.
//!
//! clang writes the names of source files and headers into a module as the command line spells
//! them, and build systems like `CMake` spell them absolutely: the same sources in another checkout
//! make other modules, and other keys. A path is replaced only by one that leads to the same file.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::texts;
use crate::action::arguments::{self, Argument, Meaning};
use crate::action::overrides;
use crate::action::response::{Quoting, expand_config, expand_response_files};
use crate::fs::{FileId, read_regular_to_string};
use crate::toolchain::config::{self, ConfigDirs};

/// Options whose value may end up in a module, as the name of what was read. Outputs and the
/// targets of dependency files keep their names: a build system knows them by these.
const PATH_OPTIONS: [&str; 16] = [
    "-I",
    "-F",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-include",
    "-imacros",
    "-isysroot",
    "-iframework",
    "-cxx-isystem",
    "-isystem-after",
    "-stdlib++-isystem",
    "-include-pch",
    "-fmodule-map-file=",
    "--sysroot",
    "--sysroot=",
];

/// With this option clang looks for relative paths in another directory than the current one.
const WORKING_DIRECTORY: &str = "-working-directory";

/// How options begin that find a source by its name as the command line spells it: in lists, maps, other
/// file systems, and profiles, in which functions of a file have its name before theirs.
const BY_NAME: [&str; 23] = [
    "-fsanitize-ignorelist",
    "-fsanitize-blacklist",
    "-fsanitize-system-ignorelist",
    "-fsanitize-coverage-",
    "-fprofile-",
    "-fcs-profile-",
    "-fcoverage-mapping",
    "-funique-internal-linkage-names",
    "-funique-source-file-names",
    "-fexperimental-sanitize-metadata-ignorelist",
    "-fxray-always-instrument",
    "-fxray-attr-list",
    "-fxray-never-instrument",
    "--warning-suppression-mappings",
    "-ivfsoverlay",
    "-vfsoverlay",
    "-fdebug-prefix-map=/",
    "-ffile-prefix-map=/",
    "-fmacro-prefix-map=/",
    "-fcoverage-prefix-map=/",
    "--coverage",
    "-coverage",
    "-ftest-coverage",
];

/// The command line of a compile by `compiler` in which paths below `base` are relative to the current
/// directory. Response files are left as they are.
#[must_use]
pub fn with_relative_paths(compiler: &Path, words: &[OsString], base: &Path) -> Vec<OsString> {
    let Some(texts) = texts(words) else {
        return words.to_vec();
    };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    if may_look_elsewhere(&texts, &config_files(compiler, home)) {
        return words.to_vec();
    }
    let rewriter = Rewriter::new(base, current_dirs());
    let rewritten = arguments::parse(&texts)
        .into_iter()
        .flat_map(|argument| rewriter.argument(&argument));
    rewritten.map(OsString::from).collect()
}

/// The configuration files that `compiler` may read by itself: those beside it, and those of the
/// directories that distributions build into it. Which of them it reads is not asked, since most compiles
/// have none.
fn config_files(compiler: &Path, home: Option<PathBuf>) -> Vec<PathBuf> {
    let real = fs_err::canonicalize(compiler).unwrap_or_default();
    let dirs = ConfigDirs {
        system: Some(PathBuf::from("/etc/clang")),
        user: home.map(|home| home.join(".config/clang")),
    };
    config::candidates(&[compiler, &real], Some(&dirs))
}

/// Whether clang may look for relative paths elsewhere, or look for a source by its name: here, in
/// response files and `config_files`, or by edits and configuration files that are named, which are not
/// read for this.
fn may_look_elsewhere(words: &[String], config_files: &[PathBuf]) -> bool {
    let read = &mut |path: &str| read_regular_to_string(path);
    let Ok(mut all) = expand_response_files(words, Quoting::Gnu, read) else {
        return true;
    };
    for file in config_files {
        let Ok(more) = expand_config(&file.to_string_lossy(), read) else {
            return true;
        };
        all.extend(more);
    }
    let may = |word: &String| {
        let inner = word.strip_prefix("-Xclang=").unwrap_or(word);
        word.contains(WORKING_DIRECTORY)
            || word.starts_with("--config")
            || BY_NAME.iter().any(|start| inner.starts_with(start))
    };
    std::env::var_os(overrides::VARIABLE).is_some() || all.iter().any(may)
}

/// The names of the current directory: the shell's, which may go through symbolic links as those of
/// a build system do, and the kernel's.
fn current_dirs() -> Vec<PathBuf> {
    let real = std::env::current_dir().ok();
    let said = std::env::var_os("PWD").map(PathBuf::from);
    let said =
        said.filter(|said| said.is_absolute() && FileId::at(said) == FileId::at(Path::new(".")));
    said.into_iter().chain(real).collect()
}

struct Rewriter {
    /// As the user names it.
    base: PathBuf,
    /// The kernel's name for it, and which directory it is.
    real: Option<(PathBuf, FileId)>,
    /// Names of the current directory.
    dirs: Vec<PathBuf>,
}

impl Rewriter {
    fn new(base: &Path, dirs: Vec<PathBuf>) -> Self {
        let real = fs_err::canonicalize(base).ok();
        Self {
            base: base.to_owned(),
            real: real.and_then(|real| FileId::at(&real).map(|id| (real, id))),
            dirs,
        }
    }

    fn argument(&self, argument: &Argument<'_>) -> Vec<String> {
        // A directory is none: it is the value of an option that is not known.
        let is_input = |path: &str| argument.meaning == Meaning::Input && !Path::new(path).is_dir();
        let names_a_path = |path: &&str| is_input(path) || PATH_OPTIONS.contains(&argument.option);
        let path = argument.value.filter(names_a_path);
        match path.and_then(|path| self.relative(path)) {
            Some(path) => argument.with_value(&path),
            None => argument.words.to_vec(),
        }
    }

    /// Another name of the file `path`, if it is below the base and if there is one that leads to
    /// the same file. Of several the shortest says least of where the base is.
    fn relative(&self, path: &str) -> Option<String> {
        let absolute = Path::new(path);
        if !absolute.is_absolute() {
            return None;
        }
        let below = self.below(absolute)?;
        let wanted = place(absolute)?;
        let by_kernel = self.real.iter().map(|(real, _)| real.join(below));
        let names = by_kernel.chain([absolute.to_owned()]);
        let seen = |name: PathBuf| self.dirs.iter().map(move |dir| relative_to(&name, dir));
        let mut candidates: Vec<PathBuf> = names.flat_map(seen).collect();
        candidates.sort_by_key(|candidate| candidate.components().count());
        let mut candidates = candidates.into_iter();
        let found = candidates.find(|candidate| place(candidate) == Some(wanted))?;
        let name = found.into_os_string().into_string().ok()?;
        // Alone, such a name would be an option or a response file.
        let is_special = name.starts_with(['-', '@']);
        Some(if is_special {
            format!("./{name}")
        } else {
            name
        })
    }

    /// `path` from the base on, if it is below. A build system may name the base through symbolic links
    /// that the user's name for it has not. Where it is mounted a second time it is another directory:
    /// what is beside it is not the same.
    fn below<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        if let Ok(below) = path.strip_prefix(&self.base) {
            return Some(below);
        }
        let (real, id) = self.real.as_ref()?;
        if let Ok(below) = path.strip_prefix(real) {
            return Some(below);
        }
        let is_base = |dir: &&Path| {
            FileId::at(dir) == Some(*id) && fs_err::canonicalize(dir).is_ok_and(|it| it == *real)
        };
        let base = path.ancestors().filter(is_base).last()?;
        path.strip_prefix(base).ok()
    }
}

/// The file that a path leads to, and the directory where it lies, in which clang looks for what it
/// includes; of a directory the latter does not matter.
fn place(path: &Path) -> Option<(FileId, Option<FileId>)> {
    let file = FileId::at(path)?;
    if path.is_dir() {
        return Some((file, None));
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = FileId::at(dir.unwrap_or(Path::new(".")))?;
    Some((file, Some(dir)))
}

/// `path` as seen from `dir`, both absolute.
fn relative_to(path: &Path, dir: &Path) -> PathBuf {
    let (path, dir): (Vec<_>, Vec<_>) = (path.components().collect(), dir.components().collect());
    let shared = path.iter().zip(&dir).take_while(|(a, b)| a == b).count();
    let up = dir[shared..].iter().map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(path[shared..].iter().copied()).collect();
    if relative.as_os_str().is_empty() {
        return PathBuf::from(".");
    }
    relative
}
