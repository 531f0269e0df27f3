//! The envelope of a bitcode file: magic number and wrapper; and a guess at what a file without
//! them is.

use std::fmt;

/// `BC`, then 0xC0DE as four nibbles, the lowest first.
pub(super) const MAGIC: [u8; 4] = *b"BC\xc0\xde";
/// Length of the magic number in bits; the top level of a stream begins after it.
pub(super) const MAGIC_BITS: usize = 32;
/// Little-endian 0x0B17C0DE: five words follow it, the third and fourth are offset and size of the
/// stream.
pub(super) const WRAPPER_MAGIC: [u8; 4] = 0x0B17_C0DE_u32.to_le_bytes();

/// Ids of the blocks that are read here (`llvm/Bitcode/LLVMBitCodes.h`).
pub(super) mod block {
    pub(in crate::thinlto) const BLOCKINFO: u64 = 0;
    pub(in crate::thinlto) const MODULE: u64 = 8;
    pub(in crate::thinlto) const IDENTIFICATION: u64 = 13;
    pub(in crate::thinlto) const VALUE_SYMTAB: u64 = 14;
    pub(in crate::thinlto) const MODULE_STRTAB: u64 = 19;
    pub(in crate::thinlto) const GLOBALVAL_SUMMARY: u64 = 20;
    pub(in crate::thinlto) const STRTAB: u64 = 23;
    pub(in crate::thinlto) const SYMTAB: u64 = 25;
}

/// A file that is not bitcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not LLVM bitcode: {0}")]
pub struct NotBitcode(pub FileType);

/// The type of a file, guessed from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    Empty,
    Elf,
    Archive,
    Text,
    /// A wrapper that points outside the file.
    BrokenWrapper,
    Unknown,
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the file is empty",
            Self::Elf => "it is an ELF object",
            Self::Archive => "it is an archive",
            Self::Text => "it looks like text",
            Self::BrokenWrapper => "its wrapper header points outside the file",
            Self::Unknown => "it starts with neither `BC` nor a wrapper header",
        })
    }
}

/// Checks whether a file that begins with `start`, at least four bytes of it, is bitcode. This
/// spares reading large files that are not.
///
/// # Errors
/// The file is not bitcode.
pub fn check_start(start: &[u8]) -> Result<(), NotBitcode> {
    if start.starts_with(&MAGIC) || start.starts_with(&WRAPPER_MAGIC) {
        Ok(())
    } else {
        Err(NotBitcode(file_type(start)))
    }
}

/// The bitstream in `bytes`, beginning with the magic number, without the wrapper and any padding
/// after the stream.
pub(super) fn stream(bytes: &[u8]) -> Result<&[u8], NotBitcode> {
    let stream = if bytes.starts_with(&WRAPPER_MAGIC) {
        unwrap(bytes).ok_or(NotBitcode(FileType::BrokenWrapper))?
    } else {
        bytes
    };
    if stream.starts_with(&MAGIC) {
        Ok(stream)
    } else {
        Err(NotBitcode(file_type(stream)))
    }
}

fn unwrap(bytes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let chunk = bytes.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*chunk)).ok()
    };
    let (offset, size) = (word(8)?, word(12)?);
    bytes.get(offset..offset.checked_add(size)?)
}

fn file_type(bytes: &[u8]) -> FileType {
    /// Enough to tell text from binary data.
    const SAMPLE: usize = 64;
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    if bytes.is_empty() {
        FileType::Empty
    } else if bytes.starts_with(b"\x7fELF") {
        FileType::Elf
    } else if bytes.starts_with(b"!<arch>\n") || bytes.starts_with(b"!<thin>\n") {
        FileType::Archive
    } else if sample
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        FileType::Text
    } else {
        FileType::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_bitcode_is_reported_by_its_type() {
        for (bytes, expected) in [
            (b"".as_slice(), FileType::Empty),
            (b"\x7fELF\x02\x01", FileType::Elf),
            (b"!<thin>\nx", FileType::Archive),
            (b"int main() {}\n", FileType::Text),
            (b"\xde\xc0\x17\x0b", FileType::BrokenWrapper),
            (b"\0\x01\x02", FileType::Unknown),
        ] {
            assert_eq!(stream(bytes), Err(NotBitcode(expected)));
            let by_start = check_start(bytes).err();
            let wrapped = expected == FileType::BrokenWrapper;
            assert_eq!(by_start, (!wrapped).then_some(NotBitcode(expected)));
        }
    }

    #[test]
    fn a_wrapped_stream_ends_where_its_header_says() {
        let mut file = Vec::new();
        for word in [0x0B17_C0DE_u32, 0, 20, 8, 7] {
            file.extend(word.to_le_bytes());
        }
        file.extend(b"BC\xc0\xdebodypad.");
        assert_eq!(stream(&file), Ok(b"BC\xc0\xdebody".as_slice()));
    }
}
