//! Finds the bitcode of a chosen module by the linker's name for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Member, open_with_size};
use super::inputs::{Library, LinkInputs};
use super::kind::FileKind;
use super::{Refusal, natives};
use crate::fs::{buffer_for, read_regular};
use crate::thinlto::{count_modules, triple};

#[derive(Debug, Clone)]
pub(super) enum ModuleSource {
    File(PathBuf),
    Member(Arc<Library>, Member),
    /// A section of a native object, which is one of the others.
    Fat(Box<ModuleSource>),
}

impl ModuleSource {
    /// `x.o`, or `libx.a(x.o at 96)`, or `libx.a(x.o)96`.
    pub(super) fn find(inputs: &LinkInputs, name: &str) -> Result<Self, Refusal> {
        let path = Path::new(name);
        if let Some(found) = member(inputs, name) {
            return Ok(found);
        }
        match FileKind::of_file(path) {
            Ok(FileKind::Bitcode) => Ok(Self::File(path.to_owned())),
            Ok(FileKind::Object) if inputs.fat => {
                Ok(Self::Fat(Box::new(Self::File(path.to_owned()))))
            }
            Ok(_) => Err(Refusal::new(format!("`{name}` is not a module"))),
            Err(error) => Err(Refusal::unreadable(path, &error)),
        }
    }

    /// The file itself, where it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Member(_, member) => member.file(),
            Self::Fat(_) => None,
        }
    }

    /// The archive that the module is a member of.
    pub(super) fn archive(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Member(library, _) => Some(&library.path),
            Self::Fat(inner) => inner.archive(),
        }
    }

    /// The bytes of the module.
    pub(super) fn bitcode(&self) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::File(path) => {
                read_regular(path).map_err(|error| Refusal::unreadable(path, &error))
            }
            Self::Member(library, member) => library.bytes(member),
            Self::Fat(inner) => natives::fat_bitcode(&inner.bitcode()?)
                .ok_or_else(|| Refusal::new("a FatLTO object has no bitcode")),
        }
    }

    fn open(&self) -> io::Result<Option<(File, u64, u64)>> {
        match self {
            Self::File(path) => {
                let (file, size) = open_with_size(path)?;
                Ok(Some((file, 0, size)))
            }
            Self::Member(library, member) => member.open(Path::new(&library.path)).map(Some),
            Self::Fat(_) => Ok(None),
        }
    }

    /// Whether the file holds one module for certain, read from a few of its bytes.
    pub(super) fn has_one_module(&self) -> Result<bool, Refusal> {
        let count = || {
            let Some((file, start, size)) = self.open()? else {
                return Ok(None);
            };
            count_modules(size, |at| {
                let mut bytes = [0; 8];
                file.read_exact_at(&mut bytes, start + at)?;
                Ok(bytes)
            })
        };
        let count = count().map_err(|error| Refusal::new(format!("cannot read a module: {error}")));
        Ok(count? == Some(1))
    }

    /// The target of the module.
    pub(super) fn triple(&self) -> Result<String, Refusal> {
        /// Types and attributes of large modules come before it.
        const USUAL: u64 = 64 * 1024;
        let start = || {
            let Some((file, start, size)) = self.open()? else {
                return Ok(Vec::new());
            };
            // A sparse file can claim any size.
            drop(buffer_for(size)?);
            // Blocks are skipped by their lengths, so the size must be right; the zeros are free.
            let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
            let length = usize::try_from(size.min(USUAL)).map_err(io::Error::other)?;
            file.read_exact_at(&mut bytes[..length], start)?;
            Ok(bytes)
        };
        let start = start()
            .map_err(|error: io::Error| Refusal::new(format!("cannot read a module: {error}")))?;
        if let Some(triple) = triple(&start) {
            return Ok(triple);
        }
        let facts = crate::thinlto::module::facts(&self.bitcode()?);
        let facts = facts.map_err(|error| Refusal::new(error.to_string()))?;
        Ok(facts.triple)
    }
}

fn member(inputs: &LinkInputs, name: &str) -> Option<ModuleSource> {
    let (head, offset) = match name.strip_suffix(')') {
        Some(inner) => inner.rsplit_once(" at ")?,
        None => name.rsplit_once(')')?,
    };
    let offset: u64 = offset.parse().ok()?;
    let mut opens = head.match_indices('(');
    let library = opens.find_map(|(at, _)| inputs.libraries.get(&head[..at]))?;
    let (member, kind) = library.at(offset)?;
    let found = ModuleSource::Member(Arc::clone(library), member.clone());
    match kind {
        FileKind::Object => Some(ModuleSource::Fat(Box::new(found))),
        _ => Some(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_claims_more_than_the_memory_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("giant.o");
        fs_err::write(&path, b"BC\xc0\xde").expect("written");
        let file = fs_err::OpenOptions::new().write(true).open(&path);
        // Where the file system refuses such a size there is nothing to try.
        if file.expect("opened").set_len(1 << 43).is_ok() {
            let refused = ModuleSource::File(path).triple();
            assert!(refused.is_err(), "{refused:?}");
        }
    }
}
