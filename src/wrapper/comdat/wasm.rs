//! Groups and symbols of WebAssembly objects: their `linking` section
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md>).

use std::collections::HashMap;

use super::Definitions;

/// What a symbol must agree on with the same symbol of other files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SymbolType {
    /// The bytes of a function's type.
    Function(Vec<u8>),
    Data,
    /// What is imported, a table or a global, the bytes of its type without limits, and the flags
    /// of the symbol.
    Import(u8, Vec<u8>, usize),
}

/// The types of symbols, by their names; `None` where files do not agree, or where the symbol has
/// another name outside.
#[derive(Debug, Default)]
pub(super) struct SymbolTypes(HashMap<Vec<u8>, Option<SymbolType>>);

impl SymbolTypes {
    /// Adds those of a file.
    pub(super) fn add(&mut self, object: &[u8]) {
        for (name, own) in types_of_symbols(object).unwrap_or_default() {
            let known = self.0.entry(name.to_vec()).or_insert_with(|| own.clone());
            if *known != own {
                *known = None;
            }
        }
    }

    /// Those of both, where they agree.
    pub(super) fn of<'a>(files: [&'a Self; 2], name: &[u8]) -> Option<&'a SymbolType> {
        match files.map(|it| it.0.get(name)) {
            [Some(one), Some(other)] if one != other => None,
            [one, other] => one.or(other)?.as_ref(),
        }
    }
}

const HEADER: usize = 8;
const CUSTOM: u8 = 0;
const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
const FUNCTIONS: u8 = 3;
/// Parts of the section `linking`.
const COMDATS: u8 = 7;
const SYMBOLS: u8 = 8;

/// Numbers and names, from the front.
#[derive(Debug, Clone, Copy)]
struct WasmReader<'a>(&'a [u8]);

impl<'a> WasmReader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// LEB128, 32 bits.
    fn number(&mut self) -> Option<usize> {
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
    fn skip_number(&mut self) -> Option<()> {
        while self.byte()? & 0x80 != 0 {}
        Some(())
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.bytes(length)
    }

    /// A number of a section, and what is in it.
    fn part(&mut self) -> Option<(u8, &'a [u8])> {
        Some((self.byte()?, self.name()?))
    }
}

/// The sections of an object, in order.
fn sections(object: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut rest = WasmReader(object.get(HEADER..)?);
    let mut found = Vec::new();
    while !rest.0.is_empty() {
        found.push(rest.part()?);
    }
    Some(found)
}

/// The content of the custom section `name`, without its name.
fn custom<'a>(section: (u8, &'a [u8]), name: &[u8]) -> Option<&'a [u8]> {
    let mut content = WasmReader(section.1);
    (section.0 == CUSTOM && content.name()? == name).then_some(content.0)
}

pub(in crate::wrapper) fn definitions(object: &[u8]) -> Option<Definitions<'_>> {
    let mut found = Definitions::default();
    let sections = sections(object)?;
    let Some(linking) = sections.into_iter().find_map(|it| custom(it, b"linking")) else {
        return Some(found);
    };
    let mut rest = WasmReader(linking);
    rest.number()?;
    let mut group_of = HashMap::new();
    let mut symbols = None;
    while !rest.0.is_empty() {
        match rest.part()? {
            (COMDATS, part) => comdats(WasmReader(part), &mut found, &mut group_of)?,
            (SYMBOLS, part) => symbols = Some(WasmReader(part)),
            _ => {}
        }
    }
    if let Some(symbols) = symbols {
        table(symbols, &mut found, &group_of)?;
    }
    Some(found)
}

/// What a group holds: a kind and an index.
type ComdatSymbol = (ComdatKind, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ComdatKind {
    Data,
    Function,
    Other,
}

fn comdats<'a>(
    mut part: WasmReader<'a>,
    found: &mut Definitions<'a>,
    group_of: &mut HashMap<ComdatSymbol, &'a [u8]>,
) -> Option<()> {
    for _ in 0..part.number()? {
        let name = part.name()?;
        found.groups.push(name);
        part.number()?;
        for _ in 0..part.number()? {
            let content = match part.byte()? {
                0 => ComdatKind::Data,
                1 => ComdatKind::Function,
                _ => ComdatKind::Other,
            };
            group_of.insert((content, part.number()?), name);
        }
    }
    Some(())
}

fn table<'a>(
    part: WasmReader<'a>,
    found: &mut Definitions<'a>,
    group_of: &HashMap<ComdatSymbol, &'a [u8]>,
) -> Option<()> {
    for symbol in entries(part)? {
        if symbol.flags & (UNDEFINED | LOCAL) != 0 {
            continue;
        }
        match group_of.get(&symbol.entry) {
            Some(group) => found.grouped.push((symbol.name, group)),
            None if symbol.flags & WEAK != 0 => found.weak.push(symbol.name),
            None => found.strong.push(symbol.name),
        }
    }
    Some(())
}

const WEAK: usize = 1;
const LOCAL: usize = 2;
const UNDEFINED: usize = 0x10;
const EXPLICIT_NAME: usize = 0x40;
const NO_STRIP: usize = 0x80;
/// The symbol has another name in the module that it is from.
const UNDEFINED_AND_NAMED: usize = UNDEFINED | EXPLICIT_NAME;
/// The module of functions for which the source names none.
const DEFAULT_MODULE: &[u8] = b"env";

/// Kinds of symbols.
const FUNCTION_SYMBOL: u8 = 0;
const DATA_SYMBOL: u8 = 1;
const GLOBAL_SYMBOL: u8 = 2;
const SECTION_SYMBOL: u8 = 3;
const TABLE_SYMBOL: u8 = 5;

/// An entry of the symbol table.
struct SymbolInfo<'a> {
    kind: u8,
    /// Empty where it is the import's.
    name: &'a [u8],
    flags: usize,
    entry: ComdatSymbol,
}

fn entries(mut part: WasmReader<'_>) -> Option<Vec<SymbolInfo<'_>>> {
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

/// The types of all symbols that are not local.
fn types_of_symbols(object: &[u8]) -> Option<Vec<(&[u8], Option<SymbolType>)>> {
    let sections = sections(object)?;
    let part = |number| sections.iter().find(|it| it.0 == number).map(|it| it.1);
    let types = part(TYPES).map_or(Some(Vec::new()), |it| function_types(WasmReader(it)))?;
    let imports = Imports::read(&sections)?;
    let mut of_functions = Vec::new();
    for import in imports.of(FUNCTION_IMPORT) {
        of_functions.push(WasmReader(import.kind).number()?);
    }
    if let Some(part) = part(FUNCTIONS) {
        let mut part = WasmReader(part);
        for _ in 0..part.number()? {
            of_functions.push(part.number()?);
        }
    }
    let mut found = Vec::new();
    for symbol in symbol_table(&sections, &imports)? {
        if symbol.flags & LOCAL != 0 {
            continue;
        }
        let import = imports.of_symbol(&symbol);
        let own = match symbol.kind {
            DATA_SYMBOL => Some(SymbolType::Data),
            FUNCTION_SYMBOL => {
                let kind = of_functions.get(symbol.entry.1);
                let kind = kind.and_then(|number| types.get(*number));
                kind.map(|kind| SymbolType::Function(kind.to_vec()))
            }
            _ => import.map(|it| SymbolType::Import(it.what, it.kind.to_vec(), symbol.flags)),
        };
        let plain = import.is_none_or(|it| it.module == DEFAULT_MODULE)
            && symbol.flags & UNDEFINED_AND_NAMED != UNDEFINED_AND_NAMED;
        found.push((imports.name_of(&symbol), own.filter(|_| plain)));
    }
    Some(found)
}

/// The bytes of each type.
fn function_types(mut part: WasmReader<'_>) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    for _ in 0..part.number()? {
        let start = part.0;
        part.byte()?;
        part.name()?;
        part.name()?;
        found.push(&start[..start.len() - part.0.len()]);
    }
    Some(found)
}

/// The entries of the symbol table among `sections`.
fn symbol_table<'a>(
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

/// Kinds of imports.
const FUNCTION_IMPORT: u8 = 0;
const TABLE_IMPORT: u8 = 1;
const MEMORY_IMPORT: u8 = 2;
const GLOBAL_IMPORT: u8 = 3;
const TAG_IMPORT: u8 = 4;

/// What an object needs from elsewhere.
#[derive(Clone, Copy)]
struct Import<'a> {
    what: u8,
    module: &'a [u8],
    name: &'a [u8],
    /// The bytes of its type, without the limits of a table; the number of that of a function.
    kind: &'a [u8],
}

struct Imports<'a>(Vec<Import<'a>>);

impl<'a> Imports<'a> {
    fn read(sections: &[(u8, &'a [u8])]) -> Option<Self> {
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
    fn of(&self, what: u8) -> impl Iterator<Item = &Import<'a>> {
        self.0.iter().filter(move |it| it.what == what)
    }

    fn of_symbol(&self, symbol: &SymbolInfo<'_>) -> Option<&Import<'a>> {
        let what = match symbol.kind {
            FUNCTION_SYMBOL => FUNCTION_IMPORT,
            GLOBAL_SYMBOL => GLOBAL_IMPORT,
            TABLE_SYMBOL => TABLE_IMPORT,
            _ => return None,
        };
        self.of(what).nth(symbol.entry.1)
    }

    fn name_of(&self, symbol: &SymbolInfo<'a>) -> &'a [u8] {
        let import = self.of_symbol(symbol).filter(|_| symbol.name.is_empty());
        import.map_or(symbol.name, |it| it.name)
    }
}

/// The object with its groups taken apart.
pub(super) fn without_claims(object: &[u8]) -> Option<Vec<u8>> {
    let mut out = object.get(..HEADER)?.to_vec();
    for section in sections(object)? {
        match custom(section, b"linking") {
            None => push(&mut out, section.0, section.1),
            Some(linking) => {
                let mut rest = WasmReader(linking);
                let mut content = Vec::new();
                push_name(&mut content, b"linking");
                push_number(&mut content, rest.number()?);
                while !rest.0.is_empty() {
                    let (number, part) = rest.part()?;
                    if number != COMDATS {
                        push(&mut content, number, part);
                    }
                }
                push(&mut out, CUSTOM, &content);
            }
        }
    }
    Some(out)
}

/// An object that holds nothing but empty groups of the names `claimed`, for the same processor as
/// `model`, and refers weakly to the symbols `named`.
pub(super) fn stub(model: &[u8], claimed: &[&[u8]], named: &[(&[u8], &SymbolType)]) -> Vec<u8> {
    let mut out = b"\0asm\x01\0\0\0".to_vec();
    let references = References::of(named);
    if !references.types.is_empty() {
        let (count, types) = (references.types.len(), references.types.concat());
        push_counted(&mut out, TYPES, count, &types);
    }
    let imported: usize = references.imported.iter().sum();
    if imported > 0 {
        push_counted(&mut out, IMPORTS, imported, &references.imports);
    }
    let mut groups = Vec::new();
    for name in claimed {
        push_name(&mut groups, name);
        // No flags, no members.
        groups.extend_from_slice(&[0, 0]);
    }
    let mut linking = Vec::new();
    push_name(&mut linking, b"linking");
    linking.push(2);
    if !named.is_empty() {
        push_counted(&mut linking, SYMBOLS, named.len(), &references.symbols);
    }
    push_counted(&mut linking, COMDATS, claimed.len(), &groups);
    push(&mut out, CUSTOM, &linking);
    let sections = sections(model).unwrap_or_default();
    let features = sections
        .into_iter()
        .find(|it| custom(*it, b"target_features").is_some());
    if let Some((number, content)) = features {
        push(&mut out, number, content);
    }
    out
}

/// Undefined symbols as an object has them.
#[derive(Default)]
struct References<'a> {
    types: Vec<&'a [u8]>,
    imports: Vec<u8>,
    /// How many of each kind.
    imported: [usize; 5],
    symbols: Vec<u8>,
}

impl<'a> References<'a> {
    fn of(named: &[(&[u8], &'a SymbolType)]) -> Self {
        let mut all = Self::default();
        let mut numbers: HashMap<&[u8], usize> = HashMap::new();
        for (name, kind) in named {
            match kind {
                SymbolType::Function(kind) => {
                    let number = *numbers.entry(kind).or_insert_with(|| {
                        all.types.push(kind);
                        all.types.len() - 1
                    });
                    let mut kind = Vec::new();
                    push_number(&mut kind, number);
                    all.import(
                        FUNCTION_SYMBOL,
                        FUNCTION_IMPORT,
                        name,
                        &kind,
                        UNDEFINED | WEAK,
                    );
                }
                SymbolType::Data => {
                    all.symbols.push(DATA_SYMBOL);
                    push_number(&mut all.symbols, UNDEFINED | WEAK);
                    push_name(&mut all.symbols, name);
                }
                SymbolType::Import(TABLE_IMPORT, kind, flags) => {
                    // No limits.
                    let kind = [&kind[..], &[0, 0]].concat();
                    all.import(TABLE_SYMBOL, TABLE_IMPORT, name, &kind, *flags);
                }
                SymbolType::Import(what, kind, flags) => {
                    all.import(GLOBAL_SYMBOL, *what, name, kind, *flags);
                }
            }
        }
        all
    }

    fn import(&mut self, symbol: u8, what: u8, name: &[u8], kind: &[u8], flags: usize) {
        push_name(&mut self.imports, DEFAULT_MODULE);
        push_name(&mut self.imports, name);
        self.imports.push(what);
        self.imports.extend_from_slice(kind);
        let number = &mut self.imported[usize::from(what)];
        self.symbols.push(symbol);
        push_number(&mut self.symbols, flags);
        push_number(&mut self.symbols, *number);
        *number += 1;
    }
}

fn push_counted(out: &mut Vec<u8>, number: u8, count: usize, content: &[u8]) {
    let mut counted = Vec::new();
    push_number(&mut counted, count);
    counted.extend_from_slice(content);
    push(out, number, &counted);
}

fn push(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number);
    push_name(out, content);
}

fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    push_number(out, name.len());
    out.extend_from_slice(name);
}

fn push_number(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_claims_its_groups_and_defines_nothing() {
        let stub = stub(b"", &[b"f", b"g"], &[]);
        let found = definitions(&stub).expect("an object");
        assert_eq!(found.groups, [b"f", b"g"]);
        assert_eq!(found.symbols().count(), 0);
        let loose = without_claims(&stub).expect("an object");
        assert!(definitions(&loose).expect("an object").groups.is_empty());
    }

    #[test]
    fn a_stub_names_symbols_in_order_and_files_agree_on_their_types() {
        let function = |kind: &[u8]| SymbolType::Function(kind.to_vec());
        let (one, other) = (function(&[0x60, 0, 0]), function(&[0x60, 1, 0x7f, 0]));
        let table = SymbolType::Import(TABLE_IMPORT, vec![0x70], UNDEFINED);
        let named: [(&[u8], &SymbolType); 5] = [
            (b"f", &one),
            (b"x", &SymbolType::Data),
            (b"g", &other),
            (b"t", &table),
            (b"h", &one),
        ];
        let stub_of = |named: &[(&[u8], &SymbolType)]| stub(b"", &[], named);
        let object = stub_of(&named);
        let found = symbols(&object).expect("an object");
        let expected = [b"f", b"x", b"g", b"t", b"h"].map(|name| (&name[..], true, name != b"t"));
        assert_eq!(found, expected);
        let mut types = SymbolTypes::default();
        types.add(&object);
        for (name, kind) in named {
            assert_eq!(
                SymbolTypes::of([&types, &SymbolTypes::default()], name),
                Some(kind)
            );
        }
        let mut others = SymbolTypes::default();
        others.add(&stub_of(&[(b"f", &other), (b"g", &other)]));
        assert_eq!(SymbolTypes::of([&types, &others], b"f"), None);
        assert_eq!(SymbolTypes::of([&types, &others], b"g"), Some(&other));
        types.add(&stub_of(&[(b"h", &SymbolType::Data)]));
        assert_eq!(SymbolTypes::of([&types, &others], b"h"), None);
    }

    #[test]
    fn cut_off_objects_are_not_understood() {
        let stub = stub(b"", &[b"f", b"g"], &[]);
        for end in HEADER + 1..stub.len() {
            assert!(definitions(&stub[..end]).is_none(), "{end}");
        }
    }
}
