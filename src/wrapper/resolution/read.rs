//! The symbols of one input, in the order in which its linker reads them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use object::read::elf::{FileHeader, Sym as _};
use object::{Endianness, elf};

use super::{InputFile, InputKind};
use crate::thinlto::{self, Symbol, SymbolTable, Visibility};
use crate::wrapper::archive::{Member, bytes_at, open_with_size};
use crate::wrapper::comdat::{self, macho, wasm};
use crate::wrapper::inputs::{self, Library, Piece};
use crate::wrapper::{Flavour, Refusal, kind, natives};

/// Where an input is.
#[derive(Debug)]
pub(super) enum FileLocation<'a> {
    File {
        path: &'a str,
        lazy: bool,
    },
    Member {
        library: &'a Arc<Library>,
        member: &'a Member,
        kind: kind::FileKind,
        lazy: bool,
    },
}

/// Adds the inputs that `piece` stands for.
pub(super) fn places<'a>(piece: &'a Piece, out: &mut Vec<FileLocation<'a>>) {
    match piece {
        Piece::State(_) => {}
        Piece::Object { path, lazy } | Piece::Bitcode { path, lazy } => {
            out.push(FileLocation::File { path, lazy: *lazy });
        }
        Piece::Shared { path } => out.push(FileLocation::File { path, lazy: false }),
        Piece::Library { inside, .. } => inside.iter().for_each(|piece| places(piece, out)),
        Piece::Archive { library, whole, .. } => {
            out.extend(
                library
                    .members
                    .iter()
                    .map(|(member, kind)| FileLocation::Member {
                        library,
                        member,
                        kind: *kind,
                        lazy: !whole,
                    }),
            );
        }
    }
}

impl FileLocation<'_> {
    pub(super) fn read(&self, flavour: Flavour, fat: bool) -> Result<InputFile, Refusal> {
        let (name, bytes, kind, lazy) = self.content(flavour)?;
        let abi = match (kind, flavour) {
            (kind::FileKind::Object | kind::FileKind::Shared, Flavour::Elf) => {
                bytes.get(comdat::elf::ABI).copied()
            }
            _ => None,
        };
        let bitcode = match kind {
            kind::FileKind::Object if fat => natives::fat_bitcode(&bytes),
            _ => None,
        };
        let (kind, table) = match (kind, flavour) {
            (kind::FileKind::Bitcode, _) => (InputKind::Bitcode, thinlto::symbols(&bytes)),
            _ if bitcode.is_some() => (
                InputKind::Bitcode,
                bitcode.and_then(|it| thinlto::symbols(&it)),
            ),
            (kind::FileKind::Shared, Flavour::Elf) => (InputKind::Shared, of_elf(&bytes, true)),
            _ => (InputKind::Native, of_object(flavour, &bytes)),
        };
        let indexed = match (flavour, kind) {
            (Flavour::MachO, InputKind::Native) if lazy => macho::indexed(&bytes),
            _ => None,
        };
        // What cannot be read makes the result disagree with the linker's.
        let table = table.unwrap_or_default();
        Ok(InputFile {
            name,
            member: self.member(),
            kind,
            abi: abi.unwrap_or_default(),
            lazy,
            symbols: table.symbols,
            indexed,
            groups: table.groups,
        })
    }

    /// Its name, what symbols are read from, what it is, and whether it is linked when it is needed.
    fn content(
        &self,
        flavour: Flavour,
    ) -> Result<(String, Vec<u8>, kind::FileKind, bool), Refusal> {
        Ok(match self {
            Self::File { path, lazy } => {
                let unreadable = |error| Refusal::unreadable(Path::new(path), &error);
                let (bytes, kind) = file(Path::new(path)).map_err(unreadable)?;
                ((*path).to_owned(), bytes, kind, *lazy)
            }
            Self::Member {
                library,
                member,
                kind,
                lazy,
            } => {
                let name = format!("{}({})", library.path, inputs::traced(flavour, member));
                let archive = Path::new(&library.path);
                let opened = member.open(archive);
                let bytes =
                    opened.and_then(|(file, start, size)| content(&file, start, size, *kind));
                let bytes = bytes.map_err(|error| Refusal::unreadable(archive, &error))?;
                (name, bytes, *kind, *lazy)
            }
        })
    }

    fn member(&self) -> Option<(Arc<Library>, u64)> {
        match self {
            Self::File { .. } => None,
            Self::Member {
                library, member, ..
            } => Some((Arc::clone(library), member.offset)),
        }
    }
}

/// What symbols are read from, and what the file is.
fn file(path: &Path) -> io::Result<(Vec<u8>, kind::FileKind)> {
    // It reads as an empty script.
    if path == Path::new("/dev/null") {
        return Ok((Vec::new(), kind::FileKind::Text));
    }
    let (file, size) = open_with_size(path)?;
    let start = bytes_at(&file, 0, size.min(kind::START as u64))?;
    let kind = kind::FileKind::of(&start);
    Ok((content(&file, 0, size, kind)?, kind))
}

/// The part of `file` that begins at `start` and has `size` bytes; of bitcode only what is beside
/// the modules, which are most of it.
fn content(file: &File, start: u64, size: u64, kind: kind::FileKind) -> io::Result<Vec<u8>> {
    if kind == kind::FileKind::Bitcode {
        let read = |bytes: &mut [u8], at| file.read_exact_at(bytes, start + at);
        if let Some(bytes) = thinlto::without_modules(size, read)? {
            return Ok(bytes);
        }
    }
    bytes_at(file, start, size)
}

/// The symbols of a native object.
pub(in crate::wrapper) fn of_object(flavour: Flavour, bytes: &[u8]) -> Option<SymbolTable> {
    match flavour {
        Flavour::Elf => of_elf(bytes, false),
        Flavour::Wasm => of_wasm(bytes),
        Flavour::MachO => macho::symbols(bytes),
    }
}

fn of_wasm(bytes: &[u8]) -> Option<SymbolTable> {
    let groups = wasm::definitions(bytes)?.groups;
    let symbols = wasm::symbols(bytes)?.into_iter();
    let symbols = symbols.map(|(name, undefined, weak)| Symbol {
        name: name.to_vec(),
        undefined,
        weak,
        visibility: Visibility::Default,
    });
    Some(SymbolTable {
        symbols: symbols.collect(),
        groups: groups.into_iter().map(<[u8]>::to_vec).collect(),
    })
}

fn of_elf(bytes: &[u8], dynamic: bool) -> Option<SymbolTable> {
    let symbols = match bytes.get(4)? {
        1 => elf_symbols::<elf::FileHeader32<Endianness>>(bytes, dynamic),
        _ => elf_symbols::<elf::FileHeader64<Endianness>>(bytes, dynamic),
    }?;
    let groups = if dynamic {
        Vec::new()
    } else {
        comdat::elf::definitions(bytes)?.groups
    };
    Some(SymbolTable {
        symbols,
        groups: groups.into_iter().map(<[u8]>::to_vec).collect(),
    })
}

fn elf_symbols<Elf: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
    dynamic: bool,
) -> Option<Vec<Symbol>> {
    let header = Elf::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, bytes).ok()?;
    let table = if dynamic {
        elf::SHT_DYNSYM
    } else {
        elf::SHT_SYMTAB
    };
    let symbols = sections.symbols(endian, bytes, table).ok()?;
    let versions = sections.versions(endian, bytes).ok()?;
    let versions = versions.filter(|_| dynamic);
    let mut found = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        if symbol.is_local() || index.0 == 0 {
            continue;
        }
        let mut name = symbols.symbol_name(endian, symbol).ok()?.to_vec();
        let undefined = symbol.is_undefined(endian);
        if let Some(versions) = &versions {
            let version = versions.version_index(endian, index);
            if undefined {
                // The library needs that version, which is a symbol of its own.
                if let Some(version) = versions.version(version.into()).ok()? {
                    name.push(b'@');
                    name.extend_from_slice(version.name());
                }
            } else if version.is_hidden() {
                continue;
            }
        }
        found.push(Symbol {
            name,
            undefined,
            weak: symbol.is_weak(),
            visibility: Visibility::Default,
        });
    }
    Some(found)
}
