//! The files of a link besides the chosen modules, as the thin link loaded them.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use object::read::elf::{FileHeader, SectionHeader as _};
use object::{Endianness, ReadCache, ReadRef, elf};

use super::archive::Member;
use super::inputs::{Library, LinkInputs};
use super::kind::FileKind;
use super::resolution::Resolution;
use super::source::ModuleSource;
use super::thin_link::Chosen;
use super::{Refusal, in_parallel};
use crate::fs::read_regular;
use crate::thinlto::LtoKind;

/// A native object that takes part.
#[derive(Debug)]
pub(super) enum Native {
    File(String),
    Member(Arc<Library>, Member),
}

impl Native {
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::File(path) => {
                read_regular(path).map_err(|error| Refusal::unreadable(Path::new(path), &error))
            }
            Self::Member(library, member) => library.bytes(member),
        }
    }

    /// What identifies it: its archive or itself, and its offset there.
    pub(super) fn place(&self) -> (&str, u64) {
        match self {
            Self::File(path) => (path, 0),
            Self::Member(library, member) => (&library.path, member.offset),
        }
    }

    /// As the linker names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.clone(),
            Self::Member(library, member) => format!("{}({})", library.path, member.path),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct NativeInputs {
    pub(super) natives: Vec<Native>,
    /// Whether a module for regular LTO takes part.
    pub(super) regular: bool,
}

/// Reads `trace`, a line for each loaded file.
///
/// # Errors
/// A line means no file, or one of several.
pub(super) fn find(
    inputs: &LinkInputs,
    modules: &[Chosen],
    trace: &str,
    resolution: Option<&Resolution>,
) -> Result<NativeInputs, Refusal> {
    let chosen: HashSet<&str> = modules.iter().map(|module| &module.name[..]).collect();
    let mut finder = Finder {
        inputs,
        resolution,
        counts: counts(trace),
        chosen,
        members: HashMap::new(),
        taken: HashMap::new(),
        found: NativeInputs::default(),
    };
    for line in trace.lines() {
        finder.line(line)?;
    }
    finder.split_modules(modules)?;
    Ok(finder.found)
}

fn counts(trace: &str) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for line in trace.lines() {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// The members of an archive by their names, which several may share.
type MembersByName<'a> = HashMap<&'a str, Vec<&'a (Member, FileKind)>>;

fn by_name<'a>(inputs: &LinkInputs, library: &'a Library) -> MembersByName<'a> {
    let mut members = MembersByName::new();
    for member in &library.members {
        let name = inputs.traced(&member.0);
        members.entry(name).or_default().push(member);
    }
    members
}

struct Finder<'a> {
    inputs: &'a LinkInputs,
    resolution: Option<&'a Resolution>,
    /// How often each line occurs in the trace.
    counts: HashMap<&'a str, usize>,
    chosen: HashSet<&'a str>,
    /// The members of each archive that a line names, by the archive's path.
    members: HashMap<&'a str, MembersByName<'a>>,
    /// How many members of a line's name were seen.
    taken: HashMap<&'a str, usize>,
    found: NativeInputs,
}

impl<'a> Finder<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), Refusal> {
        if let Some((library, name)) = self.member(line) {
            return self.of_archive(line, library, name);
        }
        if self.chosen.contains(line) {
            return Ok(());
        }
        let kind = FileKind::of_file(Path::new(line));
        let kind = kind.map_err(|error| Refusal::unreadable(Path::new(line), &error))?;
        match kind {
            FileKind::Bitcode => self.found.regular = true,
            FileKind::Object => self.found.natives.push(Native::File(line.to_owned())),
            FileKind::Shared | FileKind::Text | FileKind::Archive | FileKind::Universal => {}
        }
        Ok(())
    }

    /// `libx.a(y.o)`, where there is such an archive.
    fn member(&self, line: &'a str) -> Option<(&'a Arc<Library>, &'a str)> {
        let inner = line.strip_suffix(')')?;
        let mut opens = inner.match_indices('(');
        opens.find_map(|(at, _)| {
            let library = self.inputs.libraries.get(&inner[..at])?;
            Some((library, &inner[at + 1..]))
        })
    }

    /// Members with the same name are distinguished by their number only.
    fn of_archive(
        &mut self,
        line: &'a str,
        library: &'a Arc<Library>,
        name: &str,
    ) -> Result<(), Refusal> {
        let members = self.members.entry(&library.path);
        let members = members.or_insert_with(|| by_name(self.inputs, library));
        let all = members.get(name).map_or(&[][..], Vec::as_slice);
        let unknown = || {
            Refusal::new(format!(
                "`{line}` may be one of several members with that name"
            ))
        };
        let seen = self.taken.entry(line).or_default();
        let (member, kind) = match *all {
            [only] if *seen == 0 => only,
            _ if let Some(offset) = self.resolution.and_then(|it| it.place(line, *seen)) => {
                let mut all = all.iter().copied();
                let found = all.find(|(member, _)| member.offset == offset);
                found.ok_or_else(unknown)?
            }
            _ if self.counts.get(line) == Some(&all.len()) => all[*seen],
            _ => return Err(unknown()),
        };
        *seen += 1;
        let module = self.inputs.module_name(library, member);
        match kind {
            _ if self.chosen.contains(&module[..]) => {}
            FileKind::Bitcode => self.found.regular = true,
            _ => {
                let native = Native::Member(Arc::clone(library), member.clone());
                self.found.natives.push(native);
            }
        }
        Ok(())
    }

    /// A chosen file may hold a module for regular LTO besides.
    fn split_modules(&mut self, modules: &[Chosen]) -> Result<(), Refusal> {
        if self.found.regular {
            return Ok(());
        }
        let found = in_parallel(modules, |module| {
            let source = ModuleSource::find(self.inputs, &module.name)?;
            if source.has_one_module()? {
                return Ok(false);
            }
            let kind = LtoKind::of(&source.bitcode()?);
            let kind = kind.map_err(|error| Refusal::new(format!("`{}`: {error}", module.name)))?;
            Ok(kind.regular)
        })?;
        self.found.regular = found.contains(&true);
        Ok(())
    }
}

/// The bitcode in a FatLTO object.
pub(super) fn fat_bitcode(object: &[u8]) -> Option<Vec<u8>> {
    let Range { start, end } = section_in(object)?;
    let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
    object.get(start..end).map(<[u8]>::to_vec)
}

/// Where the bitcode is in a FatLTO object, which is `size` bytes of `file`.
pub(super) fn fat_section(file: &File, start: u64, size: u64) -> Option<Range<u64>> {
    let cache = ReadCache::new(file);
    let found = section_in(cache.range(start, size))?;
    (found.end <= size).then_some(found)
}

fn section_in<'data>(object: impl ReadRef<'data>) -> Option<Range<u64>> {
    const CLASS: u64 = 4;
    match object.read_bytes_at(CLASS, 1).ok()? {
        [1] => section::<elf::FileHeader32<Endianness>, _>(object),
        _ => section::<elf::FileHeader64<Endianness>, _>(object),
    }
}

fn section<'data, Elf, R>(object: R) -> Option<Range<u64>>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(object).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, object).ok()?;
    let (_, section) = sections.section_by_name(endian, b".llvm.lto")?;
    let (start, size) = section.file_range(endian)?;
    Some(start..start.checked_add(size)?)
}
