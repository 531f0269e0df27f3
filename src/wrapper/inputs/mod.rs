//! The files that a command line links, in order, and the options between them.
//!
//! Libraries are looked up as lld does it. Only the first bytes of files and a few
//! tables of archives and modules are read: most links have no ThinLTO module and must not be
//! delayed.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Archive, Member, bytes_at, open_with_size};
use super::assigned::AssignedSymbols;
use super::command_line::Item;
use super::kind::{FileKind, START};
use super::{Flavour, Refusal, natives};
use crate::fs::open_regular;
use crate::thinlto::LtoKind;

mod walk;

use walk::CommandLineWalk;

/// An input, or what changes the meaning of those after it.
#[derive(Debug)]
pub(super) enum Piece {
    /// Words that the final link needs among its libraries.
    State(Vec<String>),
    Object {
        path: String,
        lazy: bool,
    },
    Bitcode {
        path: String,
        lazy: bool,
    },
    /// A shared library, or a script that names no bitcode: as the command line has it.
    Library {
        words: Vec<String>,
        inside: Vec<Piece>,
    },
    /// A shared library inside of a [`Piece::Library`].
    Shared {
        path: String,
    },
    Archive {
        words: Vec<String>,
        library: Arc<Library>,
        /// Everything in it is linked.
        whole: bool,
    },
}

impl Piece {
    /// The file that it names directly.
    pub(super) fn file(&self) -> Option<&str> {
        match self {
            Self::Object { path, .. } | Self::Bitcode { path, .. } => Some(path),
            Self::State(_) | Self::Library { .. } | Self::Shared { .. } | Self::Archive { .. } => {
                None
            }
        }
    }
}

/// An archive and what its members are.
#[derive(Debug)]
pub(super) struct Library {
    /// As the linker names it.
    pub(super) path: String,
    /// By their offsets.
    pub(super) members: Vec<(Member, FileKind)>,
}

impl Library {
    fn read(path: &str) -> Result<Self, Refusal> {
        let unreadable = |error| Refusal::unreadable(Path::new(path), &error);
        let Archive { file, members } = Archive::read(Path::new(path)).map_err(unreadable)?;
        let kind = |member: Member| {
            let start = member.start(&file, START as u64)?;
            Ok((member, FileKind::of(&start)))
        };
        let members = members.into_iter().map(kind);
        Ok(Self {
            path: path.to_owned(),
            members: members.collect::<Result<_, _>>().map_err(unreadable)?,
        })
    }

    pub(super) fn has_bitcode(&self) -> bool {
        self.members
            .iter()
            .any(|(_, kind)| *kind == FileKind::Bitcode)
    }

    /// The member whose header is at `offset`.
    pub(super) fn at(&self, offset: u64) -> Option<&(Member, FileKind)> {
        let by_offset = |it: &(Member, FileKind)| it.0.offset;
        let found = self.members.binary_search_by_key(&offset, by_offset).ok()?;
        self.members.get(found)
    }

    /// The bytes of `member`, which is one of this archive's.
    pub(super) fn bytes(&self, member: &Member) -> Result<Vec<u8>, Refusal> {
        let path = Path::new(&self.path);
        member
            .bytes(path)
            .map_err(|error| Refusal::unreadable(path, &error))
    }
}

#[derive(Debug)]
pub(super) struct LinkInputs {
    pub(super) pieces: Vec<Piece>,
    /// The files that the command line and its scripts name, in the order in which the linker opens
    /// them.
    pub(super) named: Vec<String>,
    pub(super) libraries: HashMap<String, Arc<Library>>,
    /// Words of linker scripts that may select files by their names.
    pub(super) patterns: HashSet<String>,
    /// What scripts and options define.
    pub(super) assigned: AssignedSymbols,
    /// What is wrong with a script. It matters only if there are modules.
    pub(super) trouble: Option<Refusal>,
    /// Native objects with a section of bitcode count as bitcode.
    pub(super) fat: bool,
    flavour: Flavour,
}

impl LinkInputs {
    /// Looks at every input of `items`.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub(super) fn find(flavour: Flavour, items: &[Item]) -> Result<Self, Refusal> {
        let mut walk = CommandLineWalk::new(flavour, items);
        for item in items {
            walk.item(item)?;
        }
        Ok(walk.inputs)
    }

    /// The linker's name for the module in `member` of `library`.
    pub(super) fn module_name(&self, library: &Library, member: &Member) -> String {
        let Member { name, offset, .. } = member;
        match self.flavour {
            Flavour::Elf | Flavour::Wasm => format!("{}({name} at {offset})", library.path),
            Flavour::MachO => format!("{}({name}){offset}", library.path),
        }
    }

    /// What a trace calls the `member` of an archive.
    pub(super) fn traced<'a>(&self, member: &'a Member) -> &'a str {
        traced(self.flavour, member)
    }

    /// The lines of `trace` that name something to link, as far as libraries can be recognized by
    /// what the line adds to the name of the file: `libc.tbd(/usr/lib/libc.dylib)`.
    pub(super) fn files_of(&self, trace: &str) -> String {
        if self.flavour != Flavour::MachO {
            return trace.to_owned();
        }
        let lines = trace.lines().filter(|line| !self.is_dylib(line));
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    fn is_dylib(&self, line: &str) -> bool {
        let Some(inner) = line.strip_suffix(')') else {
            return false;
        };
        inner.match_indices('(').any(|(at, _)| {
            let file = &inner[..at];
            !self.libraries.contains_key(file)
                && matches!(
                    FileKind::of_file(Path::new(file)),
                    Ok(FileKind::Shared | FileKind::Text)
                )
        })
    }

    /// Whether a module for ThinLTO is among them.
    pub(super) fn has_thinlto(&self) -> Result<bool, Refusal> {
        self.has_module(|kind| kind.thin)
    }

    /// Whether a module is among them that has no part for ThinLTO.
    pub(super) fn has_regular_lto(&self) -> Result<bool, Refusal> {
        self.has_module(|kind| !kind.thin)
    }

    fn has_module(&self, is_wanted: fn(LtoKind) -> bool) -> Result<bool, Refusal> {
        for piece in &self.pieces {
            let kind = match piece {
                Piece::Bitcode { path, .. } => kind_of_file(Path::new(path), false),
                Piece::Object { path, .. } if self.fat => kind_of_file(Path::new(path), true),
                Piece::Archive { library, .. } if self.has_member(library, is_wanted)? => {
                    return Ok(true);
                }
                Piece::Archive { .. }
                | Piece::State(_)
                | Piece::Object { .. }
                | Piece::Library { .. }
                | Piece::Shared { .. } => Ok(None),
            };
            if kind?.is_some_and(is_wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_member(
        &self,
        library: &Library,
        is_wanted: fn(LtoKind) -> bool,
    ) -> Result<bool, Refusal> {
        let path = Path::new(&library.path);
        let search = || {
            let archive = open_regular(path)?.into_file();
            for (member, kind) in &library.members {
                let fat = match kind {
                    FileKind::Bitcode => false,
                    FileKind::Object if self.fat => true,
                    _ => continue,
                };
                let kind = member.visit(&archive, |file, start, size| {
                    kind_of_part(file, start, size, fat)
                });
                if kind?.is_some_and(is_wanted) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        search().map_err(|error: io::Error| Refusal::unreadable(path, &error))
    }
}

/// What a trace of a linker of `flavour` calls the `member` of an archive.
pub(super) fn traced(flavour: Flavour, member: &Member) -> &str {
    match flavour {
        Flavour::Elf | Flavour::Wasm => &member.path,
        Flavour::MachO => &member.name,
    }
}

/// `words` with the files in place of each `-filelist` that names them, one on a line.
///
/// # Errors
/// A list cannot be read.
pub(super) fn with_file_lists(words: Vec<String>) -> Result<Vec<String>, Refusal> {
    if !words.iter().any(|word| word == "-filelist") {
        return Ok(words);
    }
    let mut out = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word != "-filelist" {
            out.push(word);
            continue;
        }
        let list = words.next();
        let list = list.ok_or_else(|| Refusal::new("`-filelist` lacks its value"))?;
        let list = Path::new(&list);
        let text = crate::fs::read_regular_to_string(list)
            .map_err(|error| Refusal::unreadable(list, &error))?;
        let files = text.lines().map(str::trim).filter(|line| !line.is_empty());
        out.extend(files.map(str::to_owned));
    }
    Ok(out)
}

/// Whether one of `words`, a command line that is not understood, may name a ThinLTO module.
pub(super) fn may_have_thinlto(words: &[OsString]) -> bool {
    let dirs: Vec<_> = values_of("-L", words).collect();
    let in_library = |name: OsString| {
        let mut file = OsString::from("lib");
        file.push(name);
        file.push(".a");
        let mut places = dirs.iter().map(|dir| Path::new(dir).join(&file));
        places.any(|path| may_be_thinlto(&path))
    };
    let of_words = values_of("@", words).chain(values_of("-filelist", words));
    words.iter().any(|word| may_be_thinlto(Path::new(word)))
        || values_of("-l", words).any(in_library)
        // Files of more words, which were not read.
        || of_words.map(PathBuf::from).any(|file| file.exists())
}

/// What follows `option` in the same word, or else in the next one.
fn values_of(option: &str, words: &[OsString]) -> impl Iterator<Item = OsString> {
    let next = words.iter().skip(1).map(Some).chain([None]);
    words.iter().zip(next).filter_map(move |(word, next)| {
        let joined = word.as_encoded_bytes().strip_prefix(option.as_bytes())?;
        match joined {
            b"" => next.cloned(),
            joined => Some(OsStr::from_bytes(joined).to_owned()),
        }
    })
}

fn may_be_thinlto(path: &Path) -> bool {
    match FileKind::of_file(path) {
        Ok(FileKind::Bitcode) => {
            kind_of_file(path, false).is_ok_and(|kind| kind.is_some_and(|kind| kind.thin))
        }
        Ok(FileKind::Archive) => {
            // One that cannot be read may hold anything.
            let library = path.to_str().map(Library::read);
            library.is_none_or(|it| it.is_ok_and(|library| library.has_bitcode()))
        }
        _ => false,
    }
}

/// As [`kind_of_part`], of a whole file.
fn kind_of_file(path: &Path, fat: bool) -> Result<Option<LtoKind>, Refusal> {
    open_with_size(path)
        .and_then(|(file, size)| kind_of_part(&file, 0, size, fat))
        .map_err(|error| Refusal::unreadable(path, &error))
}

/// The kind of the module in a part of `file`, or if `fat`, of that in a section of the object there.
/// `None` if there is no such section, or the module is damaged: the linker has the better message.
fn kind_of_part(file: &File, start: u64, size: u64, fat: bool) -> io::Result<Option<LtoKind>> {
    let (start, size) = if fat {
        let Some(section) = natives::fat_section(file, start, size) else {
            return Ok(None);
        };
        (start + section.start, section.end - section.start)
    } else {
        (start, size)
    };
    let read = |buffer: &mut [u8], at| file.read_exact_at(buffer, start + at);
    if let Some(kind) = LtoKind::of_headers(size, &read)? {
        return Ok(Some(kind));
    }
    Ok(LtoKind::of(&bytes_at(file, start, size)?).ok())
}
