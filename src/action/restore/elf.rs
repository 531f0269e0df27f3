//! Reads and writes the parts of a relocatable ELF object that concern names: 32 or 64 bits, either
//! byte order.

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_32: u8 = 1;
const CLASS_64: u8 = 2;
const LITTLE: u8 = 1;
const BIG: u8 = 2;
const TYPE_RELOCATABLE: u64 = 1;
/// The index that means that the real one is elsewhere.
const RESERVED: u64 = 0xFF00;

/// Section types.
mod kind {
    pub(super) const NULL: u64 = 0;
    pub(super) const SYMBOLS: u64 = 2;
    pub(super) const STRINGS: u64 = 3;
    pub(super) const NO_BITS: u64 = 8;
    pub(super) const DYNAMIC_SYMBOLS: u64 = 11;
}

/// Where a field lies in its structure, and how many bytes it has.
#[derive(Debug, Clone, Copy)]
struct FieldSpan(usize, usize);

/// The layout of one class.
#[derive(Debug)]
struct Layout {
    header: usize,
    section_headers: FieldSpan,
    section: usize,
    offset: FieldSpan,
    size: FieldSpan,
    link: FieldSpan,
    entry_size: FieldSpan,
    symbol: u64,
    alignment: usize,
    entry_width: FieldSpan,
    count: FieldSpan,
    names: FieldSpan,
}

const LAYOUT_64: Layout = Layout {
    header: 64,
    section_headers: FieldSpan(40, 8),
    section: 64,
    offset: FieldSpan(24, 8),
    size: FieldSpan(32, 8),
    link: FieldSpan(40, 4),
    entry_size: FieldSpan(56, 8),
    symbol: 24,
    alignment: 8,
    entry_width: FieldSpan(58, 2),
    count: FieldSpan(60, 2),
    names: FieldSpan(62, 2),
};
const LAYOUT_32: Layout = Layout {
    header: 52,
    section_headers: FieldSpan(32, 4),
    section: 40,
    offset: FieldSpan(16, 4),
    size: FieldSpan(20, 4),
    link: FieldSpan(24, 4),
    entry_size: FieldSpan(36, 4),
    symbol: 16,
    alignment: 4,
    entry_width: FieldSpan(46, 2),
    count: FieldSpan(48, 2),
    names: FieldSpan(50, 2),
};
const FILE_TYPE: FieldSpan = FieldSpan(16, 2);
const NAME: FieldSpan = FieldSpan(0, 4);
const SECTION_TYPE: FieldSpan = FieldSpan(4, 4);

/// A name in the string table of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    /// Where it begins in the table.
    pub(super) start: usize,
    pub(super) text: &'a [u8],
}

/// An object whose only string table is followed by nothing but the section headers.
#[derive(Debug)]
pub(super) struct Elf<'a> {
    bytes: &'a [u8],
    layout: &'static Layout,
    little: bool,
    sections_at: usize,
    section_count: usize,
    /// The string table's section and its bytes' place.
    table_index: usize,
    table_at: usize,
    table_size: usize,
    /// The words that refer to names of sections and symbols, as offsets in the file.
    words: Vec<usize>,
}

impl<'a> Elf<'a> {
    /// Reads an object; `None` for any other form.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || u32::try_from(bytes.len()).is_err() {
            return None;
        }
        let layout = match *bytes.get(4)? {
            CLASS_32 => &LAYOUT_32,
            CLASS_64 => &LAYOUT_64,
            _ => return None,
        };
        let little = match *bytes.get(5)? {
            LITTLE => true,
            BIG => false,
            _ => return None,
        };
        let mut elf = Self {
            bytes,
            layout,
            little,
            sections_at: 0,
            section_count: 0,
            table_index: 0,
            table_at: 0,
            table_size: 0,
            words: Vec::new(),
        };
        elf.read_header()?;
        elf.read_sections()?;
        Some(elf)
    }

    fn read_header(&mut self) -> Option<()> {
        let layout = self.layout;
        let field = |field| self.get(0, field);
        let (kind, width) = (field(FILE_TYPE)?, field(layout.entry_width)?);
        let (count, names) = (field(layout.count)?, field(layout.names)?);
        let at = field(layout.section_headers)?;
        if kind != TYPE_RELOCATABLE || width != layout.section as u64 {
            return None;
        }
        self.sections_at = usize::try_from(at).ok()?;
        // With very many sections the first section header holds count and index.
        self.section_count = match count {
            0 => usize::try_from(self.get(self.sections_at, layout.size)?).ok()?,
            count => usize::try_from(count).ok()?,
        };
        self.table_index = match names {
            0xFFFF => usize::try_from(self.get(self.sections_at, layout.link)?).ok()?,
            names if names >= RESERVED => return None,
            names => usize::try_from(names).ok()?,
        };
        let headers = self.section_count.checked_mul(layout.section)?;
        let ends_the_file = self.sections_at.checked_add(headers)? == self.bytes.len();
        (ends_the_file && self.table_index < self.section_count).then_some(())
    }

    fn read_sections(&mut self) -> Option<()> {
        let layout = self.layout;
        let table = self.section(self.table_index)?;
        if self.get(table, SECTION_TYPE)? != kind::STRINGS {
            return None;
        }
        self.table_at = usize::try_from(self.get(table, layout.offset)?).ok()?;
        self.table_size = usize::try_from(self.get(table, layout.size)?).ok()?;
        let end = self.table_at.checked_add(self.table_size)?;
        let aligned = end.checked_next_multiple_of(layout.alignment)?;
        let padding = self.bytes.get(end..self.sections_at)?;
        if self.table_at < layout.header
            || aligned != self.sections_at
            || padding.iter().any(|byte| *byte != 0)
        {
            return None;
        }
        for index in 0..self.section_count {
            let section = self.section(index)?;
            self.words.push(section);
            let kind = self.get(section, SECTION_TYPE)?;
            let start = self.get(section, layout.offset)?;
            let size = match kind {
                kind::NULL | kind::NO_BITS => 0,
                _ => self.get(section, layout.size)?,
            };
            if index == self.table_index {
                continue;
            }
            if kind != kind::NULL && start.checked_add(size)? > self.table_at as u64 {
                return None;
            }
            match kind {
                kind::DYNAMIC_SYMBOLS => return None,
                kind::SYMBOLS => self.read_symbols(section, start, size)?,
                _ => {}
            }
        }
        Some(())
    }

    fn read_symbols(&mut self, section: usize, start: u64, size: u64) -> Option<()> {
        let layout = self.layout;
        let linked = self.get(section, layout.link)?;
        let width = self.get(section, layout.entry_size)?;
        if linked != self.table_index as u64
            || width != layout.symbol
            || !size.is_multiple_of(width)
        {
            return None;
        }
        let (start, size) = (usize::try_from(start).ok()?, usize::try_from(size).ok()?);
        let symbols = start..start.checked_add(size)?;
        let width = usize::try_from(width).ok()?;
        self.words.extend(symbols.step_by(width));
        Some(())
    }

    fn section(&self, index: usize) -> Option<usize> {
        self.sections_at
            .checked_add(index.checked_mul(self.layout.section)?)
    }

    /// What lies before and behind the string table's bytes.
    pub(super) fn around_strings(&self) -> (&'a [u8], &'a [u8]) {
        let (before, rest) = self.bytes.split_at(self.table_at);
        (before, &rest[self.table_size..])
    }

    /// All names that are referred to, in the order of `words`.
    pub(super) fn names(&self) -> Option<Vec<Name<'a>>> {
        let table = &self.bytes[self.table_at..self.table_at + self.table_size];
        let name = |word: &usize| {
            let start = usize::try_from(self.get(*word, NAME)?).ok()?;
            let rest = table.get(start..)?;
            Some(Name {
                start,
                text: &rest[..memchr::memchr(0, rest)?],
            })
        };
        self.words.iter().map(name).collect()
    }

    /// The object with another string table, in which its names, in the order of
    /// [`names`](Self::names), stand at `places`.
    pub(super) fn with_strings(
        &self,
        table: &[u8],
        places: impl Iterator<Item = u32>,
    ) -> Option<Vec<u8>> {
        let layout = self.layout;
        let headers = &self.bytes[self.sections_at..];
        let mut out = Vec::with_capacity(self.bytes.len() + table.len());
        out.extend_from_slice(&self.bytes[..self.table_at]);
        out.extend_from_slice(table);
        out.resize(out.len().checked_next_multiple_of(layout.alignment)?, 0);
        let sections_at = out.len();
        out.extend_from_slice(headers);
        let moved = |at: usize| match at.checked_sub(self.sections_at) {
            Some(inside) => sections_at + inside,
            None => at,
        };
        for (word, place) in self.words.iter().zip(places) {
            self.set(&mut out, moved(*word), NAME, u64::from(place))?;
        }
        let table_header = moved(self.section(self.table_index)?);
        let size = u64::try_from(table.len()).ok()?;
        self.set(&mut out, table_header, layout.size, size)?;
        let sections = u64::try_from(sections_at).ok()?;
        self.set(&mut out, 0, layout.section_headers, sections)?;
        Some(out)
    }

    fn get(&self, at: usize, FieldSpan(offset, width): FieldSpan) -> Option<u64> {
        let start = at.checked_add(offset)?;
        let bytes = self.bytes.get(start..start.checked_add(width)?)?;
        let mut value = 0;
        for position in 0..width {
            let index = if self.little {
                width - 1 - position
            } else {
                position
            };
            value = value << 8 | u64::from(bytes[index]);
        }
        Some(value)
    }

    fn set(
        &self,
        out: &mut [u8],
        at: usize,
        FieldSpan(offset, width): FieldSpan,
        value: u64,
    ) -> Option<()> {
        let start = at.checked_add(offset)?;
        let bytes = out.get_mut(start..start.checked_add(width)?)?;
        let encoded = value.to_be_bytes();
        let (unused, encoded) = encoded.split_at(8 - width);
        if unused.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.copy_from_slice(encoded);
        if self.little {
            bytes.reverse();
        }
        Some(())
    }
}
