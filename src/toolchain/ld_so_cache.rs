//! `/etc/ld.so.cache`, in which glibc's loader looks libraries up.
//!
//! The format is that of glibc's `dl-cache.h`: a table that is sorted by name, with offsets into
//! strings behind it. A lookup goes through the table as `elf/dl-cache.c` does, so that it finds
//! what the loader finds. Nothing in the file is believed: an offset that leads outside of it, or
//! more entries for a name than any system has, is an error.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::elf::Machine;

/// Maximum length of a string: `PATH_MAX`.
const MAX_STRING: usize = 4096;
/// Maximum length of a name that is looked up: no file has a longer one.
const MAX_NAME: usize = 255;
/// Maximum number of entries for one name. Real ones have one for each machine and variant.
const MAX_SAME_NAME: usize = 1000;

const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// What any version of the format begins with.
const ANY_NEW_MAGIC: &[u8] = b"glibc-ld.so.cache";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";

/// Sizes of the header and of an entry.
const NEW: (usize, usize) = (48, 24);
const OLD: (usize, usize) = (16, 12);

/// The flags of a library of no particular C library, which only old releases of glibc wrote.
const ANY_LIBC: u32 = 1;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
/// The tag of the section that lists subdirectories of `glibc-hwcaps`.
const GLIBC_HWCAPS: u32 = 1;
/// In the upper half of an entry's hardware capabilities: the lower half is an index into that
/// section. Beside it there may be a level of the instruction set.
const IS_EXTENSION: u64 = 1 << 30;
const ISA_LEVEL: u64 = (1 << 10) - 1;

/// The cache cannot be followed as the loader would follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CacheError(&'static str);

/// A cache that has been read.
#[derive(Debug)]
pub struct LdSoCache {
    bytes: Vec<u8>,
    /// Where the table begins, how many entries it has, and their size.
    table: usize,
    count: usize,
    entry_size: usize,
    /// Where offsets of strings count from.
    strings: usize,
    /// Offsets of the names in `glibc-hwcaps`.
    levels: Vec<u32>,
}

/// All that a cache says of one name, for one machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CachedLibrary {
    /// Files for newer processors, each with its subdirectory of `glibc-hwcaps`.
    pub variants: Vec<(Vec<u8>, PathBuf)>,
    /// The file for all processors.
    pub plain: Option<PathBuf>,
    /// A file that only some loaders take, by the processor or by their release.
    pub doubtful: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    flags: u32,
    key: u32,
    value: u32,
    hwcap: u64,
}

impl LdSoCache {
    /// Reads the header of a cache; `None` if the loader does not take the file for one.
    ///
    /// # Errors
    /// It is a cache, but cut off, damaged or of another version.
    pub fn parse(bytes: Vec<u8>) -> Result<Option<Self>, CacheError> {
        if bytes.starts_with(NEW_MAGIC) {
            return Self::new_format(bytes, 0);
        }
        if bytes.starts_with(ANY_NEW_MAGIC) {
            return Err(CacheError("its version is unknown"));
        }
        if bytes.starts_with(OLD_MAGIC) {
            return Self::old_format(bytes);
        }
        Ok(None)
    }

    fn new_format(bytes: Vec<u8>, start: usize) -> Result<Option<Self>, CacheError> {
        let (header, entry_size) = NEW;
        let count = count_at(&bytes, start + 20, start + header, entry_size)?;
        // None in caches of old releases, then 2 or 3.
        let order = *bytes.get(start + 28).ok_or(CUT_OFF)?;
        let own = if cfg!(target_endian = "little") { 2 } else { 3 };
        if order != 0 && order & 3 != own {
            return Ok(None);
        }
        let mut cache = Self {
            bytes,
            table: start + header,
            count,
            entry_size,
            strings: start,
            levels: Vec::new(),
        };
        // Releases that write both formats know no such section.
        if start == 0 {
            cache.levels = cache.read_levels()?;
        }
        Ok(Some(cache))
    }

    /// The old format, or one that has the new one behind its table.
    fn old_format(bytes: Vec<u8>) -> Result<Option<Self>, CacheError> {
        let (header, entry_size) = OLD;
        let count = count_at(&bytes, 12, header, entry_size)?;
        let end = header + count * entry_size;
        let aligned = end.next_multiple_of(8);
        let has_new = |at: usize| {
            bytes
                .get(at..)
                .is_some_and(|it| it.starts_with(ANY_NEW_MAGIC))
        };
        if has_new(aligned) {
            if !bytes[aligned..].starts_with(NEW_MAGIC) {
                return Err(CacheError("its version is unknown"));
            }
            return Self::new_format(bytes, aligned);
        }
        if has_new(end) {
            return Err(CacheError("its table is not aligned"));
        }
        Ok(Some(Self {
            bytes,
            table: header,
            count,
            entry_size,
            strings: end,
            levels: Vec::new(),
        }))
    }

    fn read_levels(&self) -> Result<Vec<u32>, CacheError> {
        let extension = as_size(self.number(32)?);
        if extension == 0 {
            return Ok(Vec::new());
        }
        if self.number(extension)? != EXTENSION_MAGIC {
            return Err(CacheError("its extensions are damaged"));
        }
        let sections = as_size(self.number(extension + 4)?);
        for index in 0..sections {
            let at = extension + 8 + index * 16;
            if self.number(at)? != GLIBC_HWCAPS {
                continue;
            }
            let (start, size) = (self.number(at + 8)?, self.number(at + 12)?);
            let numbers = self.bytes.get(as_size(start)..).ok_or(CUT_OFF)?;
            let numbers = numbers.get(..as_size(size)).ok_or(CUT_OFF)?;
            let (numbers, rest) = numbers.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(CUT_OFF);
            }
            return Ok(numbers.iter().map(|it| u32::from_ne_bytes(*it)).collect());
        }
        Ok(Vec::new())
    }

    /// What the loader of `machine` may take for `name`.
    ///
    /// # Errors
    /// The search comes upon something that cannot be right.
    pub fn lookup(&self, name: &[u8], machine: Machine) -> Result<CachedLibrary, CacheError> {
        let own = machine
            .cache_flags()
            .ok_or(CacheError("its entries for this machine are not known"))?;
        let mut library = CachedLibrary::default();
        if name.len() > MAX_NAME {
            return Ok(library);
        }
        let Some(first) = self.first(name, machine)? else {
            return Ok(library);
        };
        for (passed, index) in (first..self.count).enumerate() {
            let entry = self.entry(index)?;
            if self.compare(name, entry.key, machine)?.is_ne() {
                break;
            }
            if passed >= MAX_SAME_NAME {
                return Err(CacheError("it has too many entries of one name"));
            }
            if entry.flags != own && entry.flags != ANY_LIBC {
                continue;
            }
            let path = PathBuf::from(OsStr::from_bytes(self.string(entry.value)?));
            let is_variant = (entry.hwcap >> 32) & !ISA_LEVEL == IS_EXTENSION;
            if entry.flags == own && is_variant {
                library.variants.push((self.level(entry)?, path));
            } else if entry.flags == own && entry.hwcap == 0 {
                library.plain = Some(path);
                break;
            } else {
                library.doubtful.get_or_insert(path);
            }
        }
        Ok(library)
    }

    /// The index of the first entry of that name.
    fn first(&self, name: &[u8], machine: Machine) -> Result<Option<usize>, CacheError> {
        let (mut left, mut right) = (0, self.count);
        while left < right {
            let mut middle = usize::midpoint(left, right - 1);
            match self.compare(name, self.entry(middle)?.key, machine)? {
                Ordering::Greater => right = middle,
                Ordering::Less => left = middle + 1,
                Ordering::Equal => {
                    let lowest = middle.saturating_sub(MAX_SAME_NAME);
                    while middle > lowest {
                        let before = self.entry(middle - 1)?;
                        if self.compare(name, before.key, machine)?.is_ne() {
                            break;
                        }
                        middle -= 1;
                    }
                    return Ok(Some(middle));
                }
            }
        }
        Ok(None)
    }

    fn compare(&self, name: &[u8], key: u32, machine: Machine) -> Result<Ordering, CacheError> {
        // The type `char` of C has a sign there.
        let is_signed = matches!(machine.platform(), "x86_64" | "i386");
        Ok(compare_names(name, self.string(key)?, is_signed))
    }

    /// The name in `glibc-hwcaps` of a variant.
    fn level(&self, entry: Entry) -> Result<Vec<u8>, CacheError> {
        let index = as_size(u32::try_from(entry.hwcap & 0xffff_ffff).unwrap_or(u32::MAX));
        let at = self.levels.get(index).ok_or(CUT_OFF)?;
        Ok(self.string(*at)?.to_vec())
    }

    fn entry(&self, index: usize) -> Result<Entry, CacheError> {
        let at = self.table + index * self.entry_size;
        let hwcap = if self.entry_size == NEW.1 {
            self.bytes.get(at + 16..).and_then(<[u8]>::first_chunk)
        } else {
            Some(&[0; 8])
        };
        Ok(Entry {
            flags: self.number(at)?,
            key: self.number(at + 4)?,
            value: self.number(at + 8)?,
            hwcap: u64::from_ne_bytes(*hwcap.ok_or(CUT_OFF)?),
        })
    }

    fn number(&self, at: usize) -> Result<u32, CacheError> {
        number_at(&self.bytes, at)
    }

    fn string(&self, at: u32) -> Result<&[u8], CacheError> {
        let rest = self.bytes.get(self.strings + as_size(at)..);
        let rest = rest.ok_or(CUT_OFF)?;
        let rest = &rest[..rest.len().min(MAX_STRING)];
        let end = rest.iter().position(|byte| *byte == 0);
        Ok(&rest[..end.ok_or(CUT_OFF)?])
    }
}

const CUT_OFF: CacheError = CacheError("it is cut off or damaged");

fn as_size(number: u32) -> usize {
    number as usize
}

fn number_at(bytes: &[u8], at: usize) -> Result<u32, CacheError> {
    let number = bytes.get(at..).and_then(<[u8]>::first_chunk);
    Ok(u32::from_ne_bytes(*number.ok_or(CUT_OFF)?))
}

/// The number of entries that `at` names, of which all are there.
fn count_at(bytes: &[u8], at: usize, table: usize, size: usize) -> Result<usize, CacheError> {
    let count = as_size(number_at(bytes, at)?);
    let room = bytes.len().checked_sub(table).ok_or(CUT_OFF)? / size;
    if count > room {
        return Err(CUT_OFF);
    }
    Ok(count)
}

/// The order of the table: numbers in names count by their value. Caches have the greatest first.
fn compare_names(mut left: &[u8], mut right: &[u8], is_signed: bool) -> Ordering {
    let value = |byte: u8| {
        if is_signed {
            i32::from(byte.cast_signed())
        } else {
            i32::from(byte)
        }
    };
    while let Some((&one, rest)) = left.split_first() {
        let other = right.first().copied().unwrap_or(0);
        match (one.is_ascii_digit(), other.is_ascii_digit()) {
            (true, true) => {
                let difference = take_number(&mut left).wrapping_sub(take_number(&mut right));
                if difference != 0 {
                    return difference.cmp(&0);
                }
            }
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) if one == other => {
                (left, right) = (rest, right.get(1..).unwrap_or_default());
            }
            (false, false) => return value(one).cmp(&value(other)),
        }
    }
    0.cmp(&right.first().map_or(0, |byte| value(*byte)))
}

/// Takes the digits at the beginning, in the arithmetic of the loader.
fn take_number(text: &mut &[u8]) -> i32 {
    let mut number = 0_i32;
    while let Some((digit, rest)) = text.split_first().filter(|(it, _)| it.is_ascii_digit()) {
        number = number
            .wrapping_mul(10)
            .wrapping_add(i32::from(digit - b'0'));
        *text = rest;
    }
    number
}

#[cfg(test)]
mod tests;
