//! Groups and symbols of WebAssembly objects: their `linking` section
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md>).

use std::collections::HashMap;

use super::Definitions;

const HEADER: usize = 8;
const CUSTOM: u8 = 0;
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

/// An entry of the symbol table.
struct SymbolInfo<'a> {
    /// Empty where it is the import's.
    name: &'a [u8],
    flags: usize,
    entry: ComdatSymbol,
}

fn entries(mut part: WasmReader<'_>) -> Option<Vec<SymbolInfo<'_>>> {
    const DATA: u8 = 1;
    const SECTION: u8 = 3;
    let mut found = Vec::new();
    for _ in 0..part.number()? {
        let kind = part.byte()?;
        let flags = part.number()?;
        let defined = flags & UNDEFINED == 0;
        let (name, entry) = match kind {
            DATA => {
                let name = part.name()?;
                let index = if defined { part.number()? } else { 0 };
                if defined {
                    part.skip_number()?;
                    part.skip_number()?;
                }
                (name, (ComdatKind::Data, index))
            }
            SECTION => {
                part.number()?;
                continue;
            }
            kind => {
                let index = part.number()?;
                let named = defined || flags & EXPLICIT_NAME != 0;
                let name = if named { part.name()? } else { &[] };
                let content = match kind {
                    0 => ComdatKind::Function,
                    _ => ComdatKind::Other,
                };
                (name, (content, index))
            }
        };
        found.push(SymbolInfo { name, flags, entry });
    }
    Some(found)
}

/// Names of all symbols that are not local, whether they are undefined, and whether they are weak.
pub(in crate::wrapper) fn symbols(object: &[u8]) -> Option<Vec<(&[u8], bool, bool)>> {
    const IMPORTS: u8 = 2;
    let sections = sections(object)?;
    let imports = sections.iter().find(|(number, _)| *number == IMPORTS);
    let imports = imports.map_or(Some(Vec::new()), |(_, part)| functions(WasmReader(part)))?;
    let linking = sections.iter().find_map(|it| custom(*it, b"linking"))?;
    let mut rest = WasmReader(linking);
    rest.number()?;
    while !rest.0.is_empty() {
        if let (SYMBOLS, part) = rest.part()? {
            let global = |it: &SymbolInfo<'_>| it.flags & LOCAL == 0;
            let all = entries(WasmReader(part))?.into_iter().filter(global);
            let described = all.map(|symbol| {
                let name = match symbol.entry {
                    (ComdatKind::Function, index) if symbol.name.is_empty() => imports.get(index),
                    _ => None,
                };
                let name = name.copied().unwrap_or(symbol.name);
                (
                    name,
                    symbol.flags & UNDEFINED != 0,
                    symbol.flags & WEAK != 0,
                )
            });
            return Some(described.filter(|it| !it.0.is_empty()).collect());
        }
    }
    Some(Vec::new())
}

/// The names of imported functions, by their numbers.
fn functions(mut part: WasmReader<'_>) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    for _ in 0..part.number()? {
        part.name()?;
        let name = part.name()?;
        match part.byte()? {
            0 => {
                part.number()?;
                found.push(name);
            }
            // Tables and memories: a type, limits.
            kind @ (1 | 2) => {
                if kind == 1 {
                    part.byte()?;
                }
                let flags = part.number()?;
                part.skip_number()?;
                if flags & 1 != 0 {
                    part.skip_number()?;
                }
            }
            3 | 4 => {
                part.byte()?;
                part.number()?;
            }
            _ => return None,
        }
    }
    Some(found)
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
/// `model`.
pub(super) fn stub(model: &[u8], claimed: &[&[u8]]) -> Vec<u8> {
    let mut out = b"\0asm\x01\0\0\0".to_vec();
    let mut groups = Vec::new();
    push_number(&mut groups, claimed.len());
    for name in claimed {
        push_name(&mut groups, name);
        // No flags, no members.
        groups.extend_from_slice(&[0, 0]);
    }
    let mut linking = Vec::new();
    push_name(&mut linking, b"linking");
    linking.push(2);
    push(&mut linking, COMDATS, &groups);
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
        let stub = stub(b"", &[b"f", b"g"]);
        let found = definitions(&stub).expect("an object");
        assert_eq!(found.groups, [b"f", b"g"]);
        assert_eq!(found.symbols().count(), 0);
        let loose = without_claims(&stub).expect("an object");
        assert!(definitions(&loose).expect("an object").groups.is_empty());
    }

    #[test]
    fn cut_off_objects_are_not_understood() {
        let stub = stub(b"", &[b"f", b"g"]);
        for end in HEADER + 1..stub.len() {
            assert!(definitions(&stub[..end]).is_none(), "{end}");
        }
    }
}
