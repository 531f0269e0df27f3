//! The parts of WebAssembly objects: sections, imports, the symbol table, functions that run at the
//! start.

pub(super) const HEADER: usize = 8;
pub(super) const CUSTOM: u8 = 0;
pub(super) const TYPES: u8 = 1;
pub(super) const IMPORTS: u8 = 2;
pub(super) const FUNCTIONS: u8 = 3;
/// Parts of the section `linking`.
pub(super) const SEGMENTS: u8 = 5;
pub(super) const INIT_FUNCTIONS: u8 = 6;
pub(super) const COMDATS: u8 = 7;
pub(super) const SYMBOLS: u8 = 8;

pub(super) const WEAK: usize = 1;
pub(super) const LOCAL: usize = 2;
pub(super) const UNDEFINED: usize = 0x10;
pub(super) const EXPLICIT_NAME: usize = 0x40;
pub(super) const NO_STRIP: usize = 0x80;
/// The symbol has another name in the module that it is from.
pub(super) const UNDEFINED_AND_NAMED: usize = UNDEFINED | EXPLICIT_NAME;
/// The module of functions for which the source names none.
pub(super) const DEFAULT_MODULE: &[u8] = b"env";

/// Kinds of symbols.
pub(super) const FUNCTION_SYMBOL: u8 = 0;
pub(super) const DATA_SYMBOL: u8 = 1;
pub(super) const GLOBAL_SYMBOL: u8 = 2;
pub(super) const SECTION_SYMBOL: u8 = 3;
pub(super) const TABLE_SYMBOL: u8 = 5;

/// Numbers and names, from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct WasmReader<'a>(pub(super) &'a [u8]);

impl<'a> WasmReader<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// LEB128, 32 bits.
    pub(super) fn number(&mut self) -> Option<usize> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).ok();
            }
        }
        None
    }

    /// LEB128 of any length, not looked at.
    pub(super) fn skip_number(&mut self) -> Option<()> {
        while self.byte()? & 0x80 != 0 {}
        Some(())
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn name(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.bytes(length)
    }

    /// A number of a section, and what is in it.
    pub(super) fn part(&mut self) -> Option<(u8, &'a [u8])> {
        Some((self.byte()?, self.name()?))
    }
}

/// The sections of an object, in order.
pub(super) fn sections(object: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut rest = WasmReader(object.get(HEADER..)?);
    let mut found = Vec::new();
    while !rest.0.is_empty() {
        found.push(rest.part()?);
    }
    Some(found)
}

/// The content of the custom section `name`, without its name.
pub(super) fn custom<'a>(section: (u8, &'a [u8]), name: &[u8]) -> Option<&'a [u8]> {
    let mut content = WasmReader(section.1);
    (section.0 == CUSTOM && content.name()? == name).then_some(content.0)
}

/// What a group holds: a kind and an index.
pub(super) type ComdatSymbol = (ComdatKind, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ComdatKind {
    Data,
    Function,
    Other,
}

/// An entry of the symbol table.
pub(super) struct SymbolInfo<'a> {
    pub(super) kind: u8,
    /// Empty where it is the import's.
    pub(super) name: &'a [u8],
    pub(super) flags: usize,
    pub(super) entry: ComdatSymbol,
}

pub(super) fn entries(mut part: WasmReader<'_>) -> Option<Vec<SymbolInfo<'_>>> {
    let mut found = Vec::new();
    for _ in 0..part.number()? {
        let kind = part.byte()?;
        let flags = part.number()?;
        let defined = flags & UNDEFINED == 0;
        let (name, entry) = match kind {
            DATA_SYMBOL => {
                let name = part.name()?;
                let index = if defined { part.number()? } else { 0 };
                if defined {
                    part.skip_number()?;
                    part.skip_number()?;
                }
                (name, (ComdatKind::Data, index))
            }
            SECTION_SYMBOL => {
                part.number()?;
                continue;
            }
            kind => {
                let index = part.number()?;
                let named = defined || flags & EXPLICIT_NAME != 0;
                let name = if named { part.name()? } else { &[] };
                let content = match kind {
                    FUNCTION_SYMBOL => ComdatKind::Function,
                    _ => ComdatKind::Other,
                };
                (name, (content, index))
            }
        };
        found.push(SymbolInfo {
            kind,
            name,
            flags,
            entry,
        });
    }
    Some(found)
}

/// The entries of the symbol table among `sections`.
pub(super) fn symbol_table<'a>(
    sections: &[(u8, &'a [u8])],
    imports: &Imports<'a>,
) -> Option<Vec<SymbolInfo<'a>>> {
    let mut found = Vec::new();
    if let Some(linking) = sections.iter().find_map(|it| custom(*it, b"linking")) {
        let mut rest = WasmReader(linking);
        rest.number()?;
        while !rest.0.is_empty() {
            if let (SYMBOLS, part) = rest.part()? {
                found = entries(WasmReader(part))?;
            }
        }
    }
    // The linker adds one for a table without a symbol.
    let table = imports.of(TABLE_IMPORT).next();
    let named = found.iter().any(|it| it.kind == TABLE_SYMBOL);
    found.extend(table.filter(|_| !named).map(|table| SymbolInfo {
        kind: TABLE_SYMBOL,
        name: table.name,
        flags: UNDEFINED | NO_STRIP,
        entry: (ComdatKind::Other, 0),
    }));
    Some(found)
}

/// Names of all symbols that are not local, whether they are undefined, and whether they are weak.
pub(in crate::wrapper) fn symbols(object: &[u8]) -> Option<Vec<(&[u8], bool, bool)>> {
    let sections = sections(object)?;
    let imports = Imports::read(&sections)?;
    let all = symbol_table(&sections, &imports)?.into_iter();
    let global = all.filter(|it| it.flags & LOCAL == 0);
    let described = global.map(|symbol| {
        (
            imports.name_of(&symbol),
            symbol.flags & UNDEFINED != 0,
            symbol.flags & WEAK != 0,
        )
    });
    Some(described.filter(|it| !it.0.is_empty()).collect())
}

/// Whether something of it is in the program as soon as it is linked: functions that run at the
/// start, as constructors do, and variables that must stay though nothing uses them.
pub(in crate::wrapper::comdat) fn has_roots(object: &[u8]) -> Option<bool> {
    let sections = sections(object)?;
    let Some(linking) = sections.into_iter().find_map(|it| custom(it, b"linking")) else {
        return Some(false);
    };
    let mut rest = WasmReader(linking);
    rest.number()?;
    while !rest.0.is_empty() {
        let found = match rest.part()? {
            (INIT_FUNCTIONS, part) => WasmReader(part).number()? > 0,
            (SEGMENTS, part) => has_retained_segment(WasmReader(part))?,
            _ => false,
        };
        if found {
            return Some(true);
        }
    }
    Some(false)
}

fn has_retained_segment(mut part: WasmReader<'_>) -> Option<bool> {
    const RETAINED: usize = 4;
    let mut found = false;
    for _ in 0..part.number()? {
        part.name()?;
        let _alignment = part.number()?;
        found |= part.number()? & RETAINED != 0;
    }
    Some(found)
}

/// Kinds of imports.
pub(super) const FUNCTION_IMPORT: u8 = 0;
pub(super) const TABLE_IMPORT: u8 = 1;
pub(super) const MEMORY_IMPORT: u8 = 2;
pub(super) const GLOBAL_IMPORT: u8 = 3;
pub(super) const TAG_IMPORT: u8 = 4;

/// What an object needs from elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Import<'a> {
    pub(super) what: u8,
    pub(super) module: &'a [u8],
    pub(super) name: &'a [u8],
    /// The bytes of its type, without the limits of a table; the number of that of a function.
    pub(super) kind: &'a [u8],
}

pub(super) struct Imports<'a>(Vec<Import<'a>>);

impl<'a> Imports<'a> {
    pub(super) fn read(sections: &[(u8, &'a [u8])]) -> Option<Self> {
        let mut found = Vec::new();
        let Some((_, part)) = sections.iter().find(|(number, _)| *number == IMPORTS) else {
            return Some(Self(found));
        };
        let mut part = WasmReader(part);
        for _ in 0..part.number()? {
            let (module, name, what) = (part.name()?, part.name()?, part.byte()?);
            let start = part.0;
            match what {
                FUNCTION_IMPORT => part.skip_number()?,
                TABLE_IMPORT => drop(part.byte()?),
                MEMORY_IMPORT => {}
                GLOBAL_IMPORT | TAG_IMPORT => {
                    part.byte()?;
                    part.number()?;
                }
                _ => return None,
            }
            let kind = &start[..start.len() - part.0.len()];
            if matches!(what, TABLE_IMPORT | MEMORY_IMPORT) {
                let flags = part.number()?;
                part.skip_number()?;
                if flags & 1 != 0 {
                    part.skip_number()?;
                }
            }
            found.push(Import {
                what,
                module,
                name,
                kind,
            });
        }
        Some(Self(found))
    }

    /// Those of one kind, which are numbered by themselves.
    pub(super) fn of(&self, what: u8) -> impl Iterator<Item = &Import<'a>> {
        self.0.iter().filter(move |it| it.what == what)
    }

    pub(super) fn of_symbol(&self, symbol: &SymbolInfo<'_>) -> Option<&Import<'a>> {
        let what = match symbol.kind {
            FUNCTION_SYMBOL => FUNCTION_IMPORT,
            GLOBAL_SYMBOL => GLOBAL_IMPORT,
            TABLE_SYMBOL => TABLE_IMPORT,
            _ => return None,
        };
        self.of(what).nth(symbol.entry.1)
    }

    pub(super) fn name_of(&self, symbol: &SymbolInfo<'a>) -> &'a [u8] {
        let import = self.of_symbol(symbol).filter(|_| symbol.name.is_empty());
        import.map_or(symbol.name, |it| it.name)
    }
}
