//! Finds out from its index shard what a backend reads.
//!
//! Reasons why the object would be wrong are found before anything runs, because the compiler exits
//! 0 then. A shard that is not a regular file is left to the compiler.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use fs_err as fs;

use super::backend::BackendCommand;
use crate::action::guard::{Unsound, check_modules};
use crate::error::Hinted;
use crate::thinlto::{Index, IndexError};

/// Why a backend must not run.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("cannot read the index of `{module}`")]
    Unreadable {
        module: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the index `{index}` of `{module}` is damaged")]
    Damaged {
        module: String,
        index: String,
        #[source]
        source: IndexError,
    },
    #[error("the index `{index}` does not know `{module}`, only {}", quoted(known))]
    Stranger {
        module: String,
        index: String,
        known: Vec<String>,
    },
    #[error("`{module}` imports from `{member}`, a member of an archive")]
    ArchiveMember { module: String, member: String },
    #[error("`{module}` imports from `{import}`, which does not exist")]
    Missing { module: String, import: String },
    #[error("the module `{module}` is not a file")]
    NotAFile { module: String },
    #[error("the command line of a ThinLTO backend is not UTF-8 and names no object")]
    NotText,
    #[error("cannot compile `{module}`")]
    Unsound {
        module: String,
        #[source]
        source: Box<Unsound>,
    },
    #[error("the index `{index}` writes the name `{name}` wrongly")]
    MangledName { index: String, name: String },
}

impl Hinted for InputError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreadable { .. } | Self::Damaged { .. } => {
                "run the thin link again; the compiler would take such an index for an empty one, and exit 0 with an empty \
                 object"
            }
            Self::Stranger { .. } => {
                "use exactly the name that the thin link had for the module: otherwise the compiler would exit 0 with an object without code"
            }
            Self::ArchiveMember { .. } => {
                "expand the archive: no backend can open a member, so give the thin link the objects themselves \
                 (`llvm-ar t` lists them, `--start-lib` and `--end-lib` make an archive of them)"
            }
            Self::Missing { .. } => {
                "names in an index are relative to the directory of the thin link: run the backend there, or build the module"
            }
            Self::NotAFile { .. } => {
                "relto cannot check what the compiler would read: write the module into a file, or run the compiler without relto"
            }
            Self::NotText => "name the object with `-o`, so that relto can check it",
            Self::Unsound { source, .. } => return source.hints(),
            Self::MangledName { .. } => {
                "lld before LLVM 23 writes names that are not ASCII wrongly, and clang would then silently drop code: \
                 rename the file, or use LLVM 23 or later"
            }
        };
        vec![hint.to_owned()]
    }
}

fn quoted(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len() {
        0 => "no module at all".to_owned(),
        count if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

#[derive(Debug)]
pub(super) enum ImportedModules {
    Known(Vec<String>),
    /// The shard can be read only once, by the compiler; the reason.
    Unreadable(String),
}

/// The modules that `backend` reads besides its own.
pub(super) fn imports(backend: &BackendCommand) -> Result<ImportedModules, InputError> {
    Ok(match shard(backend)? {
        Err(reason) => ImportedModules::Unreadable(reason),
        Ok(shard) if shard.is_empty() => ImportedModules::Known(Vec::new()),
        Ok(shard) => ImportedModules::Known(checked_names(backend, &parse(backend, &shard)?)?),
    })
}

/// Checks what a link checks of a job's inputs, for a backend that runs without one.
pub(super) fn check(backend: &BackendCommand) -> Result<(), InputError> {
    let Some(shard) = shard(backend)?.ok().filter(|shard| !shard.is_empty()) else {
        return Ok(());
    };
    let index = parse(backend, &shard)?;
    checked_names(backend, &index)?;
    check_modules(&backend.index, &index).map_err(|source| InputError::Unsound {
        module: backend.module.clone(),
        source: Box::new(source),
    })
}

/// The contents of the index. The inner error says why only the compiler can read it.
fn shard(backend: &BackendCommand) -> Result<Result<Vec<u8>, String>, InputError> {
    let unreadable = |source| InputError::Unreadable {
        module: backend.module.clone(),
        source,
    };
    let found = fs::metadata(&backend.index).map_err(unreadable)?;
    if !found.is_file() && !is_null(&backend.index) {
        let reason = format!("the index `{}` is not a regular file", backend.index);
        return Ok(Err(reason));
    }
    let shard = crate::fs::read_regular(&backend.index).map_err(unreadable)?;
    Ok(Ok(shard))
}

fn parse<'a>(backend: &BackendCommand, shard: &'a [u8]) -> Result<Index<'a>, InputError> {
    Index::parse(shard).map_err(|source| InputError::Damaged {
        module: backend.module.clone(),
        index: backend.index.clone(),
        source,
    })
}

/// The modules of `index` besides the backend's own, all of which exist.
fn checked_names(backend: &BackendCommand, index: &Index<'_>) -> Result<Vec<String>, InputError> {
    let mut names = names(backend, index)?;
    let own = names.iter().position(|name| *name == backend.module);
    match own {
        Some(own) => drop(names.remove(own)),
        None if index.flags().skip_module() => {}
        None => return Err(unknown_module(backend, names)),
    }
    match names.iter().find(|name| !Path::new(name).exists()) {
        None => Ok(names),
        Some(missing) => Err(missing_import(backend, missing)),
    }
}

/// How the list that `--thinlto-emit-imports-files` writes beside the shard differs from it. The
/// shard counts.
pub(super) fn doubt(backend: &BackendCommand, imports: &[String]) -> Option<String> {
    let stem = backend.index.strip_suffix(".thinlto.bc")?;
    let list = format!("{stem}.imports");
    let text = crate::fs::read_regular_to_string(&list).ok()?;
    let mut listed: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let mut imports: Vec<&str> = imports.iter().map(String::as_str).collect();
    listed.sort_unstable();
    imports.sort_unstable();
    (listed != imports).then(|| {
        format!(
            "`{list}` and the index beside it name different modules: they come from two thin links"
        )
    })
}

/// What Bazel and the kernel pass to compile a module without imports.
fn is_null(path: &str) -> bool {
    path == "/dev/null" && fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device())
}

fn names(backend: &BackendCommand, index: &Index<'_>) -> Result<Vec<String>, InputError> {
    let mut names = Vec::with_capacity(index.modules().len());
    for entry in index.modules() {
        match String::from_utf8(entry.path.clone()) {
            Ok(name) if !entry.damaged => names.push(name),
            _ => {
                return Err(InputError::MangledName {
                    index: backend.index.clone(),
                    name: String::from_utf8_lossy(&entry.path).into_owned(),
                });
            }
        }
    }
    Ok(names)
}

fn unknown_module(backend: &BackendCommand, known: Vec<String>) -> InputError {
    match known.iter().find(|name| is_member(name)) {
        Some(member) if !Path::new(member).exists() => InputError::ArchiveMember {
            module: backend.module.clone(),
            member: member.clone(),
        },
        _ => InputError::Stranger {
            module: backend.module.clone(),
            index: backend.index.clone(),
            known,
        },
    }
}

fn missing_import(backend: &BackendCommand, import: &str) -> InputError {
    let (module, import) = (backend.module.clone(), import.to_owned());
    if is_member(&import) {
        let member = import;
        return InputError::ArchiveMember { module, member };
    }
    InputError::Missing { module, import }
}

/// lld's name for a member: `lib.a(x.o at 216)`.
fn is_member(name: &str) -> bool {
    let inner = name
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once(" at "));
    inner.is_some_and(|(head, offset)| {
        head.contains('(') && offset.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_archives_are_known_by_their_names() {
        assert!(is_member("out/lib.a(x.o at 216)"));
        assert!(is_member("lib (2).a(x y.o at 8)"));
        for name in ["x.o", "a(b).o", "dir (x at home)/y.o", "x.o at 216)"] {
            assert!(!is_member(name), "{name}");
        }
    }
}
