//! Members of `ar` archives, regular and thin, in GNU's and BSD's formats.
//!
//! The linkers identify a member by the offset of its header, and so does this module. Only headers
//! are read: a library may have gigabytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::fs::{buffer_for, open_regular};

const REGULAR: &[u8; 8] = b"!<arch>\n";
const THIN: &[u8; 8] = b"!<thin>\n";
const HEADER: usize = 60;
/// No table of names is longer, but a sparse file can claim that one is.
const LONGEST_NAMES: u64 = 256 << 20;

/// The headers of an archive.
#[derive(Debug)]
pub struct Archive {
    pub file: File,
    pub members: Vec<Member>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Without directories.
    pub name: String,
    /// As the archive has it: in a thin one, where the file is.
    pub path: String,
    /// Of its header.
    pub offset: u64,
    content: MemberData,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum MemberData {
    Inside {
        start: u64,
        size: u64,
    },
    /// A thin archive has the file's name only.
    File(PathBuf),
}

impl Archive {
    pub(super) fn is_one(start: &[u8]) -> bool {
        start.starts_with(REGULAR) || start.starts_with(THIN)
    }

    /// Reads the headers of the archive at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read(path: &Path) -> io::Result<Self> {
        let (file, size) = open_with_size(path)?;
        let mut magic = [0; 8];
        file.read_exact_at(&mut magic, 0)?;
        let mut reader = ArchiveReader {
            file,
            dir: path.parent().unwrap_or(Path::new("")),
            thin: magic == *THIN,
            names: Vec::new(),
            members: Vec::new(),
        };
        let mut at = magic.len() as u64;
        while at + HEADER as u64 <= size {
            at = reader.member(at, size)?;
        }
        Ok(Self {
            file: reader.file,
            members: reader.members,
        })
    }
}

impl Member {
    /// The file that holds the member, where it begins there, and its size.
    pub(super) fn open(&self, archive: &Path) -> io::Result<(File, u64, u64)> {
        match &self.content {
            MemberData::Inside { start, size } => {
                Ok((open_regular(archive)?.into_file(), *start, *size))
            }
            MemberData::File(path) => {
                let (file, size) = open_with_size(path)?;
                Ok((file, 0, size))
            }
        }
    }

    /// The first bytes of the member of an open archive, at most `most`.
    ///
    /// # Errors
    /// They cannot be read, or do not fit into memory.
    pub fn start(&self, archive: &File, most: u64) -> io::Result<Vec<u8>> {
        self.visit(archive, |file, start, size| {
            bytes_at(file, start, most.min(size))
        })
    }

    /// Calls `work` with the file that holds the member of an open archive, where it begins there,
    /// and its size.
    ///
    /// # Errors
    /// A file of a thin archive cannot be opened; those of `work`.
    pub(super) fn visit<T>(
        &self,
        archive: &File,
        work: impl FnOnce(&File, u64, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        match &self.content {
            MemberData::Inside { start, size } => work(archive, *start, *size),
            MemberData::File(path) => {
                let (file, size) = open_with_size(path)?;
                work(&file, 0, size)
            }
        }
    }

    /// All of it.
    pub(super) fn bytes(&self, archive: &Path) -> io::Result<Vec<u8>> {
        let (file, at, size) = self.open(archive)?;
        bytes_at(&file, at, size)
    }

    /// The file that a thin archive names.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.content {
            MemberData::Inside { .. } => None,
            MemberData::File(path) => Some(path),
        }
    }
}

struct ArchiveReader<'a> {
    file: File,
    dir: &'a Path,
    thin: bool,
    /// GNU's table of names that are too long for a header.
    names: Vec<u8>,
    members: Vec<Member>,
}

impl ArchiveReader<'_> {
    /// Reads the header at `offset`; returns where the next one is.
    fn member(&mut self, offset: u64, end: u64) -> io::Result<u64> {
        let mut header = [0; HEADER];
        self.file.read_exact_at(&mut header, offset)?;
        if header[58..] != *b"`\n" {
            return Err(damaged());
        }
        let size: u64 = text(&header[48..58]).parse().map_err(|_| damaged())?;
        let start = offset + HEADER as u64;
        let name = text(&header[..16]);
        let inside = start.checked_add(size).ok_or_else(damaged)?;
        let next = |inside: u64| inside + inside % 2;
        match name {
            "/" | "/SYM64/" | "__.SYMDEF" | "__.SYMDEF SORTED" | "__.SYMDEF_64" => {
                return Ok(next(inside));
            }
            "//" => {
                if inside > end || size > LONGEST_NAMES {
                    return Err(damaged());
                }
                self.names = bytes_at(&self.file, start, size)?;
                return Ok(next(inside));
            }
            _ => {}
        }
        let (name, skipped) = self.name(name, start)?;
        if name.starts_with("__.SYMDEF") {
            return Ok(next(inside));
        }
        let content = if self.thin {
            MemberData::File(self.dir.join(&name))
        } else {
            if inside > end {
                return Err(damaged());
            }
            let size = size.checked_sub(skipped).ok_or_else(damaged)?;
            let start = start + skipped;
            MemberData::Inside { start, size }
        };
        self.members.push(Member {
            name: name.rsplit('/').next().unwrap_or_default().to_owned(),
            path: name,
            offset,
            content,
        });
        Ok(if self.thin { start } else { next(inside) })
    }

    /// The whole name, and how many bytes of it stand before the content.
    fn name(&self, name: &str, start: u64) -> io::Result<(String, u64)> {
        if let Some(length) = name.strip_prefix("#1/") {
            const LONGEST_NAME: usize = 1 << 16;
            let length: usize = length.parse().map_err(|_| damaged())?;
            let mut bytes = vec![0; length.min(LONGEST_NAME)];
            self.file.read_exact_at(&mut bytes, start)?;
            let end = bytes.iter().position(|byte| *byte == 0);
            bytes.truncate(end.unwrap_or(bytes.len()));
            let name = String::from_utf8(bytes).map_err(|_| damaged())?;
            return Ok((name, length as u64));
        }
        if let Some(at) = name.strip_prefix('/') {
            let at: usize = at.parse().map_err(|_| damaged())?;
            let rest = self.names.get(at..).ok_or_else(damaged)?;
            let end = rest.iter().position(|byte| *byte == b'\n' || *byte == 0);
            let long = &rest[..end.unwrap_or(rest.len())];
            let long = std::str::from_utf8(long).map_err(|_| damaged())?;
            return Ok((long.strip_suffix('/').unwrap_or(long).to_owned(), 0));
        }
        Ok((name.strip_suffix('/').unwrap_or(name).to_owned(), 0))
    }
}

pub(super) fn open_with_size(path: &Path) -> io::Result<(File, u64)> {
    let file = open_regular(path)?.into_file();
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// `size` bytes of a file, or an error where the process would abort for lack of memory: a sparse
/// file can claim any size.
pub(super) fn bytes_at(file: &File, at: u64, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = buffer_for(size)?;
    bytes.resize(usize::try_from(size).map_err(|_| damaged())?, 0);
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn text(field: &[u8]) -> &str {
    std::str::from_utf8(field).unwrap_or_default().trim_end()
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a damaged archive")
}

/// An archive of `members` in memory. It has no symbol table: lld reads the members' own.
pub(super) fn write(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut names = Vec::new();
    let mut places = Vec::new();
    for (name, _) in members {
        places.push(names.len());
        names.extend_from_slice(name.as_bytes());
        names.extend_from_slice(b"/\n");
    }
    let mut out = REGULAR.to_vec();
    push(&mut out, "//", &names);
    for (place, (_, bytes)) in places.into_iter().zip(members) {
        push(&mut out, &format!("/{place}"), bytes);
    }
    out
}

fn push(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let size = bytes.len();
    let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644);
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(bytes);
    if size % 2 == 1 {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (tempfile::TempDir, PathBuf, io::Result<Archive>) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lib.a");
        fs_err::write(&path, bytes).expect("written");
        let archive = Archive::read(&path);
        (dir, path, archive)
    }

    #[test]
    fn a_written_archive_is_read_back() {
        let long = "a".repeat(40) + ".o";
        let members = [
            ("x.o".to_owned(), b"one".to_vec()),
            (long, b"four".to_vec()),
        ];
        let (_dir, path, archive) = read(&write(&members));
        let found = archive.expect("an archive").members;
        let found: Vec<_> = found
            .iter()
            .map(|member| (member.name.clone(), member.bytes(&path).expect("read")))
            .collect();
        assert_eq!(found, members);
    }

    #[test]
    fn bsd_names_precede_the_content() {
        let mut bytes = REGULAR.to_vec();
        push(&mut bytes, "#1/20", b"__.SYMDEF SORTED\0\0\0\0table");
        push(&mut bytes, "#1/8", b"x.o\0\0\0\0\0content");
        let (_dir, path, archive) = read(&bytes);
        let members = archive.expect("an archive").members;
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].name, "x.o");
        assert_eq!(members[0].bytes(&path).expect("read"), b"content");
    }

    #[test]
    fn pipes_are_not_read_and_giant_members_take_no_memory() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pipe.a");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).expect("made");
        assert!(Archive::read(&pipe).is_err());
        let giant = dir.path().join("giant.a");
        let mut bytes = REGULAR.to_vec();
        let (size, names) = (9_000_000_000_u64, "//");
        let header = format!(
            "{names:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
            0, 0, 0, 644
        );
        bytes.extend_from_slice(header.as_bytes());
        fs_err::write(&giant, &bytes).expect("written");
        let file = fs_err::OpenOptions::new().write(true).open(&giant);
        // Where the file system refuses such a size there is nothing to try.
        if file.is_ok_and(|file| file.set_len(20 * size).is_ok()) {
            assert!(Archive::read(&giant).is_err());
        }
    }

    #[test]
    fn any_damage_is_an_error() {
        let good = write(&[("x.o".to_owned(), b"content".to_vec())]);
        for cut in 70..good.len() - 1 {
            let (_dir, path, archive) = read(&good[..cut]);
            let whole = archive.is_ok_and(|archive| {
                let mut members = archive.members.iter();
                members.any(|member| member.bytes(&path).is_ok_and(|it| it == b"content"))
            });
            assert!(!whole, "{cut}");
        }
        let (_dir, _path, archive) =
            read(b"!<arch>\nnonsense nonsense nonsense nonsense nonsense nonsense nonsense");
        assert!(archive.is_err());
    }
}
