//! What an ELF file says about how it is loaded.
//!
//! [`parse`] reads from anything that the crate `object` can read: a slice, or an open file of
//! which only the headers are fetched (a `libLLVM.so` has 150 MB). [`search`](super::search) finds
//! the libraries. Only this module uses the crate `object`.

use std::fmt;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use object::elf;
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use object::{Endianness, ReadCache, ReadCacheOps, ReadRef};

use crate::fs::open_regular;

/// Maximum size of a dynamic section. Real ones have a few hundred bytes.
const MAX_DYNAMIC: u64 = 1 << 20;
/// Maximum length of an interpreter's path: `PATH_MAX`.
const MAX_INTERPRETER: u64 = 4096;

/// The kind of processor, as far as a loader distinguishes them: it skips a library for another
/// machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine {
    /// `e_machine`.
    number: u16,
    wide: bool,
    little_endian: bool,
}

impl Machine {
    /// The machine that this program was built for.
    #[must_use]
    pub fn host() -> Option<Self> {
        let number = match std::env::consts::ARCH {
            "x86_64" => elf::EM_X86_64,
            "x86" => elf::EM_386,
            "aarch64" => elf::EM_AARCH64,
            "arm" => elf::EM_ARM,
            "riscv64" | "riscv32" => elf::EM_RISCV,
            "powerpc64" => elf::EM_PPC64,
            "s390x" => elf::EM_S390,
            "loongarch64" => elf::EM_LOONGARCH,
            _ => return None,
        };
        Some(Self {
            number: number.0,
            wide: cfg!(target_pointer_width = "64"),
            little_endian: cfg!(target_endian = "little"),
        })
    }

    /// Whether programs for `program` run on this machine: the same machine, or its 32-bit
    /// predecessor.
    #[must_use]
    pub fn runs(self, program: Self) -> bool {
        self == program
            || matches!(
                (elf::Machine(self.number), elf::Machine(program.number)),
                (elf::EM_X86_64, elf::EM_386) | (elf::EM_AARCH64, elf::EM_ARM)
            )
    }

    /// The value of `$PLATFORM`, and the first word of the multiarch directory.
    #[must_use]
    pub fn platform(self) -> &'static str {
        match (elf::Machine(self.number), self.wide, self.little_endian) {
            (elf::EM_X86_64, ..) => "x86_64",
            (elf::EM_386, ..) => "i386",
            (elf::EM_AARCH64, _, true) => "aarch64",
            (elf::EM_AARCH64, _, false) => "aarch64_be",
            (elf::EM_ARM, ..) => "arm",
            (elf::EM_RISCV, true, _) => "riscv64",
            (elf::EM_RISCV, false, _) => "riscv32",
            (elf::EM_PPC64, _, true) => "powerpc64le",
            (elf::EM_PPC64, _, false) => "powerpc64",
            (elf::EM_PPC, ..) => "powerpc",
            (elf::EM_S390, ..) => "s390x",
            (elf::EM_LOONGARCH, ..) => "loongarch64",
            (elf::EM_MIPS, _, true) => "mips64el",
            (elf::EM_MIPS, _, false) => "mips64",
            _ => "",
        }
    }

    /// The flags of this machine's libraries in `ld.so.cache` (glibc's `ldconfig.h`), with the
    /// floating-point arguments that distributions use; `None` where that is not known.
    pub(super) fn cache_flags(self) -> Option<u32> {
        const LIBC6: u32 = 3;
        let machine = match (elf::Machine(self.number), self.wide) {
            (elf::EM_386, _) => 0,
            (elf::EM_X86_64, true) => 0x0300,
            (elf::EM_X86_64, false) => 0x0800,
            (elf::EM_S390, true) => 0x0400,
            (elf::EM_PPC64, true) => 0x0500,
            (elf::EM_AARCH64, true) => 0x0a00,
            (elf::EM_RISCV, true) => 0x1000,
            (elf::EM_LOONGARCH, true) => 0x1200,
            _ => return None,
        };
        Some(machine | LIBC6)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.platform() {
            "" => write!(f, "machine type {}", self.number),
            known => f.write_str(known),
        }
    }
}

/// The type of an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElfKind {
    /// A program at a fixed address.
    Program,
    /// A library or a position-independent program; only the program has an interpreter.
    Shared,
    /// An object or a core file.
    Other,
}

/// The part of an ELF file that a loader reads. Names are bytes, as in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub machine: Machine,
    pub kind: ElfKind,
    /// `PT_INTERP`: the dynamic loader.
    pub interpreter: Option<Vec<u8>>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<Vec<u8>>,
    pub soname: Option<Vec<u8>>,
    /// `DT_RPATH`; `None` if there is a `DT_RUNPATH`, because loaders then ignore it.
    pub rpath: Option<Vec<u8>>,
    pub runpath: Option<Vec<u8>>,
    /// `DF_1_NODEFLIB`: the default directories are not searched.
    pub no_default_dirs: bool,
}

/// Why a loader cannot load a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    #[error("not an ELF file")]
    NotElf,
    #[error("damaged ELF file: {0}")]
    Damaged(&'static str),
}

/// Parses a whole file or a window into one.
///
/// # Errors
/// The bytes are not an ELF file, or its headers point outside it.
pub fn parse<'data, R: ReadRef<'data>>(data: R) -> Result<Image, ElfError> {
    let ident = data.read_bytes_at(0, 5).map_err(|()| ElfError::NotElf)?;
    match ident {
        [0x7f, b'E', b'L', b'F', 1] => read_image::<elf::FileHeader32<Endianness>, R>(data),
        [0x7f, b'E', b'L', b'F', 2] => read_image::<elf::FileHeader64<Endianness>, R>(data),
        _ => Err(ElfError::NotElf),
    }
}

fn read_image<'data, Elf, R>(data: R) -> Result<Image, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data).map_err(|_| ElfError::Damaged("its header is cut off"))?;
    let endian = header
        .endian()
        .map_err(|_| ElfError::Damaged("its byte order is unknown"))?;
    if header.e_phnum(endian) == elf::PN_XNUM {
        return Err(ElfError::Damaged("it has too many program headers"));
    }
    let segments = header
        .program_headers(endian, data)
        .map_err(|_| ElfError::Damaged("its program headers lie outside"))?;
    let mut image = Image {
        machine: Machine {
            number: header.e_machine(endian).0,
            wide: header.is_class_64(),
            little_endian: header.is_little_endian(),
        },
        kind: match header.e_type(endian) {
            elf::ET_EXEC => ElfKind::Program,
            elf::ET_DYN => ElfKind::Shared,
            _ => ElfKind::Other,
        },
        interpreter: None,
        needed: Vec::new(),
        soname: None,
        rpath: None,
        runpath: None,
        no_default_dirs: false,
    };
    for segment in segments {
        match segment.p_type(endian) {
            elf::PT_INTERP => {
                image.interpreter = Some(read_interpreter::<Elf, R>(segment, endian, data)?);
            }
            elf::PT_DYNAMIC => {
                read_dynamic::<Elf, R>(&mut image, segment, segments, endian, data)?;
            }
            _ => {}
        }
    }
    Ok(image)
}

fn read_interpreter<'data, Elf, R>(
    segment: &Elf::ProgramHeader,
    endian: Endianness,
    data: R,
) -> Result<Vec<u8>, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let (offset, size) = segment.file_range(endian);
    if size > MAX_INTERPRETER {
        return Err(ElfError::Damaged("its interpreter's path is too long"));
    }
    let path = data
        .read_bytes_at(offset, size)
        .map_err(|()| ElfError::Damaged("its interpreter's path lies outside"))?;
    Ok(path.split(|&byte| byte == 0).next().unwrap_or(path).into())
}

fn read_dynamic<'data, Elf, R>(
    image: &mut Image,
    segment: &Elf::ProgramHeader,
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
    data: R,
) -> Result<(), ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let (offset, size) = segment.file_range(endian);
    if size > MAX_DYNAMIC {
        return Err(ElfError::Damaged("its dynamic section is too large"));
    }
    let count = usize::try_from(size).unwrap_or(0) / size_of::<Elf::Dyn>();
    let entries = data
        .read_slice_at::<Elf::Dyn>(offset, count)
        .map_err(|()| ElfError::Damaged("its dynamic section lies outside"))?;
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| (entry.tag(endian), entry.val(endian)))
        .take_while(|(tag, _)| *tag != elf::DT_NULL)
        .collect();
    let strings = entries
        .iter()
        .find(|(tag, _)| *tag == elf::DT_STRTAB)
        .and_then(|(_, address)| file_offset::<Elf>(segments, endian, *address));
    let length = data.len().map_err(|()| ElfError::NotElf)?;
    let text = |at: u64| {
        strings
            .and_then(|start| start.checked_add(at))
            .and_then(|start| data.read_bytes_at_until(start..length, 0).ok())
            .map(<[u8]>::to_vec)
            .ok_or(ElfError::Damaged(
                "a name in its dynamic section is cut off",
            ))
    };
    for (tag, value) in entries {
        match tag {
            elf::DT_NEEDED => image.needed.push(text(value)?),
            elf::DT_SONAME => image.soname = Some(text(value)?),
            elf::DT_RPATH => image.rpath = Some(text(value)?),
            elf::DT_RUNPATH => image.runpath = Some(text(value)?),
            elf::DT_FLAGS_1 => {
                image.no_default_dirs = value & elf::DF_1_NODEFLIB.0 != 0;
            }
            _ => {}
        }
    }
    if image.runpath.is_some() {
        image.rpath = None;
    }
    Ok(())
}

/// The file offset of the byte that is loaded at `address`.
fn file_offset<Elf: FileHeader<Endian = Endianness>>(
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
    address: u64,
) -> Option<u64> {
    segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .find_map(|segment| {
            let (offset, size) = segment.file_range(endian);
            let inside = address.checked_sub(segment.p_vaddr(endian).into())?;
            (inside < size).then(|| offset.checked_add(inside))?
        })
}

/// An open file that is read on demand, without moving its cursor.
struct Window {
    file: std::fs::File,
    at: u64,
}

impl ReadCacheOps for Window {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.file.metadata().map_err(drop)?.len())
    }

    fn seek(&mut self, at: u64) -> Result<u64, ()> {
        self.at = at;
        Ok(at)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let count = self.file.read_at(buffer, self.at).map_err(drop)?;
        self.at += count as u64;
        Ok(count)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        self.file.read_exact_at(buffer, self.at).map_err(drop)?;
        self.at += buffer.len() as u64;
        Ok(())
    }
}

/// Why a file could not be read as ELF.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("`{path}` is {source}")]
    Elf {
        path: std::path::PathBuf,
        source: ElfError,
    },
}

/// Reads the file at `path`; only some kilobytes of it.
///
/// # Errors
/// The file cannot be opened, or it is not an ELF file.
pub fn read(path: &Path) -> Result<Image, ReadError> {
    let file = open_regular(path)?.into_file();
    parse(&ReadCache::new(Window { file, at: 0 })).map_err(|source| ReadError::Elf {
        path: path.to_owned(),
        source,
    })
}
