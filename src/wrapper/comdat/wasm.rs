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
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
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
    let mut rest = Reader(object.get(HEADER..)?);
    let mut found = Vec::new();
    while !rest.0.is_empty() {
        found.push(rest.part()?);
    }
    Some(found)
}

/// The content of the custom section `name`, without its name.
fn custom<'a>(section: (u8, &'a [u8]), name: &[u8]) -> Option<&'a [u8]> {
    let mut content = Reader(section.1);
    (section.0 == CUSTOM && content.name()? == name).then_some(content.0)
}

pub(super) fn definitions(object: &[u8]) -> Option<Definitions<'_>> {
    let mut found = Definitions::default();
    let sections = sections(object)?;
    let Some(linking) = sections.into_iter().find_map(|it| custom(it, b"linking")) else {
        return Some(found);
    };
    let mut rest = Reader(linking);
    rest.number()?;
    let mut group_of = HashMap::new();
    let mut symbols = None;
    while !rest.0.is_empty() {
        match rest.part()? {
            (COMDATS, part) => comdats(Reader(part), &mut found, &mut group_of)?,
            (SYMBOLS, part) => symbols = Some(Reader(part)),
            _ => {}
        }
    }
    if let Some(symbols) = symbols {
        table(symbols, &mut found, &group_of)?;
    }
    Some(found)
}

/// What a group holds: a kind and an index.
type Entry = (Content, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Content {
    Data,
    Function,
    Other,
}

fn comdats<'a>(
    mut part: Reader<'a>,
    found: &mut Definitions<'a>,
    group_of: &mut HashMap<Entry, &'a [u8]>,
) -> Option<()> {
    for _ in 0..part.number()? {
        let name = part.name()?;
        found.groups.push(name);
        part.number()?;
        for _ in 0..part.number()? {
            let content = match part.byte()? {
                0 => Content::Data,
                1 => Content::Function,
                _ => Content::Other,
            };
            group_of.insert((content, part.number()?), name);
        }
    }
    Some(())
}

fn table<'a>(
    mut part: Reader<'a>,
    found: &mut Definitions<'a>,
    group_of: &HashMap<Entry, &'a [u8]>,
) -> Option<()> {
    const WEAK: usize = 1;
    const LOCAL: usize = 2;
    const UNDEFINED: usize = 0x10;
    const EXPLICIT_NAME: usize = 0x40;
    for _ in 0..part.number()? {
        let kind = part.byte()?;
        let flags = part.number()?;
        let defined = flags & UNDEFINED == 0;
        let (name, entry) = match kind {
            1 => {
                let name = part.name()?;
                let index = if defined { part.number()? } else { 0 };
                if defined {
                    part.skip_number()?;
                    part.skip_number()?;
                }
                (name, (Content::Data, index))
            }
            3 => {
                part.number()?;
                continue;
            }
            kind => {
                let index = part.number()?;
                let named = defined || flags & EXPLICIT_NAME != 0;
                let name = if named { part.name()? } else { &[] };
                let content = if kind == 0 {
                    Content::Function
                } else {
                    Content::Other
                };
                (name, (content, index))
            }
        };
        if !defined || flags & LOCAL != 0 {
            continue;
        }
        match group_of.get(&entry) {
            Some(group) => found.grouped.push((name, group)),
            None if flags & WEAK != 0 => found.weak.push(name),
            None => found.strong.push(name),
        }
    }
    Some(())
}

/// The object with its groups taken apart.
pub(super) fn without_claims(object: &[u8]) -> Option<Vec<u8>> {
    let mut out = object.get(..HEADER)?.to_vec();
    for section in sections(object)? {
        match custom(section, b"linking") {
            None => push(&mut out, section.0, section.1),
            Some(linking) => {
                let mut rest = Reader(linking);
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
